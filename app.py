"""Open the page: ``python app.py [--weights WEIGHTS] [--host 0.0.0.0]``.

A Hugging Face Space runs this file too.
"""

import argparse
import atexit
import contextlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from saic import caches

caches.move_if_home_is_read_only()  # before the libraries below choose their cache folders


@contextlib.contextmanager
def _no_type_stubs() -> Iterator[None]:
    """Keep Gradio from writing type stubs of its components when it is imported.

    For each of them it would parse the file of the component, which takes a second of the start. It skips
    a class whose file is not found.
    """
    getfile = inspect.getfile

    def getfile_of_others(thing: object) -> str:
        if type(thing).__name__ == "ComponentMeta":
            raise OSError("Gradio writes no type stub for this class.")
        return getfile(thing)

    inspect.getfile = getfile_of_others
    try:
        yield
    finally:
        inspect.getfile = getfile


_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")
_PROXIES = {name: os.environ.pop(name) for name in list(os.environ) if name.lower() in _PROXY_VARIABLES}
# At import, Gradio makes an HTTP client. That fails if the proxy needs a package that is not
# installed (SOCKS). The page itself contacts no other machine. Weights from the Hub may need the
# proxy, so the variables are restored below.
with _no_type_stubs():
    from saic.web import Documents, build_page, ended_by_signals, keep_plain, launch, load_examples
    from saic.web.server.recordings import MAX_MINUTES, PUBLIC_MAX_MINUTES

os.environ |= _PROXIES

from saic.errors import SaicError, UsageError
from saic.evaluation.evaluators.whisper import NO_ASR, WhisperASR
from saic.keys import Key, OtherVoices, is_readable_by_others
from saic.pipeline import Pipeline
from saic.spool import share_heaps

ROOT = Path(__file__).parent
LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
MOST_MINUTES = 180  # of one recording: a conversion takes some 0.5 GB of memory an hour


def build(
    weights: str | None = None,
    asr: str | None = None,
    key_file: str | None = None,
    study: str = "",
    max_minutes: float = MAX_MINUTES,
):
    """The page with the bundled voices and documents.

    Parameters
    ----------
    weights : folder, or ORG/NAME@COMMIT on the Hub; None: the bundled weights
    asr : folder of a faster-whisper model that counts the words kept; None: the one that ``saic evaluate``
        has downloaded, if it has; "none": words are not counted
    key_file : key of a study, whose subjects get a voice each; None: voices are drawn at random
    study : its name, as for ``saic anonymize --study``
    max_minutes : of one recording
    """
    if not 0 < max_minutes <= MOST_MINUTES:
        raise UsageError(f"Choose up to {MOST_MINUTES} minutes by --max-minutes. saic anonymize takes more.")
    if study and not key_file:
        raise UsageError("--study chooses the voices of a key: name it by --key-file, or leave the study out.")
    key = Key.load(key_file) if key_file else None
    if key_file and is_readable_by_others(key_file):
        print("Note: other accounts of this machine can read the key file: chmod 600 FILE.", file=sys.stderr)
    pipeline = Pipeline.from_pretrained(weights)
    documents = Documents.read(ROOT, pipeline.info()["sha256"])
    if asr is None:
        recognizer = WhisperASR.downloaded(threads=1)
    else:
        recognizer = None if asr == NO_ASR else WhisperASR(asr, threads=1)
    examples = load_examples(ROOT / "assets" / "examples")
    try:
        options = {"documents": documents, "asr": recognizer, "key": key, "study": study, "max_minutes": max_minutes}
        return build_page(pipeline, examples, **options)
    except OtherVoices:
        raise OtherVoices(
            "The key was made for other weights or voices, so its subjects would sound different from now on. Name the"
            " weights that it was made for by --weights."
        ) from None


def _max_minutes(host: str | None, allow_hosts: list[str]) -> float:
    """Minutes of one recording where none are named: fewer where others can open the page."""
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "localhost"
    is_public = bool(allow_hosts or os.environ.get("SPACE_HOST")) or host not in LOOPBACK
    default = PUBLIC_MAX_MINUTES if is_public else MAX_MINUTES
    try:
        return float(os.environ.get("SAIC_MAX_MINUTES") or default)
    except ValueError:
        raise UsageError("SAIC_MAX_MINUTES is a number of minutes, such as 60.") from None


def main() -> None:
    """Parse the arguments, build and serve the page, and end the process."""
    parser = argparse.ArgumentParser(description="Open SAIC's page.")
    parser.add_argument(
        "--weights",
        default=os.environ.get("SAIC_WEIGHTS") or None,
        help="folder, or ORG/NAME@COMMIT on the Hub; default SAIC_WEIGHTS, else the bundled weights",
    )
    parser.add_argument("--host", help="address to listen on; default GRADIO_SERVER_NAME, else this computer only")
    parser.add_argument("--port", type=int, help="default GRADIO_SERVER_PORT, else the first free one from 7860")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name under which browsers reach the page through a proxy or a container; repeat for more",
    )
    parser.add_argument(
        "--root-path",
        metavar="PATH",
        help="path under which a proxy serves the page, such as /saic; default GRADIO_ROOT_PATH, else none",
    )
    parser.add_argument(
        "--asr",
        metavar="FOLDER",
        help="a faster-whisper model that counts the words kept; default: the one that saic evaluate has downloaded,"
        f" if it has; {NO_ASR}: words are not counted",
    )
    parser.add_argument(
        "--key-file",
        metavar="KEY",
        help="key of a study (saic key new): the page asks for a subject's label and gives each its voice",
    )
    parser.add_argument(
        "--study", default="", metavar="NAME", help="with --key-file: as in saic anonymize, for the same voices"
    )
    parser.add_argument(
        "--max-minutes",
        type=float,
        metavar="N",
        help="length of one recording; default SAIC_MAX_MINUTES, else 60, or 5 if others can open the page (--host,"
        " --allow-host, a Space)",
    )
    arguments = parser.parse_args()
    share_heaps()
    keep_plain()
    code = 0
    try:
        with ended_by_signals():
            max_minutes = arguments.max_minutes
            if max_minutes is None:
                max_minutes = _max_minutes(arguments.host, arguments.allow_host)
            page = build(arguments.weights, arguments.asr, arguments.key_file, arguments.study, max_minutes)
            launch(
                page,
                host=arguments.host,
                port=arguments.port,
                allow_hosts=arguments.allow_host,
                root_path=arguments.root_path,
            )
    except SaicError as error:
        print(f"Error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except SystemExit as end:  # a signal
        code = end.code
    # A thread may still be inside torch, which then aborts the process when Python finalizes.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
