"""Read audio. This is the only module that turns recordings into 16 kHz mono wavs.

::

    file, bytes ─► decode: blocks (n, channels) at any rate ─┐
    array ───────────────────────────────────────────────────┴─► mix: checks, resampling by soxr,
                                                                 choice of channels ─► wav (N,)

Decoding goes block by block, so ``Limits.max_duration_s`` bounds memory and disk even where the header
does not give the length: a FLAC of silence grows by a factor of 2,000, and the WebM of a browser
states no duration.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from saic.audio import decode, mix
from saic.audio.limits import LONG, SAMPLE_RATE, Limits
from saic.errors import EmptyAudio, InvalidAudio, TooLong, UndecodableAudio, UsageError
from saic.files import MEMORY_BYTES
from saic.spool import Spool

__all__ = ["SAMPLE_RATE", "Limits", "Recording", "SpooledRecording", "from_array", "load", "read", "spool"]

OnBlock = Callable[[], None]

_LIMITS = Limits()


@dataclass(frozen=True, eq=False)
class Recording:
    """A decoded recording.

    Attributes
    ----------
    wav : (N,) float32, 16 kHz mono in [-1, 1], N > 0
    notes : sentences about what was missing or chosen; none for a sound file of one speaker
    """

    wav: np.ndarray
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SpooledRecording:
    """A decoded recording of any length: as :class:`Recording`, with its wav (N,) in a spool."""

    wav: Spool
    notes: tuple[str, ...] = ()


def read(source: str | os.PathLike | bytes | BinaryIO, *, limits: Limits = _LIMITS) -> Recording:
    """Decode a recording of any common format.

    Of a damaged recording, the decodable part is returned, with silence where a part is missing,
    and a note. Of several channels, those that carry the speech are used.

    Parameters
    ----------
    source : path of a file, its bytes, or a file object open in binary mode (read into memory from
        its current position to its end, and not closed)
    limits : a recording beyond them is refused

    Returns
    -------
    recording : its wav is scaled if float samples lie outside [-1, 1], to a peak of 1 without knocks

    Raises
    ------
    UsageError (no such file), UndecodableAudio, EmptyAudio, InvalidAudio, TooLong
    """
    recording = _read(source, limits, memory_bytes=None)
    return Recording(recording.wav[:], recording.notes)


def spool(
    source: str | os.PathLike | bytes | BinaryIO,
    *,
    limits: Limits = LONG,
    on_block: OnBlock | None = None,
    memory_bytes: int | None = MEMORY_BYTES,
) -> SpooledRecording:
    """Decode a recording as :func:`read` does, block by block: a long one into a temporary file.

    ``on_block`` is called after every block; an error that it raises ends the decoding. The file
    holds what is more than ``memory_bytes``; None: there is none.

    Raises
    ------
    DiskError (there is no space for it), and the errors of :func:`read`
    """
    return _read(source, limits, memory_bytes, on_block)


def spool_array(samples: np.ndarray, rate_hz: float, *, limits: Limits = LONG) -> SpooledRecording:
    """Turn samples of any rate into a spooled recording; arguments and errors as for :func:`from_array`."""
    return SpooledRecording(*mix.to_spool(_array_blocks(samples, rate_hz), limits))


def spool_blocks(blocks: Iterable[np.ndarray], rate_hz: float, *, limits: Limits = LONG) -> SpooledRecording:
    """Turn blocks of samples, each (n,) or (n, channels), into a spooled recording, as they come.

    Errors are those of :func:`from_array`; DiskError if there is no space for it.
    """
    parts = (part for block in blocks if np.size(block) for part in _array_blocks(block, rate_hz))
    return SpooledRecording(*mix.to_spool(parts, limits))


def _read(
    source: str | os.PathLike | bytes | BinaryIO,
    limits: Limits,
    memory_bytes: int | None,
    on_block: OnBlock | None = None,
) -> SpooledRecording:
    if isinstance(source, (str, os.PathLike)):
        with _open(source) as file:
            return _decode(file, limits, memory_bytes, on_block)
    return _decode(_in_memory(source, limits), limits, memory_bytes, on_block)


def load(source: str | os.PathLike | bytes | BinaryIO, *, limits: Limits = _LIMITS) -> np.ndarray:
    """Decode a recording as :func:`read` does, and return the wav (N,) alone."""
    return read(source, limits=limits).wav


def from_array(samples: np.ndarray, rate_hz: float, *, limits: Limits = _LIMITS) -> np.ndarray:
    """Turn samples of any rate into a wav.

    Parameters
    ----------
    samples : (N',) or (N', channels); float with full scale at 1, or integers of up to 32 bits,
        which are scaled by their full range (unsigned ones are centered first)
    rate_hz : samples per second of `samples`
    limits : samples beyond them are refused

    Returns
    -------
    wav : (N,) float32, 16 kHz mono in [-1, 1], N > 0; scaled if samples lie outside, to a peak of 1
        without knocks

    Raises
    ------
    EmptyAudio, InvalidAudio, TooLong
    """
    return mix.to_wav(_array_blocks(samples, rate_hz), limits)[0]


def _array_blocks(samples: np.ndarray, rate_hz: float) -> Iterator[mix.Block]:
    """Samples (N',) or (N', channels) as blocks, checked at once."""
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2):
        raise InvalidAudio(f"Samples must be (N,) or (N, channels), not {samples.ndim}-dimensional.")
    if samples.size == 0:
        raise EmptyAudio(mix.NO_SAMPLES)
    if samples.ndim == 1:
        samples = samples[:, None]
    starts = range(0, len(samples), mix.BLOCK_SAMPLES)
    return ((_to_float(samples[i : i + mix.BLOCK_SAMPLES]), rate_hz) for i in starts)


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


def _decode(file: BinaryIO, limits: Limits, memory_bytes: int | None, on_block: OnBlock | None) -> SpooledRecording:
    """Decode a seekable file by libsndfile; by FFmpeg if that refuses it or decodes more of it."""
    n_bytes = file.seek(0, os.SEEK_END)
    if n_bytes == 0:
        raise EmptyAudio("The recording is empty (0 bytes). Record or export it again.")
    if n_bytes > limits.max_bytes:
        raise TooLong(f"The recording is larger than {limits.max_bytes / 2**20:g} MiB. Cut it, or use FLAC or MP3.")
    try:
        recording, whole = _decode_by(decode.soundfile_blocks, file, limits, memory_bytes, on_block)
    except (EmptyAudio, UndecodableAudio) as error:
        refusal = error
    else:
        if whole:
            return recording
        try:
            other, _ = _decode_by(decode.pyav_blocks, file, limits, memory_bytes, on_block)
        except (EmptyAudio, InvalidAudio, TooLong, UndecodableAudio):
            return recording
        return max(recording, other, key=lambda found: len(found.wav))  # the first if both are as long
    try:
        return _decode_by(decode.pyav_blocks, file, limits, memory_bytes, on_block)[0]
    except UndecodableAudio:
        if isinstance(refusal, EmptyAudio):  # libsndfile does support the format
            raise refusal from None
        raise


def _decode_by(
    decoder: Callable, file: BinaryIO, limits: Limits, memory_bytes: int | None, on_block: OnBlock | None
) -> tuple[SpooledRecording, bool]:
    """The recording as one decoder gives it, and if nothing of it is missing."""
    report = decode.Report()
    blocks = decoder(file, limits, report)
    if on_block is not None:
        blocks = _observed(blocks, on_block)
    wav, notes = mix.to_spool(blocks, limits, memory_bytes=memory_bytes)
    return SpooledRecording(wav, report.notes + notes), not report.missing_s


def _observed(blocks: Iterator[mix.Block], on_block: OnBlock) -> Iterator[mix.Block]:
    for block in blocks:
        yield block
        on_block()


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
