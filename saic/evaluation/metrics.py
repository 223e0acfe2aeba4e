"""Statistics with confidence intervals, from arrays of scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

RESAMPLES = 1000
MIN_INTERVAL_SPEAKERS = 8
"""With fewer speakers, the percentiles of a bootstrap cover much less than 95 %: 82 % with four."""


@dataclass(frozen=True)
class Estimate:
    """A mean or rate over speakers, with a 95 % interval from a bootstrap by speaker.

    Attributes
    ----------
    value
        None if there is nothing to average.
    low, high
        Ends of the interval; None below `MIN_INTERVAL_SPEAKERS`.
    n
        Number of speakers.
    unit
        Unit of value, low and high.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    unit: str


Estimates = dict[str, Estimate]
"""Name of a figure, such as "target_top1", to its estimate."""


def rank(scores: np.ndarray, wanted: int) -> int:
    """Rank of the wanted speaker among all enrolled ones, 1 = best.

    Ties count against the wanted speaker, so that a system gains nothing by giving all speakers one
    score. With NaN scores (an output without speech) the wanted speaker is last.

    Parameters
    ----------
    scores
        (K,) similarity to each enrolled speaker, higher is more similar.
    wanted
        Index of the wanted speaker in ``scores``.
    """
    if np.isnan(scores).any():
        return len(scores)
    return int(np.sum(scores >= scores[wanted]))


def top1_among(rank: int, n_enrolled: int, size: int) -> float:
    """Probability, 0 to 1, that the wanted speaker is best among ``size`` random enrolled ones.

    The wanted speaker is always among them; the ``size - 1`` others must all come from those with a
    lower score: C(n_enrolled - rank, size - 1) / C(n_enrolled - 1, size - 1). With size =
    n_enrolled this is plain top-1.

    Parameters
    ----------
    rank
        Rank of the wanted speaker among all, 1 = best, see :func:`rank`.
    """
    return math.comb(n_enrolled - rank, size - 1) / math.comb(n_enrolled - 1, size - 1)


def speaker_means(values: Sequence[float], speakers: Sequence[str]) -> np.ndarray:
    """(S,) mean of the values of each speaker, in the order of the speakers' names."""
    by_speaker: dict[str, list[float]] = {}
    for value, speaker in zip(values, speakers, strict=True):
        by_speaker.setdefault(speaker, []).append(value)
    return np.array([np.mean(by_speaker[speaker]) for speaker in sorted(by_speaker)])


def estimate_mean(
    values: Sequence[float | None], speakers: Sequence[str], unit: str, *, seed: int = 0, are_hits: bool = False
) -> Estimate:
    """Mean over speakers of the mean of each speaker's values.

    The bootstrap resamples speakers, not trials: trials of one speaker are correlated, and
    resampling them would make the interval too narrow.

    Parameters
    ----------
    values, speakers
        One value per trial, and its speaker. Values that are None are left out.
    unit
        Unit of the values.
    seed
        Seed of the bootstrap.
    are_hits
        Values are 0 or 100 %, of trials that fail or succeed. Near these ends the bootstrap is too narrow: the
        interval reaches at least as far as the exact one of no success or no failure (Clopper and Pearson 1934).
    """
    known = [(value, speaker) for value, speaker in zip(values, speakers, strict=True) if value is not None]
    means = speaker_means([value for value, _ in known], [speaker for _, speaker in known])
    n = len(means)
    if n == 0:
        return Estimate(None, None, None, 0, unit)
    value = float(means.mean())
    if n < MIN_INTERVAL_SPEAKERS:
        return Estimate(value, None, None, n, unit)
    drawn = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    found = Estimate(value, *interval(means[drawn].mean(axis=1)), n, unit)
    return _reaching(found) if are_hits else found


