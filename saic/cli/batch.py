"""Which recordings ``saic anonymize`` processes, and where each output goes."""

import csv
import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saic import audio, files
from saic.audio.output import FORMATS, format_of
from saic.cli.options import printable
from saic.errors import UsageError

_TABLE = re.compile(r"(?P<path>.+\.csv):(?P<column>[^:]+)", re.IGNORECASE | re.DOTALL)
_MAX_NUMBERS = 10  # of recordings in a message


@dataclass(frozen=True)
class BatchItem:
    """One recording to anonymize.

    ``name`` is its path in the folder IN, or the file name if IN is a recording.
    """

    source: Path
    output: Path
    name: str

    def seed(self, run_seed: int | None) -> int:
        """Seed of this recording, from the run's seed and the name in NFC."""
        name = _normalized(self.name).encode(errors="surrogateescape")
        return int.from_bytes(hashlib.sha256(f"{run_seed}/".encode() + name).digest()[:7])

    def save(self, wav: np.ndarray, rate_hz: int, force: bool) -> None:
        """Write the output, and make its folder if there is none."""
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.as_usage_error(error, "The output folder cannot be made") from None
        audio.save(self.output, wav, rate_hz=rate_hz, force=force)

    @property
    def printable_name(self) -> str:
        return printable(self.name)


def subjects(items: list[BatchItem], source: str) -> list[str]:
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
        found = [known.get(_normalized(item.name)) for item in items]
    else:
        expression, group = _compile(source)
        matches = [expression.search(_normalized(item.name)) for item in items]
        found = [match and match[group] for match in matches]
    without = [str(number) for number, subject in enumerate(found, start=1) if not subject]
    if without:
        shown = ", ".join(without[:_MAX_NUMBERS]) + (" and others" if len(without) > _MAX_NUMBERS else "")
        raise UsageError(
            f"{len(without)} of {len(items)} recordings have no subject by --subject-from: number {shown}, sorted by"
            " path. Nothing was written. Correct --subject-from, or take those recordings out of IN."
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
                name, subject = _normalized(Path(row["path"] or "").as_posix()), row[column] or ""
                if subjects.setdefault(name, subject) != subject:
                    raise UsageError(f"Line {table.line_num} of the table gives a path a second, other subject.")
    except OSError as error:
        raise files.as_usage_error(error, "The table of --subject-from cannot be read") from None
    except (ValueError, csv.Error):
        raise UsageError("The table of --subject-from is no comma-separated text in UTF-8.") from None
    return subjects


def _normalized(name: str) -> str:
    """A path in NFC, since file systems store accents differently, and read as UTF-8 in every locale."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode(errors="surrogateescape"))


def require_free(items: list[BatchItem], rate_hz: int, force: bool) -> None:
    """Check, before any work, that the outputs can be written.

    Raises
    ------
    UsageError
        A suffix that names no format, a rate that the format does not have, outputs that exist
        (unless `force` is set), or a folder that cannot be made or written.
    """
    for output in {item.output.suffix: item.output for item in items}.values():
        format_of(output, rate_hz)
    n_existing = sum(os.path.lexists(item.output) for item in items)
    if n_existing and not force:
        if len(items) == 1:
            raise UsageError("The output file exists. Add --force to replace it, or name another.")
        raise UsageError(
            f"{n_existing} of {len(items)} outputs exist already. Add --force to replace them, or name another output."
        )
    files.require_writable(item.output for item in items)


def plan(source: Path, output: Path, format: str | None = None) -> tuple[list[BatchItem], int]:
    """List what to anonymize.

    Parameters
    ----------
    source
        A recording, or a folder.
    output
        The file to write for a recording; the folder for a folder.
    format
        Format of the outputs of a folder; None for WAV. A single output has it in its suffix.

    Returns
    -------
    items: sorted by path. n_skipped: how many files of a folder are not recordings.

    Raises
    ------
    UsageError
        No recordings, or outputs that would replace recordings or each other.
    """
    if os.path.isdir(source):
        if os.path.exists(output) and not os.path.isdir(output):
            raise UsageError("IN is a folder, so --output must be one too. It is a file.")
        if output.resolve().is_relative_to(source.resolve()):
            raise UsageError("The output folder lies in IN, where the next run would find it. Name one elsewhere.")
        names, n_skipped = _walk(source)
        found = [BatchItem(source / name, (output / name).with_suffix(f".{format or 'wav'}"), name) for name in names]
    else:
        if not os.path.isfile(source):
            raise UsageError("IN does not exist, or is neither a file nor a folder. Check the path.")
        if os.path.isdir(output):
            raise UsageError("IN is a recording, so --output must name a file. It is a folder.")
        if format and FORMATS.get(output.suffix.lower()) != format:
            raise UsageError("The suffix of --output chooses the format of a recording. Leave out --format.")
        found, n_skipped = [BatchItem(source, output, source.name)], 0
    first: dict[Path, int] = {}
    for number, item in enumerate(found, start=1):
        if (other := first.setdefault(item.output, number)) != number:
            raise UsageError(
                f"Files {other} and {number}, sorted by path, differ only in their format: both would become one"
                " output. Rename or move one."
            )
    if {item.source.resolve() for item in found} & {item.output.resolve() for item in found}:
        raise UsageError("An output would replace a recording of IN. Name another output.")
    return found, n_skipped


def _walk(folder: Path) -> tuple[list[str], int]:
    """Sorted paths of the recordings below a folder, and the number of other files.

    Hidden files count as neither.
    """

    def refuse(error: OSError) -> None:
        raise UsageError(f"A folder in IN cannot be read: {error.strerror}.")

    names, n_skipped = [], 0
    for parent, folders, names_in in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        # os.walk does not follow links to folders, since they may be circular: they count as other
        # files.
        n_skipped += sum(Path(parent, name).is_symlink() for name in folders)
        for path in (Path(parent, name) for name in names_in if not name.startswith(".")):
            if path.suffix.lower() in audio.SUFFIXES:
                names.append(path.relative_to(folder).as_posix())
            else:
                n_skipped += 1
    if not names:
        raise UsageError(f"The folder holds no recordings. {audio.FORMATS_TEXT}")
    return sorted(names), n_skipped
