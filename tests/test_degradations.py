"""Degradations are what they say and leave the time axis alone; the robustness row, with judges that are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal

from saic.errors import SilentAudio
from saic.evaluation.data.degradations import DEGRADATIONS, add_noise, add_room, through_opus
from saic.evaluation.data.trials import Parts, Span, Trial
from saic.evaluation.measures import robustness
from saic.signal.vad import speech_frames
from tests.conftest import RATE, voice


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def power(wav: np.ndarray) -> float:
    return float(np.mean(np.square(wav, dtype=np.float64)))


@pytest.fixture(scope="module")
def wav() -> np.ndarray:
    """Four seconds of voice and two of pause, 0.3 at most."""
    return np.concatenate([voice(120, 2.0), np.zeros(2 * RATE, np.float32), voice(150, 2.0)])


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("n_samples", [16_001, 96_000])
def test_length_and_timing_stay_and_samples_change(name: str, n_samples: int, wav: np.ndarray) -> None:
    clean = wav[-n_samples:]
    changed = DEGRADATIONS[name](clean, rng())
    assert changed.shape == clean.shape and changed.dtype == np.float32 and np.abs(changed).max() <= 1
    likeness = scipy.signal.correlate(changed - changed.mean(), clean)
    lag = scipy.signal.correlation_lags(len(changed), len(clean))[likeness.argmax()]
    assert abs(lag) <= 2  # 0.1 ms
    assert not np.allclose(changed, clean, atol=1e-3)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_the_generator_decides_alone(name: str, wav: np.ndarray) -> None:
    one, again, other = (DEGRADATIONS[name](wav, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert np.array_equal(one, other) == (name in ("opus", "quiet", "dc_offset"))


@pytest.mark.parametrize("snr_db", [20.0, 10.0])
def test_noise_has_its_ratio_over_speech(snr_db: float, wav: np.ndarray) -> None:
    noise = add_noise(wav, rng(), snr_db) - wav
    speech = np.repeat(speech_frames(wav), 200)
    assert 10 * np.log10(power(wav[speech]) / power(noise[speech])) == pytest.approx(snr_db, abs=0.005)
    # The pause counts for nothing: a ratio over all samples would be lower by what it adds.
    assert 10 * np.log10(power(wav) / power(noise)) < snr_db - 1
    assert power(noise[~speech]) > 0.5 * power(noise[speech])  # and it is in the pauses too


def test_noise_is_pink() -> None:
    tone = np.sin(np.arange(60 * RATE))
    frequencies, density = scipy.signal.welch(add_noise(0.1 * tone, rng(), 10.0) - 0.1 * tone, RATE, nperseg=8192)
    octaves = [density[(frequencies >= low) & (frequencies < 2 * low)].sum() for low in (100, 200, 400, 1600, 3200)]
    assert max(octaves) / min(octaves) < 1.15
    assert density[frequencies < 40].sum() < 0.01 * octaves[0]


def test_a_loud_wav_is_made_quieter_and_not_clipped(wav: np.ndarray) -> None:
    loud = wav / np.abs(wav).max()
    offset = DEGRADATIONS["dc_offset"](loud, rng())
    assert np.abs(offset).max() == pytest.approx(1)
    assert offset == pytest.approx((loud + 0.05) / 1.05, abs=1e-6)


def test_noise_needs_speech_to_be_measured_by() -> None:
    with pytest.raises(SilentAudio):
        add_noise(np.zeros(RATE, np.float32), rng(), 10.0)


@pytest.mark.parametrize("rt60_s", [0.3, 0.5])
def test_a_room_decays_as_asked(rt60_s: float) -> None:
    click = np.zeros(RATE)
    click[1000] = 1.0
    response = add_room(click, rng(), rt60_s)
    assert not np.abs(response[:1000]).max() > 1e-6 and np.abs(response).argmax() == 1000  # the direct sound leads
    assert power(response[1001:]) / power(response[1000:1001]) * (RATE - 1001) == pytest.approx(1, rel=0.01)
    # Schroeder 1965: the energy that is still to come, and its slope between -5 and -25 dB.
    left_db = 10 * np.log10(np.cumsum(response[:1000:-1].astype(float) ** 2)[::-1] / np.sum(response[1001:] ** 2))
    span = np.flatnonzero((left_db < -5) & (left_db > -25))
    slope_db_per_s = np.polyfit(span / RATE, left_db[span], 1)[0]
    assert -60 / slope_db_per_s == pytest.approx(rt60_s, rel=0.05)


def test_a_room_is_no_louder(wav: np.ndarray) -> None:
    assert power(add_room(wav, rng())) == pytest.approx(power(wav), rel=1e-3)


def test_opus_is_opus_at_its_rate(wav: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from saic import audio

    coded: list[bytes] = []
    load = audio.load
    monkeypatch.setattr(audio, "load", lambda data: coded.append(data) or load(data))
    noisy = add_noise(wav, rng(), 20.0)
    changed = through_opus(noisy)
    kbps = 8 * len(coded[0]) / (len(wav) / RATE) / 1000
    assert b"OpusHead" in coded[0][:64] and 10 < kbps < 20
    assert 0.8 < np.corrcoef(changed, noisy)[0, 1] < 0.999


@pytest.mark.parametrize("n_samples", [1, 100, 319])
def test_opus_takes_less_than_a_frame(n_samples: int) -> None:
    assert through_opus(np.full(n_samples, 0.1, np.float32)).shape == (n_samples,)


def test_quiet_is_twenty_decibels_less(wav: np.ndarray) -> None:
    assert DEGRADATIONS["quiet"](wav, rng()) == pytest.approx(wav / 10, abs=1e-7)


# Robustness, with voices that are plain numbers ---------------------------------------------------------

VOICES = {"anna": 0, "ben": 1, "carl": 2}
WORDS = ["apple", "bread", "chair", "desk", "elbow", "flower", "garden", "horse", "island", "jacket"]


def _row(tmp_path, monkeypatch, recogniser: bool = True, seed: int = 0, conditions=None):
    """A system that gives the target's number, and under "worse" for anna carl's, for ben silence.

    The recogniser hears as many words as the second sample says; under "worse" it says 100 more, less three words.
    """
    trials = [Trial("anna", "ben", None), Trial("ben", "carl", None), Trial("carl", "anna", None)]
    corpus = SimpleNamespace(
        parts={name: Parts(name, None, *[(Span(name, 0, 1),)] * 3) for name in VOICES},
        first_trials=lambda: trials,
        wav=lambda part: np.array([VOICES[part[0].utterance], 10.0]),
    )
    default = {"worse": lambda wav, rng: wav + np.array([0, 97]), "same": lambda wav, rng: wav}
    monkeypatch.setattr(robustness, "DEGRADATIONS", conditions or default)

    def anonymized(system, source, reference):
        assert system == "convert"
        if source[1] < 100:
            return np.array([reference[0], 9.0])  # a word is lost
        if source[0] == VOICES["ben"]:
            raise SilentAudio("refused")
        return np.array([VOICES["carl"] if source[0] == VOICES["anna"] else reference[0], 6.0])

    heard: list[int] = []

    def transcribe(wav):
        heard.append(int(wav[1]))
        return " ".join(WORDS[: int(wav[1]) % 100])

    steps = []
    figures = robustness.measure(
        corpus,
        SimpleNamespace(anonymized=anonymized),
        lambda wav: np.array([[1, 0, 0], [0, 1, 0], [0, 0.6, 0.8]])[int(wav[0])],
        SimpleNamespace(identity="x", transcribe=transcribe) if recogniser else None,
        seed=seed,
        progress=lambda *step: steps.append(step),
        cache=tmp_path,
    )
    assert steps == [("robustness", done, 9) for done in range(1, 10)]
    return {name: {k: leaf["value"] for k, leaf in leaves.items()} for name, leaves in figures.items()}, figures, heard


def test_robustness_by_hand(tmp_path, monkeypatch) -> None:
    value, figures, heard = _row(tmp_path, monkeypatch)
    assert value["clean"] == pytest.approx({"wer": 10, "target_top1": 100, "no_speech": 0})
    # Words lost: 4 of 10 for anna and carl, all of ben's. Anna's conversion sounds like carl, 0.6 alike to ben.
    expected = {"wer": 60, "wer_rise": 50, "target_top1": 100 / 3, "no_speech": 100 / 3, "cosine": (0.6 + 1) / 2}
    assert value["worse"] == pytest.approx(expected | {"wer_unconverted": 30})
    expected = {"wer": 10, "wer_rise": 0, "target_top1": 100, "no_speech": 0, "cosine": 1}
    assert value["same"] == pytest.approx(expected | {"wer_unconverted": 0}, abs=1e-9)
    assert figures["worse"]["cosine"]["n"] == 2 and figures["worse"]["wer_rise"]["unit"] == "points"
    assert len(heard) == 3 + 3 + 3 + 2  # sources, clean, worse sources, worse: what is the same is heard once
    assert _row(tmp_path, monkeypatch)[::2] == (value, [])  # and never again


def test_robustness_without_a_recogniser_has_no_words(tmp_path, monkeypatch) -> None:
    value, figures, _ = _row(tmp_path, monkeypatch, recogniser=False)
    assert value["worse"]["wer"] is value["worse"]["wer_rise"] is None
    assert figures["worse"]["wer_rise"]["n"] == 0 and value["worse"]["cosine"] == pytest.approx(0.8)


def test_every_degradation_of_every_speaker_has_a_noise_of_its_own(tmp_path, monkeypatch) -> None:
    drawn: list[float] = []

    def degrade(wav, rng):
        drawn.append(rng.random())
        return wav

    for seed in (0, 0, 1):
        _row(tmp_path, monkeypatch, seed=seed, conditions={"one": degrade, "other": degrade})
    assert drawn[:6] == drawn[6:12] and len(set(drawn)) == 12
