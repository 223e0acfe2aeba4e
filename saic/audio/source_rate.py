"""The sample rate that a recording has in its file."""

import os

from saic.audio import decode
from saic.audio.limits import LONG
from saic.errors import AudioError, UndecodableAudio, UsageError


def source_rate(path: str | os.PathLike) -> float:
    """Sample rate of a recording in Hz, from its first decoded block.

    Raises
    ------
    UsageError (the file cannot be read), UndecodableAudio
    """
    for blocks in (decode.soundfile_blocks, decode.pyav_blocks):
        try:
            # By descriptor, as in saic.audio.files: the decoders get no name that they could print.
            with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), "rb") as file:
                _, rate_hz = next(blocks(file, LONG, decode.Report()))
                return float(rate_hz)
        except (AudioError, StopIteration):
            continue
        except OSError as error:
            raise UsageError(f"The recording cannot be read: {error.strerror}.") from None
    raise UndecodableAudio(decode.NOT_AUDIO)
