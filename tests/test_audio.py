"""Reading and writing audio: round trips in every format, all errors, false headers and truncated files."""

import contextlib
import io
import os
import re
import struct
import threading
import traceback
import tracemalloc

import av
import numpy as np
import pytest
import soundfile as sf
import soxr

from saic.audio import FORMATS_TEXT, SAMPLE_RATE, SUFFIXES, Limits, from_array, load, mix, read, save, spool_array
from saic.errors import AudioError, EmptyAudio, InvalidAudio, TooLong, UndecodableAudio, UsageError
from tests.conftest import voice

TONE_HZ, TONE_PEAK = 440.0, 0.4


def tone(rate_hz: int = SAMPLE_RATE, duration_s: float = 1.0) -> np.ndarray:
    """(N,) float32 sine."""
    t_s = np.arange(round(rate_hz * duration_s)) / rate_hz
    return (TONE_PEAK * np.sin(2 * np.pi * TONE_HZ * t_s)).astype(np.float32)


def with_soundfile(samples: np.ndarray, rate_hz: int, fmt: str = "WAV", subtype: str | None = None) -> bytes:
    memory = io.BytesIO()
    sf.write(memory, samples, rate_hz, format=fmt, subtype=subtype)
    return memory.getvalue()


def with_pyav(
    samples: np.ndarray,
    rate_hz: int,
    fmt: str,
    codec: str,
    layout="mono",
    video=None,
    bit_rate=None,
    dtx=False,
    options=None,
):
    """Encode samples (n,) into every channel of `layout`, beside a `video` track of ten frames."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=fmt, options=options or {}) as container:
        if video:
            pictures = container.add_stream(video, rate=10, width=64, height=64, pix_fmt="yuv420p")
        coding = {"dtx": "1"} if dtx else {}  # send no packets, or small ones, in pauses
        sound = container.add_stream(codec, rate=rate_hz, layout=layout, options=coding) if codec else None
        if bit_rate:
            sound.bit_rate = bit_rate
        if video:
            for i in range(10):
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * i, np.uint8), format="rgb24")
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        if sound:
            # In parts, because load() limits the size of FFmpeg's allocations in this process.
            for start in range(0, len(samples), rate_hz):
                packed = np.repeat(samples[start : start + rate_hz], av.AudioLayout(layout).nb_channels)[None]
                frame = av.AudioFrame.from_ndarray(packed.astype(np.float32), format="flt", layout=layout)
                frame.sample_rate, frame.pts = rate_hz, start
                container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return memory.getvalue()


def opus_in_caf(samples: np.ndarray) -> bytes:
    """Samples (n,) at 48 kHz as voice messages of phones hold them (Apple's CAF specification 1.0)."""
    coder = av.CodecContext.create("libopus", "w")
    coder.sample_rate, coder.layout, coder.format = 48_000, "mono", "flt"
    coder.open()
    packets = []
    for start in range(0, len(samples), 960):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 960], format="flt", layout="mono")
        frame.sample_rate, frame.pts = 48_000, start
        packets += [bytes(packet) for packet in coder.encode(frame)]
    sizes = b"".join(
        bytes([0x80 | len(packet) >> 7, len(packet) & 0x7F]) if len(packet) > 127 else bytes([len(packet)])
        for packet in packets
    )
    chunks = {
        b"desc": struct.pack(">d4sIIIII", 48_000, b"opus", 0, 0, 960, 1, 0),
        b"pakt": struct.pack(">qqii", len(packets), 960 * len(packets), 0, 0) + sizes,
        b"data": bytes(4) + b"".join(packets),
    }
    return b"caff\0\1\0\0" + b"".join(name + struct.pack(">q", len(c)) + c for name, c in chunks.items())


def two_data_chunks(samples: np.ndarray, rate_hz: int) -> bytes:
    """A WAV that was paused, or written in parts: half of the samples in each data chunk."""
    data = with_soundfile(samples, rate_hz)
    half = 44 + (len(data) - 44) // 4 * 2
    parts = [b"data" + struct.pack("<I", len(part)) + part for part in (data[44:half], data[half:])]
    body = data[8:36] + parts[0] + b"note" + struct.pack("<I", 3) + b"abc\0" + parts[1]
    return b"RIFF" + struct.pack("<I", len(body)) + body


