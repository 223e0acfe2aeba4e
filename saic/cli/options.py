"""Options that several commands take, their progress bar, and how they print results."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saic.devices import require_device

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="PATH | ORG/NAME@COMMIT",
        help="Folder of weights, or a Hugging Face Hub repository at a full commit hash (40 digits).",
        show_default="the bundled weights",
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", callback=require_device, help="cpu, or cuda for a GPU.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing output file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def progress_bar(quiet: bool) -> "Progress":
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty())


def table(rows: Iterable[Sequence[str]], headings: Sequence[str] = ()) -> "Table":
    """A table without lines, for :func:`show`."""
    from rich.table import Table

    made = Table(*headings, box=None, show_header=bool(headings))
    for row in rows:
        made.add_row(*row)
    return made


def show(as_json: bool, facts: dict[str, Any], text: "str | Table") -> None:
    """Print the facts as one JSON object, or the text."""
    if as_json:
        print(json.dumps(facts))
    elif isinstance(text, str):
        print(text)
    else:
        from rich.console import Console

        Console().print(text)
