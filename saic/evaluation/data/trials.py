"""The parts of each speaker's audio, and the trials (source speaker, target speaker).

All choices are random and seeded. A speaker's clips are joined end to end in random order and cut
into three parts::

    | enrollment (40 %) | gap | source | gap | reference |      each at most 15 s

The parts share no sample. For a speaker with less than 12 s of audio, three parts would be too
short for speaker recognition, so the source part is also the reference part. Within a trial the two
are still disjoint, since a trial takes its source from one speaker and its reference from another.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.data.manifest import Clip
from saic.errors import DataError
from saic.signal.mel import HOP_SAMPLES
from saic.signal.vad import speech_frames

MIN_SPEAKER_S = 8.0  # speakers with less audio are left out
MAX_PART_S = 15.0
THREE_PARTS_S = 12.0
ENROLLMENT_SHARE = 0.4
GAP_S = 0.5

_SLACK = 0.2  # a cut may deviate from its ideal place by this share of the part's length
_GAP_FRAMES = round(GAP_S * SAMPLE_RATE) // HOP_SAMPLES


@dataclass(frozen=True)
class Span:
    """Samples ``start`` to ``stop`` (16 kHz, stop excluded) of one clip."""

    utterance: str
    start: int
    stop: int


Part = tuple[Span, ...]
"""Spans to be joined end to end."""


@dataclass(frozen=True)
class SpeakerParts:
    """The three parts of a speaker's audio."""

    speaker: str
    sex: str | None
    enrollment: Part
    source: Part
    reference: Part


@dataclass(frozen=True)
class Trial:
    """Convert the source part of one speaker to the voice of another.

    ``same_sex`` is None if unknown.
    """

    source: str
    target: str
    same_sex: bool | None


def choose_clips(clips: Sequence[Clip], seed: int) -> list[Clip]:
    """Clips of one speaker in a seeded order, as many as three full parts need."""
    by_name = sorted(clips, key=lambda clip: clip.utterance)
    chosen, total_s = [], 0.0
    for index in _speaker_generator(seed, by_name[0].speaker).permutation(len(by_name)):
        if total_s >= 3 * MAX_PART_S + 2 * GAP_S:
            break
        chosen.append(by_name[index])
        total_s += by_name[index].duration_s
    return chosen


def choose_speakers(sexes: Mapping[str, str | None], count: int, seed: int) -> list[str]:
    """Choose at most ``count`` speakers by a seed, equally many of each sex if possible."""
    turns = zip_longest(*_shuffled_groups(sexes, seed).values())
    in_turn = [speaker for turn in turns for speaker in turn if speaker is not None]
    return sorted(in_turn[:count])


def cut_parts(speaker: str, sex: str | None, wavs: Mapping[str, np.ndarray]) -> SpeakerParts:
    """Cut a speaker's audio into the three parts.

    Parameters
    ----------
    wavs
        Utterance to (N,) float32 at 16 kHz, in the order in which they are joined.

    Raises
    ------
    DataError
        Less than 8 s.
    """
    joined = _JoinedClips(wavs)
    if joined.n_samples < MIN_SPEAKER_S * SAMPLE_RATE:
        raise DataError(f"A speaker needs at least {MIN_SPEAKER_S:g} s of audio.")
    most = round(MAX_PART_S * SAMPLE_RATE)
    enrollment_stop, source_start = joined.cut_near(0, min(most, ENROLLMENT_SHARE * joined.n_samples), most)
    if joined.n_samples < THREE_PARTS_S * SAMPLE_RATE:
        source_stop, reference_start, reference_stop = joined.n_samples, source_start, joined.n_samples
    else:
        rest = joined.n_samples - source_start
        source_stop, reference_start = joined.cut_near(source_start, min(most, rest / 2), most)
        reference_stop = joined.n_samples
        if reference_stop - reference_start > most:
            reference_stop, _ = joined.cut_near(reference_start, most, most)
    parts = SpeakerParts(
        speaker=speaker,
        sex=sex,
        enrollment=joined.spans(0, enrollment_stop),
        source=joined.spans(source_start, source_stop),
        reference=joined.spans(reference_start, reference_stop),
    )
    assert_disjoint(parts.enrollment, parts.source)
    assert_disjoint(parts.enrollment, parts.reference)
    if parts.source != parts.reference:
        assert_disjoint(parts.source, parts.reference)
    return parts


def assert_disjoint(one: Part, other: Part) -> None:
    """Raise AssertionError if the parts are less than half a second apart in one clip."""
    gap = _GAP_FRAMES * HOP_SAMPLES
    for a in one:
        for b in other:
            # Not an assert statement: python -O would switch it off.
            if a.utterance == b.utterance and a.start < b.stop + gap and b.start < a.stop + gap:
                raise AssertionError("Two parts of one evaluation share audio, or are too close.")


