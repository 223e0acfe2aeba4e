"""Recordings as they come from real rooms and devices: seeded degradations that keep length and timing.

Each takes a wav (N,) float32 of 16 kHz and a generator, and returns (N,) float32 whose time axis is the input's, so
that what was said when can still be compared. Where a sum would pass full scale, all of it is made quieter: clipping
would be one more degradation.
"""

from collections.abc import Callable

import numpy as np
import scipy.signal

from saic import audio
from saic.audio import SAMPLE_RATE
from saic.evaluation.data.codec import encode
from saic.signal.mel import HOP_SAMPLES
from saic.signal.vad import require_speech, speech_frames

RT60_S = 0.5
OPUS_KBPS = 16
DC_OFFSET = 0.05
QUIET_DB = -20.0

_LOWEST_NOISE_HZ = 50.0  # pink noise has as much power in each octave, and there is no end of them below


def add_noise(wav: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
    """Add pink noise, of 50 Hz to 8 kHz.

    Pink, since the noise of rooms and traffic falls with frequency much like speech does, so that no band is spared
    or drowned. Noise with the clip's own spectrum would match it better still, but would also carry the speaker's
    average spectrum, and the figure beside this one is about identity.

    Parameters
    ----------
    snr_db
        Power of the wav over that of the noise, both over speech frames (pauses don't count), in dB.

    Raises
    ------
    SilentAudio
        Without speech there is no such ratio.
    """
    require_speech(wav, min_speech_s=0.0)
    frequencies_hz = np.fft.rfftfreq(len(wav), 1 / SAMPLE_RATE)
    amplitude = 1 / np.sqrt(np.maximum(frequencies_hz, _LOWEST_NOISE_HZ))
    amplitude[frequencies_hz < _LOWEST_NOISE_HZ] = 0
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(wav))) * amplitude, len(wav))
    speech = np.repeat(speech_frames(wav), HOP_SAMPLES)[: len(wav)]
    wanted = np.mean(np.square(wav[speech], dtype=np.float64)) / 10 ** (snr_db / 10)
    return _fit(wav + noise * np.sqrt(wanted / np.mean(noise[speech] ** 2)))


def add_room(wav: np.ndarray, rng: np.random.Generator, rt60_s: float = RT60_S) -> np.ndarray:
    """Put the speaker into a room, as loud (rms) as before.

    The impulse response is the direct sound, at once, and after it Gaussian noise that falls by 60 dB in ``rt60_s``
    (Polack's model of late reverberation), with as much energy as the direct sound: a speaker at the critical
    distance, which is 0.6 m in a room of 60 cubic metres.
    """
    time_s = np.arange(1, round(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    response = np.concatenate([[1.0], tail / np.linalg.norm(tail)])
    heard = scipy.signal.fftconvolve(wav.astype(np.float64), response)[: len(wav)]
    rms, wanted = (np.sqrt(np.mean(np.square(x, dtype=np.float64))) for x in (heard, wav))
    return _fit(heard * (wanted / max(rms, np.finfo(float).tiny)))


def through_opus(wav: np.ndarray, kbps: int = OPUS_KBPS) -> np.ndarray:
    """Encode as Opus, as a call over the internet does, and decode again; the codec's delay is taken off."""
    decoded = audio.load(encode(wav, "ogg", "libopus", "flt", kbps, {"application": "voip"}))
    return np.pad(decoded[: len(wav)], (0, max(0, len(wav) - len(decoded))))


def _fit(wav: np.ndarray) -> np.ndarray:
    return (wav / max(1.0, np.abs(wav).max(initial=0.0))).astype(np.float32)


DEGRADATIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "noise_20_db": lambda wav, rng: add_noise(wav, rng, 20.0),
    "noise_10_db": lambda wav, rng: add_noise(wav, rng, 10.0),
    "room": add_room,
    "opus": lambda wav, rng: through_opus(wav),
    "quiet": lambda wav, rng: (wav * 10 ** (QUIET_DB / 20)).astype(np.float32),
    "dc_offset": lambda wav, rng: _fit(wav + DC_OFFSET),
}
"""What the robustness row consists of: pink noise, a room, Opus at 16 kb/s, 20 dB less gain, an offset of 0.05."""
