"""BIDS datasets: the folders ``sub-LABEL/ses-LABEL/`` stay, with new labels of the subjects.

A new label is the start of an HMAC of study and subject with the key of the study, in base32. So it
is the same in every run, cannot be computed without the key, and is another one in another study.
"""

import base64
import csv
import io
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from saic import __version__, files
from saic.archive.plan import mirrored, shown
from saic.errors import UsageError

if TYPE_CHECKING:
    from saic.keys import Key

PARTICIPANTS, DESCRIPTION = "participants.tsv", "dataset_description.json"
LABEL_LETTERS = 8  # 40 bits

_SUBJECT = re.compile(r"sub-([0-9A-Za-z]+)")
_RECORDING = re.compile(
    r"sub-(?P<label>[0-9A-Za-z]+)/(ses-[0-9A-Za-z]+/)?([0-9A-Za-z]+/)?"
    r"sub-(?P=label)(_[0-9A-Za-z]+-[0-9A-Za-z]+)*_[0-9A-Za-z]+\.\w+"
)
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_DEFAULT_VERSION = "1.10.0"
_MAX_TEXT_BYTES = 10_000_000


def is_dataset(folder: Path) -> bool:
    """Whether a folder has ``dataset_description.json`` or folders ``sub-LABEL``."""
    try:
        with os.scandir(folder) as entries:
            return any(
                entry.is_dir() if _SUBJECT.fullmatch(entry.name) else entry.name == DESCRIPTION for entry in entries
            )
    except OSError:
        return False  # the plan says why


def subject_of(name: str) -> str:
    """The subject of a recording by its path in the dataset: "01" in ``sub-01/...``."""
    return _RECORDING.fullmatch(name)["label"]


def new_label(key: "Key", study: str, subject: str) -> str:
    """The new label of a subject: 8 letters or digits."""
    return base64.b32encode(key.digest("saic BIDS label", "1", study, subject))[:LABEL_LETTERS].decode().lower()


class Relabeling:
    """The new names of a dataset.

    Attributes
    ----------
    labels
        Old label to new label, of each subject with recordings; known after :meth:`naming`.
    """

    def __init__(self, key: "Key", study: str) -> None:
        self._key, self._study = key, study
        self.labels: dict[str, str] = {}

    def naming(self, names: Sequence[str], suffix: str) -> dict[str, str]:
        """The paths of the outputs; recordings outside of ``sub-*`` belong to nobody, and have none.

        Raises
        ------
        UsageError
            No recordings of subjects, names that are not of BIDS's form, or two subjects with one
            new label.
        """
        names = [name for name in names if name.startswith("sub-") and "/" in name]
        if not names:
            raise UsageError("This BIDS dataset has no recordings in folders sub-LABEL.")
        if odd := [number for number, name in enumerate(names, start=1) if not _RECORDING.fullmatch(name)]:
            raise UsageError(
                f"{len(odd)} of {len(names)} recordings have no name of the form sub-LABEL/[ses-LABEL/][TYPE/]"
                f"sub-LABEL_..._SUFFIX, so it may tell who speaks: number {shown(odd)}, sorted by path. Correct them,"
                " or use --rename."
            )
        self.labels = {subject: new_label(self._key, self._study, subject) for subject in map(subject_of, names)}
        if len(set(self.labels.values())) < len(self.labels):
            raise UsageError("Two subjects happen to have one new label. Name another --study.")
        renamed = {name: self._renamed(subject_of(name), name) for name in names}
        outputs = mirrored(list(renamed.values()), suffix)
        return {name: outputs[new] for name, new in renamed.items()}

    def _renamed(self, subject: str, path: str) -> str:
        renamed, n = re.subn(rf"(^|/)sub-{subject}(?=[/_])", rf"\g<1>sub-{self.labels[subject]}", path)
        if n != 2:  # folder and file name
            raise UsageError("The new name of a recording would keep the label of its subject. Use --rename.")
        return renamed

    def new_files(self, folder: Path) -> tuple[dict[str, bytes], list[str]]:
        """The files of the new dataset besides the recordings, and sentences about what is left out.

        ``participants.tsv`` has the new labels alone, in their own order. ``dataset_description.json``
        has the version of BIDS alone.

        Raises
        ------
        UsageError
            ``participants.tsv`` cannot be read as a table with the column participant_id.
        """
        made: dict[str, bytes] = {}
        left_out = ["JSON sidecars and other tables are not copied: they may hold names, dates or measurements."]
        if os.path.lexists(folder / PARTICIPANTS):
            made[PARTICIPANTS], n_dropped = _participants(_read(folder / PARTICIPANTS), self.labels)
            if n_dropped:
                left_out.append(f"{n_dropped} columns of {PARTICIPANTS} are left out: they may identify a person.")
        if os.path.lexists(folder / DESCRIPTION):
            about = {
                "Name": "Anonymized recordings",
                "BIDSVersion": _bids_version(_read(folder / DESCRIPTION)),
                "DatasetType": "derivative",
                "GeneratedBy": [{"Name": "saic", "Version": __version__}],
            }
            made[DESCRIPTION] = (json.dumps(about, indent=2) + "\n").encode()
        return made, left_out


def _participants(text: str, labels: Mapping[str, str]) -> tuple[bytes, int]:
    """The new table, and how many columns it lacks."""
    try:
        header, *rows = csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
        place = header.index("participant_id")
        subjects = [row[place].removeprefix("sub-") for row in rows if row]
    except (ValueError, IndexError, csv.Error):
        raise UsageError(f"{PARTICIPANTS} is no table in which each row has a participant_id.") from None
    return _table(labels[subject] for subject in subjects if subject in labels), len(header) - 1


def _table(labels: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in ("participant_id", *(f"sub-{label}" for label in sorted(labels)))).encode()


def _bids_version(text: str) -> str:
    try:
        version = json.loads(text)["BIDSVersion"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return _DEFAULT_VERSION
    return version if isinstance(version, str) and _VERSION.fullmatch(version) else _DEFAULT_VERSION


def _read(path: Path) -> str:
    try:
        with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
            return file.read(_MAX_TEXT_BYTES)
    except OSError as error:
        raise files.as_usage_error(error, "A file of the BIDS dataset cannot be read") from None
