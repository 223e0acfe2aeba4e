"""A manifest lists clips and their speakers, as JSONL.

A folder ``speaker/.../clip`` is read like one.
"""

import codecs
import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from saic import audio, files
from saic.data.left_out import LeftOut, is_hidden, reason_of
from saic.errors import AudioError, DataError, UsageError

MANIFEST_NAME = "manifest.jsonl"

_KEYS = ("path", "utterance", "speaker", "sex", "duration_s", "text", "split")
_OPTIONAL_KEYS = ("age", "session", "language")
_SEXES = ("F", "M", None)
_OUTSIDE = "outside a speaker's folder"
_LAYOUT = "A corpus needs one folder per speaker with that speaker's recordings in it: speaker/clip.wav."
_UNKNOWN_FRAMES = 2**62  # libsndfile's length of a stream without one is about 2**63
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clip:
    """One recording of one speaker.

    ``sex`` ("F" or "M") and ``text`` (transcript) may be None. ``utterance`` is unique in a
    manifest. ``age`` in years, ``session`` and ``language`` (a code, such as "de") are None where the
    manifest does not state them.
    """

    path: Path
    utterance: str
    speaker: str
    sex: str | None
    duration_s: float
    text: str | None
    split: str
    age: int | None = None
    session: str | None = None
    language: str | None = None


def read(
    path_or_folder: str | os.PathLike, splits: Iterable[str] | None = None, *, left_out: LeftOut | None = None
) -> list[Clip]:
    """Read a manifest or a folder.

    A manifest has one JSON object per line, with the fields of :class:`Clip`. Its paths are
    relative to the manifest's folder. In a folder, ``manifest.jsonl`` is read. If there is none,
    the layout is ``speaker/.../clip``: every audio file below a speaker's folder is a clip of split
    "test", without sex and text. Files that cannot be used are left out: hidden and empty ones,
    those that are not audio, and those with a broken header.

    Parameters
    ----------
    path_or_folder
        Manifest file or folder.
    splits
        Splits to keep; None keeps all.
    left_out
        Filled with what is left out of a folder. If it is None, the counts are logged.

    Returns
    -------
    Clips in the manifest's order, or sorted by path for a folder.

    Raises
    ------
    DataError
        An invalid line (with its number), a missing audio file, a folder of another layout or one that
        cannot be read, or no clip of these splits.
    """
    path = Path(path_or_folder)
    own = LeftOut() if left_out is None else left_out
    # Not the methods of Path, which raise an error if a name is too long.
    if os.path.isdir(path) and os.path.isfile(path / MANIFEST_NAME):
        path = path / MANIFEST_NAME
    if os.path.isdir(path):
        require_folder(path)
        numbered = _read_folder(path, own)
    elif os.path.isfile(path):
        numbered = _read_lines(path)
    else:
        raise DataError("There is no manifest or folder at the path given.")
    wanted = None if splits is None else {splits} if isinstance(splits, str) else set(splits)
    clips = []
    for number, clip in numbered:
        if wanted is None or clip.split in wanted:
            if not os.path.isfile(clip.path):
                raise DataError(f"Manifest line {number}: the audio file does not exist.")
            clips.append(clip)
    if not clips:
        have = ", ".join(sorted({clip.split for _, clip in numbered})) or "none"
        raise DataError(f"No clip of the splits asked for. The data has these splits: {have}.")
    if left_out is None and own:
        _log.warning("%s", own)
    return clips


def require_folder(folder: Path) -> None:
    """Raise :class:`DataError` unless there is a folder whose content can be listed."""
    try:
        os.scandir(folder).close()
    except (OSError, ValueError) as error:
        raise DataError(str(files.as_usage_error(error, "The folder of the corpus cannot be read"))) from None


@contextlib.contextmanager
def numbered_errors(number: int, n_corpora: int) -> Iterator[None]:
    """Let a :class:`UsageError` on one of several corpora begin with its number."""
    try:
        yield
    except UsageError as error:
        if n_corpora == 1:
            raise
        raise type(error)(f"Corpus {number}: {error}") from None


