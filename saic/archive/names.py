"""New names for outputs, and the mapping that says which recording became which."""

import csv
import io
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from saic import files
from saic.archive.plan import Naming
from saic.errors import UsageError

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


def write_mapping(path: Path, pairs: Iterable[tuple[str, str]], *, force: bool) -> None:
    """Write a table of paths in IN and outputs, which only its owner can read (mode 0600).

    Raises
    ------
    UsageError
        The file exists and ``force`` is not set, or it cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(("source", "output"))
    table.writerows(sorted(pairs))
    try:
        files.write(path, text.getvalue().encode(errors="surrogateescape"), force=force, mode=0o600)
    except FileExistsError:
        raise UsageError("The mapping exists, and is never replaced. Name another file.") from None
    except (OSError, ValueError) as error:
        raise files.as_usage_error(error, "The mapping cannot be written") from None


def journal_beside(mapping: Path) -> Path:
    """The journal of a run with new names: it holds the paths too, so it lies with the mapping."""
    return mapping.with_name(mapping.name + ".journal")
