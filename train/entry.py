"""Options, error handling and data loading of the training entry points."""

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor
from tqdm import tqdm

from saic.config import Config
from saic.data import manifest
from saic.data.left_out import LeftOut
from saic.data.manifest import Clip
from saic.devices import require_device
from saic.errors import SaicError, UsageError
from saic.files import sha256
from saic.signal.mel import FRAMES_PER_S
from saic.training import distributed
from saic.training.training_set import TrainingSet

DATA = "--data or --parallel"  # name of the training set among the inputs of a run

DataOption = Annotated[
    list[Path],
    typer.Option("--data", help="Manifest (JSONL), or a folder of speaker/clip audio; repeat it for each corpus."),
]
ParallelOption = Annotated[
    Path | None, typer.Option("--parallel", help="Output folder of train.kokoro: parallel synthetic speech.")
]
RunOption = Annotated[Path, typer.Option("--run", help="Folder of this run; made if missing.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file of differences from the defaults.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint.")]
DeviceOption = Annotated[str, typer.Option("--device", callback=require_device, help="cpu, or cuda for a GPU.")]


def run(command: Callable[..., None], *, parallel: bool = False) -> None:
    """Run a typer command; print a :class:`SaicError` on stderr and end with its exit code.

    Parameters
    ----------
    parallel
        Whether the command can run in several processes of ``torchrun``.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a corpus may have names that the terminal lacks
    try:
        if distributed.requested_processes() > 1 and not parallel:
            raise UsageError("Only stage1 and stage2 run as several processes. Start this one without torchrun.")
        app()
    except SaicError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if not end.code:  # after an error, the others still wait for this process: torchrun ends them
            distributed.stop()
        raise


def read_config(path: Path | None) -> Config:
    """The config of a file, or the defaults."""
    return Config.from_yaml(path) if path else Config()


def read_corpora(data: Sequence[Path], splits: Sequence[str] | None = None) -> list[list[Clip]]:
    """The clips of each corpus, of some splits or of all.

    Raises
    ------
    DataError
        As :func:`saic.data.manifest.read`; of several corpora, the message begins with the corpus's number.
    """
    corpora = []
    for number, path in enumerate(data, start=1):
        with manifest.numbered_errors(number, len(data)):
            corpora.append(manifest.read(path, splits=splits))
    return corpora


def read_clips(data: Sequence[Path], *splits: str) -> list[Clip]:
    """The clips of some splits of all corpora, in the order of ``data``.

    Of several corpora, the names of speakers and utterances begin with the corpus's number, since
    corpora may use the same names for other people.

    Raises
    ------
    DataError
        As :func:`read_corpora`.
    """
    corpora = read_corpora(data, splits)
    if len(corpora) == 1:
        return corpora[0]
    return [
        replace(clip, speaker=f"{number}/{clip.speaker}", utterance=f"{number}/{clip.utterance}")
        for number, clips in enumerate(corpora, start=1)
        for clip in clips
    ]


def read_training_set(data: Sequence[Path], split: str, config: Config, parallel: Path | None = None) -> TrainingSet:
    """Load the clips of one split, and those of a ``parallel`` manifest, with a progress bar."""
    clips = read_clips(data, split) + (manifest.read(parallel) if parallel else [])
    bar = tqdm(desc=f"mels of '{split}'", unit="clip", leave=False, disable=not distributed.is_first())
    with bar, distributed.first_before_others():  # the others read the first one's cache

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        training_set = TrainingSet(
            clips,
            segment_frames=config.training.segment_frames,
            stride=config.content_stride,
            progress=progress,
        )
    if not distributed.is_first():
        return training_set
    print_broken(training_set)
    minutes = training_set.mel.shape[1] / FRAMES_PER_S / 60
    n_clips, n_speakers, n_skipped = len(training_set.clips), len(training_set.speakers), training_set.skipped
    left_out = f" ({n_skipped} clips without a segment of speech left out)" if n_skipped else ""
    print(f"{split}: {n_clips} clips, {n_speakers} speakers, {minutes:.0f} minutes{left_out}")
    return training_set


def hash_of(path: Path | None, name: str) -> str | None:
    """SHA-256 of a file, or of the file ``name`` in a folder; None for no path. For the inputs of a run."""
    return None if path is None else sha256(path if path.is_file() else path / name)


def hash_of_tensors(tensors: Iterable[Tensor]) -> str:
    """SHA-256 of the elements of tensors, in their order. For the inputs of a run."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def print_broken(training_set: TrainingSet) -> None:
    """Print the clips that cannot be decoded, if there are any."""
    if training_set.broken:
        print(LeftOut(broken=training_set.broken).listing())


def named_weights(name: str) -> str | None:
    """Argument of :func:`saic.weights.resolve` for an option: None for "bundled", else the name."""
    return None if name == "bundled" else name
