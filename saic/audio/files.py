"""Read and write audio. This is the only module that turns recordings into 16 kHz mono wavs.

::

    file, bytes, array -> blocks (n, channels) at any rate -> checks -> mean of channels
                       -> resampling by soxr -> wav (N,)

Decoding goes block by block, so ``Limits.max_duration_s`` bounds the memory even where the header
does not give the length: a FLAC of silence grows by a factor of 2,000, and the WebM of a browser
states no duration.
"""

import contextlib
import ctypes
import functools
import io
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import soundfile as sf
import soxr

from saic import files
from saic.errors import EmptyAudio, InvalidAudio, TooLong, UndecodableAudio, UsageError

SAMPLE_RATE = 16_000
"""Samples per second of every wav."""

_BLOCK_SAMPLES = 4096  # small: a decoder that fails inside a block loses the whole block
_MAX_PEAK = 16.0  # 24 dB over full scale: integers that were cast to float and not scaled
_FULL_SCALE = 32_768  # of 16-bit PCM

# Not MP3: soundfile seeks after every block, and its MP3 decoder then loses the bits carried over
# from the previous frame (audible, up to 0.1 of full scale). FFmpeg decodes MP3 without seeking.
_SOUNDFILE_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG"}

# The only formats and codecs that FFmpeg may open: no playlists, which name other files, and no
# pictures.
_PYAV_CODECS = (
    "aac,alac,amrnb,amrwb,flac,mp3,mp3float,opus,libopus,vorbis,pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,"
    "pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw"
)
_PYAV_OPTIONS = {
    "format_whitelist": "mov,matroska,webm,ogg,aac,mp3,flac,wav,aiff,amr",
    "codec_whitelist": _PYAV_CODECS,  # also stops the probing from decoding video
    "protocol_whitelist": "",  # the data comes from our file object; FFmpeg itself opens no file
    "max_streams": "16",
}
_PYAV_MAX_ALLOC = 16 * 2**20
_PYAV_GUESSES_DURATION = {"aac", "mp3"}  # from the bit rate of the first frames: may be far off

_NOT_AUDIO = "This is no recording that can be decoded. Use WAV, FLAC, OGG, MP3, M4A, MP4 or WebM."
_NO_SAMPLES = "The recording holds no samples. Record or export it again."

_Block = tuple[np.ndarray, float]  # samples (n, channels), rate in Hz


@dataclass(frozen=True)
class Limits:
    """Limits of a recording. The defaults accept ten minutes of any common format."""

    max_bytes: int = 256 * 2**20
    max_duration_s: float = 600.0
    max_channels: int = 8
    min_rate_hz: float = 4_000.0
    max_rate_hz: float = 384_000.0


def load(source: str | os.PathLike | bytes | BinaryIO, *, limits: Limits = Limits()) -> np.ndarray:
    """Decode a recording of any common format into a wav.

    Of a damaged recording, the decodable part is returned.

    Parameters
    ----------
    source : path of a file, its bytes, or a file object open in binary mode (read into memory from
        its current position to its end, and not closed)
    limits : a recording beyond them is refused

    Returns
    -------
    wav : (N,) float32, 16 kHz mono in [-1, 1], N > 0; float samples outside are clipped

    Raises
    ------
    UsageError (no such file), UndecodableAudio, EmptyAudio, InvalidAudio, TooLong
    """
    if isinstance(source, (str, os.PathLike)):
        with _open(source) as file:
            return _decode(file, limits)
    return _decode(_in_memory(source, limits), limits)


