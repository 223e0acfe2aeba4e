"""Open the page: ``python app.py [--weights WEIGHTS] [--host 0.0.0.0]``; a Hugging Face Space runs this file too."""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from saic import caches

caches.leave_home()  # before the libraries below look where theirs are

from saic.errors import SaicError
from saic.evaluation.recogniser import Recogniser
from saic.pipeline import Pipeline
from saic.web import Documents, build_page, launch, load_examples

ROOT = Path(__file__).parent


def build(weights: str | None = None, asr: str | None = None):
    """The page with the voices and the documents: of these weights (None: the bundled ones), with this recogniser."""
    pipeline = Pipeline.from_pretrained(weights)
    documents = Documents.read(ROOT, pipeline.info()["sha256"])
    recogniser = Recogniser(asr, threads=1) if asr else None
    return build_page(pipeline, load_examples(ROOT / "assets" / "examples"), documents=documents, recogniser=recogniser)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Open SAIC's page.")
    parser.add_argument(
        "--weights",
        default=os.environ.get("SAIC_WEIGHTS") or None,
        help="folder, or ORG/NAME@COMMIT on the Hub; default SAIC_WEIGHTS, else the bundled weights",
    )
    parser.add_argument("--host", help="address to listen on; default GRADIO_SERVER_NAME, else this computer only")
    parser.add_argument("--port", type=int, help="default GRADIO_SERVER_PORT, else the first free one from 7860")
    parser.add_argument("--asr", metavar="FOLDER", help="a faster-whisper model: count the words that are kept")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("saic.web").setLevel(logging.INFO)
    try:
        demo = build(arguments.weights, arguments.asr)
    except SaicError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # as "docker stop" sends it: clips are removed at exit
    launch(demo, server_name=arguments.host, server_port=arguments.port)
