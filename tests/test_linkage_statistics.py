"""Evidence from signal statistics: what each kind measures, what it is invariant to, and odd input."""

import numpy as np
import pytest

from saic.errors import SilentAudio, TooShort
from saic.evaluation.linkage.segment import Segment
from saic.evaluation.linkage.statistics import (
    Articulation,
    EnergyModulation,
    Floor,
    Level,
    MicroProsody,
    Prosody,
    Spectrum,
    Timing,
)
from tests.conftest import RATE

EVIDENCE = [Level(), Prosody(), EnergyModulation(), Timing(), Floor(), Spectrum(), Articulation(), MicroProsody()]
IDS = [evidence.name for evidence in EVIDENCE]
GAIN_INVARIANT = EVIDENCE[1:]


def speech(
    *,
    seconds: float = 5.0,
    swing: float = 0.15,
    syllable_hz: float = 3.0,
    pause_s: float = 0.3,
    floor_db: float = -75.0,
    formant_hz: float = 700.0,
) -> np.ndarray:
    """(N,) harmonics of 150 Hz under one formant, in syllables, with a pause after each second of speech.

    ``swing`` is the amplitude of F0 in octaves, ``floor_db`` the level of white noise re full scale.
    """
    random = np.random.default_rng(0)
    time = np.arange(int(seconds * RATE)) / RATE
    f0 = 150 * 2 ** (swing * np.sin(2 * np.pi * 1.3 * time))
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    moving_hz = formant_hz * (1 + 0.3 * np.sin(2 * np.pi * syllable_hz / 2 * time))
    wav = sum(np.sin(k * phase) / (1 + ((150 * k - moving_hz) / 400) ** 2) for k in range(1, 30))
    envelope = np.maximum(0.1, np.sin(np.pi * syllable_hz * time) ** 2) * (time % (1 + pause_s) < 1)
    wav = 0.2 * wav * envelope / np.abs(wav).max() + 10 ** (floor_db / 20) * random.standard_normal(len(time))
    return wav.astype(np.float32)


def whisper() -> np.ndarray:
    """(N,) noise in syllables: nothing is voiced."""
    random = np.random.default_rng(1)
    time = np.arange(3 * RATE) / RATE
    return (0.05 * random.standard_normal(len(time)) * np.sin(3 * np.pi * time) ** 2).astype(np.float32)


SPEECH = speech()
ODD = {
    "whisper": whisper(),
    "half a second": speech(seconds=0.5, pause_s=0),
    "no pause": speech(pause_s=0),
    "15 s": speech(seconds=15.0),
    "not a multiple of the hop": speech()[:-77],
    "clipped": np.sign(SPEECH).astype(np.float32),
    "offset": SPEECH + np.float32(0.3),
    "digital silence around": np.pad(speech(floor_db=-200), RATE),
    "at -53 dBFS": SPEECH / 20,
    "tone": (0.3 * np.sin(2 * np.pi * 200 * np.arange(2 * RATE) / RATE)).astype(np.float32),
    "steady noise": (0.1 * np.random.default_rng(2).standard_normal(2 * RATE)).astype(np.float32),
    "clicks": np.where(np.arange(2 * RATE) % 4000 == 0, 0.9, 0).astype(np.float32),
}


@pytest.fixture(scope="module")
def original() -> Segment:
    return Segment(SPEECH)


@pytest.fixture(scope="module")
def odd() -> dict[str, Segment]:
    return {name: Segment(wav) for name, wav in ODD.items()}


@pytest.fixture(scope="module")
def silent() -> list[Segment]:
    return [Segment(wav) for wav in (np.zeros(RATE), np.zeros(0), np.full(RATE, 0.1), 1e-5 * whisper())]


@pytest.fixture(scope="module")
def copies() -> list[tuple[Segment, Segment]]:
    """Speech and a whisper, twice each, 20 dB apart."""
    return [(Segment(3 * wav), Segment(0.3 * wav)) for wav in (SPEECH, whisper())]


def test_segment_shares_frames_of_one_number() -> None:
    segment = Segment(SPEECH[:-77].astype(np.float64))
    n_frames = -(-len(segment.wav) // 200)
    assert segment.wav.dtype == np.float32
    assert segment.f0.shape == segment.speech.shape == segment.energy_db.shape == (n_frames,)
    assert segment.mel.shape == (80, n_frames) and segment.mel.dtype == segment.energy_db.dtype == np.float32
    assert segment.mel is segment.mel


def test_energy_is_the_level_in_dbfs_without_offset() -> None:
    tone = 0.1 * np.sqrt(2) * np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE) + 0.2
    np.testing.assert_allclose(Segment(tone).energy_db, -20, atol=0.1)
    np.testing.assert_array_equal(Segment(np.full(RATE, 0.25)).energy_db, -130)


@pytest.mark.parametrize("evidence", EVIDENCE, ids=IDS)
def test_values_are_finite_and_of_one_size_on_odd_input(evidence, original, odd) -> None:
    size = evidence.measure(original).shape
    for name, segment in odd.items():
        values = evidence.measure(segment)
        assert values.shape == size and values.dtype == np.float32 and np.isfinite(values).all(), name


