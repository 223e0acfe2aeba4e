"""Probabilistic linear discriminant analysis (PLDA): the back end of the semi-informed attacker."""

from collections.abc import Sequence

import numpy as np

from saic.errors import DataError


class Plda:
    """Two-covariance PLDA: a speaker is y ~ N(m, B), a recording of the speaker x ~ N(y, W).

    In the basis where W is the identity and B is diag(d), the mean of n recordings of a speaker
    varies by a = d + 1 / n, and that of m others by b = d + 1 / m. The log likelihood ratio of "same
    speaker" to "different speakers" is, for the means' coordinates u and v, the sum over dimensions of::

        d u v / (a b - d²)  -  d² / (2 (a b - d²)) (u² / a + v² / b)  -  log(1 - d² / (a b)) / 2

    Ioffe, "Probabilistic Linear Discriminant Analysis", ECCV 2006, gives W and B in closed form for
    equally many recordings per speaker; Brümmer and de Villiers, "The speaker partitioning
    problem", Odyssey 2010, the ratio.

    Parameters
    ----------
    embeddings
        (n, E).
    speakers
        (n,) true speakers.
    shrinkage
        Share of W, 0 to 1, that is replaced by a multiple of the identity.

    Raises
    ------
    DataError
        Fewer than two speakers with two recordings on average.
    """

    def __init__(self, embeddings: np.ndarray, speakers: Sequence[str], shrinkage: float):
        names, which, counts = np.unique(speakers, return_inverse=True, return_counts=True)
        if len(names) < 2 or len(which) < 2 * len(names):
            raise DataError("Training an attacker needs at least two speakers with two recordings each.")
        self._mean = embeddings.mean(axis=0)
        x = embeddings - self._mean
        means = np.stack([x[which == index].mean(axis=0) for index in range(len(names))])
        within = (x - means[which]).T @ (x - means[which]) / (len(x) - len(names))
        size = len(within)
        within = (1 - shrinkage) * within + shrinkage * np.trace(within) / size * np.eye(size)
        whiten = np.linalg.inv(np.linalg.cholesky(within)).T
        variances, rotation = np.linalg.eigh(whiten.T @ np.cov(means.T) @ whiten)
        # The mean of n recordings of one speaker varies by W / n.
        self.between = np.maximum(variances - np.mean(1 / counts), 0)
        self._basis = whiten @ rotation

    def project(self, embeddings: np.ndarray) -> np.ndarray:
        """(n, E) embeddings to (n, E) coordinates where W is identity and B diag(``between``)."""
        return (embeddings - self._mean) @ self._basis

    def compare(
        self,
        enrolled: np.ndarray,
        tested: np.ndarray,
        n_enrolled: Sequence[int] | int = 1,
        n_tested: Sequence[int] | int = 1,
    ) -> np.ndarray:
        """Log likelihood ratios of all pairs.

        Parameters
        ----------
        enrolled, tested
            (R, E) and (C, E) embeddings, or means of several.
        n_enrolled, n_tested
            (R,) and (C,) number of recordings in each mean.

        Returns
        -------
        (R, C).
        """
        u, v, d = self.project(enrolled), self.project(tested), self.between
        rows, columns = np.broadcast_to(n_enrolled, len(u)), np.broadcast_to(n_tested, len(v))
        ratios = np.empty((len(u), len(v)))
        for n in np.unique(rows):
            for m in np.unique(columns):
                a, b = d + 1 / n, d + 1 / m
                rest = a * b - d**2
                x, y = u[rows == n], v[columns == m]
                alone = (x**2 @ (d**2 / (2 * rest * a)))[:, None] + y**2 @ (d**2 / (2 * rest * b))
                constant = np.log(1 - d**2 / (a * b)).sum() / 2
                ratios[np.ix_(rows == n, columns == m)] = (x * d / rest) @ y.T - alone - constant
        return ratios
