"""Top-1 of the target and of the source speaker among enrolled speakers (paper 4.2), for every
system.

Each speaker is enrolled by one embedding. The embedding of an output is compared with all of them
by cosine; the best match is the recognized speaker.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from saic.errors import NotSpeech, SaicError, SilentAudio, TooShort
from saic.evaluation import metrics
from saic.evaluation.data.evaluation_set import EvaluationSet
from saic.evaluation.data.trials import Trial
from saic.evaluation.metrics import Estimate, Estimates
from saic.evaluation.protocols import StepCallback
from saic.evaluation.systems import (
    MAIN_SYSTEMS,
    MIN_CONTROL_SPEAKERS,
    SYSTEMS,
    SystemOutputs,
    audio_key,
    controls_first,
)

Embed = Callable[[np.ndarray], np.ndarray]
"""(N,) wav to (E,) embedding of length 1; raises SilentAudio or TooShort without speech."""

SMALLER_SIZES = (10, 20)  # numbers of enrolled speakers for which top-1 is also given
MIN_REPLAY_PERCENT = 60.0
MAX_COPY_PERCENT = 20.0


@dataclass(frozen=True)
class IdentityResult:
    """What :func:`measure` gives.

    Attributes
    ----------
    estimates
        System to figure name to estimate.
    target_hits
        System to (S,): for each source speaker, in the order of names, the share of outputs in %
        that are recognized as the target. Only systems with a target.
    """

    estimates: dict[str, Estimates]
    target_hits: dict[str, np.ndarray]


def measure(
    dataset: EvaluationSet,
    outputs: SystemOutputs,
    embed: Embed,
    *,
    seed: int,
    progress: StepCallback,
    only: Sequence[str] = MAIN_SYSTEMS,
    stage: str = "identity",
) -> IdentityResult:
    """Measure all systems, or ``only`` some.

    Controls come first: if one is out of range, the run stops before the slow part.

    Raises
    ------
    SaicError
        A control is out of range.
    """
    enrolled = _enroll(dataset, embed, progress)
    speakers = sorted(dataset.parts)
    sexes = {speaker: dataset.parts[speaker].sex for speaker in speakers}
    estimates, target_hits = {}, {}
    for system in controls_first(only):
        has_target = SYSTEMS[system].has_target
        trials = dataset.trials if has_target else dataset.one_trial_per_source()
        rows: dict[tuple[str, ...], np.ndarray] = {}
        for done, trial in enumerate(trials, start=1):
            if (key := audio_key(system, trial)) not in rows:
                rows[key] = _scores(enrolled, embed, outputs, system, trial)
            progress(f"{stage}: {system}", done, len(trials))
        scores = np.stack([rows[audio_key(system, trial)] for trial in trials])
        estimates[system] = estimate(system, trials, scores, sexes, seed=seed)
        check_control(system, estimates[system], len(enrolled))
        if has_target:
            hits = [metrics.rank(row, speakers.index(t.target)) == 1 for row, t in zip(scores, trials, strict=True)]
            target_hits[system] = 100 * metrics.speaker_means(hits, [trial.source for trial in trials])
    return IdentityResult({system: estimates[system] for system in MAIN_SYSTEMS if system in only}, target_hits)


def estimate(
    system: str, trials: Sequence[Trial], scores: np.ndarray, sexes: Mapping[str, str | None], *, seed: int
) -> Estimates:
    """Figures of one system.

    Parameters
    ----------
    scores
        (trials, K) cosine to each enrolled speaker; NaN for an output without speech, and where the system
        refuses the audio.
    sexes
        Enrolled speaker, K of them in the order of the scores, to "F", "M" or None.

    Returns
    -------
    For all systems: ``source_top1``, the share of outputs that are recognized as the source
    speaker; ``source_rank``, the mean rank of the source speaker, 1 = best; ``no_speech``, the
    share of outputs without speech, or refused, in which the speaker has the last rank.

    For systems with a target: ``target_top1`` and ``target_rank``, the same for the target;
    ``target_top1_same_sex`` and ``target_top1_cross_sex``, over the trials of that kind;
    ``target_top1_of_10`` and ``target_top1_of_20``, among 10 and 20 enrolled speakers.

    ``source_top1`` and ``target_top1`` are also given for sources of one sex, ``..._women`` and
    ``..._men``.
    """
    place = {speaker: index for index, speaker in enumerate(sexes)}
    source_ranks = [metrics.rank(row, place[trial.source]) for row, trial in zip(scores, trials, strict=True)]
    speakers, targets = [trial.source for trial in trials], [trial.target for trial in trials]

    def mean(values: Sequence[float], unit: str, kept: Sequence[bool] | None = None) -> Estimate:
        """Mean over the trials that are kept; with a target, which several sources share, the bootstrap draws both."""
        chosen = [None if kept and not kept[i] else value for i, value in enumerate(values)]
        options = {"seed": seed, "are_hits": unit == "%"}
        if SYSTEMS[system].has_target:
            return metrics.estimate_mean_of_pairs(chosen, speakers, targets, unit, **options)
        return metrics.estimate_mean(chosen, speakers, unit, **options)

    def by_sex(name: str, values: Sequence[float]) -> Estimates:
        return {
            f"{name}_{label}": mean(values, "%", [sexes[speaker] == sex for speaker in speakers])
            for sex, label in (("F", "women"), ("M", "men"))
        }

    result = {}
    if SYSTEMS[system].has_target:
        ranks = [metrics.rank(row, place[trial.target]) for row, trial in zip(scores, trials, strict=True)]
        hits = [100.0 * (rank == 1) for rank in ranks]
        result["target_top1"] = mean(hits, "%")
        result["target_top1_same_sex"] = mean(hits, "%", [trial.same_sex is True for trial in trials])
        result["target_top1_cross_sex"] = mean(hits, "%", [trial.same_sex is False for trial in trials])
        for size in SMALLER_SIZES:
            if size <= len(sexes):
                values = [100.0 * metrics.top1_among(rank, len(sexes), size) for rank in ranks]
                result[f"target_top1_of_{size}"] = mean(values, "%")
        result["target_rank"] = mean(ranks, "rank")
        result |= by_sex("target_top1", hits)
    source_hits = [100.0 * (rank == 1) for rank in source_ranks]
    result["source_top1"] = mean(source_hits, "%")
    result |= by_sex("source_top1", source_hits)
    result["source_rank"] = mean(source_ranks, "rank")
    result["no_speech"] = mean([100.0 * np.isnan(row).any() for row in scores], "%")
    return result


def check_control(system: str, estimates: Estimates, n_enrolled: int) -> None:
    """Raise SaicError if a control is out of range, which shows that the measurement is broken."""
    if n_enrolled < MIN_CONTROL_SPEAKERS or system not in ("replay_target", "copy_source"):
        return
    percent = estimates["target_top1"].value
    if system == "replay_target" and percent < MIN_REPLAY_PERCENT:
        raise SaicError(
            f"Control out of range: recordings of the target are recognized as the target in only {percent:.0f} % of"
            f" trials (at least {MIN_REPLAY_PERCENT:.0f} % expected). The recordings of a speaker may be too short or"
            " too different from each other."
        )
    if system == "copy_source" and percent > MAX_COPY_PERCENT:
        raise SaicError(
            f"Control out of range: the unchanged source is recognized as the target in {percent:.0f} % of trials (at"
            f" most {MAX_COPY_PERCENT:.0f} % expected). One speaker may be listed under two names."
        )


def _enroll(dataset: EvaluationSet, embed: Embed, progress: StepCallback) -> np.ndarray:
    """(K, E) embeddings of the enrollment parts, in the order of the speakers' names."""
    enrolled = []
    for speaker in sorted(dataset.parts):
        enrolled.append(embed(dataset.wav(dataset.parts[speaker].enrollment)))
        progress("enroll", len(enrolled), len(dataset.parts))
    return np.stack(enrolled)


def _scores(enrolled: np.ndarray, embed: Embed, outputs: SystemOutputs, system: str, trial: Trial) -> np.ndarray:
    """(K,) cosine to each enrolled speaker; NaN, which matches nobody, without speech or if the system refuses."""
    with suppress(SilentAudio, TooShort, NotSpeech):
        return enrolled @ embed(outputs.of_trial(system, trial))
    return np.full(len(enrolled), np.nan)
