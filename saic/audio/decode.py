"""Decode files into blocks of samples, by libsndfile or FFmpeg, and report what could not be decoded.

libsndfile decodes first. FFmpeg decodes what libsndfile refuses or decodes in part. Both read from
a file object that has no name, and decode block by block. Gaps between the timestamps of a
compressed stream become silence, so that what follows a damaged part keeps its time. Where there are
no timestamps, the broken bytes give the length of the gap.
"""

import contextlib
import ctypes
import functools
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av
import numpy as np
import soundfile as sf
from av.codec.context import Flags2

from saic.audio import headers
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
_PYAV_MAX_ALLOC = 64 * 2**20  # the index of an MP4 of twelve hours needs 49 MB: 24 bytes for 1,024 samples at 48 kHz
# These hold no timestamps. FFmpeg counts packets, and guesses the duration from the bit rate of the
# first frames: it may be far off.
_PYAV_UNTIMED = {"aac", "amr", "mp3", "wav"}

# Frame types of 3GPP TS 26.101 and 26.201 (table 1a) without speech: comfort noise, lost, no data.
# A coder with discontinuous transmission sends them in pauses. FFmpeg does not decode them.
_AMR_PAUSES = {"amrnb": {8, 15}, "amrwb": {9, 14, 15}}
_AMR_RESERVED = 0x83  # bits of a frame's header that are alike in all frames of a file (RFC 4867, 5.3)

_MIN_GAP_S = 0.06  # browsers stamp packets when they come, and some formats stamp several frames at once
_MIN_DAMAGE_S = 0.5  # a longer gap is damage: Opus with discontinuous transmission sends a packet each 0.4 s
_MIN_LOSS_S = 0.2  # padding of codecs, edit lists and rounded durations are shorter


@dataclass
class Report:
    """What a decoder found out about a recording.

    Attributes
    ----------
    stated_s : duration according to the header, 0 if unknown
    end_s : seconds given out, silence in gaps included
    lost_s : seconds of these that are silence in place of damaged data
    n_tracks : number of sound tracks
    """

    stated_s: float = 0.0
    end_s: float = 0.0
    lost_s: float = 0.0
    n_tracks: int = 1

    @property
    def missing_s(self) -> float:
        """Seconds that could not be decoded; 0 if none to speak of."""
        missing_s = self.lost_s + max(self.stated_s - self.end_s, 0.0)
        return missing_s if missing_s >= _MIN_LOSS_S else 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        notes = []
        if self.missing_s:
            total_s = max(self.stated_s, self.end_s)
            decoded_s = total_s - self.missing_s
            notes.append(f"Only {decoded_s:.1f} s of {total_s:.1f} s could be decoded: the file is damaged.")
        if self.n_tracks > 1:
            notes.append(f"The file has {self.n_tracks} sound tracks: only the first is used.")
        return tuple(notes)


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
    growth, file = headers.growth(file), headers.joined(file)
    file.seek(0)
    if headers.is_mp3(file.read(3)):  # even to open it, libsndfile decodes some and prints warnings
        raise UndecodableAudio(NOT_AUDIO)
    if not headers.has_all_ogg_pages(file):  # libsndfile decodes what is left without a word
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
    growth = headers.growth(file)
    file.seek(0)
    try:
        with av.open(_Seekable(file), options=_PYAV_OPTIONS, metadata_errors="replace") as container:
            stream = _pyav_audio_stream(container, limits)
            place = file.tell()
            report.stated_s = _pyav_stated_s(file, container, stream)
            report.n_tracks = len(container.streams.audio)
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
    if report.stated_s < report.end_s + _MIN_LOSS_S:  # FFmpeg may state what a cut file has left
        report.stated_s = max(report.stated_s, growth * report.end_s)


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


class _ByteClock:
    """Timestamps of a stream that has none: broken bytes last as long as others do on average."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._good_s, self._good_bytes = 0.0, 0
        self._place = 0  # in the file, up to which it is known how long the bytes last

    def skip_tag(self, packet: av.Packet) -> None:
        """Count no tag as broken: MP3 files that were joined have one in their middle."""
        tag = bytes(packet).find(b"ID3")
        if packet.pos is not None and tag >= 0:
            self._place = packet.pos + tag + headers.id3_bytes(bytes(packet)[tag : tag + 10])

    def start_s(self, packet: av.Packet, damaged: bool) -> float:
        """Timestamp of a packet that was decoded; `damaged` if broken ones precede it."""
        if packet.pos is not None:
            if damaged and self._good_bytes:
                self._now_s += max(packet.pos - self._place, 0) * self._good_s / self._good_bytes
            self._place = packet.pos + packet.size
        self._good_bytes += packet.size
        return self._now_s

    def advance(self, duration_s: float) -> None:
        """Count seconds that were decoded."""
        self._now_s += duration_s
        self._good_s += duration_s


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
    n_good = n_bad = good_bytes = bad_bytes = 0
    damaged = False
    clock = _ByteClock() if container.format.name in _PYAV_UNTIMED else None
    pauses, reserved = _AMR_PAUSES.get(stream.codec_context.name, set()), None
    for packet in container.demux(stream):
        head = bytes(packet)[0] if pauses and packet.size else None
        if reserved is None and head is not None:
            reserved = head & _AMR_RESERVED
        is_pause, frames = head is not None and head >> 3 & 15 in pauses, None
        if head is None or head & _AMR_RESERVED == reserved:
            # Not only InvalidDataError: for some invalid data, AAC has error codes of its own.
            with contextlib.suppress(av.FFmpegError):
                frames = [0.02] if is_pause else packet.decode()
        if frames is None:
            n_bad, bad_bytes, damaged = n_bad + 1, bad_bytes + packet.size, True
            if clock:
                clock.skip_tag(packet)
            continue
        n_good, good_bytes = n_good + len(frames), good_bytes + packet.size
        start_s = clock.start_s(packet, damaged) if clock else None
        for frame in frames:
            yield frame, start_s if clock else _seconds(packet if is_pause else frame), damaged
            damaged = False
            if clock:
                clock.advance(frame if is_pause else frame.samples / frame.sample_rate)
                start_s = None  # a second frame follows the first
    if n_bad > n_good and bad_bytes > good_bytes:
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
        return headers.mp3_stated_s(file)
    if container.format.name in _PYAV_UNTIMED:
        return 0.0
    if container.format.name == "asf":  # FFmpeg states what a cut file has left
        return headers.asf_stated_s(file)
    if stream.duration:
        stated_s = max(float(stream.duration * stream.time_base), 0.0)
        codec = stream.codec_context
        if container.format.name == "ogg" and codec.name == "flac" and not headers.has_all_ogg_pages(file):
            stated_s = max(stated_s, headers.flac_stated_s(codec.extradata or b""))  # a cut file, as above
        return stated_s
    if container.duration and len(container.streams) == 1:  # otherwise it may be that of the pictures
        return max(container.duration / av.time_base, 0.0)
    return 0.0