def estimate_mean_of_pairs(
    values: Sequence[float | None],
    speakers: Sequence[str],
    others: Sequence[str],
    unit: str,
    *,
    seed: int = 0,
    are_hits: bool = False,
) -> Estimate:
    """As :func:`estimate_mean`, of values that depend on two speakers each, such as source and target.

    The bootstrap draws speakers, for both roles at once. A trial counts A times B if its speaker was
    drawn A times and the other one B times (Owen 2007, "The pigeonhole bootstrap").

    Parameters
    ----------
    others
        The other speaker of each trial.
    """
    simple = estimate_mean(values, speakers, unit, seed=seed, are_hits=are_hits)
    if simple.low is None or simple.low == simple.high or (are_hits and simple.value in (0.0, 100.0)):
        return simple
    kept = [k for k, value in enumerate(values) if value is not None]
    known = np.array([values[k] for k in kept], dtype=float)
    names, places = np.unique([role[k] for role in (speakers, others) for k in kept], return_inverse=True)
    one, other = places.reshape(2, -1)
    per_speaker = np.bincount(one, minlength=len(names))[one]  # speakers count equally, whatever their trials
    rng, means = np.random.default_rng(seed), []
    while len(means) < RESAMPLES:
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = times[one] * times[other] / per_speaker
        if weights.any():
            means.append(float(weights @ known / weights.sum()))
    found = Estimate(simple.value, *interval(means), simple.n, unit)
    return _reaching(found) if are_hits else found


def _reaching(found: Estimate) -> Estimate:
    """An estimate whose interval is at least the exact one of a rate that was 0 or 100 % in all n speakers."""
    return replace(found, low=min(found.low, 100 - _reach(found.n)), high=max(found.high, _reach(found.n)))


def _reach(n: int) -> float:
    """Upper end, in %, of the exact 95 % interval of a rate that was 0 in n speakers (Clopper and Pearson 1934)."""
    return 100 * (1 - 0.025 ** (1 / n))