RECORDINGS = {
    "wav 8 kHz": lambda: with_soundfile(tone(8_000), 8_000),
    "wav 16 kHz": lambda: with_soundfile(tone(16_000), 16_000),
    "wav 44.1 kHz": lambda: with_soundfile(tone(44_100), 44_100),
    "wav 48 kHz": lambda: with_soundfile(tone(48_000), 48_000),
    "wav 24 bit": lambda: with_soundfile(tone(44_100), 44_100, subtype="PCM_24"),
    "wav float": lambda: with_soundfile(tone(44_100), 44_100, subtype="FLOAT"),
    "wav 8 bit": lambda: with_soundfile(tone(44_100), 44_100, subtype="PCM_U8"),
    "wav mu-law": lambda: with_soundfile(tone(8_000), 8_000, subtype="ULAW"),
    "flac": lambda: with_soundfile(tone(48_000), 48_000, "FLAC"),
    "ogg vorbis": lambda: with_soundfile(tone(44_100), 44_100, "OGG", "VORBIS"),
    "ogg opus": lambda: with_soundfile(tone(48_000), 48_000, "OGG", "OPUS"),
    "mp3": lambda: with_soundfile(tone(44_100), 44_100, "MP3"),
    "mp3 with xing": lambda: with_pyav(tone(44_100), 44_100, "mp3", "libmp3lame"),
    "aiff": lambda: with_soundfile(tone(44_100), 44_100, "AIFF"),
    "m4a aac": lambda: with_pyav(tone(44_100), 44_100, "ipod", "aac"),
    "m4a aac 7.1": lambda: with_pyav(tone(48_000), 48_000, "ipod", "aac", "7.1"),
    "m4a alac": lambda: with_pyav(tone(44_100), 44_100, "ipod", "alac"),
    "adts aac": lambda: with_pyav(tone(44_100), 44_100, "adts", "aac"),
    "webm opus": lambda: with_pyav(tone(48_000), 48_000, "webm", "libopus", "stereo"),
    "mp4 with video": lambda: with_pyav(tone(44_100), 44_100, "mp4", "aac", "stereo", "mpeg4"),
    "webm with video": lambda: with_pyav(tone(48_000), 48_000, "webm", "libopus", "mono", "libvpx"),
    "mov 24 bit": lambda: with_pyav(tone(48_000), 48_000, "mov", "pcm_s24be", "stereo"),
    "wav a-law": lambda: with_soundfile(tone(8_000), 8_000, subtype="ALAW"),
    "wav of two data chunks": lambda: two_data_chunks(tone(), SAMPLE_RATE),
    "wav mp3": lambda: with_pyav(tone(), SAMPLE_RATE, "wav", "libmp3lame", bit_rate=32_000),
    "mp3 8 kb/s": lambda: with_pyav(tone(8_000), 8_000, "mp3", "libmp3lame", bit_rate=8_000),
    "caf opus": lambda: opus_in_caf(tone(48_000)),
    "caf alac": lambda: with_pyav(tone(44_100), 44_100, "caf", "alac"),
    "caf alac of libsndfile": lambda: with_soundfile(tone(44_100), 44_100, "CAF", "ALAC_16"),
    "3gp amr": lambda: with_pyav(tone(8_000), 8_000, "3gp", "libopencore_amrnb", bit_rate=12_200),
    "amr": lambda: with_pyav(tone(8_000), 8_000, "amr", "libopencore_amrnb", bit_rate=12_200),
    "wma 1": lambda: with_pyav(tone(), SAMPLE_RATE, "asf", "wmav1", bit_rate=32_000),
    "wma 2 stereo": lambda: with_pyav(tone(44_100), 44_100, "asf", "wmav2", "stereo", bit_rate=64_000),
    "ogg flac": lambda: with_pyav(tone(), SAMPLE_RATE, "ogg", "flac"),
    "mov aac": lambda: with_pyav(tone(44_100), 44_100, "mov", "aac"),
    "mkv opus": lambda: with_pyav(tone(48_000), 48_000, "matroska", "libopus"),
    "mkv 5.0 flac": lambda: with_pyav(tone(48_000), 48_000, "matroska", "flac", "5.0"),
}
STREAMABLE = [
    name for name in RECORDINGS if not name.startswith(("m4a", "mp4", "mov", "3gp", "caf"))
]  # no index at the end
RECORDING_OF = {
    ".wav": "wav 16 kHz",
    ".flac": "flac",
    ".ogg": "ogg vorbis",
    ".oga": "ogg flac",
    ".opus": "ogg opus",
    ".mp3": "mp3",
    ".m4a": "m4a aac",
    ".aac": "adts aac",
    ".mp4": "mp4 with video",
    ".mov": "mov aac",
    ".webm": "webm opus",
    ".mkv": "mkv opus",
    ".mka": "mkv opus",
    ".3gp": "3gp amr",
    ".amr": "amr",
    ".wma": "wma 2 stereo",
    ".aiff": "aiff",
    ".aif": "aiff",
    ".aifc": "aiff",
    ".caf": "caf opus",
}


@pytest.fixture(scope="module")
def recordings() -> dict[str, bytes]:
    return {name: make() for name, make in RECORDINGS.items()}


def assert_is_wav(wav: np.ndarray) -> None:
    assert wav.dtype == np.float32 and wav.ndim == 1 and len(wav) > 0
    assert np.isfinite(wav).all() and np.abs(wav).max() <= 1.0


def wav_or_audio_error(data: bytes) -> np.ndarray | None:
    """The wav, or None for an AudioError; any other error fails the test."""
    try:
        wav = load(data)
    except AudioError:
        return None
    assert_is_wav(wav)
    return wav


# --- decoding


@pytest.mark.parametrize("name", RECORDINGS)
def test_tone_keeps_pitch_level_and_duration_in_every_format(recordings, name):
    wav = load(recordings[name])
    assert_is_wav(wav)
    assert len(wav) / SAMPLE_RATE == pytest.approx(1.0, abs=0.09 if name == "wav mp3" else 0.05)  # codecs pad
    middle = wav[SAMPLE_RATE // 4 : -SAMPLE_RATE // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2**17))
    assert np.argmax(spectrum) * SAMPLE_RATE / 2**17 == pytest.approx(TONE_HZ, abs=1.0)
    rel = 0.25 if "amr" in name else 0.05
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(TONE_PEAK, rel=rel)


@pytest.mark.parametrize("name", RECORDINGS)
def test_whole_file_has_no_notes(recordings, name):
    assert read(recordings[name]).notes == ()


def test_each_suffix_of_the_one_list_is_decoded_and_named(recordings, tmp_path):
    assert set(RECORDING_OF) == SUFFIXES
    for suffix, name in RECORDING_OF.items():
        (tmp_path / f"a{suffix}").write_bytes(recordings[name])
        assert len(load(tmp_path / f"a{suffix}")) / SAMPLE_RATE == pytest.approx(1.0, abs=0.06)
    other = {".oga": "OGG", ".mka": "MKV", ".aif": "AIFF", ".aifc": "AIFF"}
    for suffix in SUFFIXES:
        assert other.get(suffix, suffix[1:]).lower() in FORMATS_TEXT.lower()


@pytest.mark.parametrize("name", ["wav 44.1 kHz", "flac", "ogg opus", "mp3", "m4a aac", "webm opus"])
def test_path_bytes_and_file_objects_give_the_same_wav(recordings, name, tmp_path):
    data = recordings[name]
    path = tmp_path / "Füße – 声 .raw"  # soundfile needs a rate for a .raw that it opens by name
    path.write_bytes(data)
    wav = load(data)
    behind_a_header = io.BytesIO(b"12345" + data)
    behind_a_header.seek(5)
    with open(path, "rb") as file, open(path, "rb", buffering=0) as unbuffered:
        sources = [path, str(path), bytearray(data), file, unbuffered, behind_a_header, Pipe(data)]
        for source in sources:
            np.testing.assert_array_equal(load(source), wav)
        assert not file.closed


class Pipe:
    """A file object that cannot seek and returns fewer bytes than requested."""

    def __init__(self, data: bytes):
        self._file = io.BytesIO(data)

    def read(self, n: int) -> bytes:
        return self._file.read(min(n, 1000))


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 96_000])
def test_resampling_in_blocks_equals_resampling_the_whole(rate_hz):
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 3 * rate_hz + 17).astype(np.float32)
    whole = soxr.resample(samples, rate_hz, SAMPLE_RATE)
    np.testing.assert_allclose(from_array(samples, rate_hz), whole, atol=1e-5)


def test_16_khz_samples_are_unchanged():
    samples = tone() + 0.1  # with a DC offset, which is kept
    np.testing.assert_array_equal(from_array(samples, SAMPLE_RATE), samples)
    np.testing.assert_array_equal(load(with_soundfile(samples, SAMPLE_RATE, subtype="FLOAT")), samples)


def test_rate_may_change_within_a_recording():
    blocks = ((tone(rate_hz)[:, None], rate_hz) for rate_hz in (48_000, 8_000))
    wav, _ = mix.to_wav(blocks, Limits())
    np.testing.assert_allclose(wav, np.concatenate([from_array(tone(r), r) for r in (48_000, 8_000)]), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, ">i2", np.int32, np.uint8, np.uint16])