def test_values_depend_on_the_samples_alone_and_leave_them_as_they_are() -> None:
    wav = SPEECH.copy()
    one, other = Segment(wav), Segment(wav)
    first = [evidence.measure(one) for evidence in EVIDENCE]
    second = [evidence.measure(other) for evidence in reversed(EVIDENCE)]
    for a, b in zip(first, reversed(second), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(wav, SPEECH)


@pytest.mark.parametrize("evidence", EVIDENCE, ids=IDS)
def test_silence_and_little_speech_raise_typed_errors(evidence, silent) -> None:
    for segment in silent:
        with pytest.raises(SilentAudio):
            evidence.measure(segment)
    with pytest.raises(TooShort, match=r"at least 0\.5 s"):
        evidence.measure(Segment(np.pad(SPEECH[: RATE // 5], RATE)))


def test_level_of_two_copies_20_db_apart_shows_in_level(copies) -> None:
    for pair in copies:
        loud, soft = map(Level().measure, pair)
        np.testing.assert_allclose((loud - soft)[:3], 20, atol=0.05)
        np.testing.assert_allclose((loud - soft)[3:13], 0, atol=0.05)


@pytest.mark.parametrize("evidence", GAIN_INVARIANT, ids=IDS[1:])
def test_level_of_two_copies_20_db_apart_shows_in_nothing_else(evidence, copies) -> None:
    for loud, soft in copies:
        np.testing.assert_allclose(evidence.measure(loud), evidence.measure(soft), atol=0.03)


def test_compressed_dynamics_show_in_level() -> None:
    plain, compressed = (Level().measure(Segment(wav)) for wav in (SPEECH, np.sign(SPEECH) * np.abs(SPEECH) ** 0.5))
    assert plain[4] - compressed[4] > 3  # crest
    assert compressed[5] - plain[5] > 3  # 5th percentile of the frame level


def test_flat_f0_shows_in_prosody_and_not_in_timing() -> None:
    lively, flat = Segment(speech()), Segment(speech(swing=0.0))
    spread = Prosody().measure(lively)[2] - Prosody().measure(flat)[2]
    assert spread > 1.5  # natural log of the spread of log2 F0
    change = Timing().measure(lively) - Timing().measure(flat)
    assert np.abs(change[:27]).max() < 0.1  # pauses and runs


def test_long_pauses_show_in_timing() -> None:
    short, long = (Timing().measure(Segment(speech(pause_s=pause_s))) for pause_s in (0.3, 0.9))
    assert short[0] - long[0] > 0.15  # share of speech
    assert long[4] - short[4] > 0.8  # mean log duration of pauses


def test_syllable_rate_shows_in_timing_and_in_energy() -> None:
    slow, fast = (Segment(speech(syllable_hz=rate)) for rate in (2.5, 5.0))
    rate = slice(27, 29)  # log rate of syllables, mean log interval
    change = Timing().measure(fast)[rate] - Timing().measure(slow)[rate]
    assert change[0] > 0.4 and change[1] < -0.4
    change = EnergyModulation().measure(fast) - EnergyModulation().measure(slow)
    assert change[7] > 1 and change[5] < -1  # 4.3 to 5.8 Hz, 2.3 to 3.2 Hz


def test_noise_floor_shows_in_floor() -> None:
    clean, noisy = (Floor().measure(Segment(speech(floor_db=floor_db))) for floor_db in (-95, -75))
    assert 15 < noisy[0] - clean[0] < 25  # median level outside speech
    change = (noisy - clean)[7:17]  # the bands
    assert 15 < np.median(change) < 25


def test_color_of_the_noise_floor_shows_in_floor() -> None:
    noise = 0.001 * np.random.default_rng(3).standard_normal(len(SPEECH))
    white, red = (Floor().measure(Segment(speech(floor_db=-200) + n)) for n in (noise, np.cumsum(noise) / 50))
    tilt = [values[16] - values[7] for values in (white, red)]  # highest band re the lowest
    assert tilt[0] - tilt[1] > 20


def test_silent_edges_show_in_floor() -> None:
    plain, padded = (Floor().measure(Segment(wav)) for wav in (SPEECH, np.pad(SPEECH, (RATE, RATE // 2))))
    assert padded[-2] > np.log(0.9) > plain[-2] and padded[-1] > np.log(0.4)
    assert padded[-9] > plain[-9] + 2  # digital silence


def test_formant_shows_in_spectrum() -> None:
    low, same, high = (
        Spectrum().measure(Segment(wav)) for wav in (SPEECH, speech(pause_s=0.2), speech(formant_hz=1400))
    )
    assert np.linalg.norm(high - low) > 5 * np.linalg.norm(same - low)


def test_range_of_the_articulation_shows_in_articulation() -> None:
    wide, narrow = (Articulation().measure(Segment(wav)) for wav in (SPEECH, speech(syllable_hz=0.01)))
    assert wide[8] > narrow[8] + 0.25  # change of the first cepstral coefficient from frame to frame


def test_hard_onsets_of_the_voice_show_in_microprosody(original: Segment) -> None:
    time = np.arange(len(SPEECH)) / RATE
    gated = Segment(SPEECH * (np.sin(3 * np.pi * time) ** 2 > 0.5))
    soft, hard = MicroProsody().measure(original), MicroProsody().measure(gated)
    rise = [
        values[6] - values[3] for values in (soft, hard)
    ]  # level 75 ms within the voiced run re that 38 ms before it
    assert rise[1] > rise[0] + 3
