"""Trials of a pilot: clips of dev speakers, and who is enrolled by which."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from saic import audio
from saic.data.manifest import Clip
from saic.errors import AudioError, DataError
from saic.signal.vad import require_speech, require_varied

MIN_SPEECH_S = 1.0
MAX_CLIP_S = 15.0
_MAX_CLIPS = 8  # of a speaker
_ROLES = 3  # source, reference, enrollment: no clip has two
_SECOND_SOURCE_EVERY = 2  # speakers


@dataclass(frozen=True)
class Trial:
    """One conversion: paths of recordings, all of different clips.

    ``speaker`` is the source's, with its corpus's number, and counts in the bootstrap.
    """

    speaker: str
    source: Path
    reference: list[Path]
    enrolled_source: list[Path]
    enrolled_target: list[Path]


@dataclass(frozen=True)
class _Speaker:
    name: str
    sources: list[Path]
    reference: list[Path]
    enrolled: list[Path]


def choose(corpora: Sequence[Sequence[Clip]], n_speakers: int, seed: int = 0) -> list[Trial]:
    """Draw speakers, equally many of each corpus, and their clips.

    Every speaker gives one source clip and every second speaker two. The target of the first is the
    next speaker of the corpus, of the second the one after that.

    Raises
    ------
    DataError
        A corpus has fewer than two speakers with three clips of a second of speech and at most 15 s.
    """
    random, trials = np.random.default_rng(seed), []
    for number, clips in enumerate(corpora, start=1):
        n_wanted = n_speakers // len(corpora) + (number <= n_speakers % len(corpora))
        by_speaker = defaultdict(list)
        for clip in clips:
            if clip.duration_s <= MAX_CLIP_S:
                by_speaker[clip.speaker].append(clip.path)
        names = sorted(name for name, paths in by_speaker.items() if len(paths) >= _ROLES)
        drawn = (_speaker(f"{number}/{names[i]}", by_speaker[names[i]], random) for i in random.permutation(len(names)))
        speakers = list(islice(filter(None, drawn), n_wanted))
        if len(speakers) < 2:
            raise DataError("A pilot needs two dev speakers in every corpus with three usable clips each.")
        for k, speaker in enumerate(speakers):
            sources = speaker.sources if k % _SECOND_SOURCE_EVERY == 0 else speaker.sources[:1]
            for i, source in enumerate(sources, start=1):
                target = speakers[(k + i) % len(speakers)]
                if target is speaker:  # of two speakers, the one after the next is the speaker again
                    target = speakers[(k + 1) % len(speakers)]
                trials.append(Trial(speaker.name, source, target.reference, speaker.enrolled, target.enrolled))
    return trials


def _speaker(name: str, paths: list[Path], random: np.random.Generator) -> _Speaker | None:
    """Share a speaker's clips between the roles; None if too few are usable."""
    usable = [path for path in (paths[i] for i in random.permutation(len(paths))[:_MAX_CLIPS]) if _is_usable(path)]
    if len(usable) < _ROLES:
        return None
    n_sources = 2 if len(usable) > _ROLES else 1
    rest = usable[n_sources:]
    return _Speaker(name, usable[:n_sources], rest[::2], rest[1::2])


def _is_usable(path: Path) -> bool:
    try:
        wav = audio.load(path)
        require_speech(wav, MIN_SPEECH_S)
        require_varied(wav)
    except AudioError:
        return False
    return True
