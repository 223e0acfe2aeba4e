"""Can anonymized speech be linked to its speaker? Equal error rates of three attackers, each of whom knows more.

============  ============================  =====================================================
attacker      enrols                        tells voices apart by
============  ============================  =====================================================
``ignorant``  original speech               cosine of pretrained embeddings
``lazy``      anonymized speech             the same
``semi``      anonymized speech             the same embeddings under a PLDA that was trained on
                                            anonymized speech of other speakers
============  ============================  =====================================================

The attack models are those of the VoicePrivacy Challenge (ignorant, lazy-informed and semi-informed; results of 2020,
arXiv:2109.00648; the evaluation plan of 2024, arXiv:2404.02677, ranks by the last). Unlike there the verifier behind
the semi-informed attacker is not trained anew but adapted, so a stronger one is possible.

Every recording is anonymized to a random target of its own. Whoever sounds like the target anyway says nothing
about the speaker: a pair in which both sides have one voice, by target or by nature, doesn't count. An output
without speech takes no part.

An attacker counts only beside what it does on original speech, see :func:`claims`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from saic import audio
from saic.data.manifest import Clip
from saic.errors import DataError, SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data import trials
from saic.evaluation.data.codec import round_trip
from saic.evaluation.data.evaluation_set import MIN_SPEECH_S, Corpus, Progress
from saic.evaluation.evaluators.embedders import Embedder
from saic.evaluation.measures.plda import Plda
from saic.evaluation.systems import HEARS, SYSTEMS, Systems
from saic.signal.vad import require_speech

MAX_ORIGINAL_PERCENT = 10.0
TRAIN_SPEAKERS = 200
TRAIN_PARTS = 3
TRAIN_PART_S = 3.5  # three of them, with gaps, fit into 11.5 s

_CONTROLS = ("vocoder", "reconstruction", "replay_target", "copy_source")  # not worth training an attacker on

Leaves = dict[str, dict[str, Any]]
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(R, E) and (C, E) embeddings to (R, C) scores, higher is more alike."""


@dataclass(frozen=True)
class Heard:
    """Embeddings (n, E) of recordings, who speaks in them, and whose voice each was given or kept ("": unknown)."""

    embeddings: np.ndarray
    speakers: tuple[str, ...]
    voices: tuple[str, ...]


