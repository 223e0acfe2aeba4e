"""Zero-phase filters, by a window on the spectrum of the whole signal."""

from collections.abc import Sequence

import numpy as np

from saic.audio import SAMPLE_RATE


def raised_cosine_filter(wav: np.ndarray, hz: Sequence[float], gains: Sequence[float]) -> np.ndarray:
    """Multiply the spectrum of a (N,) wav by a gain with raised-cosine edges.

    Parameters
    ----------
    wav
        (N,) at 16 kHz.
    hz, gains
        Corner frequencies in Hz, ascending, and the gain at each, 0 or 1; constant beyond the first
        and the last.

    Returns
    -------
    (N,) float32.
    """
    n_samples = max(len(wav), 1)
    size = 1 << (n_samples - 1).bit_length()
    ramp = np.interp(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), hz, gains)
    spectrum = np.fft.rfft(wav, size) * (0.5 - 0.5 * np.cos(np.pi * ramp))
    return np.fft.irfft(spectrum, size)[: len(wav)].astype(np.float32)
