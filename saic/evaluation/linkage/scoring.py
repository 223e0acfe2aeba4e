"""From vectors of segments to scores of trials: PLDA of each kind of evidence, and their fusion."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from sklearn.linear_model import LogisticRegression

from saic.evaluation.linkage.material import Recording, Side, TrialSet
from saic.evaluation.linkage.plda import Plda

Vectors = Mapping[tuple[Recording, int], np.ndarray]
"""Segment, as recording and index, to (E,) vector; segments without a measurement are missing."""

EMBEDDING_SHRINKAGE, STATISTICS_SHRINKAGE = 0.35, 0.5
"""Share of the within-speaker covariance that is isotropic, see :class:`Plda`: few segments of a speaker
are known. That of embeddings had the lowest EER on McAdams-anonymized speech of 61 speakers of the
splits ``dev`` and ``train``.
"""

_MAX_DEVIATIONS = 4.0  # statistics of a segment are limited to this many standard deviations
_MIN_PAIRS = 3  # of one speaker each, to fit a fusion
_FUSION_C = 0.03  # inverse strength of the regularization of a fusion


@dataclass(frozen=True)
class TrainingSet:
    """Vectors of speakers that the attacker knows.

    Attributes
    ----------
    vectors
        (n, E) of segments.
    speakers
        (n,) their speakers.
    """

    vectors: np.ndarray
    speakers: np.ndarray

    @classmethod
    def of(cls, recordings: Mapping[str, Sequence[Recording]], vectors: Vectors) -> "TrainingSet":
        """Collect the vectors of all segments of the recordings of each speaker."""
        rows = [
            (vectors[recording, index], speaker)
            for speaker, of_speaker in recordings.items()
            for recording in of_speaker
            for index in range(recording.n_segments)
            if (recording, index) in vectors
        ]
        return cls(np.array([vector for vector, _ in rows]), np.array([speaker for _, speaker in rows], dtype=str))

    def without(self, speakers: set[str]) -> "TrainingSet":
        """The vectors of all other speakers."""
        kept = ~np.isin(self.speakers, sorted(speakers))
        return TrainingSet(self.vectors[kept], self.speakers[kept])

    def joined(self, other: "TrainingSet") -> "TrainingSet":
        """The vectors of both."""
        if not len(self.vectors) or not len(other.vectors):
            return self if len(self.vectors) else other
        return TrainingSet(
            np.concatenate([self.vectors, other.vectors]), np.concatenate([self.speakers, other.speakers])
        )


class BackEnd:
    """PLDA on standardized vectors, trained on a :class:`TrainingSet`.

    Parameters
    ----------
    unit_length
        Whether vectors are scaled to length 1 after that (Garcia-Romero and Espy-Wilson, Interspeech
        2011): for embeddings, not for statistics.
    """

    def __init__(self, known: TrainingSet, *, unit_length: bool):
        self._mean, self._std = known.vectors.mean(axis=0), known.vectors.std(axis=0) + 1e-6
        self._unit_length = unit_length
        shrinkage = EMBEDDING_SHRINKAGE if unit_length else STATISTICS_SHRINKAGE
        self._plda = Plda(self._standardized(known.vectors), known.speakers.tolist(), shrinkage)

    def compare(self, enrollments: Sequence[Side], tests: Sequence[Side], vectors: Vectors) -> np.ndarray:
        """(R, C) log likelihood ratios of the sides' mean vectors; NaN for a side without one."""
        counts = [
            [sum(segment in vectors for segment in side.segments) for side in sides] for sides in (enrollments, tests)
        ]
        means = [[_mean(side, vectors, self._standardized) for side in sides] for sides in (enrollments, tests)]
        return _compare(self._plda.compare, *means, *counts)

    def _standardized(self, vectors: np.ndarray) -> np.ndarray:
        standardized = np.clip((vectors - self._mean) / self._std, -_MAX_DEVIATIONS, _MAX_DEVIATIONS)
        return _unit(standardized) if self._unit_length else standardized


def compare_by_cosine(trials: TrialSet, enrolled_vectors: Vectors, test_vectors: Vectors) -> np.ndarray:
    """(R, C) cosine similarity of the sides' mean vectors."""

    def cosine(enrolled: np.ndarray, tested: np.ndarray) -> np.ndarray:
        return _unit(enrolled) @ _unit(tested).T

    return _compare(
        cosine,
        [_mean(side, enrolled_vectors) for side in trials.enrollments],
        [_mean(side, test_vectors) for side in trials.tests],
    )


