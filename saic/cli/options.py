"""Options that several commands take, their progress bar, and how they print results."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saic.devices import require_device
from saic.files import without_surrogates
from saic.profiles import BALANCED, PROSODY_KEPT, STRICT

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from saic.pipeline import Conversion, SpooledConversion


_LINE_EVERY_S = 60.0

MAX_SEED = 2**32 - 1
"""Largest seed that scikit-learn takes."""


def _rate(text: str | int) -> int | None:
    """A rate in Hz; None for "source"."""
    if text == "source":
        return None
    try:
        rate_hz = int(text)
    except ValueError:
        rate_hz = 0
    if rate_hz <= 0:
        raise typer.BadParameter("name a number of Hz, or source.")
    return rate_hz


class Profile(StrEnum):
    """How much of the source's prosody is kept, see :mod:`saic.profiles`."""

    PROSODY_KEPT = PROSODY_KEPT
    BALANCED = BALANCED
    STRICT = STRICT


ProfileOption = Annotated[
    Profile | None,
    typer.Option(
        "--profile",
        help="What is kept: melody and timing; timing (balanced); neither, and the length changes (strict).",
        show_default="balanced",
    ),
]
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
RateOption = Annotated[
    int | None,
    typer.Option(
        "--rate", metavar="HZ|source", parser=_rate, help="Sample rate of the output, in Hz, or the source's."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def progress_bar(quiet: bool) -> "Progress":
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty())


@contextmanager
def stage_bars(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress callback (stage, steps done, steps in all).

    It draws one bar per stage on a terminal; elsewhere, as in a log, it prints a line a minute.
    """
    if not quiet and not sys.stderr.isatty():
        yield _stage_lines()
        return
    with progress_bar(quiet) as progress:
        tasks: dict[str, Any] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done)

        yield update


def _stage_lines() -> Callable[[str, int, int], None]:
    """Print the steps of a stage, with its time left at the pace since the line before, about every minute."""
    last_stage, last_done, last_s = "", 0, 0.0

    def update(stage: str, done: int, total: int) -> None:
        nonlocal last_stage, last_done, last_s
        now_s = time.monotonic()
        if stage == last_stage and now_s < last_s + _LINE_EVERY_S:
            return
        if stage == last_stage and done > last_done:
            left_s = (now_s - last_s) / (done - last_done) * (total - done)
            print(f"{printable(stage)}: {done} of {total}, {left_s / 60:.0f} min left", file=sys.stderr, flush=True)
        last_stage, last_done, last_s = stage, done, now_s

    return update


_UNLIMITED = 10_000  # columns: a program that reads a table gets each value on one line


def printable(name: str) -> str:
    """A name as a terminal may get it: control characters, which could change its state, become "?"."""
    return "".join(letter if letter.isprintable() else "?" for letter in without_surrogates(name))


def table(rows: Iterable[Sequence[str]], headings: Sequence[str] = ()) -> "Table":
    """A table without lines, for :func:`show`."""
    from rich.table import Table
    from rich.text import Text

    made = Table(*headings, box=None, show_header=bool(headings))
    for row in rows:
        # Not a str: its brackets would be markup.
        made.add_row(*(Text(printable(cell), overflow="fold") for cell in row))
    return made


def show(as_json: bool, facts: dict[str, Any], text: "str | Table") -> None:
    """Print the facts as one JSON object, or the text."""
    if as_json:
        print(json.dumps(without_surrogates(facts)))
    elif isinstance(text, str):
        print(text)
    else:
        from rich.console import Console

        Console(width=None if sys.stdout.isatty() else _UNLIMITED).print(text)


def tell_notes(notes: Iterable[str], about: str = "") -> list[str]:
    """Print notes on stderr, each once, and return them; ``about`` is an argument of the command."""
    told = list(dict.fromkeys(notes))
    for note in told:
        print(f"Note on {about}: {note}" if about else f"Note: {note}", file=sys.stderr)
    return told


def tell_notes_of(conversion: "Conversion | SpooledConversion", *notes: str) -> dict[str, list[str]]:
    """Print the notes of a conversion, after others on its source; returns them as facts for :func:`show`."""
    return {
        "notes": tell_notes((*notes, *conversion.notes)),
        "target_notes": tell_notes(conversion.target_notes, "--target"),
    }