def assign_targets(sexes: Mapping[str, str | None], per_sex: int, seed: int) -> list[Trial]:
    """Give each speaker ``per_sex`` targets of its own sex and as many of the other.

    All speakers of a sex are targets equally often (up to one), both in same-sex and in cross-sex
    trials. Where a sex has too few speakers there are fewer targets. If any sex is unknown, sex is
    ignored for all: each speaker gets 2 x ``per_sex`` targets, and all are targets equally often.

    Parameters
    ----------
    sexes
        Speaker to "F", "M" or None.

    Returns
    -------
    Trials, grouped by source speaker, those with a target of the same sex first.
    """
    if len(sexes) < 2:
        raise DataError("An evaluation needs at least two speakers with 8 s of audio each.")
    if None in sexes.values():
        sexes, per_group = dict.fromkeys(sexes), 2 * per_sex
    else:
        per_group = per_sex
    groups = _shuffled_groups(sexes, seed)
    rng = np.random.default_rng([seed, 1])
    trials = []
    for sex, group in groups.items():
        # A circular shift of the speakers: each is a target once per shift, and never of itself.
        steps = 1 + rng.permutation(len(group) - 1)[:per_group]
        others = [speaker for label, other in groups.items() if label != sex for speaker in other]
        for place, source in enumerate(group):
            same = [group[(place + step) % len(group)] for step in steps]
            # In turn, so that the counts of any two speakers of the other sex differ by at most
            # one.
            crossed = [others[(place * per_group + turn) % len(others)] for turn in range(min(per_group, len(others)))]
            trials += [Trial(source, target, None if sex is None else True) for target in same]
            trials += [Trial(source, target, False) for target in crossed]
    return sorted(trials, key=lambda trial: trial.source)


def _speaker_generator(seed: int, speaker: str) -> np.random.Generator:
    """Generator of one speaker, independent of the other speakers of the data."""
    return np.random.default_rng([seed, zlib.crc32(speaker.encode(errors="surrogateescape"))])


def _shuffled_groups(sexes: Mapping[str, str | None], seed: int) -> dict[str | None, list[str]]:
    rng = np.random.default_rng(seed)
    groups: dict[str | None, list[str]] = {}
    for speaker in rng.permutation(sorted(sexes)).tolist():
        groups.setdefault(sexes[speaker], []).append(speaker)
    return groups


class _JoinedClips:
    """A speaker's clips joined end to end, addressed by one sample index."""

    def __init__(self, wavs: Mapping[str, np.ndarray]):
        self._utterances = list(wavs)
        self._starts = np.cumsum([0, *(len(wav) for wav in wavs.values())])
        self._speech = [speech_frames(wav) for wav in wavs.values()]
        self.n_samples = int(self._starts[-1])

    def spans(self, start: int, stop: int) -> Part:
        """The samples from ``start`` to ``stop`` as spans of the clips."""
        return tuple(
            Span(utterance, max(start, first) - first, min(stop, last) - first)
            for utterance, first, last in zip(
                self._utterances, self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True
            )
            if max(start, first) < min(stop, last)
        )

    def cut_near(self, start: int, length: float, most: int) -> tuple[int, int]:
        """Find the end of a part that begins at ``start``.

        The part has about ``length`` samples, at most ``most``.

        Of the possible cuts the one that drops least speech is taken, then the one nearest to
        ``length``. A cut at the end of a clip drops nothing; a cut within a clip drops the half
        second of the gap.

        Returns
        -------
        Where the part stops, and where the next one starts.
        """
        ideal = start + length
        low, high = ideal - _SLACK * length, min(ideal + _SLACK * length, start + most)
        cuts = [(0, int(end), int(end)) for end in self._starts[1:-1]]
        for first, speech in zip(self._starts[:-1], self._speech, strict=True):
            dropped = np.convolve(speech, np.ones(_GAP_FRAMES, dtype=int), mode="valid")
            cuts += [
                (count, int(first) + frame * HOP_SAMPLES, int(first) + (frame + _GAP_FRAMES) * HOP_SAMPLES)
                for frame, count in enumerate(dropped.tolist())
                if (frame + _GAP_FRAMES) < len(speech)
            ]
        within = [cut for cut in cuts if low <= cut[1] <= high]
        _, stop, next_start = min(within, key=lambda cut: (cut[0], abs(cut[1] - ideal)))
        return stop, next_start
