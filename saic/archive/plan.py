"""Which recordings ``saic anonymize`` converts, and where each output goes."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from saic import audio, files
from saic.audio.output import FORMATS, format_of
from saic.errors import UsageError

Naming = Callable[[Sequence[str], str], dict[str, str]]
"""From sorted paths in IN and a suffix to the path of each output; paths without output are left out."""

_MAX_NUMBERS = 10  # of recordings in a message


@dataclass(frozen=True)
class Item:
    """One recording to anonymize.

    Attributes
    ----------
    number
        From 1, in the order of the paths.
    name
        Its path in the folder IN, or the file name if IN is a recording.
    output_name
        The path of its output in the output folder, or the file name.
    """

    number: int
    source: Path
    output: Path
    name: str
    output_name: str

    def seed(self, run_seed: int) -> int:
        """Seed of this recording, from the run's seed and the name in NFC."""
        name = normalized(self.name).encode(errors="surrogateescape")
        return int.from_bytes(hashlib.sha256(f"{run_seed}/".encode() + name).digest()[:7])


def normalized(name: str) -> str:
    """A path in NFC, since file systems store accents differently, and read as UTF-8 in every locale."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode(errors="surrogateescape"))


def shown(numbers: Sequence[int]) -> str:
    """Numbers of recordings as a message has them: the first ten."""
    return ", ".join(map(str, numbers[:_MAX_NUMBERS])) + (" and others" if len(numbers) > _MAX_NUMBERS else "")


def plan_recording(source: Path, output: Path, format: str | None = None) -> Item:
    """The item of a single recording.

    Raises
    ------
    UsageError
        No recording, or an output that is a folder, or is of another format.
    """
    if not os.path.isfile(source):
        raise UsageError("IN does not exist, or is neither a file nor a folder. Check the path.")
    if os.path.isdir(output):
        raise UsageError("IN is a recording, so --output must name a file. It is a folder.")
    if format and FORMATS.get(output.suffix.lower()) != format:
        raise UsageError("The suffix of --output chooses the format of a recording. Leave out --format.")
    return Item(1, source, output, source.name, output.name)


def plan_folder(source: Path, output: Path, suffix: str, naming: Naming) -> tuple[list[Item], int]:
    """List what to anonymize in a folder.

    Returns
    -------
    items: sorted by path. n_skipped: how many files of the folder are not converted.

    Raises
    ------
    UsageError
        No recordings, or an output folder that is a file, or lies in IN.
    """
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError("IN is a folder, so --output must be one too. It is a file.")
    if files.is_within(output, source):
        raise UsageError("The output folder lies in IN, where the next run would find it. Name one elsewhere.")
    names, n_skipped = _walk(source)
    outputs = naming(names, suffix)
    kept = [name for name in names if name in outputs]
    items = [
        Item(number, source / name, output / outputs[name], name, outputs[name])
        for number, name in enumerate(kept, start=1)
    ]
    return items, n_skipped + len(names) - len(kept)


def mirrored(names: Sequence[str], suffix: str) -> dict[str, str]:
    """The naming that keeps folders and names.

    Recordings that differ only in their suffix keep it as a part of the name: "a.mp3" and "a.wav"
    become "a.mp3.flac" and "a.wav.flac". Outputs also differ where the file system does not tell
    upper from lower case, or NFC from NFD: "A.wav" and "a.wav" become "A.wav.flac" and
    "a.wav.2.flac".
    """
    plain = {name: Path(name).with_suffix(suffix).as_posix() for name in names}
    count = Counter(map(_folded, plain.values()))
    outputs = {name: output for name, output in plain.items() if count[_folded(output)] == 1}
    taken = set(map(_folded, outputs.values()))
    for name in names:
        if name in outputs:
            continue
        output, k = name + suffix, 2
        while _folded(output) in taken:
            output, k = f"{name}.{k}{suffix}", k + 1
        taken.add(_folded(output))
        outputs[name] = output
    return outputs


def require_apart(items: Sequence[Item], targets: Sequence[Path]) -> None:
    """Check that no output is a recording of IN or a target, which ``--force`` would replace.

    Raises
    ------
    UsageError
    """
    outputs = {files.identity(item.output) for item in items}
    if outputs & {files.identity(item.source) for item in items}:
        raise UsageError("An output would replace a recording of IN. Name another output.")
    if outputs & set(map(files.identity, targets)):
        raise UsageError("An output would replace a --target. Name another output.")


def require_free(items: Sequence[Item], rate_hz: int | None, force: bool) -> None:
    """Check, before any work, that the outputs can be written.

    Parameters
    ----------
    rate_hz
        None: each output has the rate of its recording.

    Raises
    ------
    UsageError
        A suffix that names no format, a rate that the format does not have, outputs that exist
        (unless `force` is set), or a folder that cannot be made or written.
    """
    for output in {item.output.suffix: item.output for item in items}.values():
        format_of(output, rate_hz or audio.SAMPLE_RATE)
    n_existing = sum(os.path.lexists(item.output) for item in items)
    if n_existing and not force:
        if len(items) == 1:
            raise UsageError("The output file exists. Add --force to replace it, or name another.")
        raise UsageError(
            f"{n_existing} of {len(items)} outputs exist already. Add --force to replace them, or name another output."
        )
    files.require_writable(item.output for item in items)


def _folded(name: str) -> str:
    """What paths have in common that are one place in some file systems: their letters without case, in NFC."""
    return unicodedata.normalize("NFC", normalized(name).casefold())


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