@dataclass(frozen=True)
class Pairs:
    """What an attacker sees: ``scores`` (R, C) of enrolled and tried speakers, NaN for pairs that don't count."""

    scores: np.ndarray
    enrolled: tuple[str, ...]
    tried: tuple[str, ...]

    def same_and_different(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores of pairs of one speaker and of pairs of two, as :func:`saic.evaluation.metrics.det_curve` wants."""
        own = _equal(self.enrolled, self.tried)
        counts = ~np.isnan(self.scores)
        return self.scores[own & counts], self.scores[~own & counts]


@dataclass(frozen=True)
class Measured:
    """``figures``: system, embedder, figure to leaf. ``pairs``: system, embedder, attacker to pairs."""

    figures: dict[str, dict[str, Leaves]]
    pairs: dict[str, dict[str, dict[str, Pairs]]]


def measure(
    corpus: Corpus,
    systems: Systems,
    embedders: Sequence[Embedder],
    *,
    seed: int,
    progress: Progress,
    train: Sequence[Clip] = (),
) -> Measured:
    """Let the attackers try all systems.

    Parameters
    ----------
    embedders
        Judges that never trained the model.
    train
        Clips of speakers to train the semi-informed attacker with, and to anonymize to; speakers of the corpus are
        left out. It tries what anonymizes, and original speech. Without clips there is no such attacker.

    Returns
    -------
    Figures ``eer_ATTACKER``, and beside each ``eer_original_ATTACKER``, the same attacker on original speech. Each
    also as ``..._same_sex``: over pairs of one sex, which are harder to tell apart.

    Raises
    ------
    DataError
        Too few clips to train with.
    """
    material = train_material([clip for clip in train if clip.speaker not in corpus.parts], seed) if train else {}
    listener = _Listener(corpus, systems, embedders, seed, progress)
    originals = listener.enrolments("real")
    pairs: dict[str, dict[str, dict[str, Pairs]]] = {}
    for system in SYSTEMS:
        tried = listener.outputs(system)
        enrolled = originals if system == "real" else listener.enrolments(system)
        back_ends = listener.train(system, material) if material and system not in _CONTROLS else {}
        pairs[system] = {
            name: {
                "ignorant": compare(originals[name], tried[name]),
                "lazy": compare(enrolled[name], tried[name]),
            }
            | ({"semi": compare(enrolled[name], tried[name], back_ends[name].compare)} if back_ends else {})
            for name in tried
        }
    sexes = {speaker: parts.sex for speaker, parts in corpus.parts.items()}
    measured = {
        system: {name: figures(attacks, sexes, seed=seed) for name, attacks in of_system.items()}
        for system, of_system in pairs.items()
    }
    return Measured(
        {
            system: {
                name: leaves | {_original(figure): measured["real"][name][figure] for figure in leaves}
                for name, leaves in of_system.items()
            }
            for system, of_system in measured.items()
        },
        pairs,
    )


def figures(attacks: Mapping[str, Pairs], sexes: Mapping[str, str | None], *, seed: int) -> Leaves:
    """Equal error rate of each attacker, over all pairs and over those of one known sex."""
    leaves = {}
    for attacker, pairs in attacks.items():
        enrolled, tried = ([sexes[name] or "unknown" for name in side] for side in (pairs.enrolled, pairs.tried))
        one_sex = _equal(enrolled, tried) & ~_equal(enrolled, ["unknown"])
        for suffix, scores in (("", pairs.scores), ("_same_sex", np.where(one_sex, pairs.scores, np.nan))):
            leaves[f"eer_{attacker}{suffix}"] = metrics.eer_figure(scores, pairs.enrolled, pairs.tried, seed=seed)
    return leaves


def claims(leaves: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Which figures of a system by one embedder may carry a privacy claim.

    An attacker who fails on original speech fails on any: above 10 % there, it says nothing that it finds nobody.
    """
    return {
        name: (percent := leaves[_original(name)]["value"]) is not None and percent <= MAX_ORIGINAL_PERCENT
        for name in leaves
        if _original(name) in leaves
    }


def enrolment_targets(tried: Sequence[trials.Trial], seed: int) -> dict[str, str]:
    """Whose voice each speaker's enrolment is given: a random one that no trial of the speaker has.

    With so few speakers that the trials have all of them, it is any other: pairs of one voice don't count anyway.
    """
    speakers = sorted({trial.source for trial in tried})
    rng = np.random.default_rng([seed, 2])
    targets = {}
    for speaker in speakers:
        used = {trial.target for trial in tried if trial.source == speaker}
        others = [other for other in speakers if other != speaker]
        targets[speaker] = str(rng.choice([other for other in others if other not in used] or others))
    return targets


def compare(enrolled: Heard, tried: Heard, score: Score | None = None) -> Pairs:
    """Score all pairs, by cosine unless told; pairs of one voice don't count."""
    scores = np.empty((len(enrolled.speakers), len(tried.speakers)))
    if scores.size:
        scores = score(enrolled.embeddings, tried.embeddings) if score else enrolled.embeddings @ tried.embeddings.T
    return Pairs(np.where(_equal(enrolled.voices, tried.voices), np.nan, scores), enrolled.speakers, tried.speakers)


def train_material(
    clips: Sequence[Clip], seed: int, *, n_speakers: int = TRAIN_SPEAKERS, parts_per_speaker: int = TRAIN_PARTS
) -> dict[str, list[np.ndarray]]:
    """Cut parts of 3.5 s, half a second apart, from the clips of training speakers.

    Parts come from as many clips of a speaker as there are; a speaker with fewer than two parts is left out.

    Returns
    -------
    Speaker to (56,000,) wavs through the codec.

    Raises
    ------
    DataError
        Fewer than two speakers.
    """
    by_speaker: dict[str, list[Clip]] = {}
    for clip in clips:
        by_speaker.setdefault(clip.speaker, []).append(clip)
    length, gap = (round(seconds * audio.SAMPLE_RATE) for seconds in (TRAIN_PART_S, trials.GAP_S))
    material = {}
    sexes = {speaker: of_speaker[0].sex for speaker, of_speaker in by_speaker.items()}
    for speaker in trials.choose_speakers(sexes, n_speakers, seed) if sexes else ():
        wavs = [audio.load(clip.path) for clip in trials.choose_clips(by_speaker[speaker], seed)]
        starts = range(0, max(map(len, wavs)) - length + 1, length + gap)
        parts: list[np.ndarray] = []
        for part in (wav[start : start + length] for start in starts for wav in wavs if start + length <= len(wav)):
            with suppress(SilentAudio, TooShort):
                require_speech(part, MIN_SPEECH_S)
                parts.append(part)
        if len(parts) >= 2:
            material[speaker] = [round_trip(part) for part in parts[:parts_per_speaker]]
    if len(material) < 2:
        raise DataError("The semi-informed attacker needs training speech of at least two speakers.")
    return material


def _equal(one: Sequence[str], other: Sequence[str]) -> np.ndarray:
    """(R, C) bool: which of two lists of names are the same."""
    return np.equal.outer(np.array(one, dtype=str), np.array(other, dtype=str))


def _original(name: str) -> str:
    """Name of the figure that stands beside a figure: the same attacker on original speech."""
    return name.replace("eer_", "eer_original_", 1)


class _Listener:
    """What the embedders hear: name of the embedder to the voices of one side of the trials."""

    def __init__(self, corpus: Corpus, systems: Systems, embedders: Sequence[Embedder], seed: int, progress: Progress):
        self._corpus, self._systems, self._embedders = corpus, systems, embedders
        self._seed, self._progress = seed, progress
        self._targets = enrolment_targets(corpus.trials, seed)

    def outputs(self, system: str) -> dict[str, Heard]:
        """What a system makes of the trials."""
        given = "target" in HEARS[system]
        rows = {
            trial: tuple(getattr(trial, end) for end in HEARS[system])
            for trial in (self._corpus.trials if given else self._corpus.first_trials())
        }
        once = {heard: trial for trial, heard in rows.items()}
        wavs = ((heard, self._systems.output(system, trial)) for heard, trial in once.items())
        return {
            name: _heard(found, [(heard, trial.source, trial.target if given else "") for trial, heard in rows.items()])
            for name, found in self._embed(f"attack {system}", wavs, len(once)).items()
        }

    def enrolments(self, system: str) -> dict[str, Heard]:
        """What a system makes of the enrolment parts, each with a target of its own."""
        parts, wav, given = self._corpus.parts, self._corpus.wav, "target" in HEARS[system]
        wavs = (
            (name, self._systems.anonymized(system, wav(parts[name].enrolment), wav(parts[target].reference)))
            for name, target in self._targets.items()
        )
        return {
            name: _heard(found, [(s, s, target if given else s) for s, target in self._targets.items()])
            for name, found in self._embed(f"enrol {system}", wavs, len(parts)).items()
        }

    def train(self, system: str, material: Mapping[str, list[np.ndarray]]) -> dict[str, Plda]:
        """Train a back end for each embedder on what a system makes of training speech."""
        rng, jobs = np.random.default_rng([self._seed, 3]), []
        for speaker, parts in material.items():
            others = [other for other in material if other != speaker]
            drawn = rng.choice(len(others), size=len(parts), replace=len(others) < len(parts))
            jobs += [((speaker, i), part, others[drawn[i]]) for i, part in enumerate(parts)]
        wavs = (
            (key, self._systems.anonymized(system, part, np.concatenate(material[target])))
            for key, part, target in jobs
        )
        return {
            name: Plda(np.array(list(found.values())), [speaker for speaker, _ in found])
            for name, found in self._embed(f"train attacker on {system}", wavs, len(jobs)).items()
        }

    def _embed(
        self, stage: str, wavs: Iterable[tuple[Any, np.ndarray]], total: int
    ) -> dict[str, dict[Any, np.ndarray]]:
        """Name of the embedder to key to embedding; a wav without speech has none."""
        embedded: dict[str, dict[Any, np.ndarray]] = {embedder.name: {} for embedder in self._embedders}
        for done, (key, wav) in enumerate(wavs, start=1):
            for embedder in self._embedders:
                with suppress(SilentAudio, TooShort):
                    embedded[embedder.name][key] = embedder.embed(wav)
            self._progress(stage, done, total)
        return embedded


def _heard(found: Mapping[Any, np.ndarray], rows: Iterable[tuple[Any, str, str]]) -> Heard:
    """Those of the rows (key, speaker, voice) that hold speech."""
    kept = [row for row in rows if row[0] in found]
    return Heard(np.array([found[key] for key, _, _ in kept]), *(tuple(row[i] for row in kept) for i in (1, 2)))
