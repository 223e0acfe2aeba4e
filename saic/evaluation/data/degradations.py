"""Seeded degradations of a recording, such as noise or a telephone line, that keep length and timing.

Each takes a wav (N,) float32 at 16 kHz and a generator, and returns (N,) float32 on the same time
axis, so that the output can be compared with the clean recording frame by frame. A result that
would exceed full scale is scaled down as a whole: clipping would be another degradation.
"""

import io
from collections.abc import Callable

import numpy as np
import scipy.signal
import soundfile

from saic import audio
from saic.audio import SAMPLE_RATE
from saic.evaluation.data.codec import encode
from saic.signal.filters import raised_cosine_filter
from saic.signal.mel import HOP_SAMPLES
from saic.signal.vad import require_speech, speech_frames

RT60_S = 0.5
OPUS_KBPS = 16
DC_OFFSET = 0.05
QUIET_DB = -20.0
TELEPHONE_HZ = SAMPLE_RATE // 2

_TELEPHONE_BAND_HZ = (200.0, 300.0, 3_400.0, 4_000.0)
_LOWEST_NOISE_HZ = 50.0  # pink noise has equal power in each octave; without a lower limit its power is infinite


def add_noise(wav: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
    """Add pink noise from 50 Hz to 8 kHz.

    Pink, since the noise of rooms and traffic falls with frequency about as speech does, so that
    the SNR is similar in all bands. Noise with the clip's own spectrum would match it better, but
    would also carry the speaker's average spectrum, which would bias the identity figures.

    Parameters
    ----------
    snr_db
        Power of the wav over that of the noise, both over speech frames only, in dB.

    Raises
    ------
    SilentAudio
        Without speech the SNR is undefined.
    """
    require_speech(wav, min_speech_s=0.0)
    frequencies_hz = np.fft.rfftfreq(len(wav), 1 / SAMPLE_RATE)
    amplitude = 1 / np.sqrt(np.maximum(frequencies_hz, _LOWEST_NOISE_HZ))
    amplitude[frequencies_hz < _LOWEST_NOISE_HZ] = 0
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(len(wav))) * amplitude, len(wav))
    speech = np.repeat(speech_frames(wav), HOP_SAMPLES)[: len(wav)]
    noise_power = np.mean(np.square(wav[speech], dtype=np.float64)) / 10 ** (snr_db / 10)
    return _fit_full_scale(wav + noise * np.sqrt(noise_power / np.mean(noise[speech] ** 2)))


def add_room(wav: np.ndarray, rng: np.random.Generator, rt60_s: float = RT60_S) -> np.ndarray:
    """Add reverberation, at the same rms level.

    The impulse response is the direct sound without delay, followed by Gaussian noise that decays
    by 60 dB in ``rt60_s`` (Polack's model of late reverberation), with as much energy as the direct
    sound: a speaker at the critical distance, which is 0.6 m in a room of 60 cubic meters.
    """
    time_s = np.arange(1, round(rt60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rt60_s)
    response = np.concatenate([[1.0], tail / np.linalg.norm(tail)])
    reverberant = scipy.signal.fftconvolve(wav.astype(np.float64), response)[: len(wav)]
    rms, wanted = (np.sqrt(np.mean(np.square(x, dtype=np.float64))) for x in (reverberant, wav))
    return _fit_full_scale(reverberant * (wanted / max(rms, np.finfo(float).tiny)))


def through_opus(wav: np.ndarray) -> np.ndarray:
    """Encode as Opus at 16 kb/s, in its mode for calls, and decode again; the codec's delay is removed."""
    decoded = audio.load(encode(wav, "ogg", "libopus", "flt", OPUS_KBPS, {"application": "voip"}))
    return np.pad(decoded[: len(wav)], (0, max(0, len(wav) - len(decoded))))


def through_telephone(wav: np.ndarray) -> np.ndarray:
    """A call over a telephone line: 300 to 3,400 Hz, sampled at 8 kHz, coded in A-law (ITU-T G.711) and decoded."""
    sent = _fit_full_scale(_telephone_band(wav))[::2]  # nothing is left at 4 kHz and above
    coded = io.BytesIO()
    soundfile.write(coded, sent, TELEPHONE_HZ, format="WAV", subtype="ALAW")
    coded.seek(0)
    received = np.zeros(len(wav), np.float32)
    received[::2] = 2 * soundfile.read(coded, dtype="float32")[0]
    return _fit_full_scale(_telephone_band(received))


def _telephone_band(wav: np.ndarray) -> np.ndarray:
    return raised_cosine_filter(wav, _TELEPHONE_BAND_HZ, (0, 1, 1, 0))


def _fit_full_scale(wav: np.ndarray) -> np.ndarray:
    return (wav / max(1.0, np.abs(wav).max(initial=0.0))).astype(np.float32)


DEGRADATIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "noise_20_db": lambda wav, rng: add_noise(wav, rng, 20.0),
    "noise_10_db": lambda wav, rng: add_noise(wav, rng, 10.0),
    "room": add_room,
    "opus": lambda wav, rng: through_opus(wav),
    "telephone": lambda wav, rng: through_telephone(wav),
    "quiet": lambda wav, rng: (wav * 10 ** (QUIET_DB / 20)).astype(np.float32),
    "dc_offset": lambda wav, rng: _fit_full_scale(wav + DC_OFFSET),
}
"""Degradations of the robustness measure: pink noise, a room, Opus at 16 kb/s, a telephone line, -20 dB
gain, an offset of 0.05.

A report of an earlier version has no telephone line.
"""