def path_from(path: Path, folder: Path) -> str:
    """A path relative to a folder, or absolute if it is on another drive of Windows; with slashes."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return Path(os.path.abspath(path)).as_posix()


def write(path: str | os.PathLike, clips: Iterable[Clip]) -> None:
    """Write a manifest at ``path``, atomically, with clip paths relative to its folder.

    It replaces an old one.
    """
    path = Path(path)
    files.write(path, to_lines(clips, path.parent).encode(), force=True)


def to_lines(clips: Iterable[Clip], folder: Path) -> str:
    """Text of the manifest, with clip paths relative to ``folder``, or absolute on another drive of Windows."""
    lines = []
    for clip in clips:
        row = {key: getattr(clip, key) for key in _KEYS}
        row |= {key: value for key in _OPTIONAL_KEYS if (value := getattr(clip, key)) is not None}
        row["path"] = path_from(clip.path, folder)
        line = json.dumps(row, ensure_ascii=False)
        # A file name that is not UTF-8 is kept by escapes.
        lines.append((line if _is_unicode(line) else json.dumps(row)) + "\n")
    return "".join(lines)


def fingerprint(path_or_folder: str | os.PathLike, clips: Iterable[Clip]) -> str:
    """SHA-256 of a manifest file; for a folder without one, of a manifest of its clips."""
    path = Path(path_or_folder)
    if path.is_dir():
        path /= MANIFEST_NAME
    text = path.read_bytes() if path.is_file() else to_lines(clips, path.parent).encode()
    return hashlib.sha256(text).hexdigest()


def _read_lines(path: Path) -> list[tuple[int, Clip]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"The manifest cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise DataError("The manifest is not UTF-8 text.") from error
    numbered, first_line = [], {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        clip = _parse(line, number, path.parent)
        if clip.utterance in first_line:
            raise DataError(f"Manifest line {number}: the utterance is already on line {first_line[clip.utterance]}.")
        first_line[clip.utterance] = number
        numbered.append((number, clip))
    return numbered


def _parse(line: str, number: int, folder: Path) -> Clip:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep, or a number is too long"
        raise DataError(f"Manifest line {number}: not JSON ({reason}).") from error
    if not isinstance(row, dict):
        raise DataError(f"Manifest line {number}: not a JSON object.")
    if missing := [key for key in _KEYS if key not in row]:
        raise DataError(f"Manifest line {number}: missing {', '.join(missing)}.")
    for key in ("path", "utterance", "speaker", "split"):
        if not isinstance(row[key], str) or not row[key]:
            raise DataError(f"Manifest line {number}: {key} must be text that is not empty.")
    if row["sex"] not in _SEXES:
        raise DataError(f'Manifest line {number}: sex must be "F", "M" or null.')
    if row["text"] is not None and not isinstance(row["text"], str):
        raise DataError(f"Manifest line {number}: text must be text or null.")
    duration_s = row["duration_s"]
    if isinstance(duration_s, bool) or not isinstance(duration_s, int | float):
        raise DataError(f"Manifest line {number}: duration_s must be a number.")
    if not 0 < duration_s <= sys.float_info.max:
        raise DataError(f"Manifest line {number}: duration_s must be above 0 and finite.")
    values = {key: row[key] for key in _KEYS} | {
        "path": folder / row["path"],
        "duration_s": float(duration_s),
        "age": age if type(age := row.get("age")) is int else None,  # others give words, such as "thirties"
        "session": None if row.get("session") is None else str(row["session"]),
        "language": None if row.get("language") is None else str(row["language"]),
    }
    return Clip(**values)


def _read_folder(folder: Path, left_out: LeftOut) -> list[tuple[int, Clip]]:
    """The clips below speakers' folders, numbered in the order of their paths."""
    clips: dict[str, Clip] = {}
    for path in sorted([*folder.glob("*/**/*"), *folder.iterdir()]):
        relative = path.relative_to(folder)
        name, is_audio = relative.as_posix(), path.suffix.lower() in audio.SUFFIXES
        if path.is_dir():
            continue
        if is_hidden(path, folder):
            if is_audio:
                left_out.add("hidden", name)
        elif not is_audio:
            left_out.add("not audio", name)
        elif len(relative.parts) == 1:
            left_out.add(_OUTSIDE, name)
        elif (duration := duration_s(path, left_out, name)) is not None:
            utterance = relative.with_suffix("").as_posix()
            if utterance in clips:
                raise DataError(
                    f"Clip {len(clips) + 1} of the folder, sorted by path, differs from another only in its format."
                )
            clips[utterance] = Clip(path, utterance, relative.parts[0], None, duration, None, "test")
    if not clips:
        is_flat = _OUTSIDE in left_out
        problem = "The recordings lie in the folder itself." if is_flat else "The folder has no usable recordings."
        counts = f" {left_out}." if left_out else ""
        raise DataError(f"{problem} {_LAYOUT}{counts}")
    return list(enumerate(clips.values(), start=1))


def duration_s(path: Path, left_out: LeftOut, name: str) -> float | None:
    """Duration of a recording in s, from its header if possible.

    If the recording cannot be used, it is counted in ``left_out`` under ``name``, and the result is
    None.
    """
    try:
        if path.stat().st_size == 0:
            left_out.add("empty", name)
            return None
        header = soundfile.info(os.fsencode(path))  # fast on a large corpus
        if header.frames == 0:
            left_out.add("empty", name)
            return None
        if header.frames < _UNKNOWN_FRAMES:
            return header.duration
    except OSError:
        left_out.add("not readable", name)
        return None
    except soundfile.LibsndfileError:
        pass  # a format that libsndfile lacks, such as M4A or WebM
    try:
        return len(audio.load(path)) / audio.SAMPLE_RATE
    except AudioError as error:
        left_out.add("not audio" if _is_text(path) else reason_of(error), name)
    except UsageError:  # no right to read it
        left_out.add("not readable", name)
    return None


def _is_text(path: Path) -> bool:
    """Whether a file starts with text in UTF-8; False if it cannot be opened."""
    try:
        with open(path, "rb") as file:
            start = file.read(1024)
        return b"\0" not in start and bool(codecs.getincrementaldecoder("utf-8")().decode(start))
    except (OSError, UnicodeDecodeError):
        return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clips_by_speaker(clips: Sequence[Clip]) -> dict[str, list[Clip]]:
    """Speaker to clips."""
    by_speaker: dict[str, list[Clip]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip)
    return by_speaker


def corpus_name(path: Path) -> str:
    """Name of a corpus: of its folder, which holds the manifest, without bytes that are not UTF-8."""
    return files.without_surrogates(files.real_path(path if os.path.isdir(path) else path.parent).name)


def paths_by_name(corpora: Sequence[str | os.PathLike]) -> dict[str, Path]:
    """Name of each corpus to its path.

    Raises
    ------
    DataError
        Two corpora have one name.
    """
    paths = {corpus_name(Path(path)): Path(path) for path in corpora}
    if len(paths) < len(corpora):
        raise DataError("Two corpora have one name. A corpus is named after its folder: rename one.")
    return paths
