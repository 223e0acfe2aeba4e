"""The speakers and trials of the paper's protocol, see :mod:`saic.evaluation.paper`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from saic import audio
from saic.audio import SAMPLE_RATE
from saic.data.corpora import TEST, TRAIN
from saic.data.left_out import reason_of
from saic.data.manifest import Clip, clips_by_speaker
from saic.errors import AudioError, DataError, NotSpeech, SilentAudio, TooShort
from saic.evaluation.data.codec import lossless
from saic.evaluation.data.evaluation_set import MIN_SPEECH_S, EvaluationSet, PartitionedSet
from saic.evaluation.data.trials import (
    MAX_PART_S,
    Part,
    Span,
    SpeakerParts,
    Trial,
    assert_disjoint,
    choose_clips,
)
from saic.evaluation.protocols import StepCallback
from saic.signal.vad import require_speech, require_varied


class PaperSet(EvaluationSet):
    """The speakers with recordings in both splits, each converted to one other.

    ``left_out`` counts speakers with recordings in one split only ("one_split"), and those without
    speech ("silent"). ``unusable`` lists the utterances that cannot be decoded; other recordings of
    their speakers are used.
    """

    def __init__(self, clips: Sequence[Clip], *, seed: int, progress: StepCallback):
        super().__init__(clips, lossless)
        train, test = (clips_by_speaker([clip for clip in clips if clip.split == name]) for name in (TRAIN, TEST))
        speakers = sorted(train.keys() & test.keys())
        self.left_out = {"one_split": len(train.keys() | test.keys()) - len(speakers), "silent": 0}
        for done, speaker in enumerate(speakers, start=1):
            self._add(train[speaker], test[speaker], seed)
            progress("prepare", done, len(speakers))
        if len(self.parts) < 2:
            raise DataError(
                "The paper's protocol needs at least two speakers with speech in both the 'train' and the 'test' split."
                " Make such splits with: python -m train.prepare VOXCELEB1 --identification. Or name one split:"
                " --split train."
            )
        self.trials = one_target_each({name: part.sex for name, part in self.parts.items()}, seed)

    def _add(self, train: Sequence[Clip], test: Sequence[Clip], seed: int) -> None:
        """Enroll a speaker.

        Source and reference are the first two test clips with speech, or the only one.
        """
        enrollment = _with_speech(self._decoded(train, seed))
        parts = (_with_speech([recording]) for recording in self._decoded(test, seed))
        tested = list(islice(filter(None, parts), 2))
        if not tested or not enrollment:
            self.left_out["silent"] += 1
            return
        for part in tested:
            assert_disjoint(enrollment, part)
        speaker = train[0].speaker
        self.parts[speaker] = SpeakerParts(speaker, train[0].sex, enrollment, tested[0], tested[-1])

    def _decoded(self, clips: Sequence[Clip], seed: int) -> Iterator[tuple[str, np.ndarray]]:
        """Utterances and wavs of a speaker's clips that can be decoded, the chosen ones first."""
        chosen = choose_clips(clips, seed)
        for clip in [*chosen, *(clip for clip in clips if clip not in chosen)]:
            try:
                wav = audio.load(clip.path)
            except AudioError as error:
                self.unusable.add(reason_of(error), clip.utterance)
            else:
                yield clip.utterance, wav


class OneSplitSet(PartitionedSet):
    """The speakers of one split with 8 s of audio or more, in three parts each, each converted to one other."""

    def __init__(self, clips: Sequence[Clip], *, seed: int, progress: StepCallback):
        super().__init__(clips, seed=seed, quick=False, progress=progress)
        self.trials = one_target_each({name: parts.sex for name, parts in self.parts.items()}, seed)


def enrolled_and_tested_by_one_clip(parts: SpeakerParts) -> bool:
    """Whether the enrollment shares a recording, though no sample, with source or reference."""
    tested = {span.utterance for span in (*parts.source, *parts.reference)}
    return any(span.utterance in tested for span in parts.enrollment)


def one_target_each(sexes: Mapping[str, str | None], seed: int) -> list[Trial]:
    """Assign a target to each speaker: the next one in a circular random order.

    Each speaker is the target once. A trial with a speaker of unknown sex is of neither kind.
    """
    order = np.random.default_rng(seed).permutation(sorted(sexes)).tolist()
    pairs = zip(order, [*order[1:], order[0]], strict=True)
    trials = (Trial(i, j, None if None in (sexes[i], sexes[j]) else sexes[i] == sexes[j]) for i, j in pairs)
    return sorted(trials, key=lambda trial: trial.source)


def _with_speech(recordings: Iterable[tuple[str, np.ndarray]]) -> Part:
    """Recordings (utterance, wav) end to end, up to 15 s; empty if they have too little speech."""
    part, wavs, left = [], [], round(MAX_PART_S * SAMPLE_RATE)
    for utterance, wav in recordings:
        wavs.append(wav[:left])
        part.append(Span(utterance, 0, len(wavs[-1])))
        left -= len(wavs[-1])
        if not left:
            break
    try:
        if wavs:
            require_speech(np.concatenate(wavs), MIN_SPEECH_S)
            require_varied(np.concatenate(wavs))
    except (SilentAudio, TooShort, NotSpeech):
        return ()
    return tuple(part)
