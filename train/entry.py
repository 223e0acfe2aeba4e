"""What every training entry point shares: its options, and errors as one sentence and an exit code."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from saic.config import Config
from saic.data import manifest
from saic.devices import present
from saic.errors import SaicError, UsageError
from saic.signal.mel import FRAMES_PER_S
from saic.training import distributed
from saic.training.training_set import Corpus

DataOption = Annotated[Path, typer.Option("--data", help="Manifest (JSONL), or a folder of speaker/clip audio.")]
ParallelOption = Annotated[
    Path | None, typer.Option("--parallel", help="Folder of train.kokoro: the same sentences in many voices.")
]
RunOption = Annotated[Path, typer.Option("--run", help="Folder of this run; made if missing.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML file of differences from the defaults.")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")]


DeviceOption = Annotated[str, typer.Option("--device", callback=present, help="cpu, or cuda for a GPU.")]


def run(command: Callable[..., None], *, parallel: bool = False) -> None:
    """Run a typer command; a :class:`SaicError` becomes its sentence on stderr and its exit code.

    ``parallel``: whether the command knows how to be one of several processes.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        if distributed.asked_for() > 1 and not parallel:
            raise UsageError("Only stage1 and stage2 run as several processes. Start this one without torchrun.")
        app()
    except SaicError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    finally:
        distributed.stop()


def read_config(path: Path | None) -> Config:
    """The config of a file, or the defaults."""
    return Config.from_yaml(path) if path else Config()


def read_corpus(data: Path, split: str, config: Config, parallel: Path | None = None) -> Corpus:
    """The clips of one split in memory, rendered ones beside them; a progress bar while mels are computed."""
    clips = manifest.read(data, splits=[split]) + (manifest.read(parallel) if parallel else [])
    bar = tqdm(desc=f"mels of '{split}'", unit="clip", leave=False, disable=not distributed.is_first())
    with bar, distributed.first_before_others():  # who find the mels in the cache then

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        corpus = Corpus(
            clips,
            segment_frames=config.training.segment_frames,
            stride=config.content_stride,
            progress=progress,
        )
    if not distributed.is_first():
        return corpus
    minutes = corpus.mel.shape[1] / FRAMES_PER_S / 60
    print(f"{split}: {len(corpus.clips)} clips, {len(corpus.speakers)} speakers, {minutes:.0f} minutes", end="")
    print(f" ({corpus.skipped} clips shorter than a segment left out)" if corpus.skipped else "")
    return corpus


def named_weights(name: str) -> str | None:
    """What :func:`saic.weights.resolve` takes for the weights that an option names; "bundled" are its default."""
    return None if name == "bundled" else name
