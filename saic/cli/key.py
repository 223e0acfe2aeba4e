"""``saic key``: the keys of pseudonyms."""

from pathlib import Path
from typing import Annotated

import typer

from saic.cli.options import JsonOption, WeightsOption, printable, show

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make the key of a study's pseudonyms.")


@app.callback()
def _key() -> None:
    """Make the key of a study's pseudonyms."""


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Key file to write; it must not exist.")],
    weights: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a key and write it to FILE, which only you can read.

    With --key-file FILE, saic anonymize gives every subject one voice. Whoever has the file can
    compute the voice of every subject, also of names that are only suspected: keep it as you keep
    the originals. A lost key cannot be made again.
    """
    from saic.keys import Key

    key = Key.new(file, weights)
    facts = {"key_file": str(file), "weights_sha256": key.weights_sha256, "gallery_sha256": key.gallery_sha256}
    show(as_json, facts, f"Wrote a new key to {printable(str(file))}. Keep it secret, and do not lose it.")
