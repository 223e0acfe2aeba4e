"""Write audio as WAV, FLAC, MP3 or Opus; the suffix of the path chooses the format.

soundfile writes WAV and FLAC, FFmpeg writes MP3 and Opus. The same wav gives the same bytes.
"""

import io
import os
from pathlib import Path

import av
import numpy as np
import soundfile as sf
import soxr

from saic import files
from saic.audio.limits import SAMPLE_RATE
from saic.errors import EmptyAudio, InvalidAudio, UsageError

FORMATS = {".wav": "wav", ".flac": "flac", ".mp3": "mp3", ".opus": "opus", ".ogg": "opus"}
"""Suffix of an output, and the format that it names. The format's own suffix comes first."""

_COMMON_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_STUDIO_RATES_HZ = (88_200, 96_000, 176_400, 192_000)

RATES_HZ = {
    "wav": _COMMON_RATES_HZ + _STUDIO_RATES_HZ,
    "flac": _COMMON_RATES_HZ + _STUDIO_RATES_HZ,
    "mp3": _COMMON_RATES_HZ,  # all that MPEG-1, 2 and 2.5 have, layer III
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),  # RFC 6716, 2
}
"""The sample rates of each format."""

_BIT_RATE = 64_000  # mono: the highest that MP3 has at 8 kHz, and transparent for speech in Opus
_CODECS = {"mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus")}  # FFmpeg's names of container and codec
_FULL_SCALE = 32_768  # of 16-bit PCM


def format_of(path: str | os.PathLike, rate_hz: int = SAMPLE_RATE) -> str:
    """Return the format that the suffix of an output names, a key of :data:`RATES_HZ`.

    Raises
    ------
    UsageError (no such format, or the format does not have this rate)
    """
    name = FORMATS.get(os.path.splitext(os.fspath(path))[1].lower())
    if name is None:
        raise UsageError("The suffix of the output chooses its format. Use .wav, .flac, .mp3, .opus or .ogg (Opus).")
    if rate_hz not in RATES_HZ[name]:
        raise UsageError(f"{name.upper()} has these rates: {', '.join(map(str, RATES_HZ[name]))} Hz. Choose one.")
    return name


def save(path: str | os.PathLike, wav: np.ndarray, *, rate_hz: int = SAMPLE_RATE, force: bool = False) -> None:
    """Write a wav atomically, in the format that the suffix of the path names.

    WAV and FLAC have 16 bits per sample, MP3 and Opus 64 kb/s.

    Parameters
    ----------
    path : the file to write, in an existing folder: .wav, .flac, .mp3, .opus or .ogg (Opus)
    wav : (N,) float, 16 kHz mono, N > 0; clipped to [-1, 1]
    rate_hz : sample rate of the file, one of :data:`saic.audio.output.RATES_HZ`
    force : replace the file if there is one

    Raises
    ------
    UsageError (a suffix or rate that is not supported, the file exists and `force` is not set, or
    it cannot be written), EmptyAudio, InvalidAudio
    """
    write(path, encode(wav, format_of(path, rate_hz), rate_hz), force=force)


def write(path: str | os.PathLike, data: bytes, *, force: bool = False) -> None:
    """Write the bytes of a file atomically; the errors are those of :func:`save`."""
    try:
        path = Path(path)
        if path.exists() and not path.is_file():  # os.replace would replace /dev/null
            raise UsageError("The output is a folder or a device. Name a file.")
        files.write(path, data, force=force)
    except FileExistsError:
        raise UsageError("The output file exists. Choose another name, or replace it with force=True.") from None
    except (OSError, ValueError) as error:
        raise files.as_usage_error(error, "The output file cannot be written") from None


def rate_for(name: str, rate_hz: float) -> int:
    """The lowest rate of a format that is not below another rate; the highest if all are below."""
    return min((rate for rate in RATES_HZ[name] if rate >= rate_hz), default=RATES_HZ[name][-1])


def encode(wav: np.ndarray, name: str, rate_hz: int) -> bytes:
    """A wav (N,) as the bytes of a file of this format and rate, without tags.

    16-bit samples from :func:`saic.audio.load` are kept exactly by WAV and FLAC at 16 kHz.

    Raises
    ------
    EmptyAudio, InvalidAudio, UsageError (the installed FFmpeg cannot write the format)
    """
    wav = np.asarray(wav)
    if wav.ndim != 1:
        raise InvalidAudio(f"A wav is (N,), not {wav.shape}.")
    if len(wav) == 0:
        raise EmptyAudio("There are no samples to write.")
    if not np.isfinite(wav).all():
        raise InvalidAudio("The samples to write are NaN or infinite.")
    if rate_hz != SAMPLE_RATE:
        wav = soxr.resample(wav.astype(np.float32), SAMPLE_RATE, rate_hz)
    if name in _CODECS:
        return _encode_by_ffmpeg(np.clip(wav, -1, 1).astype(np.float32), *_CODECS[name], rate_hz)
    pcm = np.clip(np.round(wav * float(_FULL_SCALE)), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    memory = io.BytesIO()
    sf.write(memory, pcm, rate_hz, format=name.upper(), subtype="PCM_16")
    return memory.getvalue()


def _encode_by_ffmpeg(samples: np.ndarray, container: str, codec: str, rate_hz: int) -> bytes:
    """Samples (n,) float32 as a file; its decoder cuts the codec's padding, so the length is kept."""
    memory = io.BytesIO()
    try:
        # bitexact: no version of the encoder and no random stream number in the file
        with av.open(memory, "w", format=container, options={"fflags": "+bitexact"}) as file:
            stream = file.add_stream(codec, rate=rate_hz, layout="mono")
            stream.bit_rate = _BIT_RATE
            for start in range(0, len(samples), rate_hz):
                frame = av.AudioFrame.from_ndarray(samples[None, start : start + rate_hz], format="flt", layout="mono")
                frame.sample_rate, frame.pts = rate_hz, start
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    except (av.FFmpegError, ValueError):  # FFmpeg may be built without these encoders
        raise UsageError(f"The installed FFmpeg cannot write {codec}. Choose WAV or FLAC.") from None
    return memory.getvalue()
