"""The audio of an evaluation: the enrolled speakers, the parts of their recordings, the trials."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from saic import audio
from saic.data.left_out import LeftOut, reason_of
from saic.data.manifest import Clip, clips_by_speaker
from saic.errors import AudioError
from saic.evaluation.data import trials
from saic.evaluation.data.codec import round_trip
from saic.evaluation.evaluators.normalizer import ENGLISH
from saic.evaluation.protocols import StepCallback
from saic.signal.vad import require_speech, require_varied

TARGETS_PER_SEX = 2
QUICK_SPEAKERS = 12
QUICK_TARGETS_PER_SEX = 1
MIN_SPEECH_S = 1.0  # of each part

_CACHED_WAVS = 128  # all parts of 40 speakers: 120 MB at most

Codec = Callable[[np.ndarray], np.ndarray]


class EvaluationSet:
    """Speakers, trials and their audio.

    This base class is empty; subclasses fill ``parts`` and ``trials``.

    Attributes
    ----------
    parts
        Enrolled speaker to the parts of its audio.
    trials
        Trials, grouped by source speaker.
    left_out
        Reason to the number of speakers that are left out for it.
    unusable
        Utterances that cannot be decoded, by reason. Other clips of their speakers are used.
    languages
        Speaker to the language of the clips by the manifest, a code such as "sv-SE"; English where it
        states none. Several are joined by "+": no recognizer knows such a language.
    ages
        Speaker to age in years, or None.
    wav
        Function that maps a part to its (N,) audio: its spans end to end, after the codec. The
        latest results are cached.
    codec
        Applied to all audio: an MP3 round trip, or no codec if all of it is lossless.
    """

    def __init__(self, clips: Sequence[Clip], codec: Codec):
        self.codec = codec
        self.left_out: dict[str, int] = {}
        self.unusable = LeftOut()
        self.parts: dict[str, trials.SpeakerParts] = {}
        self.trials: list[trials.Trial] = []
        self.wav = lru_cache(maxsize=_CACHED_WAVS)(self._load)
        self._paths = {clip.utterance: clip.path for clip in clips}
        by_speaker = clips_by_speaker(clips)
        self.languages = {
            speaker: "+".join(sorted({clip.language or ENGLISH for clip in of_speaker}))
            for speaker, of_speaker in by_speaker.items()
        }
        self.ages = {speaker: of_speaker[0].age for speaker, of_speaker in by_speaker.items()}

    def n_samples(self, utterance: str) -> int:
        """Length of a clip, which the codec keeps."""
        return len(audio.load(self._paths[utterance]))

    def one_trial_per_source(self) -> list[trials.Trial]:
        """The first trial of each source speaker; its target is of the same sex if that is known."""
        first: dict[str, trials.Trial] = {}
        for trial in self.trials:
            first.setdefault(trial.source, trial)
        return list(first.values())

    def _load(self, part: trials.Part) -> np.ndarray:
        """``wav`` without its cache."""
        return self.codec(_join({span.utterance: audio.load(self._paths[span.utterance]) for span in part}, part))


class PartitionedSet(EvaluationSet):
    """Each speaker's audio is cut into the three parts of :mod:`saic.evaluation.data.trials`.

    ``left_out`` counts speakers with too little audio ("short"), and those with a part without
    speech or with a steady sound ("silent"), which the pipeline refuses.

    Parameters
    ----------
    quick
        12 speakers with one target of each sex, instead of all with two.
    """

    def __init__(
        self, clips: Sequence[Clip], *, seed: int, quick: bool, progress: StepCallback, codec: Codec = round_trip
    ):
        super().__init__(clips, codec)
        by_speaker = clips_by_speaker(clips)
        long = {
            speaker: of_speaker
            for speaker, of_speaker in by_speaker.items()
            if sum(clip.duration_s for clip in of_speaker) >= trials.MIN_SPEAKER_S
        }
        self.left_out = {"short": len(by_speaker) - len(long), "silent": 0}
        sexes = {speaker: of_speaker[0].sex for speaker, of_speaker in long.items()}
        chosen = trials.choose_speakers(sexes, QUICK_SPEAKERS, seed) if quick else sorted(long)
        for done, speaker in enumerate(chosen, start=1):
            self._add(long[speaker], seed)
            progress("prepare", done, len(chosen))
        per_sex = QUICK_TARGETS_PER_SEX if quick else TARGETS_PER_SEX
        self.trials = trials.assign_targets({name: sexes[name] for name in self.parts}, per_sex, seed)

    def _add(self, clips: Sequence[Clip], seed: int) -> None:
        """Enroll the speaker of the clips."""
        wavs = load_clips(clips, seed, self.unusable)
        if sum(map(len, wavs.values())) < trials.MIN_SPEAKER_S * audio.SAMPLE_RATE:
            self.left_out["short"] += 1  # the manifest's durations were too long
            return
        parts = trials.cut_parts(clips[0].speaker, clips[0].sex, wavs)
        try:
            for part in (parts.enrollment, parts.source, parts.reference):
                require_speech(_join(wavs, part), MIN_SPEECH_S)
                require_varied(self.wav(part))
        except AudioError:
            self.left_out["silent"] += 1
            return
        self.parts[parts.speaker] = parts


def load_clips(clips: Sequence[Clip], seed: int, unusable: LeftOut) -> dict[str, np.ndarray]:
    """Utterance to audio of a speaker's chosen clips (:func:`~saic.evaluation.data.trials.choose_clips`).

    Clips that cannot be decoded are counted in ``unusable``, and others are chosen for them.
    """
    loaded: dict[str, np.ndarray] = {}
    rest = list(clips)
    while rest:
        chosen, n_rest = trials.choose_clips(rest, seed), len(rest)
        for clip in chosen:
            try:
                if clip.utterance not in loaded:
                    loaded[clip.utterance] = audio.load(clip.path)
            except AudioError as error:
                unusable.add(reason_of(error), clip.utterance)
                rest.remove(clip)
        if len(rest) == n_rest:
            return {clip.utterance: loaded[clip.utterance] for clip in chosen}
    return {}


def _join(wavs: dict[str, np.ndarray], part: trials.Part) -> np.ndarray:
    return np.concatenate([wavs[span.utterance][span.start : span.stop] for span in part])