def test_integers_are_scaled_by_their_full_range(dtype):
    info = np.iinfo(dtype)
    middle = 0 if info.min < 0 else 2 ** (info.bits - 1)
    samples = np.array([info.min, middle, info.max], dtype)
    expected = [-1.0, 0.0, 1.0 - 2.0 ** (1 - info.bits)]
    np.testing.assert_allclose(from_array(samples, SAMPLE_RATE), expected, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_scaled_to_a_peak_of_1_if_they_lie_outside(dtype):
    inside = np.array([-1.0, -0.5, 0.0, 0.25, 0.75], dtype)
    np.testing.assert_array_equal(from_array(inside, SAMPLE_RATE), inside)
    outside = np.array([-2.0, -0.5, 0.0, 0.25, 1.5], dtype)
    np.testing.assert_array_equal(from_array(outside, SAMPLE_RATE), np.float32([-1.0, -0.25, 0.0, 0.125, 0.75]))


@pytest.mark.parametrize("peak", [2.0, 8.0, 100.0, 32_768.0, 2.0**31])
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_float_file_beyond_1_keeps_its_wave(peak, rate_hz):
    samples = soxr.resample(voice(120, 2.0), SAMPLE_RATE, rate_hz)
    samples *= peak / np.abs(samples).max()
    wav = load(with_soundfile(samples, rate_hz, subtype="FLOAT"))
    np.testing.assert_allclose(wav, from_array(samples / peak, rate_hz), atol=0.01)
    assert np.abs(wav).max() == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(from_array(samples, rate_hz), wav, atol=1e-6)


@pytest.mark.parametrize("gain", [0.05, 50.0])
@pytest.mark.parametrize("n_samples", [1, 1_600])
def test_knock_beyond_1_does_not_make_the_voice_quieter(gain, n_samples):
    speech = voice(120, 2.0)
    samples = gain * speech
    samples[10_000 : 10_000 + n_samples] = np.resize([1, -1], n_samples) * gain * 15.9 / 0.05
    expected = samples / max(gain * np.abs(speech).max(), 1.0)
    np.testing.assert_allclose(from_array(samples, SAMPLE_RATE), np.clip(expected, -1, 1), rtol=1e-3)


def test_little_sound_in_silence_is_no_knock():
    samples = np.pad(50 * voice(120, 0.2), SAMPLE_RATE)
    np.testing.assert_allclose(from_array(samples, SAMPLE_RATE), samples / np.abs(samples).max(), rtol=1e-6)


# --- channels

SPEECH = voice(120, 4.0)


def noise(rms: float, seed: int = 0, n: int = len(SPEECH)) -> np.ndarray:
    return (rms * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def hum(peak: float, hz: float = 50.0) -> np.ndarray:
    return (peak * np.sin(2 * np.pi * hz * np.arange(len(SPEECH)) / SAMPLE_RATE)).astype(np.float32)


def knock(peak: float) -> np.ndarray:
    burst = np.zeros_like(SPEECH)
    burst[20_000:21_600] = peak * np.random.default_rng(0).uniform(-1, 1, 1600)
    return burst


def far(wav: np.ndarray) -> np.ndarray:
    """A microphone at some meters: direct sound, and reverberation of 0.5 s."""
    decay = np.random.default_rng(0).standard_normal(8_000) * 10 ** (-3 * np.arange(8_000) / 8_000)
    decay *= 0.2 / np.linalg.norm(decay)
    decay[80] += 0.2
    return np.convolve(wav, decay)[: len(wav)].astype(np.float32)


NOTHING = np.zeros_like(SPEECH)
ONE_SPEAKER = {
    "equal": lambda: [SPEECH, SPEECH],
    "opposite phase": lambda: [SPEECH, -SPEECH],
    "opposite phase, 1 dB lower": lambda: [SPEECH, -0.9 * SPEECH],
    "opposite phase with noise": lambda: [SPEECH + noise(0.002), -SPEECH + noise(0.002, seed=1)],
    "opposite phase in two of three": lambda: [SPEECH, -SPEECH, SPEECH],
    "right silent": lambda: [SPEECH, NOTHING],
    "left silent": lambda: [NOTHING, SPEECH],
    "right of little noise": lambda: [SPEECH, noise(0.001)],
    "left 6 dB lower": lambda: [0.5 * SPEECH, SPEECH],
    "left 30 dB lower": lambda: [0.03 * SPEECH + noise(0.001), SPEECH],
    "5.1 with speech in the center": lambda: [0.02 * noise(1), 0.02 * noise(1, 1), SPEECH, NOTHING, NOTHING, NOTHING],
    "hum in the left": lambda: [hum(0.9), SPEECH],
    "DC in the left": lambda: [NOTHING + 0.8, SPEECH],
    "noise in the left": lambda: [noise(2 * SPEECH.std()), SPEECH],
    "tone in the left": lambda: [hum(0.3, 1000.0), SPEECH],
    "knock in the left": lambda: [knock(0.9), SPEECH],
    "spaced microphones": lambda: [SPEECH, 0.9 * np.roll(SPEECH, 8)],
    "polarity of spaced microphones": lambda: [SPEECH, -0.9 * np.roll(SPEECH, 30)],
    "far microphone in the right": lambda: [SPEECH, far(SPEECH)],
    "loose contact": lambda: [np.where(np.arange(len(SPEECH)) < 20_000, SPEECH, 0), SPEECH],
}


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
@pytest.mark.parametrize("name", ONE_SPEAKER)
def test_channels_of_one_speaker_give_the_speech_at_its_level(name, rate_hz):
    samples = np.stack([soxr.resample(c, SAMPLE_RATE, rate_hz) for c in ONE_SPEAKER[name]()], axis=1)
    recording = read(with_soundfile(samples, rate_hz, subtype="FLOAT"))
    similarity = abs(np.corrcoef(recording.wav, SPEECH)[0, 1])  # polarity cannot be heard
    assert similarity > 0.995
    assert 20 * np.log10(recording.wav.std() / SPEECH.std()) == pytest.approx(0, abs=0.5)
    assert recording.notes == ()
    np.testing.assert_allclose(from_array(samples, rate_hz), recording.wav, atol=1e-6)


def time_code() -> np.ndarray:
    """A track of SMPTE 12M: 2,000 bits per second, each with a change of sign, a 1 with another one in its middle."""
    bits = np.random.default_rng(0).integers(0, 2, len(SPEECH) // 8)
    return np.repeat(np.cumprod(np.stack([-np.ones_like(bits), 1 - 2 * bits], axis=1).ravel()), 4).astype(np.float32)


NO_SPEECH = {
    "tone": lambda: hum(1.0, 1000.0),
    "noise": lambda: noise(1.0),
    "noise that swells": lambda: noise(1.0) * (1 + hum(1.0, 0.5)),
    "time code": time_code,
}


@pytest.mark.parametrize("louder_db", [24.0, 32.0])
@pytest.mark.parametrize("name", NO_SPEECH)
def test_loud_channel_without_speech_is_left_out(name, louder_db):
    speech, other = 0.1 * SPEECH[:61_440], NO_SPEECH[name]()[:61_440]  # whole windows of 128 ms
    other *= 10 ** (louder_db / 20) * speech.std() / other.std()
    np.testing.assert_array_equal(from_array(np.stack([other, speech], axis=1), SAMPLE_RATE), speech)


@pytest.mark.parametrize("n_channels", [2, 3, 8])
def test_equal_channels_give_exactly_one_of_them(n_channels):
    np.testing.assert_allclose(from_array(np.stack([SPEECH] * n_channels, axis=1), SAMPLE_RATE), SPEECH, atol=1e-7)


def test_mean_of_correlated_channels_halves_their_noise():
    wav = from_array(np.stack([SPEECH + noise(0.002), SPEECH + noise(0.002, 1)], axis=1), SAMPLE_RATE)
    assert (wav - SPEECH).std() == pytest.approx(0.002 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("bleeding", [0.0, 0.2])
@pytest.mark.parametrize("quieter", [1.0, 0.2])
def test_two_speakers_in_two_channels_are_both_kept_and_noted(bleeding, quieter):
    asks, answers = voice(110, 6.0), quieter * voice(220, 6.0, seed=1, formant_hz=900)
    turn = np.arange(len(asks)) // 20_000 % 2 == 0
    asks, answers = asks * turn, answers * ~turn
    samples = np.stack([asks + bleeding * answers, answers + bleeding * asks], axis=1) + 1e-4
    recording = read(with_soundfile(samples, SAMPLE_RATE))
    assert recording.notes == ("2 channels carry different speakers: they are mixed into one.",)
    assert spool_array(samples, SAMPLE_RATE).notes == recording.notes
    tone_beside = np.column_stack([samples, 0.9 * np.sin(np.arange(len(samples)))])
    assert spool_array(tone_beside, SAMPLE_RATE).notes == recording.notes
    for speaker in (asks, answers):
        where = np.abs(speaker) > 0
        assert np.corrcoef(recording.wav[where], speaker[where])[0, 1] > 0.95
        assert 20 * np.log10(recording.wav[where].std() / speaker[where].std()) == pytest.approx(0, abs=2)


@pytest.mark.parametrize("shape", [(1, 3), (5, 2), (40_000, 2), (40_000, 8)])
@pytest.mark.parametrize("value", [0.0, 0.1])
def test_channels_without_speech_give_a_wav(shape, value):
    samples = np.full(shape, value)
    wav = from_array(samples, SAMPLE_RATE)
    assert_is_wav(wav)
    np.testing.assert_allclose(wav, samples[:, 0], atol=1e-6)


def test_memory_for_channels_is_bounded_by_the_limits():
    data = with_soundfile(np.stack([np.resize(SPEECH, 30 * SAMPLE_RATE)] * 8, axis=1), SAMPLE_RATE, "FLAC")
    tracemalloc.start()
    try:
        load(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * 30 * SAMPLE_RATE * 4 * (8 + 1)


# --- errors


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"hello world\n" * 500,
        bytes(20_000),
        np.random.default_rng(0).bytes(20_000),
        b"\xff\xf1" + np.random.default_rng(0).bytes(2_000),  # the start of an AAC frame
        b"\xff\xfb\x90\x64" + np.random.default_rng(0).bytes(2_000),  # of an MP3 frame
        b"\x89PNG\r\n\x1a\n" + bytes(3_000),
        b"RIFF\xff\xff\xff\xffWAVE",
    ],
)
def test_data_that_is_not_audio_raises_undecodable_audio(data):
    with pytest.raises(UndecodableAudio):
        load(data)


def test_other_files_get_one_sentence():
    for data in (b"%PDF-1.7\n" + bytes(5_000), b"PK\3\4" + bytes(500), b"<html></html>"):
        with pytest.raises(UndecodableAudio) as caught:
            load(data)
        assert str(caught.value).count(".") == 1 and "WMA" in str(caught.value)


def test_video_without_sound_raises_undecodable_audio():
    with pytest.raises(UndecodableAudio, match="no sound track"):
        load(with_pyav(None, 0, "mp4", None, video="mpeg4"))


def test_playlist_cannot_open_other_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("private.wav", tone())
    playlist = b"ffconcat version 1.0\nfile private.wav\n"
    with av.open(io.BytesIO(playlist)) as container:  # FFmpeg's default
        assert sum(frame.samples for frame in container.decode(audio=0)) == SAMPLE_RATE
    with pytest.raises(UndecodableAudio):
        load(playlist)


def test_no_samples_raises_empty_audio(tmp_path):
    (tmp_path / "empty.wav").touch()
    for source in (b"", io.BytesIO(), tmp_path / "empty.wav", with_soundfile(np.zeros(0), 16_000)):
        with pytest.raises(EmptyAudio):
            load(source)
    for samples in (np.zeros(0), np.zeros((0, 2)), np.zeros((5, 0), np.int16)):
        with pytest.raises(EmptyAudio):
            from_array(samples, SAMPLE_RATE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e10])
def test_nan_infinite_and_absurd_samples_raise_invalid_audio(bad):
    samples = tone()
    samples[-1] = bad
    with pytest.raises(InvalidAudio):
        from_array(samples, SAMPLE_RATE)
    for fmt, subtype in (("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("AIFF", "FLOAT")):
        with pytest.raises(InvalidAudio):
            load(with_soundfile(samples, SAMPLE_RATE, fmt, subtype))


def test_rate_or_channel_count_out_of_range_raises_invalid_audio():
    for rate_hz in (0, -16_000, 1_000, 400_000, float("nan"), float("inf")):
        with pytest.raises(InvalidAudio, match="sample rate"):
            from_array(tone(), rate_hz)
    for rate_hz in (1_000, 400_000):
        with pytest.raises(InvalidAudio, match="sample rate"):
            load(with_soundfile(tone(), rate_hz))
    nine = np.zeros((100, 9), np.float32)
    with pytest.raises(InvalidAudio, match="9 channels"):
        from_array(nine, SAMPLE_RATE)
    with pytest.raises(InvalidAudio, match="9 channels"):
        load(with_soundfile(nine, SAMPLE_RATE))
    with pytest.raises(InvalidAudio, match="8 channels"):
        load(RECORDINGS["m4a aac 7.1"](), limits=Limits(max_channels=7))


@pytest.mark.parametrize("samples", [np.float32(1), np.zeros((4, 2, 2)), np.zeros(4, np.int64), np.zeros(4, complex)])
def test_array_of_wrong_shape_or_type_raises_invalid_audio(samples):
    with pytest.raises(InvalidAudio):
        from_array(samples, SAMPLE_RATE)


def test_source_that_is_not_a_file_raises_usage_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "missing.wav", tmp_path, tmp_path / "pipe", "", "nul\0.wav", "x" * 5000):
        with pytest.raises(UsageError):
            load(source)
    for source in (io.StringIO("text"), (tone(), SAMPLE_RATE), None):
        with pytest.raises(UsageError):
            load(source)


def test_more_bytes_than_the_limit_raise_too_long(recordings, tmp_path):
    data = recordings["wav 16 kHz"]
    (tmp_path / "a.wav").write_bytes(data)
    sources = (data, tmp_path / "a.wav", io.BytesIO(data))
    for source in sources:
        with pytest.raises(TooLong, match=r"larger than .* MiB\. Cut it"):
            load(source, limits=Limits(max_bytes=len(data) - 1))
    assert len(load(data, limits=Limits(max_bytes=len(data)))) == SAMPLE_RATE


@pytest.mark.parametrize("name", RECORDINGS)
def test_more_seconds_than_the_limit_raise_too_long(recordings, name):
    with pytest.raises(TooLong, match=r"longer than 0\.9 s\. Cut it"):
        load(recordings[name], limits=Limits(max_duration_s=0.9))
    assert_is_wav(load(recordings[name], limits=Limits(max_duration_s=1.1)))


def test_array_of_exactly_the_limit_is_accepted():
    for rate_hz in (16_000, 44_100, 48_000):
        samples = np.zeros(10 * rate_hz + rate_hz // 100, np.int16)
        assert len(from_array(samples[: 10 * rate_hz], rate_hz, limits=Limits(max_duration_s=10))) == 160_000
        with pytest.raises(TooLong):
            from_array(samples, rate_hz, limits=Limits(max_duration_s=10))


# --- false headers, damaged and truncated files


def flac_claiming(n_samples: int, data: bytes) -> bytes:
    """Set the number of samples in a FLAC header (36 bits at byte 21; 0 means unknown)."""
    high = (data[21] & 0xF0) | (n_samples >> 32)
    return data[:21] + bytes([high]) + struct.pack(">I", n_samples & 0xFFFFFFFF) + data[26:]


@pytest.mark.parametrize("container", ["flac without a length", "webm without a duration"])
def test_decoding_stops_at_the_limit_without_a_duration_in_the_header(container):
    """A minute of silence: the limit must hold during decoding, and for memory."""
    silence = np.zeros(60 * 48_000, np.int16)
    if container.startswith("flac"):
        data = flac_claiming(0, with_soundfile(silence, 48_000, "FLAC"))
    else:
        data = with_pyav_in_parts(silence, 48_000, "webm", "libopus")
    tracemalloc.start()
    try:
        with pytest.raises(TooLong):
            load(data, limits=Limits(max_duration_s=2))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6  # the whole is 11 MB in float32


def with_pyav_in_parts(samples: np.ndarray, rate_hz: int, fmt: str, codec: str) -> bytes:
    """Encode in frames of a second, because load() limits the size of FFmpeg's allocations in this process."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=fmt) as container:
        sound = container.add_stream(codec, rate=rate_hz, layout="mono")
        for i, part in enumerate(samples.reshape(-1, rate_hz)):
            frame = av.AudioFrame.from_ndarray(part[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate_hz, i * rate_hz
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return memory.getvalue()


def test_flac_header_over_the_limit_raises_too_long_before_decoding(recordings):
    claims = flac_claiming(2**35, recordings["flac"])
    with pytest.raises(TooLong):
        load(claims)


def filled(data: bytes, start: int, end: int, filling: bytes) -> bytes:
    return data[:start] + filling * (end - start) + data[end:]


def test_mp4_index_over_the_limit_raises_too_long_before_decoding(recordings):
    data = recordings["m4a aac"]
    broken = filled(data, data.index(b"mdat") + 4, data.index(b"moov") - 4, b"\xff")
    with pytest.raises(UndecodableAudio):
        load(broken)
    with pytest.raises(TooLong):
        load(broken, limits=Limits(max_duration_s=0.9))


def test_mp4_that_claims_a_tenth_of_its_duration_raises_too_long(recordings):
    data = recordings["m4a aac"]
    duration = data.index(b"mdhd") + 20  # after the type come version, two times, units per second
    claims = data[:duration] + struct.pack(">I", 4_410) + data[duration + 4 :]
    with av.open(io.BytesIO(claims)) as container:
        assert container.streams.audio[0].duration == 4_410
    with pytest.raises(TooLong):
        load(claims, limits=Limits(max_duration_s=0.9))


def test_duration_that_ffmpeg_guesses_is_ignored():
    """FFmpeg assumes the bit rate of the first AAC frames for all, which is too low if they are silent."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * 44_100)
    data = with_pyav(np.concatenate([np.zeros(4 * 44_100), noise]).astype(np.float32), 44_100, "adts", "aac")
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        assert stream.duration * stream.time_base > 12
    assert len(load(data, limits=Limits(max_duration_s=6.5))) / SAMPLE_RATE == pytest.approx(6.0, abs=0.06)


@pytest.mark.parametrize("name", ["m4a aac", "adts aac", "mp3"])
@pytest.mark.parametrize("filling", [b"\0", b"\xff"])
def test_overwritten_bytes_lose_only_the_frames_around_them(recordings, name, filling):
    data = recordings[name]
    middle = len(data) // 2
    wav = load(filled(data, middle, middle + 300, filling))
    lost = 300 / len(data) + 0.2  # frames around the hole depend on it
    assert (1 - lost) * SAMPLE_RATE < len(wav) <= 1.05 * len(load(data))


def test_mostly_broken_file_raises_undecodable_audio(recordings):
    data = recordings["m4a aac"]
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    with pytest.raises(UndecodableAudio):
        load(filled(data, start + (end - start) // 4, end, b"\0"))


@pytest.mark.parametrize("n_bytes", [0, 1, 31_999, 32_001, 0x7FFFFFFF, 0xFFFFFFFF])
def test_wav_header_with_wrong_length_gives_at_most_the_samples_in_the_file(recordings, n_bytes):
    data = recordings["wav 16 kHz"]
    for riff in (data[4:8], struct.pack("<I", n_bytes)):
        wav = wav_or_audio_error(data[:4] + riff + data[8:40] + struct.pack("<I", n_bytes) + data[44:])
        if n_bytes > 32_000:
            assert len(wav) == SAMPLE_RATE  # as recorders write that stream or that were killed
        assert wav is None or len(wav) <= SAMPLE_RATE


@pytest.mark.parametrize("name", RECORDINGS)
def test_file_truncated_anywhere_gives_a_wav_or_an_audio_error(recordings, name):
    data = recordings[name]
    for n_bytes in {*range(1, 100, 9), *np.linspace(100, len(data) - 1, 12, dtype=int).tolist()}:
        wav_or_audio_error(data[:n_bytes])


@pytest.mark.parametrize("name", sorted(set(STREAMABLE) - {"ogg vorbis", "ogg opus", "ogg flac", "mkv 5.0 flac"}))
def test_truncated_file_gives_its_first_part(recordings, name):
    data = recordings[name]
    assert len(load(data[: len(data) * 6 // 10])) > 0.3 * SAMPLE_RATE


@pytest.mark.parametrize("size", [-(2**40), -1, 2**62, 2**63 - 1])
@pytest.mark.parametrize("chunk", [b"pakt", b"data"])
def test_place_outside_of_a_file_gives_a_wav_or_an_audio_error_and_prints_nothing(
    recordings, chunk, size, tmp_path, capfd
):
    data = recordings["caf opus"]
    place = data.index(chunk) + 4
    path = tmp_path / "a.caf"
    path.write_bytes(data[:place] + struct.pack(">q", size) + data[place + 8 :])
    for source in (path, path.read_bytes()):
        with contextlib.suppress(AudioError):
            load(source)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", RECORDINGS)
def test_file_with_random_bytes_changed_gives_a_wav_or_an_audio_error(recordings, name):
    rng = np.random.default_rng(len(name))
    for _ in range(8):
        data = np.frombuffer(recordings[name], np.uint8).copy()
        where = rng.integers(len(data) if rng.random() < 0.5 else 300, size=rng.integers(1, 20))
        data[where] = rng.choice([0, 127, 255, rng.integers(256)], size=len(where))
        wav_or_audio_error(data.tobytes())


def test_mp4_index_cannot_allocate_gigabytes(recordings):
    data = bytearray(recordings["m4a aac"])
    sizes, chunks = data.index(b"stsz") + 4, data.index(b"stsc") + 4
    n_samples = 40_000_000
    data[sizes + 4 : sizes + 12] = struct.pack(">II", 1, n_samples)  # all of one size, so there is no table
    data[chunks + 12 : chunks + 16] = struct.pack(">I", n_samples)
    with pytest.raises(AudioError):
        load(bytes(data))
    with pytest.raises(MemoryError):  # FFmpeg's index would need 24 bytes per sample
        av.AudioFrame(format="u8", layout="mono", samples=24 * n_samples)


def test_mp4_index_of_twelve_hours_can_be_allocated(recordings):
    load(recordings["m4a aac"])  # sets the limit
    av.AudioFrame(format="u8", layout="mono", samples=24 * 12 * 3600 * 48_000 // 1024)


def test_file_with_two_sound_tracks_gets_a_note():
    memory = io.BytesIO()
    with av.open(memory, "w", format="matroska") as container:
        tracks = [container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono") for _ in range(2)]
        for track, pitch_hz in zip(tracks, (120, 240), strict=True):
            samples = (32_767 * voice(pitch_hz, 1.0)).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(track.encode(frame))
    recording = read(memory.getvalue())
    assert recording.notes == ("The file has 2 sound tracks: only the first is used.",)
    assert np.abs(recording.wav - voice(120, 1.0)).max() < 1e-4


def damaged(data: bytes) -> bytes:
    """Bytes 30 % to 50 % replaced by noise."""
    start, end = len(data) * 3 // 10, len(data) // 2
    return data[:start] + np.random.default_rng(0).bytes(end - start) + data[end:]


LONG = voice(120, 10.0)
TIMED = {
    "webm opus": lambda: with_pyav(
        soxr.resample(LONG, SAMPLE_RATE, 48_000), 48_000, "webm", "libopus", options={"cluster_time_limit": "1000"}
    ),
    "m4a aac": lambda: with_pyav(LONG, SAMPLE_RATE, "ipod", "aac"),
    "mov aac": lambda: with_pyav(LONG, SAMPLE_RATE, "mov", "aac"),
    "3gp amr": lambda: with_pyav(soxr.resample(LONG, 16, 8), 8_000, "3gp", "libopencore_amrnb", bit_rate=12_200),
    "wma": lambda: with_pyav(LONG, SAMPLE_RATE, "asf", "wmav2", bit_rate=32_000),
    "caf alac": lambda: with_pyav(LONG, SAMPLE_RATE, "caf", "alac"),
    "flac": lambda: with_soundfile(LONG, SAMPLE_RATE, "FLAC"),
    "ogg opus": lambda: with_soundfile(LONG, SAMPLE_RATE, "OGG", "OPUS"),
    "ogg vorbis": lambda: with_soundfile(LONG, SAMPLE_RATE, "OGG", "VORBIS"),
}


@pytest.mark.parametrize("name", TIMED)
def test_after_a_damaged_part_the_recording_keeps_its_time_and_a_note_says_how_much_is_left(name):
    data = TIMED[name]()
    whole, recording = read(data), read(damaged(data))
    assert whole.notes == () and len(recording.wav) == pytest.approx(len(whole.wav), abs=200)
    tail = slice(9 * SAMPLE_RATE, len(LONG) - 4_000)
    assert np.corrcoef(whole.wav[tail], recording.wav[tail])[0, 1] > 0.9
    (note,) = recording.notes
    left_s, total_s = (float(number) for number in re.findall(r"([\d.]+) s", note))
    assert 5 < left_s < 9.8 and total_s == pytest.approx(10, abs=0.11)
    assert note == f"Only {left_s} s of {total_s} s could be decoded: the file is damaged."


def concatenated_mp3_with_a_tag() -> bytes:
    picture = np.random.default_rng(0).bytes(20_000)
    part = with_pyav(LONG, SAMPLE_RATE, "mp3", "libmp3lame", bit_rate=32_000, options={"write_xing": "0"})
    return part + b"ID3\4\0\0" + bytes([0, 1, 28, 32]) + picture + part[part.index(b"\xff\xf3") :]


UNTIMED = {
    "adts aac": lambda: with_pyav(LONG + noise(0.01, n=len(LONG)), SAMPLE_RATE, "adts", "aac"),
    "wav mp3": lambda: with_pyav(LONG, SAMPLE_RATE, "wav", "libmp3lame", bit_rate=32_000),
    "mp3": lambda: with_pyav(LONG, SAMPLE_RATE, "mp3", "libmp3lame", bit_rate=32_000, options={"write_xing": "0"}),
    "amr": lambda: with_pyav(soxr.resample(LONG, 16, 8), 8_000, "amr", "libopencore_amrnb", bit_rate=12_200),
}


@pytest.mark.parametrize("name", UNTIMED)
def test_damaged_part_of_a_file_without_timestamps_lasts_as_long_as_its_bytes(name):
    data = UNTIMED[name]()
    whole, recording = read(data), read(damaged(data))
    assert whole.notes == ()
    # Noise may look like short frames of AMR. Of AAC, FFmpeg drops some of it where it looks for the next frame.
    error_s = {"amr": 0.5, "adts aac": 1.3}.get(name, 0.1)
    assert len(recording.wav) / SAMPLE_RATE == pytest.approx(10.05, abs=error_s)
    (note,) = recording.notes
    left_s, total_s = (float(number) for number in re.findall(r"([\d.]+) s", note))
    assert total_s - left_s == pytest.approx(2.0, abs=error_s)


def test_tag_between_joined_mp3_files_is_no_damage():
    recording = read(concatenated_mp3_with_a_tag())
    assert recording.notes == () and len(recording.wav) / SAMPLE_RATE == pytest.approx(20.1, abs=0.2)


def ogg_flac_with_its_length() -> bytes:
    """FFmpeg does not write the number of samples into an Ogg FLAC, others do."""
    data = with_pyav(LONG, SAMPLE_RATE, "ogg", "flac")
    start, page_bytes = data.index(b"fLaC"), 28 + data[27]
    data = data[:start] + flac_claiming(len(LONG), data[start:])
    checksum = 0
    for byte in data[:22] + bytes(4) + data[26:page_bytes]:  # RFC 3533, 6
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    return data[:22] + struct.pack("<I", checksum) + data[26:]


CUT = {
    "wav": lambda: with_soundfile(LONG, SAMPLE_RATE),
    "wav adpcm": lambda: with_soundfile(LONG, SAMPLE_RATE, subtype="IMA_ADPCM"),
    "aiff": lambda: with_soundfile(LONG, SAMPLE_RATE, "AIFF"),
    "au": lambda: with_soundfile(LONG, SAMPLE_RATE, "AU"),
    "flac": lambda: with_soundfile(LONG, SAMPLE_RATE, "FLAC"),
    "webm opus": TIMED["webm opus"],
    "wma": TIMED["wma"],
    "mp3": lambda: with_pyav(LONG, SAMPLE_RATE, "mp3", "libmp3lame"),
    "rf64": lambda: with_soundfile(LONG, SAMPLE_RATE, "RF64"),
    "w64": lambda: with_soundfile(LONG, SAMPLE_RATE, "W64"),
    "caf": lambda: with_soundfile(LONG, SAMPLE_RATE, "CAF"),
    "wav mp3": UNTIMED["wav mp3"],
    "ogg flac": ogg_flac_with_its_length,
}


@pytest.mark.parametrize("name", CUT)
def test_cut_file_gets_a_note_with_the_seconds_that_its_header_says(name):
    data = CUT[name]()
    assert read(data).notes == ()
    (note,) = read(data[: len(data) // 2]).notes
    assert re.fullmatch(r"Only [345]\.\d s of (9\.9|10\.\d) s could be decoded: the file is damaged\.", note)


def claiming(fmt: str, claim: int) -> bytes:
    """A recording whose head claims a number of bytes."""
    data = with_soundfile(LONG, SAMPLE_RATE, fmt)
    place = {"CAF": data.index(b"data") + 4, "W64": data.index(b"data") + 16, "RF64": 28}[fmt]
    return data[:place] + struct.pack(">q" if fmt == "CAF" else "<q", claim) + data[place + 8 :]


@pytest.mark.parametrize(("fmt", "claim"), [("CAF", -1), ("W64", -1)])
def test_file_of_unknown_length_gets_no_note(fmt, claim):
    assert read(claiming(fmt, claim)).notes == ()


@pytest.mark.parametrize(("fmt", "claim"), [("W64", 2**63 - 1), ("RF64", -1), ("RF64", 0)])
def test_file_of_an_impossible_length_raises_audio_error(fmt, claim):
    with pytest.raises(AudioError):
        read(claiming(fmt, claim))


@pytest.mark.parametrize("claim", [0, 0x7FFFF000, 0xFFFFFFFF])
def test_wav_of_a_recorder_that_was_stopped_gets_no_note(claim):
    data = with_soundfile(tone(), SAMPLE_RATE)
    data = data[:4] + struct.pack("<I", claim) + data[8:40] + struct.pack("<I", claim) + data[44:]
    assert read(data).notes == ()


def test_amr_with_discontinuous_transmission_keeps_its_pauses():
    speech = np.concatenate([voice(120, 2.0), np.zeros(2 * SAMPLE_RATE, np.float32), voice(140, 1.0)])
    narrow = soxr.resample(speech, SAMPLE_RATE, 8_000)
    for fmt in ("3gp", "amr"):
        data = with_pyav(narrow, 8_000, fmt, "libopencore_amrnb", bit_rate=12_200, dtx=True)
        with av.open(io.BytesIO(data)) as container:
            types = {bytes(packet)[0] >> 3 for packet in container.demux(audio=0) if packet.size}
        assert {8, 15} <= types  # comfort noise and no data: the coder did use it
        recording = read(data)
        assert recording.notes == () and len(recording.wav) / SAMPLE_RATE == pytest.approx(5.0, abs=0.03)
        loud = np.abs(recording.wav[4 * SAMPLE_RATE + 8_000 :]).reshape(-1)
        assert np.abs(recording.wav[int(2.5 * SAMPLE_RATE) : int(3.9 * SAMPLE_RATE)]).max() < 0.01 < loud.max()


def test_opus_with_discontinuous_transmission_keeps_its_pauses_without_a_note():
    speech = np.concatenate([voice(120, 2.0), np.zeros(2 * SAMPLE_RATE, np.float32), voice(140, 1.0)])
    blocks = with_pyav(soxr.resample(speech, SAMPLE_RATE, 48_000), 48_000, "webm", "libopus")
    sparse = io.BytesIO()
    with av.open(io.BytesIO(blocks)) as source, av.open(sparse, "w", format="webm") as container:
        track = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is None or (2100 < packet.pts < 3900 and packet.pts // 20 % 20):
                continue  # one packet each 0.4 s
            packet.stream = track
            container.mux(packet)
    recording = read(sparse.getvalue())
    assert recording.notes == ()
    whole = load(blocks)
    assert len(recording.wav) == pytest.approx(len(whole), abs=50)
    assert np.corrcoef(recording.wav[-12_000:], whole[-12_000:][: len(recording.wav[-12_000:])])[0, 1] > 0.9


def test_timestamps_that_jitter_as_in_a_browser_add_nothing():
    blocks = with_pyav(soxr.resample(LONG, SAMPLE_RATE, 48_000), 48_000, "webm", "libopus")
    jittered, rng, last_ms = io.BytesIO(), np.random.default_rng(0), -1
    with av.open(io.BytesIO(blocks)) as source, av.open(jittered, "w", format="webm") as container:
        track = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = track
                last_ms = max(last_ms + 1, round(packet.pts * 1.0003) + int(rng.integers(-20, 21)), 0)
                packet.pts = packet.dts = last_ms  # and a clock that is 0.03 % fast
                container.mux(packet)
    recording = read(jittered.getvalue())
    assert recording.notes == ()
    np.testing.assert_array_equal(recording.wav, load(blocks))


def test_false_timestamp_adds_no_hours_of_silence():
    blocks = with_pyav(tone(48_000, 2.0), 48_000, "webm", "libopus")
    broken = io.BytesIO()
    with av.open(io.BytesIO(blocks)) as source, av.open(broken, "w", format="webm") as container:
        track = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = track
                if packet.pts > 1000:
                    packet.pts = packet.dts = packet.pts + 3 * 3_600_000
                container.mux(packet)
    assert len(load(broken.getvalue())) / SAMPLE_RATE == pytest.approx(2.0, abs=0.05)


def test_mp3_in_a_wav_equals_decoding_the_whole():
    """libsndfile decodes it in blocks, with a click between them."""
    data = with_pyav(LONG, SAMPLE_RATE, "wav", "libmp3lame", bit_rate=24_000)
    with av.open(io.BytesIO(data)) as container:
        whole = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    np.testing.assert_allclose(load(data), whole, atol=1e-4)


def test_two_data_chunks_are_joined():
    np.testing.assert_array_equal(load(two_data_chunks(LONG, SAMPLE_RATE)), load(with_soundfile(LONG, SAMPLE_RATE)))


# --- writing


def test_saved_16_bit_samples_are_read_back_exactly(tmp_path):
    samples = np.arange(-32768, 32768, dtype=np.int16)
    save(tmp_path / "声.wav", from_array(samples, SAMPLE_RATE))
    written, rate_hz = sf.read(tmp_path / "声.wav", dtype="int16")
    np.testing.assert_array_equal(written, samples)
    info = sf.info(tmp_path / "声.wav")
    assert (rate_hz, info.channels, info.format, info.subtype) == (16_000, 1, "WAV", "PCM_16")
    np.testing.assert_array_equal(load(tmp_path / "声.wav"), from_array(samples, SAMPLE_RATE))


def test_save_clips_samples(tmp_path):
    save(tmp_path / "a.wav", np.array([-3.0, 0.0, 3.0]))
    np.testing.assert_array_equal(sf.read(tmp_path / "a.wav", dtype="int16")[0], [-32768, 0, 32767])


@pytest.mark.parametrize("force", [False, True])
def test_failed_save_leaves_no_file(tmp_path, monkeypatch, force):
    if force:
        (tmp_path / "a.wav").write_bytes(b"precious")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def disk_full(*_, **__):
        raise OSError(28, "No space left on device")

    for name in ("link", "rename", "replace"):
        monkeypatch.setattr(os, name, disk_full)
    with pytest.raises(UsageError, match="No space left"):
        save(tmp_path / "a.wav", tone(), force=force)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("wav", [np.zeros(0), np.zeros((4, 2)), np.array([0.0, np.nan]), np.array([np.inf])])
def test_invalid_wav_is_not_saved(tmp_path, wav):
    with pytest.raises(AudioError):
        save(tmp_path / "a.wav", wav)
    assert os.listdir(tmp_path) == []


def test_output_that_cannot_be_a_file_raises_usage_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (
        tmp_path,
        tmp_path / "pipe",
        tmp_path / "none" / "a.wav",
        "",
        "nul\0.wav",
        tmp_path / ("x" * 300),
    ):
        for force in (False, True):
            with pytest.raises(UsageError):
                save(path, tone(), force=force)
    assert os.listdir(tmp_path) == ["pipe"]


def test_of_concurrent_saves_one_succeeds_with_a_complete_file(tmp_path):
    outcomes = []

    def write(level: float) -> None:
        try:
            save(tmp_path / "a.wav", np.full(50_000, level))
            outcomes.append(level)
        except UsageError:
            outcomes.append(None)

    threads = [threading.Thread(target=write, args=((i + 1) / 16,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [level for level in outcomes if level is not None]
    assert len(outcomes) == 8 and os.listdir(tmp_path) == ["a.wav"]
    np.testing.assert_array_equal(load(tmp_path / "a.wav"), np.full(50_000, winner, np.float32))


def test_messages_contain_no_file_name(tmp_path, capfd):
    name = "Jane_Doe_confession"
    contents = {".wav": b"no audio", ".mp4": b"", ".m3u8": b"#EXTM3U\n", ".mp3": b"\xff\xfb\x90\x64" * 50}
    calls = [lambda: load(tmp_path / f"{name}.missing"), lambda: load(f"{name}\0")]
    for suffix, content in contents.items():
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(content)
        calls += [lambda path=path: load(path), lambda path=path: load(io.FileIO(path))]
        calls += [lambda path=path: save(path, tone())]
    calls += [lambda: save(tmp_path / name / "a.wav", tone()), lambda: save(tmp_path / (name * 20), tone())]
    for call in calls:
        with pytest.raises((AudioError, UsageError)) as caught:
            call()
        assert name not in "".join(traceback.format_exception(caught.value))
    assert name not in "".join(capfd.readouterr())


@pytest.mark.parametrize(("rate_hz", "bit_rate"), [(16_000, 24_000), (44_100, 40_000)])  # both carry bits over
def test_long_mp3_equals_decoding_the_whole(rate_hz, bit_rate):
    """Reading an MP3 in blocks through libsndfile loses the bits carried over from the previous frame."""
    samples = np.concatenate([voice(120 + k, 5.0, seed=k) for k in range(5)])
    samples = soxr.resample(samples, SAMPLE_RATE, rate_hz)
    data = with_pyav(samples, rate_hz, "mp3", "libmp3lame", bit_rate=bit_rate)
    whole, _ = sf.read(io.BytesIO(data), dtype="float32")
    np.testing.assert_allclose(load(data), soxr.resample(whole, rate_hz, SAMPLE_RATE), atol=1e-3)