def from_array(samples: np.ndarray, rate_hz: float, *, limits: Limits = Limits()) -> np.ndarray:
    """Turn samples of any rate into a wav.

    Parameters
    ----------
    samples : (N',) or (N', channels); float with full scale at 1, or integers of up to 32 bits,
        which are scaled by their full range (unsigned ones are centered first)
    rate_hz : samples per second of `samples`
    limits : samples beyond them are refused

    Returns
    -------
    wav : (N,) float32, 16 kHz mono in [-1, 1], N > 0

    Raises
    ------
    EmptyAudio, InvalidAudio, TooLong
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2):
        raise InvalidAudio(f"Samples must be (N,) or (N, channels), not {samples.ndim}-dimensional.")
    if samples.size == 0:
        raise EmptyAudio(_NO_SAMPLES)
    if samples.ndim == 1:
        samples = samples[:, None]
    starts = range(0, len(samples), _BLOCK_SAMPLES)
    return _to_wav(((_to_float(samples[i : i + _BLOCK_SAMPLES]), rate_hz) for i in starts), limits)


def save(path: str | os.PathLike, wav: np.ndarray, *, force: bool = False) -> None:
    """Write a wav as 16-bit PCM WAV, atomically.

    Parameters
    ----------
    path : the file to write, in an existing folder
    wav : (N,) float, 16 kHz mono, N > 0; clipped to [-1, 1]
    force : replace the file if there is one

    Raises
    ------
    UsageError (the file exists and `force` is not set, or it cannot be written), EmptyAudio,
    InvalidAudio
    """
    data = _encode(wav)
    try:
        path = Path(path)
        if path.exists() and not path.is_file():  # os.replace would replace /dev/null
            raise UsageError("The output is a folder or a device. Name a file.")
        files.write(path, data, force=force)
    except FileExistsError:
        raise UsageError("The output file exists. Choose another name, or replace it with force=True.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"The output file cannot be written: {_reason(error)}.") from None


def _open(path: str | os.PathLike) -> BinaryIO:
    """Open a regular file. The decoders get no name of it, so they cannot print one."""
    try:
        if Path(path).is_file():  # a pipe would block, a device may never end
            # By descriptor: both decoders would use (and print) the name of a file opened by path.
            return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), "rb")
    except (OSError, ValueError) as error:
        raise UsageError(f"The recording cannot be read: {_reason(error)}.") from None
    raise UsageError("The recording does not exist or is not a file. Check the path.")


def _reason(error: OSError | ValueError) -> str:
    """The reason without the file name. A ValueError means a null character in the path."""
    return getattr(error, "strerror", None) or "not a valid path"


def _in_memory(source: bytes | BinaryIO, limits: Limits) -> io.BytesIO:
    """The bytes, or the rest of a file object (seekable or not), up to one byte over the limit."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if not hasattr(source, "read") or isinstance(source, io.TextIOBase):
        raise UsageError("A recording is a path, bytes, or a file object open in binary mode.")
    memory = io.BytesIO()
    while (room := limits.max_bytes + 1 - memory.tell()) > 0 and (chunk := source.read(min(room, 2**20))):
        memory.write(chunk)
    return memory


def _decode(file: BinaryIO, limits: Limits) -> np.ndarray:
    """wav (N,) of a seekable file: by soundfile; by PyAV if that refuses it or finds no samples."""
    n_bytes = file.seek(0, os.SEEK_END)
    if n_bytes == 0:
        raise EmptyAudio("The recording is empty (0 bytes). Record or export it again.")
    if n_bytes > limits.max_bytes:
        raise TooLong(f"The recording is larger than {limits.max_bytes / 2**20:g} MiB. Cut it, or use FLAC or MP3.")
    try:
        return _to_wav(_soundfile_blocks(file, limits), limits)
    except (EmptyAudio, UndecodableAudio) as error:
        refusal = error
    try:
        return _to_wav(_pyav_blocks(file, limits), limits)
    except UndecodableAudio:
        if isinstance(refusal, EmptyAudio):  # soundfile does support the format
            raise refusal from None
        raise


