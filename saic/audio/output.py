"""Write audio as WAV, FLAC, MP3 or Opus; the suffix of the path chooses the format.

soundfile writes WAV and FLAC, FFmpeg writes MP3 and Opus. The same wav gives the same bytes.
"""

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

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
_EFFORT = "7"  # compression_level of MP3 and Opus, quicker than their defaults
_CODECS = {"mp3": ("mp3", "libmp3lame"), "opus": ("ogg", "libopus")}  # FFmpeg's names of container and codec
_LAME_GAIN = 0.95  # LAME multiplies samples by this, at all of the rates
_FULL_SCALE = 32_768  # of 16-bit PCM
_MAX_WAV_SAMPLES = (2**32 - 1024) // 2  # the header of a WAV file counts bytes in 32 bits
_BLOCK_SAMPLES = 60 * SAMPLE_RATE


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


def write(path: str | os.PathLike, data: bytes | BinaryIO, *, force: bool = False) -> None:
    """Write the bytes of a file, or all of an open one, atomically; the errors are those of :func:`save`."""
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
    blocks = (wav[start : start + _BLOCK_SAMPLES] for start in range(0, len(wav), _BLOCK_SAMPLES))
    with encode_blocks(blocks, name, rate_hz) as file:
        return file.read()


def encode_blocks(blocks: Iterable[np.ndarray], name: str, rate_hz: int) -> BinaryIO:
    """Blocks (n,) of a wav as an open file of this format and rate, to be read from its start.

    It has no name, and is in memory up to 32 MiB. Errors are those of :func:`encode`;
    :class:`~saic.files.DiskError` if there is no space for it.
    """
    file = files.temporary_file()
    target = _Target(file)
    try:
        resampled = target.watched(_resampled(_checked(blocks), rate_hz))
        if name in _CODECS:
            _encode_by_ffmpeg(target, resampled, *_CODECS[name], rate_hz)
        else:
            _encode_pcm(target, resampled, name, rate_hz)
        target.raise_error()
        file.seek(0)  # writes what is buffered
    except BaseException as error:
        file.close()
        if reason := target.error or (error if isinstance(error, OSError) else None):
            raise files.as_usage_error(reason, "A temporary file cannot be written") from None
        raise
    return file


class _Target:
    """A file that keeps the first error of its writes: libsndfile and FFmpeg lose what a callback raises."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell, self._file = file.read, file.seek, file.tell, file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """How many bytes were written: 0 from the first error on."""
        try:
            return 0 if self.error else self._file.write(data)
        except OSError as error:
            self.error = error
            return 0

    def raise_error(self) -> None:
        """Raise the error, if there was one."""
        if self.error is not None:
            raise self.error

    def watched(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The blocks; raise the error before the next one."""
        for block in blocks:
            self.raise_error()
            yield block


def _checked(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    n_samples = 0
    for block in blocks:
        if not np.isfinite(block).all():
            raise InvalidAudio("The samples to write are NaN or infinite.")
        n_samples += len(block)
        yield block
    if n_samples == 0:
        raise EmptyAudio("There are no samples to write.")


def _resampled(blocks: Iterable[np.ndarray], rate_hz: int) -> Iterator[np.ndarray]:
    if rate_hz == SAMPLE_RATE:
        yield from blocks
        return
    resampler = soxr.ResampleStream(SAMPLE_RATE, rate_hz, 1, dtype="float32")
    for block in blocks:
        yield resampler.resample_chunk(block.astype(np.float32))
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _encode_pcm(file: _Target, blocks: Iterable[np.ndarray], name: str, rate_hz: int) -> None:
    n_left = _MAX_WAV_SAMPLES if name == "wav" else math.inf
    with sf.SoundFile(file, "w", rate_hz, 1, format=name.upper(), subtype="PCM_16") as sound:
        for block in blocks:
            if len(block) > n_left:
                raise UsageError("A WAV file has at most 4 GB. Choose FLAC, or a lower rate.")
            n_left -= len(block)
            scaled = np.round(block * float(_FULL_SCALE))
            sound.write(np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16))


def _encode_by_ffmpeg(file: _Target, blocks: Iterable[np.ndarray], container: str, codec: str, rate_hz: int) -> None:
    """Samples as a file; its decoder cuts the codec's padding, so the length is kept."""
    try:
        # bitexact: no version of the encoder and no random stream number in the file
        with av.open(file, "w", format=container, options={"fflags": "+bitexact"}) as made:
            stream = made.add_stream(codec, rate=rate_hz, layout="mono")
            stream.bit_rate = _BIT_RATE
            stream.options = {"compression_level": _EFFORT}
            gain = 1.0
            if codec == "libmp3lame":
                gain, stream.codec_context.format = 1 / _LAME_GAIN, "fltp"  # its default, 32 bits, clips
            place = 0
            for block in blocks:
                samples = (np.clip(block, -1, 1) * gain).astype(np.float32)
                for start in range(0, len(samples), rate_hz):
                    part = samples[None, start : start + rate_hz]
                    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="flt", layout="mono")
                    frame.sample_rate, frame.pts = rate_hz, place
                    place += part.shape[1]
                    made.mux(stream.encode(frame))
            made.mux(stream.encode(None))
    except (av.FFmpegError, ValueError):  # FFmpeg may be built without these encoders
        raise UsageError(f"The installed FFmpeg cannot write {codec}. Choose WAV or FLAC.") from None
