"""Loudness of outputs: -23 LUFS whatever comes in, true peaks below -1 dBFS."""

import tracemalloc

import numpy as np
import pytest

from saic import audio
from saic.audio.output import encode
from saic.signal import loudness
from saic.signal.loudness import loudness_lufs, normalize, normalize_for_rate, normalize_loudness, true_peak
from saic.spool import Spool
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


@pytest.mark.parametrize("at_s", [1.0, 0.0, 2.999])
def test_a_peak_is_limited_and_changes_no_level(at_s: float) -> None:
    """One gain for the whole gave outputs with a high peak up to 4 dB less than the others."""
    wav = 0.02 * voice(140, 3.0)
    wav[int(at_s * RATE)] = 0.9
    made = normalize_loudness(wav)
    assert loudness_lufs(made) == pytest.approx(-23.0, abs=0.1)
    assert 10 ** (-1.3 / 20) < true_peak(made) <= 10 ** (-1 / 20)
    # Away from the peak nothing is distorted.
    far = (np.abs(np.arange(len(wav)) - int(at_s * RATE)) > RATE // 50) & (np.abs(wav) > 1e-3)
    gain = made[far] / wav[far]
    assert np.ptp(gain) < 1e-3 * gain.max()


def test_peaks_at_the_border_of_blocks_are_limited_like_others() -> None:
    wav = 0.02 * np.random.default_rng(0).standard_normal(62 * RATE).astype(np.float32)
    border = 60 * RATE  # of the blocks in which a recording is read
    wav[[RATE, border - 1, border, border + 40]] = 0.9
    made = normalize_loudness(wav)
    assert true_peak(made) <= 10 ** (-1 / 20)
    shifted = normalize_loudness(wav[4000:])
    np.testing.assert_allclose(shifted[border - 8000 : border + 4000], made[border - 4000 : border + 8000], rtol=5e-3)


def test_silence_and_clips_shorter_than_a_block_are_unchanged() -> None:
    for wav in (np.zeros(RATE, np.float32), 0.1 * np.ones(100, np.float32)):
        np.testing.assert_array_equal(normalize_loudness(wav), wav)


def test_memory_does_not_grow_with_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks at once would take 0.2 GB for an hour."""
    monkeypatch.setattr(Spool.__init__, "__defaults__", (1_000,))
    wav = Spool.of(*[voice(140, 60.0)] * 6)
    tracemalloc.start()
    try:
        made, (_, peak) = normalize(wav), tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(made) == len(wav) and peak < 5 * 4 * 60 * RATE  # five of six blocks; all of them and two more before


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 12_000])
def test_a_file_of_a_lower_rate_has_minus_23_lufs(rate_hz: int, monkeypatch: pytest.MonkeyPatch) -> None:
    wav = normalize_loudness(voice(140, 3.0) + 0.05 * np.random.default_rng(0).standard_normal(3 * RATE))

    def written(samples: np.ndarray) -> np.ndarray:
        return audio.load(encode(samples, "wav", rate_hz))

    assert loudness_lufs(written(wav)) < -23.2
    made = normalize_for_rate(wav, rate_hz)
    assert len(made) == len(wav)
    assert loudness_lufs(written(made[:])) == pytest.approx(-23.0, abs=0.1)
    monkeypatch.setattr(loudness, "_BLOCK_SAMPLES", 9_600)
    np.testing.assert_allclose(normalize_for_rate(wav, rate_hz)[:], made[:], atol=1e-3)
    assert normalize_for_rate(wav, 48_000) is wav


@pytest.mark.parametrize(("rate_hz", "n"), [(4_000, 16_001), (4_000, 101), (11_025, 16_001)])
def test_samples_for_a_low_rate_keep_an_odd_length(rate_hz: int, n: int) -> None:
    wav = voice(140, 2.0)[:n]
    assert len(normalize_for_rate(wav, rate_hz)) == n
