"""``saic anonymize``: a recording, or a folder of them, in voices that are not the speakers'."""

import secrets
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saic.cli.options import DeviceOption, ForceOption, JsonOption, WeightsOption, progress_bar, show
from saic.errors import AudioError, PartialFailure, UsageError

if TYPE_CHECKING:
    import numpy as np

    from saic.pipeline import ProgressCallback


class Method(StrEnum):
    """How :func:`anonymize` changes a voice."""

    SAIC = "saic"
    MCADAMS = "mcadams"


def anonymize(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A recording, or a folder with its subfolders.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="WAV file to write (16 kHz, 16 bits); for a folder, a folder.")
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
    items, n_skipped = batch.plan(source, output)
    if not force and (n_existing := sum(item.output.exists() for item in items)):
        raise UsageError(
            f"{n_existing} of {len(items)} outputs exist already. Add --force to replace them, or name another output."
        )
    if seed is None and not target:
        seed = secrets.randbits(53)  # every JSON reader keeps 53 bits exactly, and nobody can try all of them
    change = _voice_changer(method, target, weights, device)
    failures: dict[int, AudioError | UsageError] = {}
    duration_s = 0.0
    with progress_bar(as_json) as progress:
        task = progress.add_task("", total=len(items))
        for number, item in enumerate(items, start=1):

            def update(stage: str, fraction: float, number: int = number) -> None:
                stage = f"File {number} of {len(items)}: {stage}" if len(items) > 1 else stage
                progress.update(task, description=stage, completed=number - 1 + fraction)

            update("Reading the recording", 0.0)
            try:
                wav = change(item.source, item.seed(seed), update)
                item.save(wav, force)
                duration_s += len(wav) / audio.SAMPLE_RATE
            except (AudioError, UsageError) as error:  # of this file; other errors end the run
                if len(items) == 1:
                    raise
                failures[number] = error
                # The name is printed on a terminal only: anything else may be a log that others
                # read.
                label = f"File {number} ({item.printable_name})" if sys.stderr.isatty() else f"File {number}"
                progress.console.print(f"{label}: {error}", markup=False, highlight=False, soft_wrap=True)
    n_written = len(items) - len(failures)
    facts = {
        "output": str(output),
        "method": method,
        "seed": seed,
        "written": n_written,
        "skipped": n_skipped,
        "duration_s": duration_s,
        "failed": [{"number": n, "error": type(e).__name__, "reason": str(e)} for n, e in failures.items()],
    }
    others = f"; {n_skipped} other files left out" if n_skipped else ""
    show(as_json, facts, f"Wrote {n_written} of {len(items)} recordings, {duration_s:.1f} s, to {output}{others}")
    _raise_failures(failures, len(items))


def _voice_changer(
    method: Method, targets: list[Path] | None, weights: str | None, device: str
) -> "Callable[[Path, int, ProgressCallback], np.ndarray]":
    """Function of a recording, a seed and a progress callback: the wav in another voice."""
    if method is Method.MCADAMS:
        from saic import audio
        from saic.signal import mcadams

        return lambda clip, seed, progress: mcadams.anonymize(audio.load(clip), seed=seed)
    from saic.pipeline import Pipeline

    pipeline = Pipeline.from_pretrained(weights, device=device)
    if targets:
        voice = pipeline.voice(targets)  # measured once for all recordings
        return lambda clip, seed, progress: pipeline.convert(clip, voice, reconstruct=False, progress=progress).wav
    return lambda clip, seed, progress: pipeline.anonymize(clip, seed=seed, progress=progress).wav


def _raise_failures(failures: dict[int, AudioError | UsageError], n_items: int) -> None:
    """Raise one error for all failures, if there were any; its class sets the exit code."""
    if not failures:
        return
    if len(failures) < n_items:
        raise PartialFailure(f"{len(failures)} of {n_items} recordings failed, for the reasons given.")
    for error in failures.values():
        if not isinstance(error, AudioError):
            raise error
    raise AudioError(f"None of the {n_items} recordings can be used, for the reasons given.")
