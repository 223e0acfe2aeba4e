"""Figures from scores. Pure: arrays in, numbers out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES = 1000


def rank(scores: np.ndarray, wanted: int) -> int:
    """Place of the wanted speaker among all, 1 = best.

    Ties count against it, so that a system which gives every speaker the same score gains nothing. Scores
    that are NaN (an output without speech) put it last.

    Parameters
    ----------
    scores
        (K,) similarity to each enrolled speaker, higher is more alike.
    wanted
        Index of the wanted speaker in ``scores``.
    """
    if np.isnan(scores).any():
        return len(scores)
    return int(np.sum(scores >= scores[wanted]))


def top1_in_gallery(rank: int, n_enrolled: int, size: int) -> float:
    """Chance, 0 to 1, that the wanted speaker is best among ``size`` enrolled ones, drawn from ``n_enrolled``.

    The wanted speaker is always among them; the ``size - 1`` others must all come from those with a lower score:
    C(n_enrolled - rank, size - 1) / C(n_enrolled - 1, size - 1). With size = n_enrolled it is top-1 as it stands.

    Parameters
    ----------
    rank
        Place of the wanted speaker among all, 1 = best, see :func:`rank`.
    """
    return math.comb(n_enrolled - rank, size - 1) / math.comb(n_enrolled - 1, size - 1)


def speaker_means(values: Sequence[float], speakers: Sequence[str]) -> np.ndarray:
    """(S,) mean of the values of each speaker, in the order of the speakers' names."""
    by_speaker: dict[str, list[float]] = {}
    for value, speaker in zip(values, speakers, strict=True):
        by_speaker.setdefault(speaker, []).append(value)
    return np.array([np.mean(by_speaker[speaker]) for speaker in sorted(by_speaker)])


def figure(values: Sequence[float], speakers: Sequence[str], unit: str, *, seed: int = 0) -> dict[str, Any]:
    """Average over speakers with a 95 % interval from a bootstrap by speaker.

    Speakers, not trials, are drawn again: trials of one speaker are alike, and more of them would
    only seem to narrow the interval.

    Parameters
    ----------
    values, speakers
        A value a trial, and the speaker that each one counts for.
    unit
        Unit of the values, handed through.
    seed
        Seed of the bootstrap.

    Returns
    -------
    ``{value, low, high, n, unit}``; n is the number of speakers. value is None without any, low and high
    are None below two.
    """
    means = speaker_means(values, speakers)
    n = len(means)
    leaf: dict[str, Any] = {"value": None, "low": None, "high": None, "n": n, "unit": unit}
    if n:
        leaf["value"] = float(means.mean())
    if n > 1:
        drawn = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
        low, high = np.percentile(means[drawn].mean(axis=1), [2.5, 97.5])
        leaf |= {"low": float(low), "high": float(high)}
    return leaf


def det_curve(same: np.ndarray, different: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both error rates of a verifier at every threshold (Martin et al., "The DET curve", Eurospeech 1997).

    Parameters
    ----------
    same, different
        Scores of pairs of one speaker and of pairs of two, higher is more alike.

    Returns
    -------
    false_alarms, misses: (P,) rates from 0 to 1 as the threshold rises: from (1, 0), where all is accepted, to
    (0, 1). Pairs of equal score are accepted or refused together.
    """
    scores = np.concatenate([same, different])
    order, ends = _ascending(scores)
    return _error_rates((np.arange(len(scores)) < len(same))[order], ends, np.ones(len(scores)))


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> tuple[float, float]:
    """Rate at which misses and false alarms are equally frequent, and the threshold where they are.

    Parameters
    ----------
    same, different
        Scores of pairs of one speaker and of pairs of two, higher is more alike.

    Returns
    -------
    rate: 0 to 1, where the DET curve, drawn straight from point to point, has both alike. threshold: accept
    scores >= it; the one where both error rates come closest.
    """
    false_alarms, misses = det_curve(same, different)
    thresholds = np.unique(np.concatenate([same, different]))
    closest = np.argmin(np.abs(misses - false_alarms)[: len(thresholds)])
    return _crossing(false_alarms, misses), float(thresholds[closest])


def eer_figure(
    scores: np.ndarray, enrolled_speakers: Sequence[str], trial_speakers: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Equal error rate of a score matrix, with a 95 % interval from a bootstrap by speaker.

    Speakers are drawn again with all their rows and columns. A speaker drawn twice makes no pair of two with
    himself: it would be a pair of one under the wrong name.

    Parameters
    ----------
    scores
        (R, C) similarity of each enrolled voice to each trial; NaN for a pair that does not count.
    enrolled_speakers, trial_speakers
        (R,) and (C,) who truly speaks.
    seed
        Seed of the bootstrap.

    Returns
    -------
    Leaf, see :func:`figure`, in %. n is the number of speakers that have a pair of their own; others take no
    part. All but n is None unless there are pairs of one and of two.
    """
    enrolled, trials = np.array(enrolled_speakers, dtype=str), np.array(trial_speakers, dtype=str)
    counts = ~np.isnan(scores)
    speakers = np.unique(enrolled[np.nonzero(counts & (enrolled[:, None] == trials))[0]])
    counts &= np.isin(enrolled, speakers)[:, None] & np.isin(trials, speakers)
    rows, columns = np.nonzero(counts)
    leaf: dict[str, Any] = {"value": None, "low": None, "high": None, "n": len(speakers), "unit": "%"}
    if (enrolled[rows] == trials[columns]).all():
        return leaf
    order, ends = _ascending(scores[rows, columns])
    one, other = (np.searchsorted(speakers, names)[order] for names in (enrolled[rows], trials[columns]))
    is_same = one == other
    leaf["value"] = 100 * _crossing(*_error_rates(is_same, ends, np.ones(len(order))))
    rng, rates = np.random.default_rng(seed), []
    while len(rates) < RESAMPLES:
        times = np.bincount(rng.integers(len(speakers), size=len(speakers)), minlength=len(speakers))
        weights = times[one] * np.where(is_same, 1, times[other])
        if weights[~is_same].any():  # not so if one speaker was drawn every time
            rates.append(_crossing(*_error_rates(is_same, ends, weights)))
    low, high = np.percentile(rates, [2.5, 97.5])
    return leaf | {"low": 100 * float(low), "high": 100 * float(high)}


def _ascending(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of rising scores, and where in it each run of equal scores ends."""
    order = np.argsort(scores, kind="stable")
    return order, np.flatnonzero(np.append(np.diff(scores[order]) > 0, True))


def _error_rates(is_same: np.ndarray, ends: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) false alarms and misses over the thresholds, of weighted pairs in the order of rising scores."""
    same, different = np.cumsum(weights * is_same), np.cumsum(weights * ~is_same)
    return 1 - np.append(0, different[ends] / different[-1]), np.append(0, same[ends] / same[-1])


def _crossing(false_alarms: np.ndarray, misses: np.ndarray) -> float:
    """Where the line through the points of a DET curve has both rates alike."""
    after = int(np.argmax(misses >= false_alarms))  # never 0: there all is accepted
    gap_before = false_alarms[after - 1] - misses[after - 1]
    gap_after = misses[after] - false_alarms[after]
    share = gap_before / (gap_before + gap_after)
    return float(misses[after - 1] + share * (misses[after] - misses[after - 1]))
