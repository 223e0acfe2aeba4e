"""Equal error rates of three attackers who link anonymized speech to its speaker.

============  ====================  ===========================================================
attacker      enrolls               scores by
============  ====================  ===========================================================
``ignorant``  original speech       cosine of pretrained embeddings
``lazy``      anonymized speech     cosine of pretrained embeddings
``semi``      anonymized speech     PLDA of the same embeddings, trained on anonymized speech
                                    of other speakers
============  ====================  ===========================================================

The attackers are those of the VoicePrivacy Challenge (ignorant, lazy-informed and semi-informed;
results of 2020, arXiv:2109.00648; the evaluation plan of 2024, arXiv:2404.02677, ranks by the
last). Unlike there, the semi-informed attacker does not train a speaker encoder but only a PLDA, so
a stronger attacker is possible.

Every recording is anonymized to a random target of its own. A pair is excluded if the trial was
converted to the voice of the enrolled recording (its target or, if it is original speech, its
speaker): such a pair is similar because of the voice, whoever speaks. Outputs without speech are
excluded.

The EER of an attacker is meaningful only if its EER on original speech is low, see :func:`claims`.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from saic import audio
from saic.data.left_out import LeftOut
from saic.data.manifest import Clip
from saic.errors import DataError, SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data import trials
from saic.evaluation.data.codec import round_trip
from saic.evaluation.data.evaluation_set import MIN_SPEECH_S, EvaluationSet, clips_by_speaker, load_clips
from saic.evaluation.evaluators.embedders import Embedder
from saic.evaluation.measures.plda import Plda
from saic.evaluation.metrics import Estimates
from saic.evaluation.protocols import StepCallback
from saic.evaluation.systems import MAIN_SYSTEMS, SYSTEMS, SystemOutputs, audio_key
from saic.signal.vad import require_speech

MAX_ORIGINAL_PERCENT = 10.0
TRAIN_SPEAKERS = 200
TRAIN_PARTS = 3
TRAIN_PART_S = 3.5  # three of them, with gaps, fit into 11.5 s
_log = logging.getLogger(__name__)

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(R, E) and (C, E) embeddings to (R, C) scores, higher is more similar."""


@dataclass(frozen=True)
class EmbeddingSet:
    """Embeddings of the recordings on one side of the trials.

    Attributes
    ----------
    embeddings
        (n, E).
    speakers
        (n,) true speakers.
    voices
        (n,) whose voice the recording has: its target if it was converted; else its speaker in an
        enrollment, and "" in a trial, which is then never excluded.
    """

    embeddings: np.ndarray
    speakers: tuple[str, ...]
    voices: tuple[str, ...]


