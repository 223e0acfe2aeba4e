"""Decode files into blocks of samples, by libsndfile or FFmpeg, and report what could not be decoded.

libsndfile decodes first. FFmpeg decodes what libsndfile refuses or decodes in part. Both read from
a file object that has no name, and decode block by block. Gaps between the timestamps of a
compressed stream become silence, so that what follows a damaged part keeps its time.
"""

import ctypes
import functools
import io
import itertools
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av
import numpy as np
import soundfile as sf
from av.codec.context import Flags2

from saic.audio.limits import Limits, check_duration, check_format
from saic.audio.mix import BLOCK_SAMPLES, Block
from saic.errors import UndecodableAudio

# Format, the suffixes of its files.
_SUFFIXES = {
    "WAV": (".wav",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga"),
    "Opus": (".opus",),
    "MP3": (".mp3",),
    "M4A": (".m4a",),
    "AAC": (".aac",),
    "MP4": (".mp4",),
    "MOV": (".mov",),
    "WebM": (".webm",),
    "MKV": (".mkv", ".mka"),
    "3GP": (".3gp",),
    "AMR": (".amr",),
    "WMA": (".wma",),
    "AIFF": (".aiff", ".aif", ".aifc"),
    "CAF": (".caf",),
}
_NAMES = "{} or {}".format(", ".join(list(_SUFFIXES)[:-1]), list(_SUFFIXES)[-1])

SUFFIXES = frozenset(itertools.chain.from_iterable(_SUFFIXES.values()))
"""Suffixes, in lower case, of the files that :func:`saic.audio.load` decodes."""

FORMATS_TEXT = f"Use {_NAMES}."
"""The formats as a sentence for messages."""

NOT_AUDIO = f"This is no recording that can be decoded: use {_NAMES}."

# Not MP3: soundfile seeks after every block, and its MP3 decoder then loses the bits carried over
# from the previous frame (audible, up to 0.1 of full scale). FFmpeg decodes MP3 without seeking.
_SOUNDFILE_FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG"}
_SOUNDFILE_MP3 = "MPEG"  # start of a subtype: MP3 in a WAV

# The only formats and codecs that FFmpeg may open: no playlists, which name other files, and no
# pictures.
_PYAV_CODECS = (
    "aac,alac,amrnb,amrwb,flac,mp3,mp3float,opus,libopus,vorbis,wmav1,wmav2,pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,"
    "pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw"
)
_PYAV_OPTIONS = {
    "format_whitelist": "mov,matroska,webm,ogg,aac,mp3,flac,wav,w64,aiff,au,caf,amr,asf",
    "codec_whitelist": _PYAV_CODECS,  # also stops the probing from decoding video
    "protocol_whitelist": "",  # the data comes from our file object; FFmpeg itself opens no file
    "max_streams": "16",
}
_PYAV_MAX_ALLOC = 16 * 2**20
# These hold no timestamps. FFmpeg counts packets, and guesses the duration from the bit rate of the
# first frames: it may be far off.
_PYAV_UNTIMED = {"aac", "amr", "mp3", "wav"}

_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")

# Frame types of 3GPP TS 26.101 and 26.201 (table 1a) without speech: comfort noise, lost, no data.
# A coder with discontinuous transmission sends them in pauses. FFmpeg does not decode them.
_AMR_PAUSES = {"amrnb": {8, 15}, "amrwb": {9, 14, 15}}

_MIN_GAP_S = 0.06  # browsers stamp packets when they come, and some formats stamp several frames at once
_MIN_DAMAGE_S = 0.5  # a longer gap is damage: Opus with discontinuous transmission sends a packet each 0.4 s
_MIN_LOSS_S = 0.2  # padding of codecs, edit lists and rounded durations are shorter
_UNKNOWN_BYTES = 0x7FFF0000  # sizes from here on are written by recorders that do not know them yet


@dataclass
class Report:
    """What a decoder found out about a recording.

    Attributes
    ----------
    stated_s : duration according to the header, 0 if unknown
    end_s : seconds given out, silence in gaps included
    lost_s : seconds of these that are silence in place of damaged data
    """

    stated_s: float = 0.0
    end_s: float = 0.0
    lost_s: float = 0.0

    @property
    def missing_s(self) -> float:
        """Seconds that could not be decoded; 0 if none to speak of."""
        missing_s = self.lost_s + max(self.stated_s - self.end_s, 0.0)
        return missing_s if missing_s >= _MIN_LOSS_S else 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        if not self.missing_s:
            return ()
        total_s = max(self.stated_s, self.end_s)
        return (f"Only {total_s - self.missing_s:.1f} s of {total_s:.1f} s could be decoded: the file is damaged.",)


class _Seekable:
    """A file whose seek never raises: headers of damaged files point to places that cannot be.

    An error inside a callback of a decoder would be printed or raised as the system's own.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.readinto, self.tell, self._file = file.read, file.readinto, file.tell, file

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new position, or -1 without a move."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


def soundfile_blocks(file: BinaryIO, limits: Limits, report: Report) -> Iterator[Block]:
    """Blocks that libsndfile decodes. An error after the first block ends the recording there."""
    file, growth = _inspect(file)
    file.seek(0)
    if _is_mp3(file.read(3)):  # even to open it, libsndfile decodes some and prints warnings
        raise UndecodableAudio(NOT_AUDIO)
    if not _has_all_ogg_pages(file):  # libsndfile decodes what is left without a word
        raise UndecodableAudio(NOT_AUDIO)
    file.seek(0)
    try:
        with sf.SoundFile(_Seekable(file)) as sound:
            if sound.format not in _SOUNDFILE_FORMATS or sound.subtype.startswith(_SOUNDFILE_MP3):
                raise UndecodableAudio(NOT_AUDIO)
            check_format(sound.samplerate, sound.channels, limits)
            if sound.frames < 2**62:  # larger values mean "unknown"
                check_duration(sound.frames / sound.samplerate, limits)
                report.stated_s = growth * sound.frames / sound.samplerate
            while len(block := sound.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                report.end_s += len(block) / sound.samplerate
                yield block, sound.samplerate
    except sf.SoundFileError:
        if report.end_s == 0:
            raise UndecodableAudio(NOT_AUDIO) from None


def pyav_blocks(file: BinaryIO, limits: Limits, report: Report) -> Iterator[Block]:
    """Blocks that FFmpeg decodes of the first audio stream, with silence in the gaps.

    An error after the first block ends the recording there.
    """
    _limit_ffmpeg_memory()
    file.seek(0)
    try:
        with av.open(_Seekable(file), options=_PYAV_OPTIONS, metadata_errors="replace") as container:
            stream = _pyav_audio_stream(container, limits)
            place = file.tell()
            report.stated_s = _pyav_stated_s(file, container, stream)
            file.seek(place)
            kind, packer, clock = None, None, _Clock(report, limits)
            silence = np.zeros((0, stream.codec_context.layout.nb_channels), np.float32), stream.sample_rate
            for frame, start_s, damaged in _pyav_frames(container, stream):
                yield from _in_blocks(*silence, clock.gap_s(start_s, damaged))
                if isinstance(frame, float):
                    yield from _in_blocks(*silence, clock.advance(frame))
                    continue
                if kind != (kind := (frame.format.name, frame.layout.name, frame.sample_rate)):
                    # PyAV's to_ndarray reads past the planes of 8 channels or more and crashes:
                    # interleave them first.
                    packer = av.AudioResampler(format="flt")
                for packed in packer.resample(frame):
                    block = packed.to_ndarray().reshape(-1, frame.layout.nb_channels)
                    silence = block[:0], frame.sample_rate
                    clock.advance(len(block) / frame.sample_rate)
                    yield block, frame.sample_rate
    except (av.FFmpegError, ValueError):  # ValueError: a layout or sample format that PyAV lacks
        if report.end_s == 0:
            raise UndecodableAudio(NOT_AUDIO) from None


class _Clock:
    """Compares timestamps with the seconds given out."""

    def __init__(self, report: Report, limits: Limits) -> None:
        self._report, self._limits = report, limits
        self._origin_s: float | None = None  # timestamp of the first sample
        self._last_end_s = 0.0  # timestamp after the last frame

    def gap_s(self, start_s: float | None, damaged: bool) -> float:
        """Seconds of silence to insert before the next frame, which starts at the timestamp `start_s`."""
        if start_s is None:
            return 0.0
        if self._origin_s is None:
            self._origin_s = self._last_end_s = start_s
            return 0.0
        # The jump from the last frame alone would add up jitter, and the position alone the
        # difference between two clocks.
        behind_s = start_s - self._origin_s - self._report.end_s
        gap_s = min(start_s - self._last_end_s, behind_s)
        min_gap_s = 0.003 if damaged else _MIN_GAP_S
        self._last_end_s = start_s
        latest_s = min(self._report.stated_s or np.inf, self._limits.max_duration_s - _MIN_LOSS_S)
        if gap_s < min_gap_s or self._report.end_s + gap_s > latest_s + _MIN_LOSS_S:  # a false timestamp
            return 0.0
        self._report.end_s += gap_s
        if damaged or gap_s >= _MIN_DAMAGE_S:
            self._report.lost_s += gap_s
        return gap_s

    def advance(self, duration_s: float) -> float:
        """Count seconds that are given out, and return them."""
        self._report.end_s += duration_s
        self._last_end_s += duration_s
        return duration_s


def _in_blocks(empty: np.ndarray, rate_hz: float, duration_s: float) -> Iterator[Block]:
    """Silence of a duration with the channels of `empty` (0, channels)."""
    for n_left in range(round(duration_s * rate_hz), 0, -BLOCK_SAMPLES):
        yield np.zeros((min(n_left, BLOCK_SAMPLES), empty.shape[1]), np.float32), rate_hz


def _pyav_frames(
    container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[tuple[av.AudioFrame | float, float | None, bool]]:
    """Decoded frames, or seconds of a pause; their timestamp in seconds; if broken packets precede them.

    Broken packets are skipped; if most are broken, the recording is refused.
    """
    n_good = n_bad = 0
    damaged = False
    timed = container.format.name not in _PYAV_UNTIMED
    pauses = _AMR_PAUSES.get(stream.codec_context.name, set())
    for packet in container.demux(stream):
        if pauses and packet.size and bytes(packet)[0] >> 3 & 15 in pauses:
            yield 0.02, _seconds(packet) if timed else None, damaged
            damaged = False
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError:  # not only InvalidDataError: for some invalid data, AAC has error codes of its own
            n_bad += 1
            damaged = True
            continue
        n_good += len(frames)
        for frame in frames:
            yield frame, _seconds(frame) if timed else None, damaged
            damaged = False
    if n_bad > n_good:
        raise UndecodableAudio(NOT_AUDIO)


def _seconds(timed: av.AudioFrame | av.Packet) -> float | None:
    return None if timed.pts is None or not timed.time_base else float(timed.pts * timed.time_base)


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
        raise UndecodableAudio(NOT_AUDIO)
    if codec.name == "alac":  # its last packet holds no padding, although FFmpeg's own CAF files say so
        codec.flags2 |= Flags2.skip_manual
    check_format(codec.sample_rate, codec.layout.nb_channels, limits)
    if stream.duration and container.format.name not in _PYAV_UNTIMED:
        check_duration(float(stream.duration * stream.time_base), limits)
    return stream


def _pyav_stated_s(file: BinaryIO, container: av.container.InputContainer, stream: av.AudioStream) -> float:
    """Duration of the stream according to the header, 0 if unknown."""
    if container.format.name == "mp3":
        return _mp3_stated_s(file)
    if container.format.name in _PYAV_UNTIMED:
        return 0.0
    if container.format.name == "asf":  # FFmpeg states what a cut file has left
        return _asf_stated_s(file)
    if stream.duration:
        return max(float(stream.duration * stream.time_base), 0.0)
    if container.duration and len(container.streams) == 1:  # otherwise it may be that of the pictures
        return max(container.duration / av.time_base, 0.0)
    return 0.0


def _has_all_ogg_pages(file: BinaryIO) -> bool:
    """Whether an Ogg file is an unbroken sequence of pages (RFC 3533, 6). True for other formats."""
    end = file.seek(0, os.SEEK_END)
    place = 0
    while place < end:
        file.seek(place)
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            return place == 0
        place += 27 + head[26] + sum(file.read(head[26]))
    return place == end


def _is_mp3(head: bytes) -> bool:
    return head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


def _mp3_stated_s(file: BinaryIO) -> float:
    """Duration of an MP3 according to its Xing, Info or VBRI header, 0 if it has none."""
    file.seek(0)
    tag = file.read(10)
    start = 0
    if tag[:3] == b"ID3" and len(tag) == 10:
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
    file.seek(start)
    frame = file.read(256)
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] >> 5 != 7:
        return 0.0
    version, rate = frame[1] >> 3 & 3, frame[2] >> 2 & 3  # ISO 11172-3, 2.4.2.3; version 3 is MPEG-1, 0 is 2.5
    if rate == 3 or version == 1:
        return 0.0
    rate_hz = (44_100, 48_000, 32_000)[rate] / {3: 1, 2: 2, 0: 4}[version]
    n_frames = n_padding = 0
    if (place := max(frame.find(b"Xing"), frame.find(b"Info"))) >= 0 and len(frame) >= place + 12:
        flags, n_frames = struct.unpack_from(">II", frame, place + 4)
        n_frames *= flags & 1
        if flags & 15 == 15 and len(lame := frame[place + 120 : place + 144]) == 24 and lame[:1] == b"L":
            n_padding = (lame[21] << 4) + (lame[22] >> 4) + ((lame[22] & 15) << 8) + lame[23]  # at both ends
    elif (place := frame.find(b"VBRI")) >= 0 and len(frame) >= place + 18:
        n_frames = struct.unpack_from(">I", frame, place + 14)[0]
    return max(n_frames * (1152 if version == 3 else 576) - n_padding, 0) / rate_hz


def _asf_stated_s(file: BinaryIO) -> float:
    """Duration of a WMA according to its file properties (ASF specification, 3.2), 0 if unknown."""
    file.seek(0)
    head = file.read(2**16)
    place = head.find(_ASF_FILE_PROPERTIES)
    if place < 0 or len(head) < place + 92:
        return 0.0
    duration, _, preroll_ms, flags = struct.unpack_from("<QQQI", head, place + 64)
    return 0.0 if flags & 1 else max(duration / 1e7 - preroll_ms / 1e3, 0.0)  # flag 1: the fields are not valid


def _inspect(file: BinaryIO) -> tuple[BinaryIO, float]:
    """The file, and how many times longer its samples are by its header than they are (1 if unknown).

    Reads the headers of WAV, AIFF and AU. libsndfile gives the duration of the samples that are
    there. It refuses a WAV with several data chunks, so these are joined in memory.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        chunks = list(_chunks(file, "<"))
        data = [chunk for chunk in chunks if chunk[0] == b"data"]
        formats = [_content(file, chunk)[:64] for chunk in chunks if chunk[0] == b"fmt " and chunk[2] < 2**16]
        if len(data) > 1 and formats and len(formats[0]) >= 16:
            block_bytes = struct.unpack_from("<H", formats[0], 12)[0] or 1
            parts = [_content(file, chunk) for chunk in data]
            joined = b"".join(part[: len(part) - len(part) % block_bytes] for part in parts)
            file = io.BytesIO(_riff((b"fmt ", formats[0]), (b"data", joined)))
    elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        data = [chunk for chunk in _chunks(file, ">") if chunk[0] == b"SSND"]
    elif head[:4] == b".snd" and len(head) == 12:
        data = [(b"", *struct.unpack(">II", head[4:]))]
    else:
        data = []
    stated = sum(size for _, _, size in data)
    available = sum(max(min(size, n_bytes - place), 0) for _, place, size in data)
    return file, stated / available if available and stated < _UNKNOWN_BYTES else 1.0


def _chunks(file: BinaryIO, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and stated size of each chunk of a RIFF or IFF file (at most 1,000)."""
    place = 12
    for _ in range(1000):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size = struct.unpack(order + "I", head[4:])[0]
        yield head[:4], place + 8, size
        place += 8 + size + size % 2


def _content(file: BinaryIO, chunk: tuple[bytes, int, int]) -> bytes:
    _, place, size = chunk
    file.seek(place)
    return file.read(size)


def _riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(c)) + c + bytes(len(c) % 2) for name, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
