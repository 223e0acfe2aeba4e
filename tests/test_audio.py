"""Recordings in and out: every format, every refusal, nothing half-written."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf

from saic import audio
from saic.audio import Limits
from saic.errors import AudioError, EmptyAudio, InvalidAudio, SaicError, TooLong, UndecodableAudio, UsageError
from tests.conftest import RATE, voice

TONE_HZ, DURATION_S = 440.0, 2.0

SOUNDFILE = [
    *(("WAV", subtype, 16_000) for subtype in ("PCM_16", "PCM_24", "FLOAT", "PCM_U8")),
    *(("WAV", "PCM_16", rate_hz) for rate_hz in (8_000, 44_100, 48_000)),
    ("FLAC", "PCM_16", 44_100),
    ("OGG", "VORBIS", 44_100),
    ("OGG", "OPUS", 48_000),
    ("MP3", "MPEG_LAYER_III", 44_100),
]
FFMPEG = [("ipod", "aac", 44_100), ("mp4", "aac", 48_000), ("webm", "libopus", 48_000), ("mp3", "libmp3lame", 16_000)]


def tone(rate_hz: int, duration_s: float = DURATION_S) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * TONE_HZ * np.arange(int(duration_s * rate_hz)) / rate_hz)).astype(np.float32)


def with_soundfile(samples: np.ndarray, rate_hz: int, container: str, subtype: str) -> bytes:
    memory = io.BytesIO()
    sf.write(memory, samples, rate_hz, format=container, subtype=subtype)
    return memory.getvalue()


def with_ffmpeg(samples: np.ndarray, rate_hz: int, container: str, codec: str) -> bytes:
    memory = io.BytesIO()
    with av.open(memory, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="mono")
        stream.bit_rate = 40_000
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return memory.getvalue()


def files() -> list:
    """The tone in every format, each with a name for the test."""
    made = [pytest.param(with_soundfile, *form, id="-".join(map(str, form))) for form in SOUNDFILE]
    order = [(name, codec, rate) for name, codec, rate in FFMPEG]
    return made + [pytest.param(with_ffmpeg, *form, id="-".join(map(str, form))) for form in order]


@pytest.mark.parametrize(("write", "container", "codec", "rate_hz"), files())
def test_a_tone_survives_every_format(write, container: str, codec: str, rate_hz: int) -> None:
    wav = audio.load(write(tone(rate_hz), rate_hz, container, codec))
    assert wav.dtype == np.float32 and wav.ndim == 1
    assert len(wav) / RATE == pytest.approx(DURATION_S, abs=0.06)
    middle = wav[RATE // 2 : RATE // 2 + RATE]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(RATE)))
    assert abs(int(spectrum.argmax()) - TONE_HZ) <= 1
    assert 20 * np.log10(np.sqrt(np.mean(middle**2)) / (0.3 / np.sqrt(2))) == pytest.approx(0, abs=1)


def test_long_mp3_is_decoded_as_in_one_go(tmp_path: Path) -> None:
    """Read in blocks through libsndfile, an MP3 lost the bits carried over at every block."""
    path = tmp_path / "long.mp3"
    path.write_bytes(with_ffmpeg(voice(120, 25.0), RATE, "mp3", "libmp3lame"))
    whole, _ = sf.read(path, dtype="float32")
    wav = audio.load(path)
    n = min(len(wav), len(whole))
    assert abs(len(wav) - len(whole)) <= 1152 and np.abs(wav[:n] - whole[:n]).max() < 1e-3


def test_path_bytes_and_file_object_agree_and_names_may_be_anything(tmp_path: Path) -> None:
    path = tmp_path / "Ärztin – 録音.flac"
    path.write_bytes(with_soundfile(tone(RATE), RATE, "FLAC", "PCM_16"))
    with path.open("rb") as file:
        forms = [audio.load(form) for form in (path, str(path), path.read_bytes(), file)]
    for form in forms[1:]:
        np.testing.assert_array_equal(form, forms[0])


def test_channels_are_averaged() -> None:
    left, right = tone(RATE), np.zeros(int(DURATION_S * RATE), np.float32)
    np.testing.assert_allclose(audio.from_array(np.stack([left, right], axis=1), RATE), left / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "half"), [(np.int16, 2**14), (np.int32, 2**30), (np.uint8, 192), (np.float64, 0.5), (np.float32, 0.5)]
)
def test_integers_are_scaled_by_their_range(dtype, half) -> None:
    np.testing.assert_allclose(audio.from_array(np.full(1000, half, dtype), RATE), 0.5, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 48_000])
def test_resampling_keeps_the_duration(rate_hz: int) -> None:
    assert abs(len(audio.from_array(tone(rate_hz), rate_hz)) - DURATION_S * RATE) <= 1


TINY = Limits(max_bytes=100_000, max_duration_s=1.0)
REFUSALS = {
    "no bytes": (lambda: audio.load(b""), EmptyAudio),
    "no samples": (lambda: audio.from_array(np.zeros(0), RATE), EmptyAudio),
    "no samples in the file": (lambda: audio.load(with_soundfile(np.zeros(0), RATE, "WAV", "PCM_16")), EmptyAudio),
    "not audio": (lambda: audio.load(b"these are words, not sounds" * 100), UndecodableAudio),
    "not a number": (lambda: audio.from_array(np.full(100, np.nan), RATE), InvalidAudio),
    "infinite": (lambda: audio.load(with_soundfile(np.full(100, np.inf), RATE, "WAV", "FLOAT")), InvalidAudio),
    "low rate": (lambda: audio.from_array(np.zeros(100), 100), InvalidAudio),
    "high rate": (lambda: audio.from_array(np.zeros(100), 1e6), InvalidAudio),
    "many channels": (lambda: audio.from_array(np.zeros((100, 9)), RATE), InvalidAudio),
    "three dimensions": (lambda: audio.from_array(np.zeros((2, 2, 2)), RATE), InvalidAudio),
    "too many bytes": (lambda: audio.load(bytes(100_001), limits=TINY), TooLong),
    "too long by header": (
        lambda: audio.load(with_soundfile(tone(RATE), RATE, "FLAC", "PCM_16"), limits=TINY),
        TooLong,
    ),
    "too long, found while decoding": (
        lambda: audio.load(with_ffmpeg(tone(RATE), RATE, "mp3", "libmp3lame"), limits=TINY),
        TooLong,
    ),
    "no such file": (lambda: audio.load("/nowhere/Jane Doe.wav"), UsageError),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_a_refusal_has_its_type_and_a_sentence_without_a_name(reason: str) -> None:
    action, error = REFUSALS[reason]
    with pytest.raises(error) as told:
        action()
    assert type(told.value) is error
    assert str(told.value).endswith(".") and "Jane" not in str(told.value)


def test_a_header_that_promises_more_than_the_file_holds_gives_what_is_there() -> None:
    data = with_soundfile(tone(RATE), RATE, "WAV", "PCM_16")
    assert len(audio.load(data[: len(data) // 2])) == pytest.approx(RATE, abs=100)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(with_soundfile(tone(RATE), RATE, "WAV", "PCM_16"), id="wav"),
        pytest.param(with_soundfile(tone(RATE), RATE, "FLAC", "PCM_16"), id="flac"),
        pytest.param(with_ffmpeg(tone(RATE), RATE, "mp3", "libmp3lame"), id="mp3"),
        pytest.param(with_ffmpeg(tone(44_100), 44_100, "ipod", "aac"), id="m4a"),
    ],
)
def test_a_truncated_file_gives_sound_or_a_typed_error(data: bytes) -> None:
    for share in np.linspace(0.01, 0.99, 20):
        try:
            wav = audio.load(data[: int(share * len(data))])
        except SaicError as error:
            assert isinstance(error, AudioError)
        else:
            assert 0 < len(wav) <= 1.05 * DURATION_S * RATE and np.isfinite(wav).all()


def test_saved_samples_come_back(tmp_path: Path) -> None:
    audio.save(tmp_path / "out.wav", 4 * tone(RATE))
    samples, rate_hz = sf.read(tmp_path / "out.wav", dtype="float32")
    assert rate_hz == RATE and sf.info(tmp_path / "out.wav").subtype == "PCM_16"
    np.testing.assert_allclose(samples, np.clip(4 * tone(RATE), -1, 1), atol=1e-4)


def test_saving_replaces_only_by_force_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    audio.save(path, tone(RATE))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        audio.save(path, tone(RATE, 1.0))
    assert path.read_bytes() == before
    audio.save(path, tone(RATE, 1.0), force=True)
    assert path.read_bytes() != before
    with pytest.raises(InvalidAudio):
        audio.save(tmp_path / "nan.wav", np.full(10, np.nan))
    with pytest.raises(UsageError, match="cannot be written"):
        audio.save(tmp_path / "missing" / "out.wav", tone(RATE))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.wav"]
