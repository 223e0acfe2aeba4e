"""Who speaks in each recording of a folder."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from saic import files
from saic.archive.plan import Item, normalized, shown
from saic.errors import UsageError

_TABLE = re.compile(r"(?P<path>.+\.csv):(?P<column>[^:]+)", re.IGNORECASE | re.DOTALL)


def subjects_from(items: Sequence[Item], source: str) -> list[str]:
    """The subject of each recording.

    Parameters
    ----------
    source
        ``FILE.csv:COLUMN``, a comma-separated table with a column "path" of paths relative to IN;
        or a regular expression, searched in the path relative to IN, whose group "subject" or
        only group is the subject.

    Raises
    ------
    UsageError
        The table or the expression cannot be used, or recordings have no subject; the message has
        their numbers.
    """
    if table := _TABLE.fullmatch(source):
        known = _read_subjects(Path(table["path"]), table["column"])
        found = [known.get(normalized(item.name)) for item in items]
    else:
        expression, group = _compile(source)
        matches = [expression.search(normalized(item.name)) for item in items]
        found = [match and match[group] for match in matches]
    if without := [item.number for item, subject in zip(items, found, strict=True) if not subject]:
        raise UsageError(
            f"{len(without)} of {len(items)} recordings have no subject by --subject-from: number"
            f" {shown(without)}, sorted by path. Nothing was written. Correct --subject-from, or take those recordings"
            " out of IN."
        )
    return found


def _compile(source: str) -> tuple[re.Pattern, str | int]:
    """A regular expression, and its group that is the subject."""
    try:
        expression = re.compile(source)
    except (re.error, RecursionError, OverflowError):
        raise UsageError("--subject-from is no regular expression. For a table, write FILE.csv:COLUMN.") from None
    if "subject" in expression.groupindex:
        return expression, "subject"
    if expression.groups != 1:
        raise UsageError("--subject-from needs one group, or a group (?P<subject>...), that is the subject.")
    return expression, 1


def _read_subjects(path: Path, column: str) -> dict[str, str]:
    """Path in IN to subject, from a CSV file."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            if not {"path", column} <= set(table.fieldnames or ()):
                raise UsageError('The table of --subject-from needs a column "path" and the column that is named.')
            subjects: dict[str, str] = {}
            for row in table:
                name, subject = normalized(Path(row["path"] or "").as_posix()), row[column] or ""
                if subjects.setdefault(name, subject) != subject:
                    raise UsageError(f"Line {table.line_num} of the table gives a path a second, other subject.")
    except OSError as error:
        raise files.as_usage_error(error, "The table of --subject-from cannot be read") from None
    except (ValueError, csv.Error):
        raise UsageError("The table of --subject-from is no comma-separated text in UTF-8.") from None
    return subjects
