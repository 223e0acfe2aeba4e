"""Vocal-tract warps: one clip as speakers that do not exist would have said it.

Stretching the frequency axis moves formants and pitch together, as a shorter or longer vocal tract with other
vocal folds would (vocal-tract length perturbation, Jaitly & Hinton 2013).
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from saic.mel import F_MAX_HZ, mel_frequencies_hz

_KNEE = 0.8  # share of the band that is stretched linearly; the rest is bent so that 8 kHz stays 8 kHz


@cache
def warp_matrix(factor: float) -> Tensor:
    """(80, 80) matrix that moves content at f Hz to ``factor`` * f Hz when it multiplies a log-mel."""
    centres = mel_frequencies_hz()
    knee = _KNEE * F_MAX_HZ * min(1.0, factor)
    source = np.interp(centres, [0.0, knee, F_MAX_HZ], [0.0, knee / factor, F_MAX_HZ])
    position = np.interp(source, centres, np.arange(len(centres)))
    low = np.minimum(position.astype(int), len(centres) - 2)
    matrix = np.zeros((len(centres), len(centres)), dtype=np.float32)
    rows = np.arange(len(centres))
    matrix[rows, low] = 1 - (position - low)
    matrix[rows, low + 1] += position - low
    return torch.from_numpy(matrix)


def warp(mel: Tensor, which: Tensor, factors: tuple[float, ...]) -> Tensor:
    """Warp each log-mel of a batch (B, 80, T) by ``factors[which[b]]``."""
    matrices = torch.stack([warp_matrix(factor) for factor in factors]).to(mel)
    return matrices[which] @ mel
