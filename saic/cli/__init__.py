"""The ``saic`` command: read the command line, call the library, print the result.

Exit codes: 0 success, 2 usage, 3 unusable audio, 4 weights, 5 some recordings of a folder failed.

The modules of this package import the library inside their functions, so ``saic --help`` and shell
completion do not wait for torch. rich formats tables and progress bars, but not the help: importing
it would double the time that ``--help`` takes.
"""

import io
import sys
from typing import Annotated

import typer

from saic import __version__, caches
from saic.cli import anonymize, convert, evaluate, identify, info, key, plot, publish
from saic.errors import SaicError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"saic {__version__}")
        raise typer.Exit


@app.callback()
def _saic(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Change the voice in a recording, keep the words; tell who speaks. Recordings stay on this
    machine.
    """


for _command in (
    convert.convert,
    anonymize.anonymize,
    identify.identify,
    evaluate.evaluate,
    evaluate.evaluate_paper,
    info.info,
    publish.push,
    publish.space,
):
    app.command()(_command)
app.add_typer(key.app, name="key")
app.add_typer(plot.app, name="plot")


def main() -> None:
    """Run the command; a :class:`SaicError` is printed on stderr and sets the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal gets codes of other letters
    caches.move_if_home_is_read_only()
    try:
        app()
    except SaicError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
