"""Voice activity detection by energy: speech masks, and the checks for too little or no speech."""

import numpy as np
import torch

from saic.errors import NotSpeech, SilentAudio, TooShort
from saic.signal.f0 import track_f0
from saic.signal.filters import BLOCK_SAMPLES, Samples, filtered_blocks
from saic.signal.masking import RunningStatistics
from saic.signal.mel import FRAMES_PER_S, HOP_SAMPLES, log_mel

_HIGH_PASS_HZ = (60.0, 100.0)  # removes DC and mains hum, which have no part in speech
_SILENCE_DB = -60.0  # dBFS: a clip whose speech level is lower is silent
_BELOW_LEVEL_DB = 35.0  # a frame this far below the speech level is a pause
_LEVEL_FRAMES = 8  # 100 ms, over which the level is averaged
_KNOCK_DB = 15.0  # by which knocks exceed the loudest 100 ms of speech
_KNOCK_FRAMES = 8  # 0.1 s: no word is as short
_LONG_KNOCK_FRAMES = 40  # 0.5 s: a knock may be as long, but has no pitch
_MAX_KNOCKS = 1_000
_RINGING_FRAMES = 8  # 100 ms
_HANGOVER_FRAMES = 4  # 50 ms before and after speech, which keep word edges and stop closures

_MAIN_BELOW_LEVEL_DB = 25.0  # the main speaker's vowels are above this
_ABOVE_NOISE_DB = 6.0  # ... and this far above the noise floor,
_MAX_NOISE_THRESHOLD_DB = -12.0  # which may not raise the threshold above this, re the speech level
_NOISE_QUANTILE = 0.1
MAIN_BEFORE_FRAMES, MAIN_AFTER_FRAMES = 12, 20
"""150 and 250 ms around frames near the speech level, which hold the consonants of their vowels."""

_AUDIBLE_NEPERS = 3.5  # 30 dB: quieter bands are inaudible beside the loudest
_N_VARIED = 10  # mel bands whose level varies most
_MIN_VARIATION = 0.65  # nepers: speech has more, even in noise of its own level; noise has 0.4, a tone 0.1


def speech_frames(wav: Samples, power: np.ndarray | None = None) -> np.ndarray:
    """Find speech frames by their energy above 80 Hz, relative to the clip's speech level.

    Steady noise counts as speech, since its energy is like that of speech. The result does not
    change with gain while the speech level is above -60 dBFS.

    Parameters
    ----------
    wav
        (N,) float32 in [-1, 1], 16 kHz.
    power
        :func:`frame_power` of it, if it is known already.

    Returns
    -------
    (T,) bool, T = ceil(N / 200), one per mel frame.
    """
    power = frame_power(wav) if power is None else power
    level, is_knock = _speech_level(wav, power)
    active = (power > level * _ratio(-_BELOW_LEVEL_DB)) & ~is_knock
    if level < _ratio(_SILENCE_DB):
        active[:] = False
    return _dilate(active, _HANGOVER_FRAMES, _HANGOVER_FRAMES)


def vowel_frames(wav: Samples, power: np.ndarray | None = None) -> np.ndarray:
    """Find the frames near the speech level: vowels and other loud sounds of the main speaker.

    Only these tell the speaker's F0: a hum in pauses or a voice in the background has one too.
    Arguments and result as for :func:`speech_frames`.
    """
    power = frame_power(wav) if power is None else power
    level, is_knock = _speech_level(wav, power)
    if level < _ratio(_SILENCE_DB):
        return np.zeros(len(power), dtype=bool)
    noise = np.quantile(power, _NOISE_QUANTILE) * _ratio(_ABOVE_NOISE_DB)
    threshold = np.clip(noise, level * _ratio(-_MAIN_BELOW_LEVEL_DB), level * _ratio(_MAX_NOISE_THRESHOLD_DB))
    return (power > threshold) & ~is_knock


def main_speech_frames(vowels: np.ndarray) -> np.ndarray:
    """Find the frames of the main speaker, (T,) bool: those around the (T,) :func:`vowel_frames`.

    Other frames of a recording hold pauses, noise, and voices in the background, at least 25 dB
    quieter.
    """
    return _dilate(vowels, MAIN_BEFORE_FRAMES, MAIN_AFTER_FRAMES)


def main_speech_span(vowels: np.ndarray) -> tuple[int, int]:
    """First of the (T,) :func:`vowel_frames`, and the frame after the last one; all frames if there is none.

    It does not depend on how much silence a recording has before and after its speech.
    """
    places = np.flatnonzero(vowels)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, len(vowels))


def require_speech(wav: Samples, min_speech_s: float = 0.5, speech: np.ndarray | None = None) -> None:
    """Raise an error unless the clip holds enough speech.

    ``speech`` is :func:`speech_frames` of it, if that is known already.

    Raises
    ------
    SilentAudio, TooShort
        There is no speech, or less than ``min_speech_s``.
    """
    speech_s = (speech_frames(wav) if speech is None else speech).sum() / FRAMES_PER_S
    if speech_s == 0:
        raise SilentAudio("The recording is silent. Check the microphone and its volume, then record again.")
    if speech_s < min_speech_s:
        raise TooShort(
            f"The recording holds {speech_s:.1f} s of speech; at least {min_speech_s:g} s are needed."
            " Speak a little longer."
        )