def compare_by_plda(
    trials: TrialSet, vectors: Vectors, known: TrainingSet, fold_of: Mapping[str, int], *, unit_length: bool
) -> np.ndarray:
    """(R, C) PLDA scores.

    Parameters
    ----------
    known
        Training vectors. A pair is scored without those of the folds of its two speakers.
    fold_of
        Speaker to fold, for the speakers of the trials. Empty if none of them is in ``known``.
    unit_length
        See :class:`BackEnd`.
    """
    scores = np.full((len(trials.enrollments), len(trials.tests)), np.nan)
    for folds, block in _blocks(trials, fold_of):
        left_out = {speaker for speaker, fold in fold_of.items() if fold in folds}
        back_end = BackEnd(known.without(left_out), unit_length=unit_length)
        rows, columns = (np.flatnonzero(block.any(axis=axis)) for axis in (1, 0))
        compared = back_end.compare([trials.enrollments[i] for i in rows], [trials.tests[i] for i in columns], vectors)
        place = np.ix_(rows, columns)
        scores[place] = np.where(block[place], compared, scores[place])
    return scores


class Fusion:
    """Logistic regression on the scores of all attackers.

    Parameters
    ----------
    scores
        (K, R, C) of K attackers, NaN where one has none.
    is_same
        (R, C) bool: pairs of one speaker.
    counts
        (R, C) bool: pairs to train on.
    """

    def __init__(self, scores: np.ndarray, is_same: np.ndarray, counts: np.ndarray):
        pairs, labels = scores[:, counts].T, is_same[counts]
        self._mean = np.nanmean(pairs[~labels], axis=0)
        self._std = np.nanstd(pairs[~labels], axis=0) + 1e-9
        self._regression = LogisticRegression(C=_FUSION_C, class_weight="balanced", max_iter=1000)
        self._regression.fit(self._features(pairs), labels)

    def score(self, scores: np.ndarray) -> np.ndarray:
        """(K, R, C) scores to (R, C) fused ones."""
        pairs = scores.reshape(len(scores), -1).T
        fused = self._regression.decision_function(self._features(pairs))
        fused[np.isnan(pairs).all(axis=1)] = np.nan
        return fused.reshape(scores.shape[1:])

    def _features(self, pairs: np.ndarray) -> np.ndarray:
        return np.nan_to_num(np.clip((pairs - self._mean) / self._std, -6, 6))


def fuse_by_folds(trials: TrialSet, scores: np.ndarray, counts: np.ndarray, fold_of: Mapping[str, int]) -> np.ndarray:
    """(K, R, C) to (R, C): each pair by a fusion that was trained without the folds of its speakers."""
    is_same = same_speaker(trials)
    fused = np.full(is_same.shape, np.nan)
    for _, block in _blocks(trials, fold_of):
        train = counts & ~block.any(axis=1)[:, None] & ~block.any(axis=0)
        labels = is_same[train]
        if labels.sum() >= _MIN_PAIRS and not labels.all():
            fused = np.where(block, Fusion(scores, is_same, train).score(scores), fused)
    return fused


def same_speaker(trials: TrialSet) -> np.ndarray:
    """(R, C) bool: pairs of one speaker."""
    return np.equal.outer(*(np.array(names, dtype=str) for names in trials.speakers))


def _blocks(trials: TrialSet, fold_of: Mapping[str, int]) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Each two folds, or a fold twice, with (R, C) bool: the trials with one speaker in each of them.

    Without ``fold_of``, all trials are of one fold.
    """
    rows, columns = (np.array([fold_of[name] if fold_of else 0 for name in names]) for names in trials.speakers)
    for one, other in combinations_with_replacement(sorted({*rows.tolist(), *columns.tolist()}), 2):
        block = (rows[:, None] == one) & (columns == other) | (rows[:, None] == other) & (columns == one)
        if block.any():
            yield (one, other), block


def _mean(side: Side, vectors: Vectors, transform=lambda vectors: vectors) -> np.ndarray | None:
    measured = [vectors[segment] for segment in side.segments if segment in vectors]
    return transform(np.stack(measured)).mean(axis=0) if measured else None


def _compare(
    compare: Callable[..., np.ndarray],
    enrolled: list[np.ndarray | None],
    tested: list[np.ndarray | None],
    *counts: Sequence[int],
) -> np.ndarray:
    """Compare the sides that have a vector; NaN for the others. ``counts``: of segments of both, if it takes them."""
    rows, columns = ([i for i, vector in enumerate(side) if vector is not None] for side in (enrolled, tested))
    scores = np.full((len(enrolled), len(tested)), np.nan)
    if rows and columns:
        pair = np.stack([enrolled[i] for i in rows]), np.stack([tested[i] for i in columns])
        known = ([of_side[i] for i in places] for of_side, places in zip(counts, (rows, columns), strict=False))
        scores[np.ix_(rows, columns)] = compare(*pair, *known)
    return scores


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
