"""The ``saic`` command: parse, call a verb, print. Exit codes: 0 ok, 2 usage, 3 bad audio, 4 weights."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from saic import __version__, audio
from saic.errors import SaicError, UsageError
from saic.evaluation import evaluate as run_evaluation
from saic.mel import SAMPLE_RATE
from saic.pipeline import Pipeline

app = typer.Typer(
    help="Change the voice in a recording, keep the words; tell who speaks. Everything stays on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

WeightsOption = Annotated[
    Path | None, typer.Option("--weights", help="Folder of weights.", show_default="the bundled weights")
]
DeviceOption = Annotated[str, typer.Option("--device", help="cpu, or cuda for a GPU.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


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
    with _progress(as_json) as progress:
        task = progress.add_task("", total=1.0)
        conversion = pipeline.convert(
            source, target, progress=lambda stage, share: progress.update(task, description=stage, completed=share)
        )
    audio.save(output, conversion.wav, force=force)
    duration_s = len(conversion.wav) / SAMPLE_RATE
    _print(as_json, {"output": str(output), "duration_s": duration_s}, f"Wrote {duration_s:.1f} s to {output}")


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
    _print(as_json, {"matches": [vars(match) for match in matches]}, table)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option("--data", help="Manifest, or a folder of speaker/clip audio.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for report.json and report.md.")],
    split: Annotated[str, typer.Option("--split", help="Split of the manifest; a plain folder is 'test'.")] = "test",
    quick: Annotated[bool, typer.Option("--quick", help="12 speakers only, to see that all runs.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of trials and intervals.")] = 0,
    weights: WeightsOption = None,
    device: DeviceOption = "cpu",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure whose voice the conversions have, beside controls (paper 4.2, with Resemblyzer)."""
    if (out / "report.json").exists() and not force:
        raise UsageError("The folder holds a report. Add --force to replace it, or name another.")
    pipeline = Pipeline.from_pretrained(weights, device=device)
    with _progress(as_json) as progress:
        tasks: dict[str, Any] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done)

        command = f"saic evaluate --split {split} --seed {seed}" + (" --quick" if quick else "")
        report = run_evaluation(
            data, split, out, pipeline=pipeline, seed=seed, quick=quick, progress=tell, command=command
        )
    _print(as_json, report, (out / "report.md").read_text(encoding="utf-8"))


@app.command()
def info(weights: WeightsOption = None, device: DeviceOption = "cpu", as_json: JsonOption = False) -> None:
    """Show what is installed and which weights are loaded."""
    facts = {"saic": __version__, **Pipeline.from_pretrained(weights, device=device).info()}
    table = Table(box=None, show_header=False)
    for name, value in facts.items():
        parts = [f"{k} {v:,}" for k, v in value.items()] if isinstance(value, dict) else [str(value)]
        table.add_row(name, ", ".join(parts))
    _print(as_json, facts, table)


def main() -> None:
    """Run the command; every :class:`SaicError` becomes one sentence on stderr and its exit code."""
    try:
        app()
    except SaicError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _progress(quiet: bool) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty())


def _print(as_json: bool, facts: dict[str, Any], text: str | Table) -> None:
    if as_json:
        print(json.dumps(facts))
    elif isinstance(text, str):
        print(text)
    else:
        Console().print(text)
