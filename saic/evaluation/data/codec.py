"""An MP3 round trip that gives all audio of an evaluation the same codec."""

import io

import av
import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import EmptyAudio, InvalidAudio

KBPS = 40


def lossless(wav: np.ndarray) -> np.ndarray:
    """The wav without any codec, checked as in :func:`round_trip`."""
    return _checked(wav)


def round_trip(wav: np.ndarray, kbps: int = KBPS) -> np.ndarray:
    """Encode as MP3 and decode again.

    Some corpora hold a few speakers as MP3 and the others lossless; codec artifacts alone then tell
    speakers apart. After a round trip all speakers have them.

    Parameters
    ----------
    wav
        (N,) float32, 16 kHz; clipped to [-1, 1].
    kbps
        Bit rate in kb/s.

    Returns
    -------
    (N,) float32, aligned with the input: the file's header states the encoder's delay, and the
    decoder removes it.

    Raises
    ------
    EmptyAudio, InvalidAudio
        No samples, or NaN or infinite ones.
    """
    encoded = io.BytesIO(encode(_checked(wav), "mp3", "libmp3lame", "fltp", kbps))
    with av.open(encoded, format="mp3") as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    # The last MP3 frame is not always cut to the sample.
    decoded = np.pad(decoded[: len(wav)], (0, max(0, len(wav) - len(decoded))))
    return np.clip(decoded, -1, 1).astype(np.float32)


def encode(
    wav: np.ndarray, container: str, codec: str, sample_format: str, kbps: int, options: dict[str, str] | None = None
) -> bytes:
    """Bytes of a (N,) wav at 16 kHz, clipped to [-1, 1], encoded with a codec of FFmpeg."""
    samples = np.clip(wav, -1, 1).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.pts = 0
    encoded = io.BytesIO()
    with av.open(encoded, "w", format=container) as file:
        stream = file.add_stream(codec, rate=SAMPLE_RATE, layout="mono", format=sample_format)
        stream.bit_rate = kbps * 1000
        stream.options = options or {}
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return encoded.getvalue()


def _checked(wav: np.ndarray) -> np.ndarray:
    if len(wav) == 0:
        raise EmptyAudio("There are no samples to encode.")
    if not np.isfinite(wav).all():
        raise InvalidAudio("The samples contain NaN or infinite values.")
    return np.clip(wav, -1, 1).astype(np.float32)
