"""An attacker who holds the originals: which of them was a converted recording made from?

Anonymization that keeps the timing of a recording does not hide it from somebody who has that
recording, whatever the voice. Two matches are tried: the energy envelope, stretched to a common
length, by correlation; and the duration alone.
"""

from collections.abc import Sequence

import numpy as np

from saic.evaluation import metrics
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.metrics import Estimates

_POINTS = 256  # of a stretched envelope
_SMOOTH_FRAMES = 9  # 0.11 s


def envelope(segment: Segment) -> np.ndarray:
    """(256,) energy envelope in dB, smoothed over 0.11 s, stretched, of mean 0 and length 1."""
    level = np.maximum(segment.energy_db, segment.energy_db.max() - 50)  # the floor tells little
    smooth = np.convolve(
        np.pad(level, _SMOOTH_FRAMES // 2, mode="edge"), np.ones(_SMOOTH_FRAMES) / _SMOOTH_FRAMES, "valid"
    )
    stretched = np.interp(np.linspace(0, len(smooth) - 1, _POINTS), np.arange(len(smooth)), smooth)
    centered = stretched - stretched.mean()
    return centered / max(float(np.linalg.norm(centered)), 1e-9)


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
    ``database_envelope.top1`` and ``database_duration.top1`` in %; of originals with the same score
    one is guessed. ``database_chance.top1``: what a guess among all finds.
    """
    before, after = (np.stack([envelope(segment) for segment in side]) for side in (originals, outputs))
    seconds = [np.array([len(segment.wav) for segment in side], dtype=float) for side in (originals, outputs)]
    scores = {"envelope": after @ before.T, "duration": -np.abs(np.subtract.outer(seconds[1], seconds[0]))}
    result = {
        f"database_{name}.top1": metrics.estimate_mean(_found(matrix), speakers, "%", seed=seed)
        for name, matrix in scores.items()
    }
    chance = metrics.Estimate(100 / len(originals), None, None, len(set(speakers)), "%")
    return result | {"database_chance.top1": chance}


def _found(scores: np.ndarray) -> list[float]:
    """Probability in % that the best score, or a guess among equal ones, is on the diagonal."""
    best = scores.max(axis=1)
    hits = np.diagonal(scores) >= best
    return (100 * hits / (scores >= best[:, None]).sum(axis=1)).tolist()
