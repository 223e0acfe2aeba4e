"""What the neural vocoder filters: a pulse train that follows a pitch track, and noise.

The source-filter model of speech (Fant 1960): vocal folds and breath make flat spectra, the vocal tract shapes them.
"""

import numpy as np
import torch
from torch import Tensor

from saic.signal.mel import HOP_SAMPLES, SAMPLE_RATE

_UNVOICED_HZ = 120.0  # where a clip has no pitch at all: its pulses are silent, but their filter is still evaluated
_SMOOTHING = np.hanning(9)[1:-1] / np.hanning(9).sum()  # 7 frames: the track moves in quarters of a semitone
_TOP_HZ = 7_900.0  # no harmonic above: it would fold back
_PULSE_LEVEL = 0.01  # amplitude of a harmonic per Hz of pitch: unit-area pulses, at about the level of the noise


def contour(f0: np.ndarray) -> np.ndarray:
    """A (T,) track in Hz, 0 for unvoiced, as one smooth curve: gaps are bridged, steps rounded off."""
    voiced = np.flatnonzero(f0 > 0)
    if len(voiced) == 0:
        return np.full(len(f0), _UNVOICED_HZ)
    octaves = np.interp(np.arange(len(f0)), voiced, np.log2(f0[voiced]))
    margin = len(_SMOOTHING) // 2
    return 2 ** np.convolve(np.pad(octaves, margin, mode="edge"), _SMOOTHING, mode="valid")


def to_samples(frames: np.ndarray) -> np.ndarray:
    """(T,) values at frame centres to (200 T,) values at samples, straight lines between."""
    centres = np.arange(len(frames)) * HOP_SAMPLES + HOP_SAMPLES / 2
    return np.interp(np.arange(len(frames) * HOP_SAMPLES), centres, frames)


def cycles(hz: np.ndarray) -> np.ndarray:
    """(T,) smooth pitch in Hz to the (200 T,) phase of its fundamental in cycles, -0.5 to 0.5.

    Summed in float64 and wrapped before anything is rounded, so that an hour is as exact as a second.
    """
    phase = np.cumsum(to_samples(hz) / SAMPLE_RATE)
    return phase - np.round(phase)


def pulses(phase: Tensor, hz: Tensor, voicing: Tensor) -> Tensor:
    """Band-limited pulse train: all harmonics up to 7.9 kHz, equally strong, in phase.

    The sum of K cosines in closed form (Dirichlet's kernel): sin((2K + 1) x) / (2 sin x) - 1/2, x half the phase.
    The harmonic at the top fades in and out, so that K may change without a click; none is above 7.9 kHz.

    Parameters
    ----------
    phase, hz, voicing
        (..., N) phase of the fundamental in cycles, its frequency, and the strength of the pulses from 0 to 1.
    """
    count = _TOP_HZ / hz - 1
    whole = count.floor()
    angle = torch.pi * phase
    small = angle.abs() < 1e-4
    safe = torch.where(small, torch.ones_like(angle), angle)
    kernel = torch.where(small, whole, torch.sin((2 * whole + 1) * safe) / (2 * safe.sin()) - 0.5)
    top = (count - whole) * torch.cos(2 * (whole + 1) * angle)
    return _PULSE_LEVEL * hz * voicing * (kernel + top)


def noise(n_samples: int, seed: int = 0) -> Tensor:
    """(N,) white noise of unit variance, the same for the same seed whatever comes after."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(n_samples, dtype=np.float32))
