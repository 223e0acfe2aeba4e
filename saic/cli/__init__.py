"""The ``saic`` command: parse, call a verb, print.

Exit codes: 0 ok, 2 usage, 3 bad audio, 4 weights, 5 a part of the recordings failed.
"""

import secrets
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from saic import __version__, audio
from saic.cli import batch
from saic.cli.options import DeviceOption, ForceOption, JsonOption, WeightsOption, progress_bar, show
from saic.cli.publish import push, space
from saic.errors import AudioError, PartialFailure, SaicError, UsageError
from saic.pipeline import Pipeline
from saic.pipeline import Progress as Tell
from saic.signal import mcadams
from saic.signal.mel import SAMPLE_RATE

app = typer.Typer(
    help="Change the voice in a recording, keep the words; tell who speaks. Recordings stay on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Recording whose words are kept.")],
    target: Annotated[list[Path], typer.Option("--target", help="Recording of the other voice; repeat for more.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="WAV file to write (16 kHz, 16 bits).")],
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say the words of SOURCE in the voice of --target."""
    if output.exists() and not force:
        raise UsageError("The output file exists. Add --force to replace it, or name another.")
    pipeline = Pipeline.from_pretrained(weights, device=device)
    with progress_bar(as_json) as progress:
        task = progress.add_task("", total=1.0)
        conversion = pipeline.convert(
            source,
            target,
            reconstruct=False,
            progress=lambda stage, share: progress.update(task, description=stage, completed=share),
        )
    audio.save(output, conversion.wav, force=force)
    duration_s = len(conversion.wav) / SAMPLE_RATE
    show(as_json, {"output": str(output), "duration_s": duration_s}, f"Wrote {duration_s:.1f} s to {output}")


class Method(StrEnum):
    """How :func:`anonymize` changes a voice."""

    SAIC = "saic"
    MCADAMS = "mcadams"


@app.command()
def anonymize(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A recording, or a folder with its subfolders.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="WAV file to write (16 kHz, 16 bits); for a folder, a folder.")
    ],
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            help="saic: a pseudonym voice by the model. mcadams: formants moved, without a model; a weak disguise, for"
            " comparison or where nothing else runs.",
        ),
    ] = Method.SAIC,
    target: Annotated[
        list[Path] | None,
        typer.Option("--target", help="Recording of the voice to give instead of a pseudonym; repeat for more."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            help="Draws the pseudonyms, one a file. With the same seed the same file (by its path in IN) gets the same"
            " pseudonym in every run: its outputs can be linked, and whoever knows the seed can repeat the draw. Keep"
            " it like the originals. Without one, every run draws anew, and --json alone prints what it drew with.",
            show_default="new and random",
        ),
    ] = None,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Give every recording of IN a voice that is not the speaker's, and keep the words.

    Outputs keep names and folders of the recordings: rename what tells who speaks.
    A recording that cannot be used is told by its number, sorted by path, and the others go on.
    """
    if target and method is Method.MCADAMS:
        raise UsageError("The method mcadams has no target voice. Leave out --target, or use --method saic.")
    if target and seed is not None:
        raise UsageError("With --target no pseudonym is drawn. Leave out --seed, or --target.")
    items, n_skipped = batch.plan(source, output)
    if not force and (n_there := sum(item.output.exists() for item in items)):
        raise UsageError(
            f"{n_there} of {len(items)} outputs exist already. Add --force to replace them, or name another output."
        )
    if seed is None and not target:
        seed = secrets.randbits(53)  # exact in every reader of JSON, and too many to try
    change = _changer(method, target, weights, device)
    failures: dict[int, AudioError | UsageError] = {}
    duration_s = 0.0
    with progress_bar(as_json) as progress:
        task = progress.add_task("", total=len(items))
        for number, item in enumerate(items, start=1):

            def tell(stage: str, share: float, number: int = number) -> None:
                stage = f"File {number} of {len(items)}: {stage}" if len(items) > 1 else stage
                progress.update(task, description=stage, completed=number - 1 + share)

            tell("Reading the recording", 0.0)
            try:
                wav = change(item.source, item.seed(seed), tell)
                item.save(wav, force)
                duration_s += len(wav) / SAMPLE_RATE
            except (AudioError, UsageError) as error:  # of this file; other errors end the run
                if len(items) == 1:
                    raise
                failures[number] = error
                # The name only where the user alone can see it: what is no terminal may be a log.
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


@app.command()
def identify(
    clip: Annotated[Path, typer.Argument(help="Recording of the person in question.")],
    enrol: Annotated[list[str], typer.Option("--enrol", help="NAME=RECORDING of a known voice; repeat for more.")],
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=-1, max=1, help="Least similarity to accept.", show_default="set on data"),
    ] = None,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Tell which enrolled voice speaks in CLIP, if any."""
    enrolled: dict[str, list[Path]] = {}
    for entry in enrol:
        name, equals, path = entry.partition("=")
        if not (name and equals and path):
            raise UsageError("Write --enrol as NAME=RECORDING, for instance --enrol anna=anna.wav.")
        enrolled.setdefault(name, []).append(Path(path))
    matches = Pipeline.from_pretrained(weights, device=device).identify(clip, enrolled, threshold)
    table = Table("voice", "similarity", "same person?", box=None)
    for match in matches:
        table.add_row(match.name, f"{match.score:.3f}", "yes" if match.accepted else "no")
    show(as_json, {"matches": [vars(match) for match in matches]}, table)


class Attackers(StrEnum):
    """Who tries to link anonymized speech to its speaker."""

    BASIC = "basic"
    ALL = "all"


class Protocol(StrEnum):
    """What :func:`evaluate` measures."""

    FULL = "full"
    PAPER = "paper"


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Manifest, or a folder of speaker/clip audio.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for report.json and report.md.")],
    protocol: Annotated[
        Protocol,
        typer.Option(
            "--protocol",
            help="paper: identity alone, as in its section 4.2; --data is VoxCeleb1, or has every speaker in both the"
            " 'train' and the 'test' split.",
        ),
    ] = Protocol.FULL,
    split: Annotated[str, typer.Option("--split", help="Split of the manifest; a plain folder is 'test'.")] = "test",
    quick: Annotated[
        bool, typer.Option("--quick", help="12 speakers, no words or sound quality, to see that all runs.")
    ] = False,
    attackers: Annotated[
        Attackers,
        typer.Option("--attackers", help="all: also one who is trained on the anonymized 'train' split; takes longer."),
    ] = Attackers.BASIC,
    asr: Annotated[
        str | None,
        typer.Option(
            "--asr",
            help="Recogniser: folder of a faster-whisper model, or ORG/NAME@REVISION; 'none' measures no words.",
            show_default="Whisper base, fetched from the Hugging Face Hub once",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of trials and intervals.")] = 0,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure identity (paper 4.2), privacy, utility and disentanglement, beside controls."""
    if (out / "report.json").exists() and not force:
        raise UsageError("The folder holds a report. Add --force to replace it, or name another.")
    if protocol is Protocol.PAPER and (split != "test" or quick or attackers is not Attackers.BASIC or asr):
        raise UsageError(
            "The paper's protocol measures identity alone: leave out --split, --quick, --attackers, --asr."
        )
    # Here, since it needs packages that the other commands do without.
    try:
        from saic.evaluation import paper
        from saic.evaluation.evaluators.embedders import Resemblyzer
        from saic.evaluation.evaluators.evaluators import NO_ASR, Judges
        from saic.evaluation.run import evaluate as run_evaluation
    except ImportError:
        raise UsageError("The evaluation needs more packages. Install them with: pip install 'saic[eval]'") from None
    pipeline = Pipeline.from_pretrained(weights, device=device)
    with progress_bar(as_json) as progress:
        tasks: dict[str, Any] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done)

        known = {"pipeline": pipeline, "seed": seed, "progress": tell}
        if protocol is Protocol.PAPER:
            command = f"saic evaluate --data DATA --protocol paper --seed {seed}"
            report = paper.evaluate(data, out, embedder=Resemblyzer(), command=command, **known)
        else:
            report = run_evaluation(
                data,
                split,
                out,
                judges=Judges.load(NO_ASR if quick and asr is None else asr, dnsmos=not quick, device=device),
                attackers=attackers.value,
                quick=quick,
                command=_repeatable(split, seed, attackers, quick, asr),
                **known,
            )
    show(as_json, report, (out / "report.md").read_text(encoding="utf-8"))


