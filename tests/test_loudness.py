"""Loudness of outputs: -23 LUFS whatever comes in, true peaks below -1 dBFS."""

import numpy as np
import pytest

from saic.signal.loudness import loudness_lufs, normalize_loudness, true_peak
from tests.conftest import RATE, voice


def test_sine_of_0_dbfs_at_997_hz_has_minus_3_lufs() -> None:
    """The calibration of BS.1770-4: 0 dBFS peak, one channel, -3.01 LUFS."""
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * RATE) / RATE)
    assert loudness_lufs(sine) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("gain_db", [-50.0, -20.0, 0.0])
def test_output_has_minus_23_lufs_at_any_gain(gain_db: float) -> None:
    wav = normalize_loudness(voice(140, 3.0) * 10 ** (gain_db / 20))
    assert loudness_lufs(wav) == pytest.approx(-23.0, abs=0.05) and wav.dtype == np.float32
    assert true_peak(wav) <= 10 ** (-1 / 20)


def test_peaks_limit_the_gain() -> None:
    wav = np.zeros(3 * RATE, np.float32)
    wav[:: RATE // 2] = 0.5  # clicks: a high peak at a low loudness
    wav += 1e-4 * np.random.default_rng(0).standard_normal(len(wav)).astype(np.float32)
    assert true_peak(normalize_loudness(wav)) == pytest.approx(10 ** (-1 / 20), rel=0.01)


def test_silence_and_clips_shorter_than_a_block_are_unchanged() -> None:
    for wav in (np.zeros(RATE, np.float32), 0.1 * np.ones(100, np.float32)):
        np.testing.assert_array_equal(normalize_loudness(wav), wav)
