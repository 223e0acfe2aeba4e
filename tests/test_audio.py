"""Reading and writing audio: round trips in every format, all errors, false headers and truncated files."""

import io
import os
import struct
import threading
import traceback
import tracemalloc

import av
import numpy as np
import pytest
import soundfile as sf
import soxr

from saic.audio import SAMPLE_RATE, Limits, files, from_array, load, save
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


def with_pyav(samples: np.ndarray, rate_hz: int, fmt: str, codec: str, layout="mono", video=None, bit_rate=None):
    """Encode samples (n,) into every channel of `layout`, beside a `video` track of ten frames."""
    memory = io.BytesIO()
    with av.open(memory, "w", format=fmt) as container:
        if video:
            pictures = container.add_stream(video, rate=10, width=64, height=64, pix_fmt="yuv420p")
        sound = container.add_stream(codec, rate=rate_hz, layout=layout) if codec else None
        if bit_rate:
            sound.bit_rate = bit_rate
        if video:
            for i in range(10):
                picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 20 * i, np.uint8), format="rgb24")
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        if sound:
            packed = np.repeat(samples, av.AudioLayout(layout).nb_channels)[None]
            frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
            frame.sample_rate, frame.pts = rate_hz, 0
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return memory.getvalue()


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
    "mkv 5.0 flac": lambda: with_pyav(tone(48_000), 48_000, "matroska", "flac", "5.0"),
}
STREAMABLE = [name for name in RECORDINGS if not name.startswith(("m4a", "mp4", "mov"))]  # no index at the end


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
    assert len(wav) / SAMPLE_RATE == pytest.approx(1.0, abs=0.05)  # codecs pad
    middle = wav[SAMPLE_RATE // 4 : -SAMPLE_RATE // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2**17))
    assert np.argmax(spectrum) * SAMPLE_RATE / 2**17 == pytest.approx(TONE_HZ, abs=1.0)
    gain = 7 / 8 if "7.1" in name else 1  # the LFE channel has nothing above 120 Hz
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(gain * TONE_PEAK, rel=0.05)


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
    wav = files._to_wav(blocks, Limits())
    np.testing.assert_allclose(wav, np.concatenate([from_array(tone(r), r) for r in (48_000, 8_000)]), atol=1e-6)


@pytest.mark.parametrize("n_channels", [2, 3, 8])
def test_channels_are_averaged(n_channels):
    samples = np.random.default_rng(n_channels).uniform(-1, 1, (5000, n_channels)).astype(np.float32)
    mean = samples.mean(axis=1)
    np.testing.assert_allclose(from_array(samples, SAMPLE_RATE), mean, atol=1e-6)
    np.testing.assert_allclose(load(with_soundfile(samples, SAMPLE_RATE, subtype="FLOAT")), mean, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, ">i2", np.int32, np.uint8, np.uint16])
def test_integers_are_scaled_by_their_full_range(dtype):
    info = np.iinfo(dtype)
    middle = 0 if info.min < 0 else 2 ** (info.bits - 1)
    samples = np.array([info.min, middle, info.max], dtype)
    expected = [-1.0, 0.0, 1.0 - 2.0 ** (1 - info.bits)]
    np.testing.assert_allclose(from_array(samples, SAMPLE_RATE), expected, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_not_scaled_and_are_clipped(dtype):
    wav = from_array(np.array([-2.0, -0.5, 0.0, 0.25, 1.5], dtype), SAMPLE_RATE)
    np.testing.assert_array_equal(wav, np.float32([-1.0, -0.5, 0.0, 0.25, 1.0]))


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


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e4])
def test_nan_infinite_and_unscaled_samples_raise_invalid_audio(bad):
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
    assert (1 - lost) * SAMPLE_RATE < len(wav) <= 1.05 * SAMPLE_RATE


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


@pytest.mark.parametrize("name", sorted(set(STREAMABLE) - {"ogg vorbis", "ogg opus", "mkv 5.0 flac"}))
def test_truncated_file_gives_its_first_part(recordings, name):
    data = recordings[name]
    assert len(load(data[: len(data) * 6 // 10])) > 0.3 * SAMPLE_RATE


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
        av.AudioFrame(format="u8", layout="mono", samples=n_samples)


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


def test_existing_file_is_replaced_only_with_force(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists"):
        save(path, tone())
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["a.wav"]
    save(path, tone(), force=True)
    assert len(load(path)) == SAMPLE_RATE and os.listdir(tmp_path) == ["a.wav"]


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
