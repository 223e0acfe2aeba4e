"""Which samples play which part, and who is converted to whom. Pure and seeded.

A speaker's clips are laid end to end in a seeded order and cut into three parts::

    | enrolment (40 %) | gap | source | gap | reference |      each at most 15 s

No sample has two parts. Below 12 s of audio three parts would be too short to tell a voice by: there the
source part is the reference part as well. Within a trial they are still disjoint, since a trial takes its
source from one speaker and its reference from another.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.data.manifest import Clip
from saic.errors import DataError
from saic.signal.mel import HOP_SAMPLES
from saic.signal.vad import speech_frames

MIN_GALLERY_S = 8.0  # speakers with less audio stay out
MAX_PART_S = 15.0
THREE_PARTS_S = 12.0
ENROLMENT_SHARE = 0.4
GAP_S = 0.5

_SLACK = 0.2  # a cut may lie this share of a part's length away from where it should
_GAP_FRAMES = round(GAP_S * SAMPLE_RATE) // HOP_SAMPLES


@dataclass(frozen=True)
class Span:
    """Samples ``start`` to ``stop`` (16 kHz, stop excluded) of one clip."""

    utterance: str
    start: int
    stop: int


Part = tuple[Span, ...]


@dataclass(frozen=True)
class Parts:
    """What each stretch of a speaker's audio is used for."""

    speaker: str
    sex: str | None
    enrolment: Part
    source: Part
    reference: Part


@dataclass(frozen=True)
class Trial:
    """Convert the source part of one speaker to the reference of another. same_sex is None if unknown."""

    source: str
    target: str
    same_sex: bool | None


def choose_clips(clips: Sequence[Clip], seed: int) -> list[Clip]:
    """The clips of one speaker in a seeded order, as many as three full parts need."""
    by_name = sorted(clips, key=lambda clip: clip.utterance)
    chosen, total_s = [], 0.0
    for index in _speaker_generator(seed, by_name[0].speaker).permutation(len(by_name)):
        if total_s >= 3 * MAX_PART_S + 2 * GAP_S:
            break
        chosen.append(by_name[index])
        total_s += by_name[index].duration_s
    return chosen


def choose_speakers(sexes: Mapping[str, str | None], count: int, seed: int) -> list[str]:
    """At most ``count`` speakers, as many of each sex as there are, in a seeded choice."""
    groups = list(_shuffled_groups(sexes, seed).values())
    turns = [group[turn] for turn in range(max(map(len, groups))) for group in groups if turn < len(group)]
    return sorted(turns[:count])


def cut(speaker: str, sex: str | None, wavs: Mapping[str, np.ndarray]) -> Parts:
    """Cut a speaker's audio into the three parts.

    Parameters
    ----------
    wavs
        Utterance to (N,) float32 at 16 kHz, in the order in which they are to be laid end to end.

    Raises
    ------
    DataError
        Less than 8 s.
    """
    tape = _Tape(wavs)
    if tape.samples < MIN_GALLERY_S * SAMPLE_RATE:
        raise DataError(f"A speaker needs at least {MIN_GALLERY_S:g} s of audio.")
    most = round(MAX_PART_S * SAMPLE_RATE)
    enrolment_stop, source_start = tape.cut_near(0, min(most, ENROLMENT_SHARE * tape.samples), most)
    if tape.samples < THREE_PARTS_S * SAMPLE_RATE:
        source_stop, reference_start, reference_stop = tape.samples, source_start, tape.samples
    else:
        rest = tape.samples - source_start
        source_stop, reference_start = tape.cut_near(source_start, min(most, rest / 2), most)
        reference_stop = tape.samples
        if reference_stop - reference_start > most:
            reference_stop, _ = tape.cut_near(reference_start, most, most)
    parts = Parts(
        speaker=speaker,
        sex=sex,
        enrolment=tape.spans(0, enrolment_stop),
        source=tape.spans(source_start, source_stop),
        reference=tape.spans(reference_start, reference_stop),
    )
    assert_disjoint(parts.enrolment, parts.source)
    assert_disjoint(parts.enrolment, parts.reference)
    if parts.source != parts.reference:
        assert_disjoint(parts.source, parts.reference)
    return parts


