"""What the commands share: options, and how they print."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from saic.devices import present

WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="PATH | ORG/NAME@COMMIT",
        help="Folder of weights, or a repository on the Hugging Face Hub at a commit of 40 digits.",
        show_default="the bundled weights",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", callback=present, help="cpu, or cuda for a GPU.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def progress_bar(quiet: bool) -> Progress:
    """A progress bar on stderr, if that is a terminal."""
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty())


def show(as_json: bool, facts: dict[str, Any], text: str | Table) -> None:
    """Print facts as one JSON object, or the text."""
    if as_json:
        print(json.dumps(facts))
    elif isinstance(text, str):
        print(text)
    else:
        Console().print(text)
