"""Recordings of the linkage evaluation: training material of the attackers, and the trials.

A clip is cut into *recordings* of at most 10 s, each converted by itself. A converted recording is
cut into *segments* of about 5 s, of which attackers measure one vector each. A *side* of a trial,
enrollment or test, is 5, 15 or 28 s of segments of one speaker, or all that there are. Both sides
are of different clips, and of different sessions if the corpus states them.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from saic.data.manifest import Clip

LENGTHS_S = (5, 15, 28)
ALL = "all"
MAX_RECORDING_S = 10.0
SEGMENT_S = 5.0
MIN_RECORDING_S = 2.0
MAX_CHILD_AGE = 14
MAX_TEST_SIDES = 3  # per speaker and length
TRAIN_RECORDINGS = 3  # per speaker

_TOLERANCE_S = 0.5  # a side may be shorter by this

Length = int | str
"""Seconds on a side of a trial, or `ALL`: every segment of a speaker's half."""


def length_name(length: Length) -> str:
    """The end of a figure's name: "15s" or "all"."""
    return ALL if length == ALL else f"{length}s"


@dataclass(frozen=True)
class Recording:
    """One of ``of`` equal parts of a clip."""

    clip: Clip
    index: int
    of: int

    @property
    def seconds(self) -> float:
        """Duration in s by the manifest."""
        return self.clip.duration_s / self.of

    @property
    def n_segments(self) -> int:
        """Number of segments that its conversion is cut into."""
        return max(1, round(self.seconds / SEGMENT_S))


@dataclass(frozen=True)
class Side:
    """Segments of one speaker: pairs (recording, index of the segment)."""

    speaker: str
    segments: tuple[tuple[Recording, int], ...]

    @property
    def seconds(self) -> float:
        """Duration in s by the manifest."""
        return sum(recording.seconds / recording.n_segments for recording, _ in self.segments)

    @property
    def clips(self) -> list[Clip]:
        """The clips that its segments are of, each once."""
        return list(dict.fromkeys(recording.clip for recording, _ in self.segments))


@dataclass(frozen=True)
class TrialSet:
    """All trials of one length: each enrolled speaker against each test side.

    Attributes
    ----------
    enrollments
        One per speaker.
    tests
        Up to three per speaker, see :func:`trial_set`.
    """

    enrollments: tuple[Side, ...]
    tests: tuple[Side, ...]

    @property
    def speakers(self) -> tuple[list[str], list[str]]:
        """The speakers of the (R,) enrollments and of the (C,) tests."""
        return [side.speaker for side in self.enrollments], [side.speaker for side in self.tests]

    @property
    def recordings(self) -> list[Recording]:
        """All recordings, each once."""
        sides = (*self.enrollments, *self.tests)
        return list(dict.fromkeys(recording for side in sides for recording, _ in side.segments))

    @property
    def median_s(self) -> float:
        """Median duration of a side in s."""
        return float(np.median([side.seconds for side in (*self.enrollments, *self.tests)]))


@dataclass(frozen=True)
class Speakers:
    """Clips by speaker, with what is known of each speaker.

    Names of speakers are ``corpus/speaker``, since two corpora may use the same.
    """

    clips: Mapping[str, Sequence[Clip]]

    @classmethod
    def of(cls, corpora: Mapping[str, Sequence[Clip]]) -> "Speakers":
        """Collect the clips of several corpora, given by name."""
        clips: dict[str, list[Clip]] = {}
        for corpus, of_corpus in corpora.items():
            for clip in of_corpus:
                clips.setdefault(f"{corpus}/{clip.speaker}", []).append(clip)
        return cls(clips)

    def corpus(self, speaker: str) -> str:
        """Name of the speaker's corpus."""
        return speaker.partition("/")[0]

    def sex(self, speaker: str) -> str | None:
        """ "F", "M" or None."""
        return self.clips[speaker][0].sex

    def is_child(self, speaker: str) -> bool:
        """Whether the speaker is at most 14 by the manifest."""
        age = self.clips[speaker][0].age
        return age is not None and age <= MAX_CHILD_AGE

    def age_group(self, speaker: str) -> str | None:
        """ "child", "adult" or None."""
        return None if self.clips[speaker][0].age is None else "child" if self.is_child(speaker) else "adult"

    def has_sessions(self, speaker: str) -> bool:
        """Whether the manifest states several sessions, so that both sides of a trial are of different ones."""
        return len({clip.session for clip in self.clips[speaker]} - {None}) > 1

    def part(self, speaker: str) -> str:
        """Row of the report that the speaker belongs to: the corpus, children apart."""
        return self.corpus(speaker) + " children" * self.is_child(speaker)


def cut_clip(clip: Clip) -> list[Recording]:
    """The recordings of a clip; none if it is shorter than 2 s."""
    if clip.duration_s < MIN_RECORDING_S:
        return []
    of = math.ceil(clip.duration_s / MAX_RECORDING_S)
    return [Recording(clip, index, of) for index in range(of)]


