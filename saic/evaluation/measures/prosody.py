"""Pitch, voicing, pauses, speaking time and spectrum of an output compared with its source.

The comparison is frame by frame (80 per second) without time alignment, since a conversion is meant
to keep the timing. Where the output is shorter than the source, the missing frames count as
unvoiced pauses; output after the end of the source is ignored.
"""

import numpy as np
import torch

from saic.evaluation.evaluators.dnsmos import normalize_level
from saic.signal.mel import log_mel
from saic.signal.vad import speech_frames

MIN_COMMON_FRAMES = 10  # an eighth of a second; a correlation over fewer frames is arbitrary

_DB_PER_NEPER = 20 / np.log(10)
_RANGE_DB = 60.0  # levels further below the loudest bin are inaudible beside it


def f0_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson correlation of log F0 over the frames that are voiced in both.

    As the pitch correlation of the VoicePrivacy 2022 evaluation plan, but on the logarithm of F0. A
    constant factor between both voices makes no difference.

    Parameters
    ----------
    a, b
        (T,) tracks in Hz of :func:`saic.signal.f0.track_f0`, 0 where unvoiced.

    Returns
    -------
    -1 to 1; None below ten common frames, or if a track is constant.
    """
    b = _fit(b, len(a))
    both = (a > 0) & (b > 0)
    if both.sum() < MIN_COMMON_FRAMES:
        return None
    logs = np.log(np.stack([a[both], b[both]]).astype(np.float64))
    if (np.ptp(logs, axis=1) == 0).any():
        return None
    return float(np.corrcoef(logs)[0, 1])


def voicing_error(a: np.ndarray, b: np.ndarray) -> float:
    """Share of frames, 0 to 1, that are voiced in one track only.

    The voicing decision error of Nakatani et al. (Speech Communication 50, 2008). Tracks as in
    :func:`f0_correlation`.
    """
    return float(np.mean((a > 0) != (_fit(b, len(a)) > 0)))


def pauses_kept(wav_a: np.ndarray, wav_b: np.ndarray) -> float | None:
    """F1 score, 0 to 1, of the source's pause frames among those of the output.

    F1 instead of recall, since a silent output would have a recall of 1.

    Parameters
    ----------
    wav_a, wav_b
        (N,) float32, 16 kHz: source and output.

    Returns
    -------
    None if the source has no pause.
    """
    a = ~speech_frames(wav_a)
    b = ~_fit(speech_frames(wav_b), len(a))
    return float(2 * (a & b).sum() / (a.sum() + b.sum())) if a.any() else None


def rate_kept(wav_a: np.ndarray, wav_b: np.ndarray) -> float | None:
    """Ratio of speaking times, 0 to 1: the shorter over the longer.

    It measures a change of speaking rate in either direction. It depends on durations only, not on
    the words. (A definition of this project.)

    Returns
    -------
    None if neither has speech.
    """
    a, b = speech_frames(wav_a).sum(), speech_frames(wav_b).sum()
    return float(min(a, b) / max(a, b)) if max(a, b) else None


def mel_distance(wav_a: np.ndarray, wav_b: np.ndarray) -> float | None:
    """Mean absolute difference of the log-mels over the source's speech frames, in dB.

    Both wavs are scaled to one speech level first. Levels more than 60 dB below the source's
    loudest bin are set to that limit; otherwise near-silent bins, between harmonics or above a
    codec's band, would dominate the distance.

    Returns
    -------
    None if the source has no speech.
    """
    speech = speech_frames(wav_a)
    if not speech.any():
        return None
    a, b = (log_mel(torch.from_numpy(normalize_level(wav))).numpy() * _DB_PER_NEPER for wav in (wav_a, wav_b))
    floor = a.max() - _RANGE_DB
    b = _fit(b.T, len(speech), floor).T
    return float(np.abs(np.maximum(a, floor) - np.maximum(b, floor))[:, speech].mean())


def _fit(frames: np.ndarray, n_frames: int, filler: float = 0) -> np.ndarray:
    """The first ``n_frames``, padded with ``filler`` at the end if there are fewer."""
    missing = max(0, n_frames - len(frames))
    return np.pad(frames[:n_frames], [(0, missing)] + [(0, 0)] * (frames.ndim - 1), constant_values=filler)
