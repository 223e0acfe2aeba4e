"""Filters: a cosine passes or not, the ends of a signal are apart, and blocks give the same as the whole."""

import numpy as np
import pytest

from saic.audio import SAMPLE_RATE
from saic.signal.filters import BLOCK_SAMPLES, filtered_blocks, raised_cosine_filter


def cosine(hz: float, n_samples: int) -> np.ndarray:
    return np.cos(2 * np.pi * hz * np.arange(n_samples) / SAMPLE_RATE).astype(np.float32)


def test_high_pass_removes_low_and_keeps_high_frequencies() -> None:
    middle = slice(SAMPLE_RATE // 2, -SAMPLE_RATE // 2)
    low, high = cosine(40, 2 * SAMPLE_RATE), cosine(200, 2 * SAMPLE_RATE)
    filtered = raised_cosine_filter(low + high, (60, 80), (0, 1))
    assert filtered.dtype == np.float32 and filtered.shape == low.shape
    np.testing.assert_allclose(filtered[middle], high[middle], atol=1e-3)


@pytest.mark.parametrize("n_samples", [2**14, 15_000, SAMPLE_RATE])
def test_end_of_a_signal_does_not_reach_its_beginning(n_samples: int) -> None:
    wav = np.zeros(n_samples, np.float32)
    wav[-1] = 1
    filtered = raised_cosine_filter(wav, (60, 80), (0, 1))
    assert np.abs(filtered[:1000]).max() < 1e-4


@pytest.mark.parametrize("n_samples", [0, 1, 7])
def test_short_signals_keep_their_length(n_samples: int) -> None:
    filtered = raised_cosine_filter(np.ones(n_samples, np.float32), (60, 80), (0, 1))
    assert filtered.shape == (n_samples,) and np.isfinite(filtered).all()


def test_blocks_give_the_same_as_the_whole() -> None:
    wav = np.random.default_rng(0).standard_normal(BLOCK_SAMPLES + 12_345).astype(np.float32)
    starts, blocks = zip(*filtered_blocks(wav, (60, 80), (0, 1)), strict=True)
    assert starts == (0, BLOCK_SAMPLES)
    np.testing.assert_allclose(np.concatenate(blocks), raised_cosine_filter(wav, (60, 80), (0, 1)), atol=1e-4)
