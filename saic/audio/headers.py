"""What the headers of files state: seconds, bytes of samples, whether all is there.

The decoders do not tell this of a file that was cut: they state what is left.
"""

import io
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")

# Sizes from here on are written by recorders that do not know them yet.
_UNKNOWN_BYTES, _UNKNOWN_BYTES_64 = 0x7FFF0000, 2**40
_W64 = b"riff" + bytes.fromhex("2e91cf11a5d628db")  # start of a Sony Wave64 file


def flac_stated_s(streaminfo: bytes) -> float:
    """Duration of a FLAC stream according to its STREAMINFO (RFC 9639, 8.2), 0 if unknown."""
    if len(streaminfo) < 18:
        return 0.0
    bits = int.from_bytes(streaminfo[10:18], "big")  # rate in 20, channels and sample size in 8, samples in 36
    return (bits & (2**36 - 1)) / (bits >> 44 or 1)


def has_all_ogg_pages(file: BinaryIO) -> bool:
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


def is_mp3(head: bytes) -> bool:
    return head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


def id3_bytes(head: bytes) -> int:
    """Size of a tag in bytes, from its first 10; 0 if it is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))


def mp3_stated_s(file: BinaryIO) -> float:
    """Duration of an MP3 according to its Xing, Info or VBRI header, 0 if it has none."""
    file.seek(0)
    file.seek(id3_bytes(file.read(10)))
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


def asf_stated_s(file: BinaryIO) -> float:
    """Duration of a WMA according to its file properties (ASF specification, 3.2), 0 if unknown."""
    file.seek(0)
    head = file.read(2**16)
    place = head.find(_ASF_FILE_PROPERTIES)
    if place < 0 or len(head) < place + 92:
        return 0.0
    duration, _, preroll_ms, flags = struct.unpack_from("<QQQI", head, place + 64)
    return 0.0 if flags & 1 else max(duration / 1e7 - preroll_ms / 1e3, 0.0)  # flag 1: the fields are not valid


def growth(file: BinaryIO) -> float:
    """How many times longer the samples of a file are by its header than they are (1 if unknown).

    Reads the headers of WAV, RF64, W64, AIFF, AU and CAF. libsndfile gives the duration of the
    samples that are there.
    """
    n_bytes = file.seek(0, os.SEEK_END)
    data = [(place, size) for name, place, size in _file_chunks(file) if name in (b"data", b"SSND")]
    stated = sum(size for _, size in data)
    available = sum(max(min(size, n_bytes - place), 0) for place, size in data)
    known = available and all(size >= 0 for _, size in data)
    return stated / available if known else 1.0


def joined(file: BinaryIO) -> BinaryIO:
    """The file; a WAV with several data chunks, which libsndfile refuses, with all in one, in memory."""
    chunks = _file_chunks(file)
    file.seek(0)
    data = [chunk for chunk in chunks if chunk[0] == b"data"]
    formats = [_content(file, chunk)[:64] for chunk in chunks if chunk[0] == b"fmt " and chunk[2] < 2**16]
    file.seek(0)
    if file.read(4) != b"RIFF" or len(data) < 2 or not formats or len(formats[0]) < 16:
        return file
    block_bytes = struct.unpack_from("<H", formats[0], 12)[0] or 1
    parts = [_content(file, chunk) for chunk in data]
    joined = b"".join(part[: len(part) - len(part) % block_bytes] for part in parts)
    return io.BytesIO(_riff((b"fmt ", formats[0]), (b"data", joined)))


def _file_chunks(file: BinaryIO) -> list[tuple[bytes, int, int]]:
    """Name, place and stated size of the chunks of a WAV, RF64, W64, AIFF, AU or CAF; none of others.

    The size is -1 if it is unknown.
    """
    file.seek(0)
    head = file.read(12)
    unknown = _UNKNOWN_BYTES
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        chunks = list(_chunks(file, 12, "<I"))
    elif head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        chunks = list(_chunks(file, 12, ">I"))
    elif head[:4] == b".snd" and len(head) == 12:
        chunks = [(b"data", *struct.unpack(">II", head[4:]))]
    else:
        unknown = _UNKNOWN_BYTES_64
        if head[:4] == b"RF64" and head[8:] == b"WAVE":
            chunks = _with_ds64(file, list(_chunks(file, 12, "<I")))
        elif head == _W64:
            chunks = list(_chunks(file, 40, "<Q", name_bytes=16, align=8))
        elif head[:4] == b"caff":
            chunks = list(_chunks(file, 8, ">q", align=1))
        else:
            chunks = []
    return [(name, place, size if size < unknown else -1) for name, place, size in chunks]


def _chunks(
    file: BinaryIO, place: int, size_format: str, *, name_bytes: int = 4, align: int = 2
) -> Iterator[tuple[bytes, int, int]]:
    """First four bytes of the name, place and stated size of chunks from a place on (at most 1,000)."""
    n_bytes = file.seek(0, os.SEEK_END)
    head_bytes = name_bytes + struct.calcsize(size_format)
    for _ in range(1000):
        file.seek(place)
        head = file.read(head_bytes)
        if len(head) < head_bytes:
            return
        size = struct.unpack(size_format, head[name_bytes:])[0]
        if name_bytes == 16:  # W64 counts the head too
            size -= head_bytes
        yield head[:4], place + head_bytes, size
        place += head_bytes + size + -size % align
        if size < 0 or place > n_bytes:
            return


def _with_ds64(file: BinaryIO, chunks: list[tuple[bytes, int, int]]) -> list[tuple[bytes, int, int]]:
    """Chunks of an RF64, with the size of the samples that does not fit into their own (EBU Tech 3306)."""
    sizes = [_content(file, chunk)[8:16] for chunk in chunks if chunk[0] == b"ds64" and chunk[2] < 2**16]
    size_64 = struct.unpack("<Q", sizes[0])[0] if sizes and len(sizes[0]) == 8 else -1
    return [(name, place, size_64 if size == 2**32 - 1 else size) for name, place, size in chunks]


def _content(file: BinaryIO, chunk: tuple[bytes, int, int]) -> bytes:
    _, place, size = chunk
    file.seek(place)
    return file.read(size)


def _riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WAVE" + b"".join(name + struct.pack("<I", len(c)) + c + bytes(len(c) % 2) for name, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body