def assert_disjoint(one: Part, other: Part) -> None:
    """Raise AssertionError unless the parts lie half a second apart wherever they share a clip."""
    gap = _GAP_FRAMES * HOP_SAMPLES
    for a in one:
        for b in other:
            # Not an assert statement: python -O must not switch this off.
            if a.utterance == b.utterance and a.start < b.stop + gap and b.start < a.stop + gap:
                raise AssertionError("Two parts of one evaluation share audio, or lie too close.")


def assign_targets(sexes: Mapping[str, str | None], per_sex: int, seed: int) -> list[Trial]:
    """Give each speaker ``per_sex`` targets of its own sex and as many of the other.

    Within a sex everyone is targeted equally often; across sexes, equally often within one. Where a sex has
    too few speakers there are fewer targets. If the sex of anyone is unknown, sex is left aside for all:
    everyone gets 2 x ``per_sex`` targets, equally often targeted.

    Parameters
    ----------
    sexes
        Speaker to "F", "M" or None.

    Returns
    -------
    Trials, grouped by source speaker.
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
        # Everyone steps the same distance round a circle: each is reached once a step, nobody meets himself.
        steps = 1 + rng.permutation(len(group) - 1)[:per_group]
        others = [speaker for label, other in groups.items() if label != sex for speaker in other]
        for place, source in enumerate(group):
            same = [group[(place + step) % len(group)] for step in steps]
            # Dealt out in turn like cards, so that no two of the other sex differ by more than one.
            crossed = [others[(place * per_group + deal) % len(others)] for deal in range(min(per_group, len(others)))]
            trials += [Trial(source, target, None if sex is None else True) for target in same]
            trials += [Trial(source, target, False) for target in crossed]
    return sorted(trials, key=lambda trial: trial.source)


def _speaker_generator(seed: int, speaker: str) -> np.random.Generator:
    """Generator of one speaker, which doesn't depend on who else is in the data."""
    return np.random.default_rng([seed, zlib.crc32(speaker.encode())])


def _shuffled_groups(sexes: Mapping[str, str | None], seed: int) -> dict[str | None, list[str]]:
    rng = np.random.default_rng(seed)
    groups: dict[str | None, list[str]] = {}
    for speaker in rng.permutation(sorted(sexes)).tolist():
        groups.setdefault(sexes[speaker], []).append(speaker)
    return groups


class _Tape:
    """A speaker's clips laid end to end, addressed by one sample index."""

    def __init__(self, wavs: Mapping[str, np.ndarray]):
        self._utterances = list(wavs)
        self._starts = np.cumsum([0, *(len(wav) for wav in wavs.values())])
        self._speech = [speech_frames(wav) for wav in wavs.values()]
        self.samples = int(self._starts[-1])

    def spans(self, start: int, stop: int) -> Part:
        """The stretch from ``start`` to ``stop`` in terms of the clips."""
        return tuple(
            Span(utterance, max(start, first) - first, min(stop, last) - first)
            for utterance, first, last in zip(
                self._utterances, self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True
            )
            if max(start, first) < min(stop, last)
        )

    def cut_near(self, start: int, length: float, most: int) -> tuple[int, int]:
        """End a part that begins at ``start`` after about ``length`` samples and at most ``most``.

        Of the places within reach the one that loses least speech wins, then the nearest: an end of
        a clip loses nothing, a cut within one drops half a second around it.

        Returns
        -------
        Where the part stops, where the next one starts.
        """
        ideal = start + length
        low, high = ideal - _SLACK * length, min(ideal + _SLACK * length, start + most)
        places = [(0, int(end), int(end)) for end in self._starts[1:-1]]
        for first, speech in zip(self._starts[:-1], self._speech, strict=True):
            lost = np.convolve(speech, np.ones(_GAP_FRAMES, dtype=int), mode="valid")
            places += [
                (count, int(first) + frame * HOP_SAMPLES, int(first) + (frame + _GAP_FRAMES) * HOP_SAMPLES)
                for frame, count in enumerate(lost.tolist())
                if (frame + _GAP_FRAMES) < len(speech)
            ]
        within = [place for place in places if low <= place[1] <= high]
        _, stop, next_start = min(within, key=lambda place: (place[0], abs(place[1] - ideal)))
        return stop, next_start
