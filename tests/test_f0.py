"""F0 tracking of known signals, F0 statistics, and the mel of harmonics."""

import numpy as np
import pytest
import torch

from saic.signal.f0 import (
    _OCTAVE_COST,
    _STEPS_PER_OCTAVE,
    _cheapest_moves,
    harmonic_mel,
    measure_f0_stats,
    track_f0,
)
from saic.signal.mel import log_mel, mel_frequencies_hz
from tests.conftest import RATE


def tone(f0_hz: np.ndarray | float, seconds: float = 1.0) -> np.ndarray:
    """(N,) ten harmonics of an F0, falling by 6 dB per octave."""
    n = int(seconds * RATE)
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(f0_hz, n)) / RATE
    return sum(np.sin(k * phase) / k for k in range(1, 11)).astype(np.float32) / 4


@pytest.mark.parametrize("f0_hz", [65, 80, 110, 147, 208, 311, 500])
@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_tone_of_any_level_is_tracked_within_two_percent(f0_hz: float, gain: float) -> None:
    track = track_f0(gain * tone(f0_hz))
    assert len(track) == 80
    np.testing.assert_allclose(track[5:-5], f0_hz, rtol=0.02)


def test_glide_is_tracked_without_delay() -> None:
    f0_hz = np.geomspace(100, 250, 2 * RATE)
    np.testing.assert_allclose(track_f0(tone(f0_hz, 2.0))[5:-5], f0_hz[100::200][5:-5], rtol=0.03)


def test_tone_with_mains_hum_and_offset_is_tracked_within_two_percent() -> None:
    hum = 0.3 * np.sin(2 * np.pi * 50 * np.arange(RATE) / RATE) + 0.2
    np.testing.assert_allclose(track_f0(tone(180) + hum.astype(np.float32))[5:-5], 180, rtol=0.02)


@pytest.mark.parametrize("n_samples", [1, 199, 200, 201, 1000, 16_001])
def test_silence_and_noise_of_any_length_give_a_mostly_unvoiced_track(n_samples: int) -> None:
    noise = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    for wav in (np.zeros(n_samples, dtype=np.float32), 0.1 * noise):
        track = track_f0(wav)
        assert track.shape == (-(-n_samples // 200),) and np.isfinite(track).all()
        assert (track > 0).mean() <= (0.2 if n_samples > 3_000 else 1)


def test_pause_between_tones_is_unvoiced() -> None:
    wav = np.concatenate([tone(120), np.zeros(RATE, dtype=np.float32), tone(120)])
    voiced = track_f0(wav) > 0
    assert voiced[5:75].all() and not voiced[85:155].any() and voiced[165:235].all()


def test_f0_stats_are_median_and_spread_of_voiced_frames_and_zero_without_any() -> None:
    median, spread = measure_f0_stats(torch.tensor([0.0, 100.0, 200.0, 400.0, 0.0]))
    assert float(median) == pytest.approx(np.log2(200)) and float(spread) == pytest.approx(1.0)
    assert measure_f0_stats(torch.zeros(4)).tolist() == [0, 0]


def test_harmonic_mel_correlates_with_the_mel_of_a_tone_and_is_zero_where_unvoiced() -> None:
    mel = log_mel(torch.from_numpy(tone(200)))[:, 40]
    harmonics = harmonic_mel(torch.tensor([[200.0, 0.0]]))[0]
    below_2_khz = mel_frequencies_hz() < 1_900
    correlation = np.corrcoef(mel[below_2_khz], harmonics[:80, 0][below_2_khz])[0, 1]
    assert correlation > 0.8
    assert harmonics[80].tolist() == [1, 0] and harmonics[:, 1].eq(0).all()


def test_cheapest_moves_are_those_of_all_pairs() -> None:
    for cost in np.random.default_rng(0).random((50, 160)):
        steps = np.arange(160)
        pairs = cost + _OCTAVE_COST / _STEPS_PER_OCTAVE * np.abs(steps[:, None] - steps)
        before, least = _cheapest_moves(cost)
        np.testing.assert_allclose(least, pairs.min(axis=1), atol=1e-9)
        np.testing.assert_array_equal(before, pairs.argmin(axis=1))
