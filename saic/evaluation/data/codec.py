"""One MP3 round trip: what makes all audio of an evaluation share one codec."""

import io

import av
import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import EmptyAudio, InvalidAudio

KBPS = 40


def lossless(wav: np.ndarray) -> np.ndarray:
    """No codec at all, but the same contract as :func:`round_trip`."""
    return _checked(wav)


def round_trip(wav: np.ndarray, kbps: int = KBPS) -> np.ndarray:
    """Encode as MP3 and decode again.

    Some corpora hold a few speakers as MP3 and the others lossless; the codec's traces then tell speakers
    apart by themselves. After a round trip everyone has them.

    Parameters
    ----------
    wav
        (N,) float32, 16 kHz; clipped to [-1, 1].
    kbps
        Bit rate in kb/s.

    Returns
    -------
    (N,) float32, aligned with the input: the container's header lets the decoder drop the encoder's delay.

    Raises
    ------
    EmptyAudio, InvalidAudio
    """
    coded = io.BytesIO(encode(_checked(wav), "mp3", "libmp3lame", "fltp", kbps))
    with av.open(coded, format="mp3") as container:
        decoded = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    # The last MP3 frame is not always cut to the sample.
    decoded = np.pad(decoded[: len(wav)], (0, max(0, len(wav) - len(decoded))))
    return np.clip(decoded, -1, 1).astype(np.float32)


def encode(
    wav: np.ndarray, container: str, codec: str, sample_format: str, kbps: int, options: dict[str, str] | None = None
) -> bytes:
    """The file that a codec of FFmpeg makes of a (N,) wav at 16 kHz, clipped to [-1, 1]."""
    samples = np.clip(wav, -1, 1).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.pts = 0
    coded = io.BytesIO()
    with av.open(coded, "w", format=container) as file:
        stream = file.add_stream(codec, rate=SAMPLE_RATE, layout="mono", format=sample_format)
        stream.bit_rate = kbps * 1000
        stream.options = options or {}
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return coded.getvalue()


def _checked(wav: np.ndarray) -> np.ndarray:
    if len(wav) == 0:
        raise EmptyAudio("There are no samples to encode.")
    if not np.isfinite(wav).all():
        raise InvalidAudio("The samples hold NaN or infinite values.")
    return np.clip(wav, -1, 1).astype(np.float32)