def require_varied(wav: Samples, speech: np.ndarray | None = None) -> None:
    """Raise :class:`NotSpeech` for a tone, hum or steady noise: its spectrum hardly changes.

    ``speech`` is :func:`speech_frames` of it, if that is known already.
    """
    speech = speech_frames(wav) if speech is None else speech
    levels = RunningStatistics()
    for start, block in filtered_blocks(wav, _HIGH_PASS_HZ, (0, 1)):
        mel = log_mel(torch.from_numpy(block))
        place = start // HOP_SAMPLES
        levels.add(mel[None, :, torch.from_numpy(speech[place : place + mel.shape[1]])])
    if levels.count < 2:
        return
    average, deviation = levels.mean[:, 0], levels.deviation(n_lost=1)[:, 0]
    variation = deviation[average > average.max() - _AUDIBLE_NEPERS]
    if float(variation.sort(descending=True).values[:_N_VARIED].mean()) < _MIN_VARIATION:
        raise NotSpeech("The recording holds a steady sound, not speech. Use a recording of a voice.")


def frame_power(wav: Samples) -> np.ndarray:
    """(T,) mean power of every frame of (N,) samples above 80 Hz."""
    n_samples, n_frames = len(wav), -(-len(wav) // HOP_SAMPLES)
    power = np.zeros(n_frames)
    # Without its mean, an offset is no step at either end of the clip.
    blocks = (np.asarray(wav[start : start + BLOCK_SAMPLES]) for start in range(0, n_samples, BLOCK_SAMPLES))
    mean = np.float32(sum(float(np.sum(block, dtype=np.float64)) for block in blocks) / max(n_samples, 1))
    for start, block in filtered_blocks(wav, _HIGH_PASS_HZ, (0, 1), offset=mean):
        framed = np.pad(block, (0, -len(block) % HOP_SAMPLES)).reshape(-1, HOP_SAMPLES)
        place = start // HOP_SAMPLES
        power[place : place + len(framed)] = np.mean(np.square(framed, dtype=np.float64), axis=1)
    return power


def _speech_level(wav: Samples, power: np.ndarray) -> tuple[float, np.ndarray]:
    """Power of the loudest 100 ms of speech, and (T,) which frames are knocks that are louder.

    Knocks are bursts that are too short for a word, or a little longer without pitch, and exceed by
    `_KNOCK_DB` all that is left without them, if its loudest part has pitch.
    """
    no_knock = np.zeros(len(power), dtype=bool)
    if len(power) == 0:
        return 0.0, no_knock
    averaged = np.convolve(power, np.full(_LEVEL_FRAMES, 1 / _LEVEL_FRAMES), mode="full")
    left = averaged.copy()
    for _ in range(_MAX_KNOCKS):
        if left.max() < _ratio(_SILENCE_DB):
            break
        start, stop = _loudest_burst(left)
        n_frames = stop - start - _LEVEL_FRAMES + 1
        if n_frames > _KNOCK_FRAMES and (n_frames > _LONG_KNOCK_FRAMES or _has_pitch(wav, start, stop)):
            break
        left[max(0, start - _RINGING_FRAMES) : stop + _RINGING_FRAMES] = 0
    level = left.max()
    limit = level * _ratio(_KNOCK_DB)
    if averaged.max() <= limit or level < _ratio(_SILENCE_DB) or not _has_pitch(wav, *_loudest_burst(left)):
        return averaged.max(), no_knock
    # A knock also rings in the high-pass filter, before and after it, and fades out.
    is_knock = _dilate(power > limit, _RINGING_FRAMES, _RINGING_FRAMES)
    quiet = np.convolve(np.where(is_knock, 0.0, power), np.full(_LEVEL_FRAMES, 1 / _LEVEL_FRAMES))
    return quiet.max(), is_knock


def _loudest_burst(averaged: np.ndarray) -> tuple[int, int]:
    """Frames from start to stop around the loudest one that are less than `_KNOCK_DB` quieter."""
    peak = int(averaged.argmax())
    edges = np.flatnonzero(averaged < averaged[peak] * _ratio(-_KNOCK_DB))
    place = np.searchsorted(edges, peak)
    start = edges[place - 1] + 1 if place else 0
    return int(start), int(edges[place]) if place < len(edges) else len(averaged)


def _has_pitch(wav: Samples, start: int, stop: int) -> bool:
    """Whether a third of the frames from start to stop is voiced; of a long burst, the first second counts."""
    first, last = max(0, start - _RINGING_FRAMES), min(stop, start + int(FRAMES_PER_S)) + _RINGING_FRAMES
    f0 = track_f0(np.asarray(wav[first * HOP_SAMPLES : last * HOP_SAMPLES]))
    return bool((f0 > 0).sum() > (last - first - 2 * _RINGING_FRAMES - _LEVEL_FRAMES) / 3)


def _dilate(active: np.ndarray, before: int, after: int) -> np.ndarray:
    """(T,) frames that lie at most ``before`` frames before or ``after`` frames after an active one."""
    if not active.any():
        return active
    counts = np.convolve(active, np.ones(before + after + 1))
    return counts[before : before + len(active)] > 0.5


def _ratio(db: float) -> float:
    """Power ratio of a level difference."""
    return 10 ** (db / 10)