def _soundfile_blocks(file: BinaryIO, limits: Limits) -> Iterator[_Block]:
    """Blocks that libsndfile decodes. An error after the first block ends the recording there."""
    file.seek(0)
    n_decoded = 0
    try:
        with sf.SoundFile(file) as sound:
            if sound.format not in _SOUNDFILE_FORMATS:
                raise UndecodableAudio(_NOT_AUDIO)
            _check_format(sound.samplerate, sound.channels, limits)
            if sound.frames < 2**62:  # larger values mean "unknown"
                _check_duration(sound.frames / sound.samplerate, limits)
            while len(block := sound.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                n_decoded += len(block)
                yield block, sound.samplerate
    except sf.SoundFileError:
        if n_decoded == 0:
            raise UndecodableAudio(_NOT_AUDIO) from None


def _pyav_blocks(file: BinaryIO, limits: Limits) -> Iterator[_Block]:
    """Blocks that FFmpeg decodes of the first audio stream.

    An error after the first block ends the recording there.
    """
    _limit_ffmpeg_memory()
    file.seek(0)
    n_decoded = 0
    try:
        with av.open(file, options=_PYAV_OPTIONS, metadata_errors="replace") as container:
            frames = _pyav_frames(container, _pyav_audio_stream(container, limits))
            kinds = itertools.groupby(frames, key=lambda frame: (frame.format.name, frame.layout, frame.rate))
            for (_, layout, rate_hz), group in kinds:
                # PyAV's to_ndarray reads past the planes of 8 channels or more and crashes:
                # interleave them first.
                packer = av.AudioResampler(format="flt")
                for packed in itertools.chain.from_iterable(map(packer.resample, group)):
                    n_decoded += packed.samples
                    yield packed.to_ndarray().reshape(-1, layout.nb_channels), rate_hz
    except (av.FFmpegError, ValueError):  # ValueError: a layout or sample format that PyAV lacks
        if n_decoded == 0:
            raise UndecodableAudio(_NOT_AUDIO) from None


def _pyav_frames(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    """Decoded frames. Broken packets are skipped; if most are broken, the recording is refused."""
    n_good = n_bad = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.FFmpegError:  # not only InvalidDataError: for some invalid data, AAC has error codes of its own
            n_bad += 1
            continue
        n_good += len(frames)
        yield from frames
    if n_bad > n_good:
        raise UndecodableAudio(_NOT_AUDIO)


@functools.cache
def _limit_ffmpeg_memory() -> None:
    """Limit the size of each allocation of FFmpeg, for the whole process.

    An MP4 of 20 KB can declare an index that takes gigabytes as soon as it is opened, and no option
    of FFmpeg limits that. The function av_max_alloc does. PyAV does not wrap it, but its modules
    are linked to it.
    """
    # None on Windows, where the look-up does not reach the libraries that a module is linked to.
    if max_alloc := getattr(ctypes.CDLL(av.utils.__file__), "av_max_alloc", None):
        max_alloc(ctypes.c_size_t(_PYAV_MAX_ALLOC))


def _pyav_audio_stream(container: av.container.InputContainer, limits: Limits) -> av.AudioStream:
    """The stream to decode, if its header is within the limits."""
    if not container.streams.audio:
        raise UndecodableAudio("The file has no sound track. Use a recording with sound.")
    stream = container.streams.audio[0]
    codec = stream.codec_context
    if codec is None or codec.name not in _PYAV_CODECS.split(",") or not codec.sample_rate:
        raise UndecodableAudio(_NOT_AUDIO)
    _check_format(codec.sample_rate, codec.layout.nb_channels, limits)
    if stream.duration and container.format.name not in _PYAV_GUESSES_DURATION:
        _check_duration(float(stream.duration * stream.time_base), limits)
    return stream


def _to_wav(blocks: Iterator[_Block], limits: Limits) -> np.ndarray:
    """Check, mix and resample blocks into a wav (N,). The rate may change between blocks."""
    pieces = []
    with contextlib.closing(blocks):
        for rate_hz, group in itertools.groupby(_mono(blocks, limits), key=lambda block: block[1]):
            resampler = soxr.ResampleStream(rate_hz, SAMPLE_RATE, 1, dtype="float32")
            pieces += [resampler.resample_chunk(mono) for mono, _ in group]
            pieces.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    wav = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if len(wav) == 0:
        raise EmptyAudio(_NO_SAMPLES)
    return np.clip(wav, -1.0, 1.0, out=wav)


def _mono(blocks: Iterator[_Block], limits: Limits) -> Iterator[_Block]:
    """Channel mean (n,) and rate of each block; raise an error at the first beyond the limits."""
    duration_s = 0.0
    for block, rate_hz in blocks:
        _check_format(rate_hz, block.shape[1], limits)
        duration_s += len(block) / rate_hz
        _check_duration(duration_s, limits)
        if not np.isfinite(block).all():
            raise InvalidAudio("The recording has NaN or infinite samples. Export it again.")
        if np.abs(block).max(initial=0.0) > _MAX_PEAK:
            raise InvalidAudio("The samples are far outside [-1, 1]. Scale them so that full scale is 1.")
        yield block.mean(axis=1, dtype=np.float32), rate_hz


def _check_format(rate_hz: float, n_channels: int, limits: Limits) -> None:
    if not limits.min_rate_hz <= rate_hz <= limits.max_rate_hz:
        raise InvalidAudio(
            f"The sample rate is {rate_hz:g} Hz. Use {limits.min_rate_hz:g} to {limits.max_rate_hz:g} Hz."
        )
    if not 1 <= n_channels <= limits.max_channels:
        raise InvalidAudio(f"The recording has {n_channels} channels. Use 1 to {limits.max_channels}.")


def _check_duration(duration_s: float, limits: Limits) -> None:
    if duration_s > limits.max_duration_s + 1e-3:  # the sum over many blocks is not exact
        raise TooLong(f"The recording is longer than {limits.max_duration_s:g} s. Cut it into shorter parts.")


def _to_float(samples: np.ndarray) -> np.ndarray:
    """Samples of any shape as float32 with full scale at 1."""
    kind, n_bits = samples.dtype.kind, 8 * samples.dtype.itemsize
    if kind == "f":
        with np.errstate(over="ignore"):  # too large values become infinite, and infinity is refused
            return samples.astype(np.float32)
    if kind not in "iu" or n_bits > 32:
        raise InvalidAudio(f"Samples cannot be {samples.dtype}. Use float or up to 32-bit integers.")
    full_scale = 2.0 ** (n_bits - 1)
    center = full_scale if kind == "u" else 0.0
    return ((samples - center) / full_scale).astype(np.float32)


def _encode(wav: np.ndarray) -> bytes:
    """A wav (N,) as the bytes of a WAV file. 16-bit samples from :func:`load` are kept exactly."""
    wav = np.asarray(wav)
    if wav.ndim != 1:
        raise InvalidAudio(f"A wav is (N,), not {wav.shape}.")
    if len(wav) == 0:
        raise EmptyAudio("There are no samples to write.")
    if not np.isfinite(wav).all():
        raise InvalidAudio("The samples to write are NaN or infinite.")
    pcm = np.clip(np.round(wav * float(_FULL_SCALE)), -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    memory = io.BytesIO()
    sf.write(memory, pcm, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    return memory.getvalue()