@dataclass(frozen=True)
class ScoreMatrix:
    """Scores of an attacker.

    Attributes
    ----------
    scores
        (R, C), NaN for excluded pairs.
    enrolled_speakers, trial_speakers
        (R,) and (C,) true speakers.
    """

    scores: np.ndarray
    enrolled_speakers: tuple[str, ...]
    trial_speakers: tuple[str, ...]

    def same_and_different(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores of same-speaker and of different-speaker pairs, as ``metrics.det_curve`` takes."""
        is_same = _equal(self.enrolled_speakers, self.trial_speakers)
        counts = ~np.isnan(self.scores)
        return self.scores[is_same & counts], self.scores[~is_same & counts]


@dataclass(frozen=True)
class PrivacyResult:
    """``estimates``: system, embedder, figure to estimate.

    ``scores``: system, embedder, attacker to score matrix.
    """

    estimates: dict[str, dict[str, Estimates]]
    scores: dict[str, dict[str, dict[str, ScoreMatrix]]]


def measure(
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    embedders: Sequence[Embedder],
    *,
    seed: int,
    progress: StepCallback,
    train: Sequence[Clip] = (),
) -> PrivacyResult:
    """Run the attackers on all systems.

    Parameters
    ----------
    embedders
        Each has its own attackers. None is used in training.
    train
        Clips for training the semi-informed attacker, each anonymized to the voice of another
        speaker of these clips. Clips of speakers of the dataset are left out. The attacker runs on
        systems with ``trains_attacker``. Without clips there is no such attacker.

    Returns
    -------
    Figures ``eer_ATTACKER``, and beside each ``eer_original_ATTACKER``, the same attacker on
    original speech. Each also as ``..._same_sex``, over same-sex pairs only, which are harder to
    distinguish.

    Raises
    ------
    DataError
        Too few clips to train with.
    """
    others = [clip for clip in train if clip.speaker not in dataset.parts]
    material = train_material(others, seed) if train else {}
    embedder = _TrialEmbedder(dataset, outputs, embedders, seed, progress)
    originals = embedder.enrollments("real")
    scores: dict[str, dict[str, dict[str, ScoreMatrix]]] = {}
    for system in MAIN_SYSTEMS:
        tested = embedder.trials(system)
        enrolled = originals if system == "real" else embedder.enrollments(system)
        back_ends = embedder.train_back_ends(system, material) if material and SYSTEMS[system].trains_attacker else {}
        scores[system] = {
            name: {
                "ignorant": compare(originals[name], tested[name]),
                "lazy": compare(enrolled[name], tested[name]),
            }
            | ({"semi": compare(enrolled[name], tested[name], back_ends[name].compare)} if back_ends else {})
            for name in tested
        }
    sexes = {speaker: parts.sex for speaker, parts in dataset.parts.items()}
    estimates = {
        system: {name: estimate(attacks, sexes, seed=seed) for name, attacks in of_system.items()}
        for system, of_system in scores.items()
    }
    return PrivacyResult(
        {
            system: {
                name: figures | {_on_original(figure): estimates["real"][name][figure] for figure in figures}
                for name, figures in of_system.items()
            }
            for system, of_system in estimates.items()
        },
        scores,
    )


def estimate(attacks: Mapping[str, ScoreMatrix], sexes: Mapping[str, str | None], *, seed: int) -> Estimates:
    """Equal error rate of each attacker, over all pairs and over same-sex pairs of known sex."""
    estimates = {}
    for attacker, matrix in attacks.items():
        sides = matrix.enrolled_speakers, matrix.trial_speakers
        enrolled_sexes, trial_sexes = ([sexes[name] or "unknown" for name in side] for side in sides)
        same_sex = _equal(enrolled_sexes, trial_sexes) & ~_equal(enrolled_sexes, ["unknown"])
        for suffix, scores in (("", matrix.scores), ("_same_sex", np.where(same_sex, matrix.scores, np.nan))):
            estimates[f"eer_{attacker}{suffix}"] = metrics.estimate_eer(scores, *sides, seed=seed)
    return estimates


def claims(estimates: Estimates) -> dict[str, bool]:
    """Which figures of a system, by one embedder, may support a privacy claim.

    An attacker with an EER above 10 % on original speech is too weak to show anything about
    anonymized speech.
    """
    return {
        name: (percent := estimates[_on_original(name)].value) is not None and percent <= MAX_ORIGINAL_PERCENT
        for name in estimates
        if _on_original(name) in estimates
    }


def enrollment_targets(tested: Sequence[trials.Trial], seed: int) -> dict[str, str]:
    """Random target of each speaker's enrollment, which is no target in the speaker's trials.

    If all others are targets in the speaker's trials, it is any of them: pairs with the same voice
    are excluded anyway.
    """
    speakers = sorted({trial.source for trial in tested})
    rng = np.random.default_rng([seed, 2])
    targets = {}
    for speaker in speakers:
        used = {trial.target for trial in tested if trial.source == speaker}
        others = [other for other in speakers if other != speaker]
        targets[speaker] = str(rng.choice([other for other in others if other not in used] or others))
    return targets


def compare(enrolled: EmbeddingSet, tested: EmbeddingSet, score: Score | None = None) -> ScoreMatrix:
    """Score all pairs, by default by cosine; pairs with the same voice are excluded."""
    scores = np.empty((len(enrolled.speakers), len(tested.speakers)))
    if scores.size:
        scores = score(enrolled.embeddings, tested.embeddings) if score else enrolled.embeddings @ tested.embeddings.T
    scores = np.where(_equal(enrolled.voices, tested.voices), np.nan, scores)
    return ScoreMatrix(scores, enrolled.speakers, tested.speakers)


def train_material(
    clips: Sequence[Clip], seed: int, *, n_speakers: int = TRAIN_SPEAKERS, parts_per_speaker: int = TRAIN_PARTS
) -> dict[str, list[np.ndarray]]:
    """Cut parts of 3.5 s, half a second apart, from the clips of training speakers.

    Parts come from as many clips of a speaker as possible; a speaker with fewer than two parts is
    left out. Clips that cannot be decoded are left out, and their number and names are logged;
    others of their speaker are used.

    Returns
    -------
    Speaker to (56,000,) wavs, after the codec.

    Raises
    ------
    DataError
        Fewer than two speakers.
    """
    by_speaker, unusable = clips_by_speaker(clips), LeftOut()
    length, gap = (round(seconds * audio.SAMPLE_RATE) for seconds in (TRAIN_PART_S, trials.GAP_S))
    material = {}
    sexes = {speaker: of_speaker[0].sex for speaker, of_speaker in by_speaker.items()}
    for speaker in trials.choose_speakers(sexes, n_speakers, seed) if sexes else ():
        wavs = list(load_clips(by_speaker[speaker], seed, unusable).values())
        starts = range(0, max(map(len, wavs), default=0) - length + 1, length + gap)
        parts: list[np.ndarray] = []
        for part in (wav[start : start + length] for start in starts for wav in wavs if start + length <= len(wav)):
            with suppress(SilentAudio, TooShort):
                require_speech(part, MIN_SPEECH_S)
                parts.append(part)
        if len(parts) >= 2:
            material[speaker] = [round_trip(part) for part in parts[:parts_per_speaker]]
    if unusable:
        _log.warning("Training speech of the semi-informed attacker: %s", unusable.listing())
    if len(material) < 2:
        raise DataError("The semi-informed attacker needs training speech of at least two speakers.")
    return material


def _equal(one: Sequence[str], other: Sequence[str]) -> np.ndarray:
    """(R, C) bool: which names of two lists are equal."""
    return np.equal.outer(np.array(one, dtype=str), np.array(other, dtype=str))


def _on_original(name: str) -> str:
    """Name of the same attacker's figure on original speech."""
    return name.replace("eer_", "eer_original_", 1)


class _TrialEmbedder:
    """Embeds both sides of the trials with every embedder.

    Results map the embedder's name to its embeddings.
    """

    def __init__(
        self,
        dataset: EvaluationSet,
        outputs: SystemOutputs,
        embedders: Sequence[Embedder],
        seed: int,
        progress: StepCallback,
    ):
        self._dataset, self._outputs, self._embedders = dataset, outputs, embedders
        self._seed, self._progress = seed, progress
        self._targets = enrollment_targets(dataset.trials, seed)

    def trials(self, system: str) -> dict[str, EmbeddingSet]:
        """Embed the outputs of a system for the trials."""
        converted = "target" in SYSTEMS[system].depends_on
        tested = self._dataset.trials if converted else self._dataset.one_trial_per_source()
        keys = {trial: audio_key(system, trial) for trial in tested}
        distinct = {key: trial for trial, key in keys.items()}
        wavs = ((key, self._outputs.of_trial(system, trial)) for key, trial in distinct.items())
        rows = [(key, trial.source, trial.target if converted else "") for trial, key in keys.items()]
        return {
            name: _embedding_set(embedded, rows)
            for name, embedded in self._embed(f"attack {system}", wavs, len(distinct)).items()
        }

    def enrollments(self, system: str) -> dict[str, EmbeddingSet]:
        """Embed the outputs of a system for the enrollment parts, each with a target of its own."""
        parts, wav, converted = self._dataset.parts, self._dataset.wav, "target" in SYSTEMS[system].depends_on
        wavs = (
            (name, self._outputs.of_audio(system, wav(parts[name].enrollment), wav(parts[target].reference)))
            for name, target in self._targets.items()
        )
        rows = [(speaker, speaker, target if converted else speaker) for speaker, target in self._targets.items()]
        return {
            name: _embedding_set(embedded, rows)
            for name, embedded in self._embed(f"enroll {system}", wavs, len(parts)).items()
        }

    def train_back_ends(self, system: str, material: Mapping[str, list[np.ndarray]]) -> dict[str, Plda]:
        """Train a PLDA for each embedder on the outputs of a system for training speech."""
        rng, conversions = np.random.default_rng([self._seed, 3]), []
        for speaker, parts in material.items():
            others = [other for other in material if other != speaker]
            drawn = rng.choice(len(others), size=len(parts), replace=len(others) < len(parts))
            conversions += [((speaker, i), part, others[drawn[i]]) for i, part in enumerate(parts)]
        wavs = (
            (key, self._outputs.of_audio(system, part, np.concatenate(material[target])))
            for key, part, target in conversions
        )
        return {
            name: Plda(np.array(list(embedded.values())), [speaker for speaker, _ in embedded])
            for name, embedded in self._embed(f"train attacker on {system}", wavs, len(conversions)).items()
        }

    def _embed(
        self, stage: str, wavs: Iterable[tuple[Any, np.ndarray]], total: int
    ) -> dict[str, dict[Any, np.ndarray]]:
        """Name of the embedder to key to embedding; wavs without speech are left out."""
        embedded: dict[str, dict[Any, np.ndarray]] = {embedder.name: {} for embedder in self._embedders}
        for done, (key, wav) in enumerate(wavs, start=1):
            for embedder in self._embedders:
                with suppress(SilentAudio, TooShort):
                    embedded[embedder.name][key] = embedder.embed(wav)
            self._progress(stage, done, total)
        return embedded


def _embedding_set(embedded: Mapping[Any, np.ndarray], rows: Sequence[tuple[Any, str, str]]) -> EmbeddingSet:
    """The rows (key, speaker, voice) whose key was embedded."""
    kept = [row for row in rows if row[0] in embedded]
    speakers, voices = (tuple(row[i] for row in kept) for i in (1, 2))
    return EmbeddingSet(np.array([embedded[key] for key, _, _ in kept]), speakers, voices)
