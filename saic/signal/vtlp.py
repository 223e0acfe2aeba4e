"""Warping of the mel's frequency axis, as by another vocal tract length (Jaitly & Hinton 2013)."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from saic.signal.mel import F_MAX_HZ, N_MELS, mel_frequencies_hz

_KNEE = 0.8  # share of the band that is scaled; above it the warp is such that 8 kHz stays at 8 kHz


@lru_cache(maxsize=32)
def warp_matrix(factor: float) -> Tensor:
    """(80, 80) matrix that moves a log-mel's value at f Hz to ``factor`` * f Hz."""
    centers = mel_frequencies_hz()
    knee = _KNEE * F_MAX_HZ * min(1.0, factor)
    source = np.interp(centers, [0.0, knee, F_MAX_HZ], [0.0, knee / factor, F_MAX_HZ])
    position = np.interp(source, centers, np.arange(len(centers)))
    low = np.minimum(position.astype(int), N_MELS - 2)
    matrix = np.zeros((N_MELS, N_MELS), dtype=np.float32)
    rows = np.arange(N_MELS)
    matrix[rows, low] = 1 - (position - low)
    matrix[rows, low + 1] += position - low
    return torch.from_numpy(matrix)


def scale_mel(mel: Tensor, factor: float) -> Tensor:
    """Move formants and harmonics of a (B, 80, T) log-mel from f Hz to ``factor`` * f Hz."""
    return mel if factor == 1 else warp_matrix(factor).to(mel) @ mel
