"""Degradations and their properties; the robustness measure with fake evaluators."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.signal

from saic.errors import NotSpeech, SilentAudio
from saic.evaluation.data.degradations import DEGRADATIONS, add_noise, add_room, through_opus, through_telephone
from saic.evaluation.data.trials import Span, SpeakerParts, Trial
from saic.evaluation.evaluators.evaluators import Evaluators
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
def test_degradation_keeps_length_and_timing_and_changes_samples(name: str, n_samples: int, wav: np.ndarray) -> None:
    clean = wav[-n_samples:]
    changed = DEGRADATIONS[name](clean, rng())
    assert changed.shape == clean.shape and changed.dtype == np.float32 and np.abs(changed).max() <= 1
    correlation = scipy.signal.correlate(changed - changed.mean(), clean)
    lag = scipy.signal.correlation_lags(len(changed), len(clean))[correlation.argmax()]
    assert abs(lag) <= 2  # 0.1 ms
    assert not np.allclose(changed, clean, atol=1e-3)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradation_depends_on_the_generator_only(name: str, wav: np.ndarray) -> None:
    one, again, other = (DEGRADATIONS[name](wav, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert np.array_equal(one, other) == (name in ("opus", "telephone", "quiet", "dc_offset"))


@pytest.mark.parametrize("snr_db", [20.0, 10.0])
def test_noise_has_the_requested_snr_over_speech(snr_db: float, wav: np.ndarray) -> None:
    noise = add_noise(wav, rng(), snr_db) - wav
    speech = np.repeat(speech_frames(wav), 200)
    assert 10 * np.log10(power(wav[speech]) / power(noise[speech])) == pytest.approx(snr_db, abs=0.005)
    # Pauses are not counted: the SNR over all samples is lower.
    assert 10 * np.log10(power(wav) / power(noise)) < snr_db - 1
    assert power(noise[~speech]) > 0.5 * power(noise[speech])  # noise is in the pauses too


def test_noise_is_pink() -> None:
    tone = np.sin(np.arange(60 * RATE))
    frequencies, density = scipy.signal.welch(add_noise(0.1 * tone, rng(), 10.0) - 0.1 * tone, RATE, nperseg=8192)
    octaves = [density[(frequencies >= low) & (frequencies < 2 * low)].sum() for low in (100, 200, 400, 1600, 3200)]
    assert max(octaves) / min(octaves) < 1.15
    assert density[frequencies < 40].sum() < 0.01 * octaves[0]


def test_loud_wav_is_scaled_and_not_clipped(wav: np.ndarray) -> None:
    loud = wav / np.abs(wav).max()
    offset = DEGRADATIONS["dc_offset"](loud, rng())
    assert np.abs(offset).max() == pytest.approx(1)
    assert offset == pytest.approx((loud + 0.05) / 1.05, abs=1e-6)


def test_noise_on_silence_raises_silent_audio() -> None:
    with pytest.raises(SilentAudio):
        add_noise(np.zeros(RATE, np.float32), rng(), 10.0)


@pytest.mark.parametrize("rt60_s", [0.3, 0.5])
def test_room_has_the_requested_rt60(rt60_s: float) -> None:
    click = np.zeros(RATE)
    click[1000] = 1.0
    response = add_room(click, rng(), rt60_s)
    assert not np.abs(response[:1000]).max() > 1e-6 and np.abs(response).argmax() == 1000  # direct sound first
    assert power(response[1001:]) / power(response[1000:1001]) * (RATE - 1001) == pytest.approx(1, rel=0.01)
    # Schroeder 1965: backward-integrated energy, and its slope between -5 and -25 dB.
    left_db = 10 * np.log10(np.cumsum(response[:1000:-1].astype(float) ** 2)[::-1] / np.sum(response[1001:] ** 2))
    span = np.flatnonzero((left_db < -5) & (left_db > -25))
    slope_db_per_s = np.polyfit(span / RATE, left_db[span], 1)[0]
    assert -60 / slope_db_per_s == pytest.approx(rt60_s, rel=0.05)


def test_room_keeps_the_power(wav: np.ndarray) -> None:
    assert power(add_room(wav, rng())) == pytest.approx(power(wav), rel=1e-3)


def test_opus_is_encoded_at_the_requested_rate(wav: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    from saic import audio

    encoded: list[bytes] = []
    load = audio.load
    monkeypatch.setattr(audio, "load", lambda data: encoded.append(data) or load(data))
    noisy = add_noise(wav, rng(), 20.0)
    changed = through_opus(noisy)
    kbps = 8 * len(encoded[0]) / (len(wav) / RATE) / 1000
    assert b"OpusHead" in encoded[0][:64] and 10 < kbps < 20
    assert 0.8 < np.corrcoef(changed, noisy)[0, 1] < 0.999


@pytest.mark.parametrize("n_samples", [1, 100, 319])
def test_opus_accepts_less_than_a_frame(n_samples: int) -> None:
    assert through_opus(np.full(n_samples, 0.1, np.float32)).shape == (n_samples,)


@pytest.mark.parametrize(("hz", "gain"), [(100, 0), (300, 1), (1000, 1), (3400, 1), (4100, 0), (6000, 0)])
def test_telephone_passes_300_to_3400_hz(hz: int, gain: float) -> None:
    tone = 0.3 * np.sin(2 * np.pi * hz / RATE * np.arange(RATE)).astype(np.float32)
    inner = slice(RATE // 8, -RATE // 8)
    received = through_telephone(tone)[inner]
    assert received @ tone[inner] / (tone[inner] @ tone[inner]) == pytest.approx(gain, abs=0.02)
    assert power(received - gain * tone[inner]) < 10**-3.5 * power(tone)


@pytest.mark.parametrize("amplitude", [0.5, 0.05])
def test_telephone_has_the_noise_of_a_law(amplitude: float) -> None:
    """G.711 has an SNR that hardly depends on the level; 8 bits without companding would have 46 and 26 dB."""
    tone = amplitude * np.sin(2 * np.pi * 1013 / RATE * np.arange(RATE)).astype(np.float32)
    noise = (through_telephone(tone) - tone)[RATE // 8 : -RATE // 8]
    assert 10 * np.log10(power(tone) / power(noise)) == pytest.approx(38.5, abs=2)


@pytest.mark.parametrize("n_samples", [1, 2, 319])
def test_telephone_keeps_the_length_of_short_wavs(n_samples: int) -> None:
    assert through_telephone(np.full(n_samples, 0.1, np.float32)).shape == (n_samples,)


def test_quiet_is_20_db_lower(wav: np.ndarray) -> None:
    assert DEGRADATIONS["quiet"](wav, rng()) == pytest.approx(wav / 10, abs=1e-7)


# Robustness, where a wav is the number of a voice and a number of words ---------------------------------

VOICES = {"anna": 0, "ben": 1, "carl": 2}
WORDS = ["apple", "bread", "chair", "desk", "elbow", "flower", "garden", "horse", "island", "jacket"]


def _measure(
    tmp_path,
    monkeypatch,
    with_asr: bool = True,
    seed: int = 0,
    conditions=None,
    second=False,
    language="en",
    refusal=SilentAudio,
    known=frozenset({"en"}),
):
    """Measure a fake system; a wav is (voice, words): the number of a voice and the number of words in its transcript.

    The system outputs the target's voice with one word fewer. The degradation "worse" adds 97 to the second number: a
    source above 100 words is recognized with three words fewer, and its conversion has Carl's voice for Anna, and is
    rejected for Ben.
    """
    trials = [Trial("anna", "ben", None), Trial("ben", "carl", None), Trial("carl", "anna", None)]
    dataset = SimpleNamespace(
        parts={name: SpeakerParts(name, None, *[(Span(name, 0, 1),)] * 3) for name in VOICES},
        one_trial_per_source=lambda: trials,
        wav=lambda part: np.array([VOICES[part[0].utterance], 10.0]),
        languages=dict.fromkeys(VOICES, language),
    )
    default = {"worse": lambda wav, rng: wav + np.array([0, 97]), "same": lambda wav, rng: wav}
    monkeypatch.setattr(robustness, "DEGRADATIONS", conditions or default)

    def of_audio(system, source, reference):
        assert system == "convert"
        if source[1] < 100:
            return np.array([reference[0], 9.0])  # one word is deleted
        if source[0] == VOICES["ben"]:
            raise refusal("refused")
        return np.array([VOICES["carl"] if source[0] == VOICES["anna"] else reference[0], 6.0])

    transcribed: list[int] = []

    def transcribe(wav, *, language):
        assert language in known
        transcribed.append(int(wav[1]))
        return " ".join(WORDS[: int(wav[1]) % 100])

    asr = SimpleNamespace(identity="x", languages=known, transcribe=transcribe)
    steps = []
    measured = robustness.measure(
        dataset,
        SimpleNamespace(of_audio=of_audio),
        lambda wav: np.array([[1, 0, 0], [0, 1, 0], [0, 0.6, 0.8]])[int(wav[0])],
        Evaluators([], moonshine=asr) if second else Evaluators([], asr if with_asr else None),
        texts={},
        seed=seed,
        progress=lambda *step: steps.append(step),
        cache=tmp_path,
    )
    assert steps == [("robustness", done, 9) for done in range(1, 10)]
    values = {name: {k: estimate.value for k, estimate in figures.items()} for name, figures in measured.items()}
    return values, measured, transcribed


def test_robustness_matches_hand_computation(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("saic.evaluation.metrics.MIN_INTERVAL_SPEAKERS", 2)
    value, measured, transcribed = _measure(tmp_path, monkeypatch)
    value = {name: {k: v for k, v in of.items() if not k.startswith("moonshine")} for name, of in value.items()}
    assert value["clean"] == pytest.approx({"wer": 10, "target_top1": 100, "no_speech": 0})
    # Deleted words: 4 of 10 for Anna and Carl, all of Ben's. Anna's conversion has Carl's voice, whose cosine to Ben's
    # is 0.6.
    expected = {"wer": 60, "wer_rise": 50, "target_top1": 100 / 3, "no_speech": 100 / 3, "cosine": (0.6 + 1) / 2}
    assert value["worse"] == pytest.approx(expected | {"wer_unconverted": 30, "wer_above_unconverted": 30})
    expected = {"wer": 10, "wer_rise": 0, "target_top1": 100, "no_speech": 0, "cosine": 1}
    assert value["same"] == pytest.approx(expected | {"wer_unconverted": 0, "wer_above_unconverted": 10}, abs=1e-9)
    # Of Anna and Carl 40 - 30 points, of Ben 100 - 30: the interval is that of the differences.
    above = measured["worse"]["wer_above_unconverted"]
    assert above.low == pytest.approx(10) and above.high == pytest.approx(70) and (above.n, above.unit) == (3, "points")
    assert measured["worse"]["cosine"].n == 2 and measured["worse"]["wer_rise"].unit == "points"
    # Clean sources, their conversions, worse sources, their conversions; equal audio is transcribed once.
    assert len(transcribed) == 3 + 3 + 3 + 2
    assert _measure(tmp_path, monkeypatch)[1:] == (measured, [])  # all transcripts are cached
    assert _measure(tmp_path, monkeypatch, refusal=NotSpeech)[1] == measured  # noise over speech may count as a hum
    assert measured["clean"]["target_top1"].low == pytest.approx(100 * 0.025 ** (1 / 3))


def test_robustness_without_asr_has_no_wer(tmp_path, monkeypatch) -> None:
    value, measured, _ = _measure(tmp_path, monkeypatch, with_asr=False)
    assert value["worse"]["wer"] is value["worse"]["wer_rise"] is None
    assert measured["worse"]["wer_rise"].n == measured["worse"]["wer_above_unconverted"].n == 0
    assert value["worse"]["cosine"] == pytest.approx(0.8)


def test_language_that_no_recognizer_knows_has_no_wer(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(robustness, "unrecognized", lambda *arguments, **options: {"sv-SE": {}})
    value, measured, transcribed = _measure(tmp_path, monkeypatch, language="sv-SE", known={"en", "sv"})
    assert measured["worse"]["wer"].n == measured["worse"]["wer_above_unconverted"].n == 0 and not transcribed
    assert value["worse"]["cosine"] == pytest.approx(0.8)


def test_second_recognizer_has_figures_of_its_own(tmp_path, monkeypatch) -> None:
    first, *_ = _measure(tmp_path, monkeypatch)
    second, measured, _ = _measure(tmp_path, monkeypatch, second=True)
    for name in ("wer", "wer_rise", "wer_unconverted", "wer_above_unconverted"):
        assert second["worse"][f"moonshine_{name}"] == first["worse"][name] and second["worse"][name] is None
        assert first["worse"][f"moonshine_{name}"] is None
    assert measured["worse"]["moonshine_wer_rise"].unit == "points" and "moonshine_wer_rise" not in second["clean"]


def test_noise_differs_between_speakers_and_degradations(tmp_path, monkeypatch) -> None:
    drawn: list[float] = []

    def degrade(wav, rng):
        drawn.append(rng.random())
        return wav

    for seed in (0, 0, 1):
        _measure(tmp_path, monkeypatch, seed=seed, conditions={"one": degrade, "other": degrade})
    assert drawn[:6] == drawn[6:12] and len(set(drawn)) == 12
