"""New names for outputs, and the mapping that says which recording became which."""

import csv
import io
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from saic import files
from saic.archive.plan import Naming
from saic.errors import UsageError

_HEADER = ("source", "output")
_TOKEN_BYTES = 5


def neutral(known: Mapping[str, str]) -> Naming:
    """The naming by random names, all in one folder: they tell neither path nor order.

    Parameters
    ----------
    known
        Path in IN to the output that it was given before.
    """

    def naming(names: Sequence[str], suffix: str) -> dict[str, str]:
        outputs = dict(known)
        taken = set(known.values())
        for name in names:
            while name not in outputs:
                token = secrets.token_hex(_TOKEN_BYTES) + suffix
                if token not in taken:
                    outputs[name] = token
                    taken.add(token)
        return outputs

    return naming


def require_apart(mapping: Path, output: Path) -> None:
    """Refuse a mapping that would be passed on with the outputs, or whose name is not that of a table.

    Raises
    ------
    UsageError
    """
    if files.is_within(mapping, output):
        raise UsageError("The mapping links outputs to recordings: keep it apart. Name a file outside --output.")
    if mapping.suffix.lower() != ".csv":
        raise UsageError("The mapping is a table. Name a file that ends in .csv.")


def write_mapping(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write a table of paths in IN and outputs, which only its owner can read (mode 0600).

    A table that has all pairs stays as it is. One that lacks some is written again with them, unless
    something in it would be lost.

    Raises
    ------
    UsageError
        The file lacks pairs and has other content, or it cannot be read or written.
    """
    rows = [_HEADER, *sorted(pairs)]
    try:
        kept = _rows_of(path)
        if kept is not None and kept.issuperset(rows):
            return
        if kept is not None and not kept.issubset(rows):
            raise UsageError(
                "The mapping lacks recordings, but was changed, and is never replaced. Move it away: then it is"
                " written anew, with all recordings."
            )
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        content = text.getvalue().encode(errors="surrogateescape")
        files.write(path, content, force=kept is not None, mode=0o600)
    except FileExistsError:
        raise UsageError("The mapping exists, and is never replaced. Name another file.") from None
    except (OSError, ValueError) as error:
        raise files.as_usage_error(error, "The mapping cannot be written") from None


def _rows_of(path: Path) -> set[tuple[str, ...]] | None:
    """The rows of a table, whatever they are; None if there is no file."""
    try:
        text = path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return None
    try:
        return set(map(tuple, csv.reader(io.StringIO(text, newline=""))))
    except csv.Error:
        return {(text,)}


def journal_beside(mapping: Path) -> Path:
    """The journal of a run with new names: it holds the paths too, so it lies with the mapping."""
    return mapping.with_name(mapping.name + ".journal")
