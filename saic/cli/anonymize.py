"""``saic anonymize``: a recording, or a folder of them, in voices that are not the speakers'."""

import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saic.cli.options import (
    DeviceOption,
    ForceOption,
    JsonOption,
    RateOption,
    WeightsOption,
    printable,
    progress_bar,
    show,
)
from saic.errors import AudioError, PartialFailure, UsageError
from saic.files import DiskError

if TYPE_CHECKING:
    import numpy as np

    from saic.cli.batch import BatchItem
    from saic.pipeline import Conversion, ProgressCallback

_IS_TARGET = "This recording is a --target too, so its output has the voice of its own speaker."


class Method(StrEnum):
    """How :func:`anonymize` changes a voice."""

    SAIC = "saic"
    MCADAMS = "mcadams"


class Format(StrEnum):
    """Formats of the outputs of a folder."""

    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"
    OPUS = "opus"


def anonymize(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A recording, or a folder with its subfolders.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="File to write: .wav, .flac, .mp3 or .opus; for a folder, a folder.")
    ],
    method: Annotated[
        Method, typer.Option("--method", help="saic gives a pseudonym; mcadams moves formants, and protects little.")
    ] = Method.SAIC,
    target: Annotated[
        list[Path] | None,
        typer.Option("--target", help="Recording of the voice to give instead of a pseudonym; repeat for more."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, help="Seed of the pseudonyms, one per file; keep it secret.", show_default="random"
        ),
    ] = None,
    format: Annotated[
        Format | None, typer.Option("--format", help="Format of a folder's outputs.", show_default="wav")
    ] = None,
    rate: RateOption = 16_000,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give each recording of IN another voice, keep the words.

    Outputs keep the names and folders of the recordings. Rename those that identify a speaker. A
    recording that cannot be used is reported by its number in the order of the paths. The others
    are still processed.

    With the same --seed, the same file (by its path in IN) gets the same pseudonym in every run.
    Its outputs can then be linked to each other, and whoever knows the seed can draw the same
    pseudonyms: protect it like the originals. Without --seed, every run draws new pseudonyms, and
    only --json prints the seed that was drawn.

    The method mcadams needs no model. It is a weak protection, for comparison or where nothing else
    runs.
    """
    from saic import audio
    from saic.cli import batch

    if target and method is Method.MCADAMS:
        raise UsageError("The method mcadams has no target voice. Leave out --target, or use --method saic.")
    if target and seed is not None:
        raise UsageError("With --target no pseudonym is drawn. Leave out --seed, or --target.")
    items, n_skipped = batch.plan(source, output, format)
    batch.require_free(items, rate, force)
    if seed is None and not target:
        seed = secrets.randbits(53)  # every JSON reader keeps 53 bits exactly, and nobody can try all of them
    change = _voice_changer(method, target, weights, device)
    targets = {path.resolve() for path in target or ()}

    def process(item: batch.BatchItem, update: "ProgressCallback") -> tuple[float, list[str]]:
        wav, notes = change(item.source, item.seed(seed), update)
        item.save(wav, rate, force)
        own = [_IS_TARGET] if item.source.resolve() in targets else []
        return len(wav) / audio.SAMPLE_RATE, [*own, *dict.fromkeys(notes)]

    outcome = _process_all(items, process, quiet=as_json)
    facts = {
        "output": str(output),
        "method": method,
        "seed": seed,
        "written": outcome.n_written,
        "left": len(items) - outcome.n_written - len(outcome.failures),
        "skipped": n_skipped,
        "duration_s": outcome.duration_s,
        "rate_hz": rate,
        "notes": [{"number": n, "note": note} for n, notes in outcome.notes.items() for note in notes],
        "failed": [{"number": n, "error": type(e).__name__, "reason": str(e)} for n, e in outcome.failures.items()],
    }
    text = f"Wrote {outcome.n_written} of {len(items)} recordings, {outcome.duration_s:.1f} s, to "
    others = f"; {n_skipped} other files left out" if n_skipped else ""
    show(as_json, facts, text + printable(str(output)) + others)
    outcome.raise_failures(len(items))


@dataclass
class _Outcome:
    """What became of the recordings; the keys are their numbers."""

    n_written: int = 0
    duration_s: float = 0.0
    notes: dict[int, list[str]] = field(default_factory=dict)
    failures: dict[int, AudioError | UsageError] = field(default_factory=dict)
    disk_error: DiskError | None = None

    def raise_failures(self, n_items: int) -> None:
        """Raise one error for all failures, if there were any; its class sets the exit code."""
        n_failed = len(self.failures)
        if self.disk_error:
            raise DiskError(
                f"{self.disk_error} The run stopped: {self.n_written} of {n_items} recordings are written, {n_failed}"
                f" failed, {n_items - self.n_written - n_failed} are left. Free space, or name an output on another"
                " disk, and run it again."
            )
        if not n_failed:
            return
        if n_failed < n_items:
            raise PartialFailure(f"{n_failed} of {n_items} recordings failed, for the reasons given.")
        for error in self.failures.values():
            if not isinstance(error, AudioError):
                raise error
        raise AudioError(f"None of the {n_items} recordings can be used, for the reasons given.")


def _process_all(
    items: "list[BatchItem]",
    process: "Callable[[BatchItem, ProgressCallback], tuple[float, list[str]]]",
    quiet: bool,
) -> _Outcome:
    """Process the recordings one by one, and print failures and notes on stderr.

    An AudioError or UsageError fails its recording alone, unless it is the only one. A DiskError
    stops the run. Other errors are not caught.

    Parameters
    ----------
    process
        Write the output of a recording; return its seconds and notes on it.
    quiet
        Draw no progress bar.
    """
    outcome = _Outcome()
    with progress_bar(quiet) as progress:
        task = progress.add_task("", total=len(items))
        for number, item in enumerate(items, start=1):

            def update(stage: str, fraction: float, number: int = number) -> None:
                stage = f"File {number} of {len(items)}: {stage}" if len(items) > 1 else stage
                progress.update(task, description=stage, completed=number - 1 + fraction)

            def tell(message: str, number: int = number, item: "BatchItem" = item) -> None:
                if len(items) > 1:
                    # The name is printed on a terminal only: anything else may be a log that
                    # others read.
                    name = f" ({item.printable_name})" if sys.stderr.isatty() else ""
                    message = f"File {number}{name}: {message}"
                progress.console.print(message, markup=False, highlight=False, soft_wrap=True)

            update("Reading the recording", 0.0)
            try:
                duration_s, notes = process(item, update)
            except (AudioError, UsageError) as error:
                if len(items) == 1:
                    raise
                if isinstance(error, DiskError):
                    outcome.disk_error = error
                    break
                outcome.failures[number] = error
                tell(str(error))
                continue
            outcome.n_written += 1
            outcome.duration_s += duration_s
            outcome.notes[number] = notes
            for note in notes:
                tell(f"Note: {note}")
    return outcome


def _voice_changer(
    method: Method, targets: list[Path] | None, weights: str | None, device: str
) -> "Callable[[Path, int, ProgressCallback], tuple[np.ndarray, Sequence[str]]]":
    """Function of a recording, a seed and a progress callback: the wav in another voice, and notes on it."""
    if method is Method.MCADAMS:
        from saic import audio
        from saic.signal import mcadams
        from saic.signal.loudness import normalize_loudness

        def change(clip: Path, seed: int, progress: "ProgressCallback") -> "tuple[np.ndarray, Sequence[str]]":
            recording = audio.read(clip)
            return normalize_loudness(mcadams.anonymize(recording.wav, seed=seed)), recording.notes

        return change
    from saic.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(weights, device=device)
    if targets:
        voice = pipeline.voice(targets)  # measured once for all recordings
        return lambda clip, seed, progress: _wav_and_notes(
            pipeline.convert(clip, voice, reconstruct=False, progress=progress)
        )
    return lambda clip, seed, progress: _wav_and_notes(pipeline.anonymize(clip, seed=seed, progress=progress))


def _wav_and_notes(conversion: "Conversion") -> "tuple[np.ndarray, Sequence[str]]":
    return conversion.wav, getattr(conversion, "notes", ())
