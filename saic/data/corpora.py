"""Public corpora in their own folder layouts, listed as clips.

==============  ===========================================================  =====================================
LibriSpeech     ``train-clean-100/SPEAKER/CHAPTER/*.flac``, ``*.trans.txt``  splits: the names of the subsets
VCTK 0.92       ``wav48_silence_trimmed/pXXX/*_mic1.flac``, ``txt/pXXX``     no splits
VoxCeleb1       ``wav/idXXXXX/VIDEO/NNNNN.wav``                              two sets of splits, see :func:`read`
==============  ===========================================================  =====================================

Any other folder has the layout ``speaker/.../clip``, without splits.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from saic import audio
from saic.data import manifest
from saic.data.left_out import LeftOut, is_hidden
from saic.data.manifest import Clip
from saic.errors import DataError, UsageError

TRAIN, DEV, TEST, ATTACK = "train", "dev", "test", "attack"

_UNKNOWN_S = 0.0  # a placeholder: read() measures the durations after all clips are listed

_LIBRISPEECH_SUBSET = re.compile(r"(train|dev|test)-(?:clean|other)(?:-\d+)?")
_LIBRISPEECH_TEXTS = "*/*/*.trans.txt"
_VCTK_AUDIO = "wav48_silence_trimmed"
_VCTK_MICROPHONE = "_mic1"  # of two; the second is missing for some speakers
_VOXCELEB_META = "vox1_meta.csv"
_VOXCELEB_IDENTIFICATION = "iden_split.txt"
_VOXCELEB_SPEAKER = "id1????"  # VoxCeleb2's start with id0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CorpusListing:
    """The clips of a corpus.

    If the corpus defines no splits, all of them are in the split ``train``.
    """

    name: str
    clips: list[Clip]


def read(folder: Path, *, identification: bool = False, left_out: LeftOut | None = None) -> CorpusListing:
    """Detect a folder's layout and list its clips, sorted by utterance.

    LibriSpeech is given as the folder with its subsets, or as one subset, which then has no splits.
    VoxCeleb1 is given as the folder with ``wav`` (or ``dev/wav`` and ``test/wav``) and the lists
    that are published with the audio. Files that cannot be used are left out, as by
    :func:`saic.data.manifest.read`.

    Parameters
    ----------
    identification
        VoxCeleb1 only. True: the three splits of ``iden_split.txt``, each with recordings of every
        speaker, as in the paper's evaluation. False: the two splits of ``vox1_meta.csv``, which
        share no speaker; its ``dev`` is listed as ``train``.
    left_out
        Filled with what is left out. If it is None, the counts are logged.

    Raises
    ------
    DataError
        The folder cannot be read, a list that the layout needs is missing, there are no recordings, or two have
        the same utterance.
    UsageError
        ``identification`` for another corpus than VoxCeleb1.
    """
    manifest.require_folder(folder)
    own = LeftOut() if left_out is None else left_out
    corpus = _voxceleb(folder, identification, own)
    if identification and corpus is None:
        raise UsageError("Only VoxCeleb1 has an identification split, and this folder does not have its layout.")
    corpus = corpus or _librispeech(folder, own) or _vctk(folder, own)
    if corpus is None:
        clips = [replace(clip, split=TRAIN) for clip in manifest.read(folder, left_out=left_out)]
        return CorpusListing("folder of speakers", clips)
    clips = []
    for clip in sorted(corpus.clips, key=lambda clip: clip.utterance):
        duration = manifest.duration_s(clip.path, own, clip.path.relative_to(folder).as_posix())
        if duration is not None:
            if clips and clips[-1].utterance == clip.utterance:
                raise DataError(
                    f"Clips {len(clips)} and {len(clips) + 1} of the corpus, sorted by name, have the same name, as"
                    " copies in another format have. Keep one of them."
                )
            clips.append(replace(clip, duration_s=duration))
    if not clips:
        counts = f" {own}." if own else ""
        raise DataError(f"The folder has the layout of {corpus.name}, but none of its recordings.{counts}")
    if left_out is None and own:
        _log.warning("%s", own)
    return CorpusListing(corpus.name, clips)


def _librispeech(folder: Path, left_out: LeftOut) -> CorpusListing | None:
    root = folder / "LibriSpeech" if (folder / "LibriSpeech").is_dir() else folder
    subsets = {path: found[1] for path in root.iterdir() if (found := _LIBRISPEECH_SUBSET.fullmatch(path.name))}
    if not subsets:
        if next(root.glob(_LIBRISPEECH_TEXTS), None) is None:
            return None
        subsets = {root: TRAIN}
    rows = [row for path in (root, root.parent) for row in _rows(path / "SPEAKERS.TXT", "|")]
    sexes = {row[0]: row[1] for row in rows if row[1] in ("F", "M")}
    clips = []
    for subset, split in subsets.items():
        texts = {}
        for path in (path for path in subset.glob(_LIBRISPEECH_TEXTS) if not is_hidden(path, subset)):
            lines = (_text(path) or "").splitlines()
            texts |= {name: text.strip() for name, _, text in (line.partition(" ") for line in lines)}
        for path in _audio_files(subset, "*/*/*", folder, left_out):
            speaker = path.relative_to(subset).parts[0]
            clips.append(Clip(path, path.stem, speaker, sexes.get(speaker), _UNKNOWN_S, texts.get(path.stem), split))
    return CorpusListing("LibriSpeech", clips)


def _vctk(folder: Path, left_out: LeftOut) -> CorpusListing | None:
    root = next((path for path in (folder, folder / "VCTK-Corpus-0.92") if (path / _VCTK_AUDIO).is_dir()), None)
    if root is None:
        return None
    # columns ID AGE GENDER ACCENTS REGION COMMENTS, separated by any number of blanks
    sexes = {row[0]: row[2] for row in _rows(root / "speaker-info.txt") if row[2:3] in (["F"], ["M"])}
    clips = []
    for path in _audio_files(root / _VCTK_AUDIO, f"*/*{_VCTK_MICROPHONE}.*", folder, left_out):
        speaker, utterance = path.parent.name, path.stem.removesuffix(_VCTK_MICROPHONE)
        text = _text(root / "txt" / speaker / f"{utterance}.txt")  # p315 has none: they were lost
        clips.append(Clip(path, utterance, speaker, sexes.get(speaker), _UNKNOWN_S, text, TRAIN))
    return CorpusListing("VCTK", clips)


def _voxceleb(folder: Path, identification: bool, left_out: LeftOut) -> CorpusListing | None:
    roots = [root for part in (".", "dev", "test") if (root := folder / part / "wav").is_dir()]
    paths = {
        path.relative_to(root).as_posix(): path
        for root in roots
        for path in _audio_files(root, f"{_VOXCELEB_SPEAKER}/*/*", folder, left_out)
    }
    if not paths:
        return None
    metadata = {row[0]: row for row in _rows(folder / _VOXCELEB_META, "\t") if len(row) == 5}
    sexes = {speaker: row[2].upper() for speaker, row in metadata.items() if row[2] in ("f", "m")}
    if identification:
        splits = {"1": TRAIN, "2": DEV, "3": TEST}
        rows = _rows(_required(folder / _VOXCELEB_IDENTIFICATION))
        listed = {row[1]: splits[row[0]] for row in rows if len(row) == 2 and row[0] in splits}
    else:
        _required(folder / _VOXCELEB_META)
        listed = {
            name: TEST if metadata[speaker][4] == "test" else TRAIN
            for name in paths
            if (speaker := name.partition("/")[0]) in metadata
        }
    clips = []
    for name, path in paths.items():
        if name in listed:
            speaker = name.partition("/")[0]
            utterance = name.removesuffix(path.suffix)
            clips.append(Clip(path, utterance, speaker, sexes.get(speaker), _UNKNOWN_S, None, listed[name]))
    return CorpusListing("VoxCeleb1", clips)


def _audio_files(root: Path, pattern: str, folder: Path, left_out: LeftOut) -> Iterator[Path]:
    """Files below ``root`` with a suffix of audio; hidden ones are left out of the corpus ``folder``."""
    for path in root.glob(pattern):
        if path.suffix.lower() in audio.SUFFIXES and not path.is_dir():
            if is_hidden(path, root):
                left_out.add("hidden", path.relative_to(folder).as_posix())
            else:
                yield path


def _text(path: Path) -> str | None:
    """Transcript in a file; None if there is no file or it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _rows(path: Path, separator: str | None = None) -> list[list[str]]:
    """The fields of each line of a file; an empty list if there is no file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [[field.strip() for field in line.split(separator)] for line in lines]
    return [row for row in rows if len(row) > 1]


def _required(path: Path) -> Path:
    if not path.is_file():
        raise DataError(f"VoxCeleb1 needs {path.name} in the folder that holds wav: get it from the corpus' own site.")
    return path
