"""A manifest lists clips and their speakers, as JSONL.

A folder ``speaker/.../clip`` is read like one.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import soundfile

from saic import audio, files
from saic.errors import AudioError, DataError

MANIFEST_NAME = "manifest.jsonl"
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".mp4", ".webm", ".aac"})

_KEYS = ("path", "utterance", "speaker", "sex", "duration_s", "text", "split")
_SEXES = ("F", "M", None)


@dataclass(frozen=True)
class Clip:
    """One recording of one speaker.

    ``sex`` ("F" or "M") and ``text`` (transcript) may be None. ``utterance`` is unique in a
    manifest.
    """

    path: Path
    utterance: str
    speaker: str
    sex: str | None
    duration_s: float
    text: str | None
    split: str


def read(path_or_folder: str | os.PathLike, splits: Iterable[str] | None = None) -> list[Clip]:
    """Read a manifest or a folder.

    A manifest has one JSON object per line, with the fields of :class:`Clip`. Its paths are
    relative to the manifest's folder. In a folder, ``manifest.jsonl`` is read. If there is none,
    the layout is ``speaker/.../clip``: every audio file below a speaker's folder is a clip of split
    "test", without sex and text.

    Parameters
    ----------
    path_or_folder
        Manifest file or folder.
    splits
        Splits to keep; None keeps all.

    Returns
    -------
    Clips in the manifest's order, or sorted by path for a folder.

    Raises
    ------
    DataError
        An invalid line (with its number), a missing audio file, or no clip of these splits.
    """
    path = Path(path_or_folder)
    if path.is_dir() and (path / MANIFEST_NAME).is_file():
        path = path / MANIFEST_NAME
    if path.is_dir():
        numbered = _read_folder(path)
    elif path.is_file():
        numbered = _read_lines(path)
    else:
        raise DataError("There is no manifest or folder at the path given.")
    wanted = None if splits is None else {splits} if isinstance(splits, str) else set(splits)
    clips = []
    for number, clip in numbered:
        if wanted is None or clip.split in wanted:
            if not clip.path.is_file():
                raise DataError(f"Manifest line {number}: the audio file does not exist.")
            clips.append(clip)
    if not clips:
        have = ", ".join(sorted({clip.split for _, clip in numbered})) or "none"
        raise DataError(f"No clip of the splits asked for. The data has these splits: {have}.")
    return clips


def write(path: str | os.PathLike, clips: Iterable[Clip]) -> None:
    """Write a manifest at ``path``, atomically, with clip paths relative to its folder.

    It replaces an old one.
    """
    path = Path(path)
    files.write(path, to_lines(clips, path.parent).encode(), force=True)


def to_lines(clips: Iterable[Clip], folder: Path) -> str:
    """Text of the manifest, with clip paths relative to ``folder``."""
    lines = []
    for clip in clips:
        row = {key: getattr(clip, key) for key in _KEYS}
        row["path"] = Path(os.path.relpath(clip.path, folder)).as_posix()
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
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
        lines = path.read_text(encoding="utf-8").split("\n")
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
    except json.JSONDecodeError as error:
        raise DataError(f"Manifest line {number}: not JSON ({error.msg}).") from error
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
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise DataError(f"Manifest line {number}: duration_s must be above 0.")
    values = {key: row[key] for key in _KEYS} | {
        "path": folder / row["path"],
        "duration_s": float(duration_s),
    }
    return Clip(**values)


def _read_folder(folder: Path) -> list[tuple[int, Clip]]:
    paths = sorted(path for path in folder.glob("*/**/*") if path.suffix.lower() in AUDIO_SUFFIXES)
    clips, seen = [], set()
    for number, path in enumerate(paths, start=1):
        relative = path.relative_to(folder)
        utterance = relative.with_suffix("").as_posix()
        if utterance in seen:
            raise DataError(f"Clip {number} of the folder, sorted by path, differs from another only in its format.")
        seen.add(utterance)
        duration = duration_s(path, number)
        clips.append((number, Clip(path, utterance, relative.parts[0], None, duration, None, "test")))
    return clips


def duration_s(path: Path, number: int) -> float:
    """Duration of a recording in s.

    If it cannot be read, the :class:`DataError` gives its ``number``.
    """
    try:
        return soundfile.info(path).duration  # reads the header alone: fast on a large corpus
    except soundfile.LibsndfileError:
        pass  # a format that libsndfile lacks, such as M4A or WebM
    try:
        return len(audio.load(path)) / audio.SAMPLE_RATE
    except AudioError as error:
        raise DataError(f"Clip {number} of the folder, sorted by path, can't be read: {error}") from error
