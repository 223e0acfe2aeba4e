"""Outputs as WAV, FLAC, MP3 and Opus: format and rate as asked, length, likeness, refusals."""

import io
import os
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf
import soxr

from saic import audio
from saic.audio.output import FORMATS, RATES_HZ, encode
from saic.cli.anonymize import Format
from saic.errors import EmptyAudio, UsageError
from saic.files import DiskError
from saic.signal.loudness import loudness_lufs, normalize_loudness
from tests.conftest import RATE, voice

CONTAINERS = {"wav": ("WAV", "PCM_16"), "flac": ("FLAC", "PCM_16"), "mp3": ("MP3", None), "opus": ("OGG", "OPUS")}
FRAME_S = {"wav": 0.0, "flac": 0.0, "mp3": 1152 / 8000, "opus": 0.02}


@pytest.mark.parametrize("suffix", FORMATS)
def test_output_has_the_format_rate_length_and_sound_that_were_asked_for(suffix: str, tmp_path: Path) -> None:
    wav, name = voice(120, 2.123), FORMATS[suffix]
    for rate_hz in RATES_HZ[name]:
        path = tmp_path / f"{rate_hz}{suffix}"
        audio.save(path, wav, rate_hz=rate_hz)
        info = sf.info(path)
        container, subtype = CONTAINERS[name]
        assert info.format == container and info.subtype == (subtype or info.subtype)
        assert (info.samplerate, info.channels) == (rate_hz, 1)
        assert abs(info.frames - len(wav) * rate_hz / RATE) <= FRAME_S[name] * rate_hz + 0.5
        samples, _ = sf.read(path)
        again = soxr.resample(samples, rate_hz, RATE)
        n = min(len(again), len(wav))
        assert n > 0.95 * len(wav)
        assert np.corrcoef(again[:n], wav[:n])[0, 1] > 0.97
        assert np.std(again) == pytest.approx(np.std(wav), rel=0.1)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_output_has_the_level_of_the_wav(suffix: str, rate_hz: int) -> None:
    """An MP3 was 0.45 dB below it."""
    wav = normalize_loudness(voice(120, 4.0))
    samples = audio.load(encode(wav, FORMATS[suffix], rate_hz))
    assert loudness_lufs(samples) == pytest.approx(-23.0, abs=0.1)
    assert np.abs(samples).max() == pytest.approx(np.abs(wav).max(), rel=0.1)


def test_mp3_of_full_scale_is_not_clipped() -> None:
    sine = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
    middle = audio.load(encode(sine, "mp3", RATE))[RATE // 4 : -RATE // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    third = len(middle) * 1500 // RATE  # the third harmonic, which clipping adds
    assert spectrum[third - 20 : third + 20].max() < 1e-3 * spectrum.max()


def test_default_rate_is_16_khz_and_flac_keeps_16_bit_samples_exactly(tmp_path: Path) -> None:
    samples = np.arange(-32768, 32768, dtype=np.int16)
    audio.save(tmp_path / "a.FLAC", audio.from_array(samples, RATE))
    written, rate_hz = sf.read(tmp_path / "a.FLAC", dtype="int16")
    assert rate_hz == RATE
    np.testing.assert_array_equal(written, samples)


@pytest.mark.parametrize("name", ["a", "a.txt", "a.aac", "a.wav.part", ".wav", "wav", "a.m4a"])
def test_suffix_that_names_no_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.flac"):
        audio.save(tmp_path / name, voice(120, 1.0))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("suffix", "rate_hz"), [(".wav", 0), (".wav", -16_000), (".flac", 16_000.5), (".mp3", 96_000), (".opus", 44_100)]
)
def test_rate_that_the_format_does_not_have_is_refused(suffix: str, rate_hz: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="16000"):
        audio.save(tmp_path / f"a{suffix}", voice(120, 1.0), rate_hz=rate_hz)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_existing_output_of_any_format_is_replaced_only_with_force(suffix: str, tmp_path: Path) -> None:
    path, wav = tmp_path / f"a{suffix}", voice(120, 1.0)
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists"):
        audio.save(path, wav)
    assert path.read_bytes() == b"precious"
    audio.save(path, wav, force=True)
    assert len(audio.load(path)) == pytest.approx(len(wav), abs=2400) and os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", FORMATS)
def test_same_wav_gives_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    for name in "ab":
        audio.save(tmp_path / f"{name}{suffix}", voice(120, 1.0))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_one_sample_and_samples_beyond_full_scale_are_written(suffix: str, tmp_path: Path) -> None:
    audio.save(tmp_path / f"short{suffix}", np.full(1, 0.1))
    assert len(audio.load(tmp_path / f"short{suffix}")) >= 1
    audio.save(tmp_path / f"loud{suffix}", 10 * voice(120, 1.0), rate_hz=48_000)
    assert 0.9 < np.abs(audio.load(tmp_path / f"loud{suffix}")).max() < 1.5
    with pytest.raises(EmptyAudio):
        audio.save(tmp_path / f"empty{suffix}", np.zeros(0))


def test_ffmpeg_without_the_encoder_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise av.codec.codec.UnknownCodecError("libmp3lame")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(UsageError, match="WAV or FLAC"):
        audio.save(tmp_path / "a.mp3", voice(120, 1.0))
    assert os.listdir(tmp_path) == []


def test_full_disk_raises_a_disk_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    for suffix in FORMATS:
        with pytest.raises(DiskError, match="No space left"):
            audio.save(tmp_path / f"a{suffix}", voice(120, 1.0))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("n_lacking", [10, 50_000])
def test_full_folder_of_temporary_files_is_a_disk_error_and_never_a_cut_output(
    suffix: str, n_lacking: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wav, name = voice(120, 20.0), FORMATS[suffix]

    class Full(io.BytesIO):
        def write(self, data: bytes) -> int:
            if self.tell() + len(data) > n_bytes - n_lacking:
                raise OSError(28, "No space left on device")
            return super().write(data)

    n_bytes = len(encode(wav, name, RATE))
    monkeypatch.setattr("saic.files.temporary_file", Full)
    with pytest.raises(DiskError, match="No space left"):
        encode(wav, name, RATE)
    assert capfd.readouterr().err == ""


def test_buffered_samples_that_find_no_space_are_a_disk_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Buffered(io.BytesIO):
        def seek(self, place: int, whence: int = 0) -> int:
            if (place, whence) == (0, 0) and self.tell() > 1_000:
                raise OSError(28, "No space left on device")
            return super().seek(place, whence)

    monkeypatch.setattr("saic.files.temporary_file", Buffered)
    with pytest.raises(DiskError, match="No space left"):
        encode(voice(120, 1.0), "mp3", RATE)


def test_command_line_offers_the_formats_of_the_library() -> None:
    assert {format.value for format in Format} == set(FORMATS.values()) == set(RATES_HZ)
    assert all(FORMATS[f".{format}"] == format for format in Format)
