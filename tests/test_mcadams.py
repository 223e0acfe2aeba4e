"""McAdams anonymization: formants move by the formula; length, level and real poles are kept."""

import numpy as np
import pytest
import scipy.signal

from saic.errors import EmptyAudio, InvalidAudio, UsageError
from saic.signal import mcadams
from saic.signal.mcadams import anonymize, linear_prediction, move_poles
from tests.conftest import RATE, voice

FORMANTS_HZ = (500.0, 1500.0, 3600.0, 5200.0)  # two below the angle of 1 radian, two above


def vowel(duration_s: float) -> np.ndarray:
    """(N,) noise through resonances 80 Hz wide; without harmonics, spectral peaks are formants."""
    wav = np.random.default_rng(0).standard_normal(int(duration_s * RATE))
    for formant_hz in FORMANTS_HZ:
        wav = scipy.signal.lfilter([1], np.poly(pole_pair(np.exp(-np.pi * 80 / RATE), formant_hz)).real, wav)
    return 0.1 * wav / np.abs(wav).max()


def pole_pair(radius: float, hz: float) -> list[complex]:
    pole = radius * np.exp(2j * np.pi * hz / RATE)
    return [pole, pole.conjugate()]


def peaks_hz(wav: np.ndarray) -> np.ndarray:
    """The four strongest resonances of a wav in Hz, ascending: poles of its linear prediction."""
    poles = np.roots(linear_prediction(wav[None])[0])
    poles = poles[poles.imag > 0]
    return np.sort(np.angle(poles[np.argsort(-np.abs(poles))[:4]])) * RATE / (2 * np.pi)


@pytest.mark.parametrize("n_samples", [1, 2, 159, 160, 161, 320, 10_001, 170_000])
def test_coefficient_of_one_gives_the_input(n_samples: int) -> None:
    wav = voice(120, 11.0)[:n_samples]
    changed = anonymize(wav, 1.0)
    assert changed.dtype == np.float32 and changed.shape == wav.shape
    assert np.abs(changed - wav).max() < 1e-6


@pytest.mark.parametrize("alpha", [0.7, 0.85])
def test_formants_move_to_the_frequencies_of_the_formula(alpha: float) -> None:
    wav = vowel(8.0)
    assert peaks_hz(wav) == pytest.approx(FORMANTS_HZ, rel=0.01)
    expected_hz = (2 * np.pi * np.array(FORMANTS_HZ) / RATE) ** alpha * RATE / (2 * np.pi)
    assert peaks_hz(anonymize(wav, alpha)) == pytest.approx(expected_hz, rel=0.03)
    assert np.abs(expected_hz / FORMANTS_HZ - 1).min() > 0.04  # larger than the tolerance above


def test_complex_poles_move_by_the_formula_and_real_poles_do_not() -> None:
    real_poles = [0.7, -0.6, 0.0]
    before = [*pole_pair(0.95, 1_000), *pole_pair(0.8, 6_000), *real_poles]
    angles = np.array([1_000, 6_000]) * 2 * np.pi / RATE
    after_hz = angles**0.6 * RATE / (2 * np.pi)
    after = [*pole_pair(0.95, after_hz[0]), *pole_pair(0.8, after_hz[1]), *real_poles]
    moved = move_poles(np.stack([np.poly(before).real, np.eye(8)[0]]), 0.6)
    assert moved[0] == pytest.approx(np.poly(after).real, abs=1e-9)
    assert moved[1] == pytest.approx(np.eye(8)[0])  # a filter without poles is unchanged


def test_linear_prediction_finds_the_filter_of_filtered_noise_and_is_stable() -> None:
    filters = [np.poly([*pole_pair(0.95, hz), *pole_pair(0.9, 3 * hz)]).real for hz in (600, 1_100)]
    noise = np.random.default_rng(0).standard_normal((2, 100_000))
    frames = np.stack([scipy.signal.lfilter([1], a, n) for a, n in zip(filters, noise, strict=True)])
    assert linear_prediction(frames, 4) == pytest.approx(np.stack(filters), abs=0.02)
    tones = np.sin(np.outer([0.01, 0.3, 2.0], np.arange(320)))
    for a in (*linear_prediction(tones), *linear_prediction(voice(150, 1.0)[:3200].reshape(10, 320))):
        assert np.abs(np.roots(a)).max() < 1


@pytest.mark.parametrize("alpha", [0.5, 0.9])
@pytest.mark.parametrize(
    "wav",
    [
        np.zeros(5_000),
        np.eye(1, 5_000, 2_000)[0],  # a click
        np.sin(0.3 * np.arange(RATE)),
        np.sign(np.sin(0.05 * np.arange(RATE))),
        np.ones(1_600),
        np.array([0.5]),
        np.full(1_000, 1e-30),
        np.random.default_rng(0).uniform(-1, 1, 5_000),
        np.r_[np.zeros(4_000), 1e-8 * np.ones(400), np.sin(0.1 * np.arange(4_000))],
    ],
    ids=["silence", "click", "tone", "square", "dc", "one sample", "tiny", "noise", "burst"],
)
def test_any_waveform_gives_a_finite_waveform_of_its_length(wav: np.ndarray, alpha: float) -> None:
    changed = anonymize(wav.astype(np.float32), alpha)
    assert changed.shape == wav.shape and np.isfinite(changed).all() and np.abs(changed).max() <= 1
    assert changed.any() == wav.any()


def test_level_is_kept_and_peaks_do_not_exceed_full_scale() -> None:
    quiet = 0.03 * voice(120, 3.0)
    for alpha in (0.6, 0.9):
        assert 10 * np.log10(np.mean(anonymize(quiet, alpha) ** 2) / np.mean(quiet**2)) == pytest.approx(0, abs=0.01)
    loud = voice(120, 3.0) / 0.3
    assert np.abs(anonymize(loud, 0.6)).max() == pytest.approx(1)


def test_seed_determines_the_coefficient_if_none_is_given() -> None:
    wav = voice(120, 1.0)
    alpha = np.random.default_rng(7).uniform(0.5, 0.9)
    assert np.array_equal(anonymize(wav, seed=7), anonymize(wav, alpha))
    assert not np.allclose(anonymize(wav, seed=7), anonymize(wav, seed=8), atol=1e-3)
    assert np.array_equal(anonymize(wav, 0.8, seed=7), anonymize(wav, 0.8, seed=8))


def test_anonymization_in_blocks_equals_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    wav = voice(120, 2.0)
    whole = anonymize(wav, 0.8)
    monkeypatch.setattr(mcadams, "_BLOCK_FRAMES", 7)
    assert np.abs(anonymize(wav, 0.8) - whole).max() < 1e-6


def test_unusable_samples_or_coefficient_raise_an_error() -> None:
    with pytest.raises(EmptyAudio):
        anonymize(np.zeros(0, np.float32))
    for samples in (np.full(100, np.nan), np.zeros((2, 100))):
        with pytest.raises(InvalidAudio):
            anonymize(samples)
    for alpha in (0.0, -0.5, 1.01, float("nan")):
        with pytest.raises(UsageError, match="at most 1"):
            anonymize(np.ones(100), alpha)
