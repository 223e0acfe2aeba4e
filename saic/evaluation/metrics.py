"""Figures from scores. Pure: arrays in, numbers out."""

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


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> tuple[float, float]:
    """Rate at which misses and false alarms are equally frequent, and the threshold where they are.

    Parameters
    ----------
    same, different
        Scores of pairs of one speaker and of pairs of two, higher is more alike.

    Returns
    -------
    rate: 0 to 1, the mean of both error rates where they come closest. threshold: accept scores >= it.
    """
    thresholds = np.unique(np.concatenate([same, different]))
    misses = np.searchsorted(np.sort(same), thresholds, side="left") / len(same)
    false_alarms = 1 - np.searchsorted(np.sort(different), thresholds, side="left") / len(different)
    best = np.argmin(np.abs(misses - false_alarms))
    return float((misses[best] + false_alarms[best]) / 2), float(thresholds[best])