def training_recordings(
    speakers: Speakers, n_speakers: int | None, seed: int, n_recordings: int = TRAIN_RECORDINGS
) -> dict[str, list[Recording]]:
    """Up to ``n_recordings`` recordings of each training speaker, of as many clips as possible.

    Speakers with fewer than two recordings are left out.

    Parameters
    ----------
    n_speakers
        Number of speakers, of each corpus in proportion; None takes all.
    """
    rng = np.random.default_rng([seed, 10])
    chosen = {}
    for speaker in rng.permutation(sorted(speakers.clips)).tolist():
        per_clip = [cut_clip(clip) for clip in speakers.clips[speaker]]
        # The first recording of each clip, then the second of each, and so on.
        in_turn = [recording for turn in zip_longest(*per_clip) for recording in turn if recording is not None]
        if len(in_turn) >= 2:
            chosen[speaker] = in_turn[:n_recordings]
        if len(chosen) == n_speakers:
            break
    return chosen


def choose_speakers(speakers: Speakers, n_speakers: int, lengths: Sequence[Length], seed: int) -> Speakers:
    """At most ``n_speakers`` by the seed, for a test run.

    They have trials of the longest length that ``n_speakers`` speakers have. Each part, and each sex
    in it, is represented in proportion. Speakers are taken two at a time, since pairs of different
    speakers count only within a part and sex.
    """
    able = list(speakers.clips)
    for length in lengths:
        with_trials, _ = trial_set(speakers, length, seed).speakers
        able = with_trials if len(with_trials) >= n_speakers else able
    groups: dict[tuple[str, str | None], list[str]] = {}
    for speaker in np.random.default_rng([seed, 12]).permutation(sorted(able)).tolist():
        groups.setdefault((speakers.part(speaker), speakers.sex(speaker)), []).append(speaker)
    # Place of the speaker's pair in its group, from 0 to 1.
    places = {speaker: (k // 2 + 0.5) / len(group) for group in groups.values() for k, speaker in enumerate(group)}
    chosen = set(sorted(places, key=places.__getitem__)[:n_speakers])
    return Speakers({speaker: clips for speaker, clips in speakers.clips.items() if speaker in chosen})


def trial_set(speakers: Speakers, length: Length, seed: int, n_tests: int = MAX_TEST_SIDES) -> TrialSet:
    """The trials of one length, with up to ``n_tests`` test sides of each speaker.

    The clips of a speaker are divided into two halves of about equal duration. If they are of two
    sessions or more, they are divided by session, and clips without one are left out. Speakers with
    less than ``length`` in a half are left out. `ALL` takes each half whole; then speakers with a half
    without recordings are left out.
    """
    enrollments, tests = [], []
    for speaker in sorted(speakers.clips):
        one, other = _halves(speakers.clips[speaker], seed)
        enrolled, tested = _sides(speaker, one, length), _sides(speaker, other, length)
        if enrolled and tested:
            enrollments.append(enrolled[0])
            tests += tested[:n_tests]
    return TrialSet(tuple(enrollments), tuple(tests))


def folds(speakers: Sequence[str], n_folds: int, seed: int) -> dict[str, int]:
    """Speaker to fold, the speakers of each corpus spread evenly over the folds."""
    rng = np.random.default_rng([seed, 11])
    shuffled = sorted(rng.permutation(sorted(speakers)).tolist(), key=lambda speaker: speaker.split("/")[0])
    return {speaker: place % n_folds for place, speaker in enumerate(shuffled)}


def _halves(clips: Sequence[Clip], seed: int) -> tuple[list[Clip], list[Clip]]:
    sessions = sorted({clip.session for clip in clips if clip.session is not None})
    if len(sessions) > 1:
        one, other = ([clip for clip in clips if clip.session in of_half] for of_half in (sessions[:1], sessions[1:]))
        return one, other
    rng = np.random.default_rng([seed, zlib.crc32(clips[0].speaker.encode(errors="surrogateescape"))])
    halves: tuple[list[Clip], list[Clip]] = ([], [])
    seconds = [0.0, 0.0]
    order = [clips[i] for i in rng.permutation(len(clips))]
    for clip in sorted(order, key=lambda clip: -clip.duration_s):  # longest first to the shorter half
        half = int(seconds[1] < seconds[0])
        halves[half].append(clip)
        seconds[half] += clip.duration_s
    return halves


def _sides(speaker: str, clips: Sequence[Clip], length: Length) -> list[Side]:
    """As many sides as the clips give, one after the other; one of all for `ALL`."""
    sides, segments, seconds = [], [], 0.0
    needed = math.inf if length == ALL else length - _TOLERANCE_S
    for clip in sorted(clips, key=lambda clip: clip.utterance):
        for recording in cut_clip(clip):
            for index in range(recording.n_segments):
                segments.append((recording, index))
                seconds += recording.seconds / recording.n_segments
                if seconds >= needed:
                    sides.append(Side(speaker, tuple(segments)))
                    segments, seconds = [], 0.0
    return [Side(speaker, tuple(segments))] if length == ALL and segments else sides
