"""Excitation of the source-filter vocoder: a pulse train with a given F0, and white noise.

In the source-filter model of speech (Fant 1960), here with sources of flat spectra, a filter (the
vocal tract) shapes the pulses of the vocal folds and the noise of the breath.
"""

import numpy as np
import torch
from torch import Tensor

from saic.signal.mel import HOP_SAMPLES, SAMPLE_RATE

_UNVOICED_HZ = 120.0  # F0 of a clip without voiced frames; its pulses have amplitude 0 anyway
_SMOOTHING = np.hanning(9)[1:-1] / np.hanning(9).sum()  # 7 frames; the F0 track has steps of 1/4 semitone
_TOP_HZ = 7_900.0  # highest harmonic, below the Nyquist frequency
_PULSE_LEVEL = 0.01  # amplitude of a harmonic per Hz of F0, for about the level of the noise


def smooth_f0(f0: np.ndarray) -> np.ndarray:
    """Interpolate a (T,) F0 track in Hz over unvoiced gaps (0 Hz), and smooth it: (T,) in Hz."""
    voiced = np.flatnonzero(f0 > 0)
    if len(voiced) == 0:
        return np.full(len(f0), _UNVOICED_HZ)
    octaves = np.interp(np.arange(len(f0)), voiced, np.log2(f0[voiced]))
    margin = len(_SMOOTHING) // 2
    return 2 ** np.convolve(np.pad(octaves, margin, mode="edge"), _SMOOTHING, mode="valid")


def to_samples(frames: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
    """(T,) values at frame centers to (200 T,) values at samples, by linear interpolation.

    ``start`` and ``stop`` limit it to the samples of these frames.
    """
    stop = len(frames) if stop is None else stop
    first, last = max(0, start - 1), min(len(frames), stop + 1)  # the frames beside them are interpolated too
    centers = np.arange(first, last) * HOP_SAMPLES + HOP_SAMPLES / 2
    return np.interp(np.arange(start * HOP_SAMPLES, stop * HOP_SAMPLES), centers, frames[first:last])


class Excitation:
    """The phase of the pulses and the noise of a recording, for one part after the other.

    Parts may overlap. What they are does not depend on where the parts begin and end. The phase is
    summed in float64 and wrapped before it is rounded to float32, so that it is as exact after an hour
    as after a second.

    Parameters
    ----------
    hz
        (T,) smooth F0 in Hz.
    seed
        Of the noise.
    """

    def __init__(self, hz: np.ndarray, seed: int = 0) -> None:
        self._hz, self._random = hz, np.random.default_rng(seed)
        self._cycles = 0.0
        self._start, self._stop = 0, 0  # the frames that are held
        self._phase, self._noise = np.zeros(0), np.zeros(0, np.float32)

    def part(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Phase, -0.5 to 0.5 cycles, and noise of unit variance of these frames, each (200 (stop - start),).

        No frame lies before the last start.
        """
        if stop > self._stop:
            step = to_samples(self._hz, self._stop, stop) / SAMPLE_RATE
            cycles = np.cumsum(np.concatenate([[self._cycles], step]))[1:]
            self._cycles = cycles[-1]
            self._phase = np.concatenate([self._phase, cycles - np.round(cycles)])
            self._noise = np.concatenate([self._noise, self._random.standard_normal(len(step), dtype=np.float32)])
            self._stop = stop
        dropped = (start - self._start) * HOP_SAMPLES
        self._phase, self._noise, self._start = self._phase[dropped:], self._noise[dropped:], start
        n_samples = (stop - start) * HOP_SAMPLES
        return self._phase[:n_samples], self._noise[:n_samples]


def pulses(phase: Tensor, hz: Tensor, voicing: Tensor) -> Tensor:
    """Band-limited pulse train: all harmonics up to 7.9 kHz with equal amplitude and phase 0.

    The sum of K cosines in closed form (Dirichlet kernel): sin((2K + 1) x) / (2 sin x) - 1/2, where
    x is half the phase in radians. The highest harmonic is faded in and out, so that K changes
    without a click.

    Parameters
    ----------
    phase, hz, voicing
        (..., N) phase of the fundamental in cycles, its frequency in Hz, and the amplitude of the
        pulses, 0 to 1.

    Returns
    -------
    (..., N) pulse train.
    """
    count = _TOP_HZ / hz - 1
    whole = count.floor()
    angle = torch.pi * phase
    small = angle.abs() < 1e-4
    safe = torch.where(small, torch.ones_like(angle), angle)
    kernel = torch.where(small, whole, torch.sin((2 * whole + 1) * safe) / (2 * safe.sin()) - 0.5)
    top = (count - whole) * torch.cos(2 * (whole + 1) * angle)
    return _PULSE_LEVEL * hz * voicing * (kernel + top)
