"""Which recordings ``saic anonymize`` processes, and where each output goes."""

import hashlib
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from saic import audio
from saic.data.manifest import AUDIO_SUFFIXES
from saic.errors import UsageError


@dataclass(frozen=True)
class BatchItem:
    """One recording to anonymize.

    ``name`` is its path in the folder IN, or the file name if IN is a recording.
    """

    source: Path
    output: Path
    name: str

    def seed(self, run_seed: int | None) -> int:
        """Seed of this recording, from the run's seed and the name.

        The name is in NFC, since file systems store accents differently.
        """
        name = unicodedata.normalize("NFC", self.name).encode(errors="surrogateescape")
        return int.from_bytes(hashlib.sha256(f"{run_seed}/".encode() + name).digest()[:7])

    def save(self, wav: np.ndarray, force: bool) -> None:
        """Write the output, and make its folder if there is none."""
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"The output folder cannot be made: {error.strerror}.") from None
        audio.save(self.output, wav, force=force)

    @property
    def printable_name(self) -> str:
        """The name without control characters, which could change a terminal's state."""
        return "".join(letter if letter.isprintable() else "?" for letter in self.name)


def plan(source: Path, output: Path) -> tuple[list[BatchItem], int]:
    """List what to anonymize.

    Parameters
    ----------
    source
        A recording, or a folder.
    output
        The WAV file for a recording; the folder for a folder.

    Returns
    -------
    items: sorted by path. n_skipped: how many files of a folder are not recordings.

    Raises
    ------
    UsageError
        No recordings, or outputs that would replace recordings or each other.
    """
    if source.is_dir():
        if output.exists() and not output.is_dir():
            raise UsageError("IN is a folder, so --output must be one too. It is a file.")
        if output.resolve().is_relative_to(source.resolve()):
            raise UsageError("The output folder lies in IN, where the next run would find it. Name one elsewhere.")
        names, n_skipped = _walk(source)
        found = [BatchItem(source / name, (output / name).with_suffix(".wav"), name) for name in names]
    else:
        if output.is_dir():
            raise UsageError("IN is a recording, so --output must name a WAV file. It is a folder.")
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
    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        # os.walk does not follow links to folders, since they may be circular: they count as other
        # files.
        n_skipped += sum(Path(parent, name).is_symlink() for name in folders)
        for path in (Path(parent, name) for name in files if not name.startswith(".")):
            if path.suffix.lower() in AUDIO_SUFFIXES:
                names.append(path.relative_to(folder).as_posix())
            else:
                n_skipped += 1
    if not names:
        raise UsageError("The folder holds no recordings. Use WAV, FLAC, OGG, MP3, M4A, MP4 or WebM.")
    return sorted(names), n_skipped
