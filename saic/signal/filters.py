"""Zero-phase filters: a gain on the spectrum of a zero-padded signal, or of blocks of it."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import scipy.fft

from saic.audio import SAMPLE_RATE

BLOCK_SAMPLES = 30 * SAMPLE_RATE
"""Samples that are filtered at once; a longer signal is filtered in blocks."""

_MARGIN_SAMPLES = SAMPLE_RATE  # on each side of a block; the filters used here are over within 0.3 s
_PADDING_SAMPLES = SAMPLE_RATE // 2  # so that the end of a signal does not reach its beginning


class Samples(Protocol):
    """Samples (N,) of a recording: an array, or a :class:`saic.spool.Spool`."""

    def __len__(self) -> int: ...

    def __getitem__(self, samples: slice, /) -> Any: ...


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
    size = scipy.fft.next_fast_len(len(wav) + _PADDING_SAMPLES, real=True)
    spectrum = scipy.fft.rfft(np.asarray(wav, np.float32), size) * _gain(size, tuple(hz), tuple(gains))
    return scipy.fft.irfft(spectrum, size)[: len(wav)]


@functools.lru_cache(maxsize=8)  # the blocks of a long recording have one size
def _gain(size: int, hz: tuple[float, ...], gains: tuple[float, ...]) -> np.ndarray:
    """(size / 2 + 1,) float32 gain of every frequency."""
    ramp = np.interp(scipy.fft.rfftfreq(size, 1 / SAMPLE_RATE), hz, gains)
    return (0.5 - 0.5 * np.cos(np.pi * ramp)).astype(np.float32)


def filtered_blocks(
    wav: Samples, hz: Sequence[float], gains: Sequence[float], offset: float = 0.0
) -> Iterator[tuple[int, np.ndarray]]:
    """:func:`raised_cosine_filter` of samples of any length, minus an offset.

    Yields
    ------
    The place of each block of at most 30 s, a multiple of a mel frame, and its samples.
    """
    for start in range(0, len(wav), BLOCK_SAMPLES):
        stop = min(start + BLOCK_SAMPLES, len(wav))
        first, last = max(0, start - _MARGIN_SAMPLES), min(stop + _MARGIN_SAMPLES, len(wav))
        filtered = raised_cosine_filter(np.asarray(wav[first:last]) - offset, hz, gains)
        yield start, filtered[start - first : stop - first]