def _repeatable(split: str, seed: int, attackers: Attackers, quick: bool, asr: str | None) -> str:
    """The command line for a report, which is published: folders of this machine have no name in it."""
    command = f"saic evaluate --data DATA --split {split} --seed {seed} --attackers {attackers}"
    hears = "" if asr is None else f" --asr {'FOLDER' if Path(asr).is_dir() else asr}"
    return command + quick * " --quick" + hears


@app.command()
def info(weights: WeightsOption = None, device: DeviceOption = "cpu", as_json: JsonOption = False) -> None:
    """Show what is installed and which weights are loaded."""
    facts = {"saic": __version__, **Pipeline.from_pretrained(weights, device=device).info()}
    table = Table(box=None, show_header=False)
    for name, value in facts.items():
        parts = [f"{k} {v:,}" for k, v in value.items()] if isinstance(value, dict) else [str(value)]
        table.add_row(name, ", ".join(parts))
    show(as_json, facts, table)


app.command()(push)
app.command()(space)


def main() -> None:
    """Run the command; every :class:`SaicError` becomes one sentence on stderr and its exit code."""
    try:
        app()
    except SaicError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _changer(
    method: Method, targets: list[Path] | None, weights: str | None, device: str
) -> Callable[[Path, int, Tell], np.ndarray]:
    """The function that turns a recording, given a seed, into the wav of another voice."""
    if method is Method.MCADAMS:
        return lambda clip, seed, tell: mcadams.anonymize(audio.load(clip), seed=seed)
    pipeline = Pipeline.from_pretrained(weights, device=device)
    if targets:
        return lambda clip, seed, tell: pipeline.convert(clip, targets, reconstruct=False, progress=tell).wav
    return lambda clip, seed, tell: pipeline.anonymize(clip, seed=seed, progress=tell).wav


def _raise_failures(failures: dict[int, AudioError | UsageError], n_items: int) -> None:
    """Raise what the exit code should tell of a folder's failures, if there were any."""
    if not failures:
        return
    if len(failures) < n_items:
        raise PartialFailure(f"{len(failures)} of {n_items} recordings failed, for the reasons given.")
    for error in failures.values():
        if not isinstance(error, AudioError):
            raise error
    raise AudioError(f"None of the {n_items} recordings can be used, for the reasons given.")
