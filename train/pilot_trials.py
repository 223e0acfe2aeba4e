"""Trials of a pilot: pieces of dev speakers' clips, and who is enrolled by which."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from saic import audio
from saic.data.manifest import Clip
from saic.errors import AudioError, DataError, UsageError
from saic.signal.vad import require_speech, require_varied

MIN_SPEECH_S = 1.0
MAX_PIECE_S = 6.0
GAP_S = 0.5  # between pieces of one clip
_MAX_PIECES = 8  # of a speaker
_ROLES = 3  # source, reference, enrollment: no piece has two


@dataclass(frozen=True)
class Piece:
    """Part of a clip, in samples at 16 kHz; some speakers have one long clip."""

    path: Path
    start: int
    stop: int

    def wav(self) -> np.ndarray:
        """(N,) float32 samples."""
        return audio.load(self.path)[self.start : self.stop]


@dataclass(frozen=True)
class Trial:
    """One conversion; no two of its pieces overlap.

    ``speaker`` is the source's, with its corpus's number, and counts in the bootstrap.
    """

    speaker: str
    source: Piece
    reference: list[Piece]
    enrolled_source: list[Piece]
    enrolled_target: list[Piece]


@dataclass(frozen=True)
class _Speaker:
    name: str
    sources: list[Piece]
    reference: list[Piece]
    enrolled: list[Piece]


def choose(corpora: Sequence[Sequence[Clip]], n_speakers: int, seed: int = 0) -> list[Trial]:
    """Draw speakers, equally many of each corpus, and pieces of at most 6 s of their clips.

    Every speaker gives one source, and half of them two if they have enough speech. The target of the first is the
    next speaker of the corpus, of the second the one after that.

    Raises
    ------
    UsageError
        ``n_speakers`` is less than two for each corpus.
    DataError
        A corpus has fewer than two speakers with three pieces that hold a second of speech.
    """
    if n_speakers < 2 * len(corpora):
        raise UsageError(f"A pilot needs two speakers of every corpus: --speakers must be {2 * len(corpora)} or more.")
    random, trials = np.random.default_rng(seed), []
    for number, clips in enumerate(corpora, start=1):
        n_wanted = n_speakers // len(corpora) + (number <= n_speakers % len(corpora))
        by_speaker = defaultdict(list)
        for clip in clips:
            by_speaker[clip.speaker] += _pieces(clip)
        names = sorted(name for name, pieces in by_speaker.items() if len(pieces) >= _ROLES)
        drawn = (_speaker(f"{number}/{names[i]}", by_speaker[names[i]], random) for i in random.permutation(len(names)))
        speakers = sorted(islice(filter(None, drawn), n_wanted), key=lambda speaker: -len(speaker.sources))
        if len(speakers) < 2:
            raise DataError("A pilot needs two dev speakers in every corpus with three usable pieces each.")
        for k, speaker in enumerate(speakers):
            sources = speaker.sources if k < len(speakers) / 2 else speaker.sources[:1]
            for i, source in enumerate(sources, start=1):
                target = speakers[(k + i) % len(speakers)]
                if target is speaker:  # of two speakers, the one after the next is the speaker again
                    target = speakers[(k + 1) % len(speakers)]
                trials.append(Trial(speaker.name, source, target.reference, speaker.enrolled, target.enrolled))
    return trials


def _pieces(clip: Clip) -> list[Piece]:
    """Pieces of equal length of a clip."""
    n = max(1, math.ceil(clip.duration_s / (MAX_PIECE_S + GAP_S)))
    ends = [round(clip.duration_s * audio.SAMPLE_RATE * k / n) for k in range(n + 1)]
    gap = round(GAP_S * audio.SAMPLE_RATE) if n > 1 else 0
    return [Piece(clip.path, start, stop - gap) for start, stop in pairwise(ends)]


def _speaker(name: str, pieces: list[Piece], random: np.random.Generator) -> _Speaker | None:
    """Share a speaker's pieces between the roles; None if too few are usable."""
    drawn = (pieces[i] for i in random.permutation(len(pieces))[:_MAX_PIECES])
    usable = [piece for piece in drawn if _is_usable(piece)]
    if len(usable) < _ROLES:
        return None
    n_sources = 2 if len(usable) > _ROLES else 1
    rest = usable[n_sources:]
    return _Speaker(name, usable[:n_sources], rest[::2], rest[1::2])


def _is_usable(piece: Piece) -> bool:
    try:
        wav = piece.wav()
        require_speech(wav, MIN_SPEECH_S)
        require_varied(wav)
    except AudioError:
        return False
    return True
