"""An attacker who holds the originals: which of them was a converted recording made from?

Anonymization that keeps the timing of a recording does not hide it from somebody who has that
recording, whatever the voice. Three matches are tried: the energy envelope, stretched to a common
length, by correlation; its slope, aligned in time, which undoes new timing; and the duration alone.
"""

from collections.abc import Sequence
from functools import reduce

import numpy as np

from saic.evaluation import metrics
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.metrics import Estimates

_POINTS = 256  # of a stretched envelope
_SMOOTH_FRAMES = 9  # 0.11 s
_ALIGNED_POINTS = 128
_BAND = 0.25  # of the length, by which aligned points may lie apart
_BLOCK = 32  # outputs that are aligned at a time, so that the costs fit the processor's cache


def envelope(segment: Segment, n_points: int = _POINTS) -> np.ndarray:
    """(n_points,) energy envelope in dB, smoothed over 0.11 s, stretched, of mean 0 and length 1."""
    level = np.maximum(segment.energy_db, segment.energy_db.max() - 50)  # the floor tells little
    smooth = np.convolve(
        np.pad(level, _SMOOTH_FRAMES // 2, mode="edge"), np.ones(_SMOOTH_FRAMES) / _SMOOTH_FRAMES, "valid"
    )
    stretched = np.interp(np.linspace(0, len(smooth) - 1, n_points), np.arange(len(smooth)), smooth)
    centered = stretched - stretched.mean()
    return centered / max(float(np.linalg.norm(centered)), 1e-9)


def slope(segment: Segment) -> np.ndarray:
    """(128,) float32: slope of the :func:`envelope`, of root mean square 1."""
    change = np.gradient(envelope(segment, _ALIGNED_POINTS))
    return (change / max(float(np.sqrt(np.mean(change**2))), 1e-9)).astype(np.float32)


def alignment_costs(outputs: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """(n, m) costs of the best alignment in time of each of (n, P) outputs with each of (m, P) originals.

    Dynamic time warping (Sakoe and Chiba, IEEE Transactions on Acoustics, Speech, and Signal
    Processing 1978), here of slopes (Keogh and Pazzani, SIAM Data Mining 2001):
    D[i, j] = (a_i - b_j)^2 + min(D[i-1, j], D[i, j-1], D[i-1, j-1]) for |i - j| <= P / 4. All pairs
    are aligned together; a library's function for one pair takes minutes for those of 80 people.
    """
    return np.concatenate(
        [_block_costs(outputs[first : first + _BLOCK], originals) for first in range(0, len(outputs), _BLOCK)]
    )


def _block_costs(outputs: np.ndarray, originals: np.ndarray) -> np.ndarray:
    n_points = outputs.shape[1]
    band = round(_BAND * n_points)
    above: dict[int, np.ndarray] = {}  # column to D of the row before
    for i in range(n_points):
        row: dict[int, np.ndarray] = {}
        for j in range(max(0, i - band), min(n_points, i + band + 1)):
            cost = np.square(outputs[:, i, None] - originals[:, j])
            before = [costs for costs in (row.get(j - 1), above.get(j), above.get(j - 1)) if costs is not None]
            row[j] = cost + reduce(np.minimum, before) if before else cost
        above = row
    return above[n_points - 1]


def measure(
    originals: Sequence[Segment], outputs: Sequence[Segment], speakers: Sequence[str], *, seed: int
) -> Estimates:
    """How often the right original is found among all.

    Parameters
    ----------
    originals, outputs
        (n,) whole recordings before and after the conversion, in the same order.
    speakers
        (n,) their speakers, for the interval.

    Returns
    -------
    ``database_envelope.top1``, ``database_aligned.top1`` and ``database_duration.top1`` in %. Where
    several originals have the best score, one of them is guessed. ``database_chance.top1``: by a guess
    among all.
    """
    before, after = (np.stack([envelope(segment) for segment in side]) for side in (originals, outputs))
    slopes = [np.stack([slope(segment) for segment in side]) for side in (outputs, originals)]
    seconds = [np.array([len(segment.wav) for segment in side], dtype=float) for side in (originals, outputs)]
    scores = {
        "envelope": after @ before.T,
        "aligned": -alignment_costs(*slopes),
        "duration": -np.abs(np.subtract.outer(seconds[1], seconds[0])),
    }
    result = {
        f"database_{name}.top1": metrics.estimate_mean(_found(matrix), speakers, "%", seed=seed, are_hits=True)
        for name, matrix in scores.items()
    }
    chance = metrics.Estimate(100 / len(originals), None, None, len(set(speakers)), "%")
    return result | {"database_chance.top1": chance}


def _found(scores: np.ndarray) -> list[float]:
    """Probability in % that the best score, or a guess among equal ones, is on the diagonal."""
    best = scores.max(axis=1)
    hits = np.diagonal(scores) >= best
    return (100 * hits / (scores >= best[:, None]).sum(axis=1)).tolist()
