"""Inference: how well attributes of a speaker can be told from converted speech.

The third risk of the Article 29 Working Party, Opinion 05/2014 (WP216), beside singling out and
linkability.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression

from saic.evaluation.linkage.material import Recording, Side
from saic.evaluation.metrics import RESAMPLES, Estimate, interval, speaker_means

MIN_SPEAKERS = 10  # of a class; smaller classes are left out
_FOLDS = 5
_C = 1.0  # inverse strength of the regularization, of vectors of length 1 a kind of evidence
_MAX_DEVIATIONS = 4.0  # standardized values are limited to this


def mean_vectors(
    sides: Sequence[Side], vectors: Mapping[str, Mapping[tuple[Recording, int], np.ndarray]]
) -> list[np.ndarray]:
    """(S, E) mean vectors of each kind of evidence that has any; NaN where a side has none."""
    blocks = []
    for of_evidence in vectors.values():
        if not of_evidence:
            continue
        size = len(next(iter(of_evidence.values())))
        means = np.full((len(sides), size), np.nan)
        for mean, side in zip(means, sides, strict=True):
            if measured := [of_evidence[segment] for segment in side.segments if segment in of_evidence]:
                mean[:] = np.mean(measured, axis=0)
        blocks.append(means)
    return blocks


def infer(
    vectors: Sequence[np.ndarray], speakers: Sequence[str], labels: Mapping[str, str], *, seed: int
) -> tuple[Estimate, Estimate] | None:
    """Balanced accuracy of a logistic regression on the attribute of unseen speakers.

    Five folds of speakers, each with its share of every class. Each kind of evidence has the same
    weight, whatever its size. The interval is from a bootstrap by speaker within each class.

    Parameters
    ----------
    vectors
        (S, E) of each kind of evidence, from :func:`mean_vectors`.
    speakers
        (S,) the sides' speakers.
    labels
        Speaker to class; speakers whose class is not known are missing.

    Returns
    -------
    Balanced accuracy and chance in %; None with fewer than two classes of ten speakers.
    """
    by_class: dict[str, list[str]] = {}
    for speaker in sorted(labels.keys() & set(speakers)):
        by_class.setdefault(labels[speaker], []).append(speaker)
    by_class = {label: own for label, own in sorted(by_class.items()) if len(own) >= MIN_SPEAKERS}
    if len(by_class) < 2 or not vectors:
        return None
    rng = np.random.default_rng([seed, 12])
    fold_of = {s: i % _FOLDS for own in by_class.values() for i, s in enumerate(rng.permutation(own).tolist())}
    rows = [i for i, speaker in enumerate(speakers) if speaker in fold_of]
    blocks, names = [of_evidence[rows] for of_evidence in vectors], np.array([speakers[i] for i in rows])
    y, fold = np.array([labels[name] for name in names]), np.array([fold_of[name] for name in names])
    is_right = np.zeros(len(rows))
    for held_out in range(_FOLDS):
        test = fold == held_out
        x = np.concatenate([_standardized(of_evidence, ~test) for of_evidence in blocks], axis=1)
        regression = LogisticRegression(C=_C, class_weight="balanced", max_iter=1000)
        is_right[test] = regression.fit(x[~test], y[~test]).predict(x[test]) == y[test]
    accuracies = [speaker_means(100 * is_right[y == label], names[y == label]) for label in by_class]
    drawn = [each[rng.integers(len(each), size=(RESAMPLES, len(each)))].mean(axis=1) for each in accuracies]
    value = float(np.mean([each.mean() for each in accuracies]))
    accuracy = Estimate(value, *interval(np.mean(drawn, axis=0)), len(fold_of), "%")
    return accuracy, Estimate(100 / len(by_class), None, None, len(fold_of), "%")


def _standardized(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """(S, E) with mean 0 and a mean squared length of 1 over the training rows; 0 where there is no value."""
    known = ~np.isnan(x[train])
    count = known.sum(axis=0).clip(1)
    filled = np.where(known, x[train], 0)
    mean = filled.sum(axis=0) / count
    deviation = np.sqrt((np.where(known, x[train] - mean, 0) ** 2).sum(axis=0) / count)
    scaled = np.where(deviation > 0, (x - mean) / np.where(deviation > 0, deviation, 1), 0)
    return np.nan_to_num(np.clip(scaled, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)) / np.sqrt(x.shape[1])
