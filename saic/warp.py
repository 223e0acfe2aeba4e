"""Stretching the frequency axis of a mel, as a vocal tract of another length would (Jaitly & Hinton 2013)."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from saic.mel import F_MAX_HZ, N_MELS, mel_frequencies_hz

_KNEE = 0.8  # share of the band that is stretched linearly; the rest is bent so that 8 kHz stays 8 kHz
_FACTORS = (0.82, 0.85, 0.88, 0.91, 0.94, 0.97, 1.0, 1.03, 1.06, 1.1, 1.14, 1.18, 1.22)
_FORMANT_BINS = slice(5, 65)  # about 0.2 to 5 kHz: lower lies pitch, higher mostly noise


@cache
def warp_matrix(factor: float) -> Tensor:
    """(80, 80) matrix that moves content at f Hz to ``factor`` * f Hz when it multiplies a log-mel."""
    centres = mel_frequencies_hz()
    knee = _KNEE * F_MAX_HZ * min(1.0, factor)
    source = np.interp(centres, [0.0, knee, F_MAX_HZ], [0.0, knee / factor, F_MAX_HZ])
    position = np.interp(source, centres, np.arange(len(centres)))
    low = np.minimum(position.astype(int), N_MELS - 2)
    matrix = np.zeros((N_MELS, N_MELS), dtype=np.float32)
    rows = np.arange(N_MELS)
    matrix[rows, low] = 1 - (position - low)
    matrix[rows, low + 1] += position - low
    return torch.from_numpy(matrix)


def between(one: Tensor, other: Tensor, mask: Tensor) -> float:
    """The factor that brings the formants of one voice nearest to another's.

    ``one`` and ``other`` are (80, T) log-mels of the same words at the same times, ``mask`` (T,) their speech frames
    as 0 and 1; without any, the factor is 1. It is one of thirteen from 0.82 to 1.22.
    """
    speech = mask > 0
    if not speech.any():
        return 1.0
    one, other = one[:, speech], other[:, speech]

    def distance(factor: float) -> float:
        return float((warp_matrix(factor).to(one) @ one - other)[_FORMANT_BINS].abs().mean())

    return min(_FACTORS, key=distance)