def interval(drawn: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Ends of the 95 % interval of the values that a bootstrap has drawn."""
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def det_curve(same: np.ndarray, different: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both error rates of a verifier at every threshold.

    Martin et al., "The DET curve", Eurospeech 1997.

    Parameters
    ----------
    same, different
        Scores of same-speaker and of different-speaker pairs, higher is more similar.

    Returns
    -------
    false_alarms, misses: (P,) rates from 0 to 1 as the threshold rises: from (1, 0), where all
    pairs are accepted, to (0, 1). Pairs of equal score are accepted or rejected together.
    """
    scores = np.concatenate([same, different])
    order, ends = _ascending(scores)
    return _error_rates((np.arange(len(scores)) < len(same))[order], ends, np.ones(len(scores)))


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> tuple[float, float]:
    """Equal error rate, where miss and false-alarm rates are equal, and its threshold.

    Parameters
    ----------
    same, different
        Scores of same-speaker and of different-speaker pairs, higher is more similar.

    Returns
    -------
    rate: 0 to 1, where the DET curve, its points joined by straight lines, has equal rates.
    threshold: the score at which both rates are closest. Scores from it on are accepted.
    """
    false_alarms, misses = det_curve(same, different)
    thresholds = np.unique(np.concatenate([same, different]))
    closest = np.argmin(np.abs(misses - false_alarms)[: len(thresholds)])
    return _crossing(false_alarms, misses), float(thresholds[closest])


def estimate_eer(
    scores: np.ndarray, enrolled_speakers: Sequence[str], trial_speakers: Sequence[str], *, seed: int = 0
) -> Estimate:
    """Equal error rate of a score matrix, in %, in which speakers count equally, on each side, whatever their pieces.

    The bootstrap resamples speakers with all their rows and columns. The copies of a speaker that
    is drawn twice form no different-speaker pair: both sides are the same person.

    Parameters
    ----------
    scores
        (R, C) similarity of each enrolled speaker to each trial; NaN for a pair that does not
        count.
    enrolled_speakers, trial_speakers
        (R,) and (C,) true speakers.
    seed
        Seed of the bootstrap.

    Returns
    -------
    n is the number of speakers with a same-speaker pair; the others are left out. Without pairs of
    both kinds there is no value. Near 0 the bootstrap is too narrow: the interval reaches at least as far
    as the exact one of a rate that was 0 in n speakers.
    """
    found = _eer_estimate(*_resampled_eer(scores, enrolled_speakers, trial_speakers, seed))
    return found if found.high is None else replace(found, high=max(found.high, _reach(found.n)))


def estimate_eer_difference(
    scores: np.ndarray,
    baseline: np.ndarray,
    enrolled_speakers: Sequence[str],
    trial_speakers: Sequence[str],
    *,
    seed: int = 0,
) -> Estimate:
    """Equal error rate of ``scores`` less that of ``baseline``, in points, paired by speaker.

    As :func:`estimate_eer`, of the pairs that count in both matrices; every draw of the bootstrap
    takes the same speakers for both.
    """
    unknown = np.isnan(scores) | np.isnan(baseline)
    rates = [
        _resampled_eer(np.where(unknown, np.nan, matrix), enrolled_speakers, trial_speakers, seed)
        for matrix in (scores, baseline)
    ]
    return replace(_eer_estimate(rates[0][0] - rates[1][0], rates[0][1]), unit="points")


def _eer_estimate(rates: np.ndarray, n_speakers: int) -> Estimate:
    """The estimate from a rate and, after it, the rates of all draws; ``rates`` is empty if there are none."""
    if not len(rates):
        return Estimate(None, None, None, n_speakers, "%")
    if n_speakers < MIN_INTERVAL_SPEAKERS:
        return Estimate(100 * float(rates[0]), None, None, n_speakers, "%")
    low, high = interval(rates[1:])
    return Estimate(100 * float(rates[0]), 100 * low, 100 * high, n_speakers, "%")


def _resampled_eer(
    scores: np.ndarray, enrolled_speakers: Sequence[str], trial_speakers: Sequence[str], seed: int
) -> tuple[np.ndarray, int]:
    """Rates for :func:`_eer_estimate`, of the draws only if there is an interval, and the number of speakers."""
    enrolled, trials = np.array(enrolled_speakers, dtype=str), np.array(trial_speakers, dtype=str)
    counts = ~np.isnan(scores)
    speakers = np.unique(enrolled[np.nonzero(counts & (enrolled[:, None] == trials))[0]])
    counts &= np.isin(enrolled, speakers)[:, None] & np.isin(trials, speakers)
    rows, columns = np.nonzero(counts)
    if (enrolled[rows] == trials[columns]).all():
        return np.zeros(0), len(speakers)
    order, ends = _ascending(scores[rows, columns])
    row_speaker, column_speaker = (
        np.searchsorted(speakers, names)[order] for names in (enrolled[rows], trials[columns])
    )
    is_same = row_speaker == column_speaker
    n_enrolled, n_trials = (
        np.bincount(np.searchsorted(speakers, names[np.unique(places)]), minlength=len(speakers))
        for names, places in ((enrolled, rows), (trials, columns))
    )
    shares = 1 / (n_enrolled[row_speaker] * n_trials[column_speaker])
    rate = _crossing(*_error_rates(is_same, ends, shares))
    rng, rates = np.random.default_rng(seed), []
    while len(rates) < RESAMPLES and len(speakers) >= MIN_INTERVAL_SPEAKERS:
        times = np.bincount(rng.integers(len(speakers), size=len(speakers)), minlength=len(speakers))
        weights = shares * times[row_speaker] * np.where(is_same, 1, times[column_speaker])
        if weights[~is_same].any():  # false if all draws are one speaker
            rates.append(_crossing(*_error_rates(is_same, ends, weights)))
    return np.array([rate, *rates]), len(speakers)


def _ascending(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of ascending scores, and where in it each run of equal scores ends."""
    order = np.argsort(scores, kind="stable")
    return order, np.flatnonzero(np.append(np.diff(scores[order]) > 0, True))


def _error_rates(is_same: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) false-alarm and miss rates over the thresholds, of weighted pairs in ascending order."""
    same, different = np.cumsum(weights * is_same), np.cumsum(weights * ~is_same)
    return 1 - np.append(0, different[ends] / different[-1]), np.append(0, same[ends] / same[-1])


def _crossing(false_alarms: np.ndarray, misses: np.ndarray) -> float:
    """The rate where both are equal on the line through the points of a DET curve."""
    after = int(np.argmax(misses >= false_alarms))  # never 0: there all pairs are accepted
    gap_before = false_alarms[after - 1] - misses[after - 1]
    gap_after = misses[after] - false_alarms[after]
    share = gap_before / (gap_before + gap_after)
    return float(misses[after - 1] + share * (misses[after] - misses[after - 1]))
