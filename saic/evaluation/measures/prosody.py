"""How something is said: pitch, voicing, pauses, pace and spectrum of an output beside its source. Pure.

An output is compared frame by frame (80 a second) without time alignment, since a converter that keeps time is
what is promised. Where it is shorter than the source, the missing frames count as unvoiced pauses; what
it has beyond the source's end is left aside.
"""

import numpy as np
import torch

from saic.evaluation.evaluators.dnsmos import at_level
from saic.signal.mel import log_mel
from saic.signal.vad import speech_frames

MIN_COMMON_FRAMES = 10  # an eighth of a second: a correlation over less is chance

_DB_PER_NEPER = 20 / np.log(10)
_RANGE_DB = 60.0  # what lies further below the loudest bin is not heard beside it


def f0_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson correlation of log F0 over the frames that are voiced in both.

    The pitch correlation of the VoicePrivacy 2022 evaluation plan, of the logarithm here: a voice that is
    higher by a factor all along has kept its melody.

    Parameters
    ----------
    a, b
        (T,) tracks in Hz of :func:`saic.signal.f0.track`, 0 where unvoiced.

    Returns
    -------
    -1 to 1; None below ten common frames, or where one of them does not move.
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
    """F1 of the source's pause frames found again in the output, 0 to 1.

    F1 and not the share found: an output of nothing but silence would find all of them.

    Parameters
    ----------
    wav_a, wav_b
        (N,) float32, 16 kHz: source and output.

    Returns
    -------
    None if neither has a pause.
    """
    a = ~speech_frames(wav_a)
    b = ~_fit(speech_frames(wav_b), len(a))
    total = a.sum() + b.sum()
    return float(2 * (a & b).sum() / total) if total else None


def rate_kept(wav_a: np.ndarray, wav_b: np.ndarray) -> float | None:
    """How well the time spent on speech is kept, 0 to 1: the shorter of both times over the longer.

    The same words in more or less time are spoken slower or faster, and either way is a defect here. It
    looks at durations only: another text of the same length passes. (A definition of this project.)

    Returns
    -------
    None if neither has speech.
    """
    a, b = speech_frames(wav_a).sum(), speech_frames(wav_b).sum()
    return float(min(a, b) / max(a, b)) if max(a, b) else None


def mel_distance(wav_a: np.ndarray, wav_b: np.ndarray) -> float | None:
    """Mean absolute difference of the log-mels over the source's speech frames, in dB.

    Both are brought to one speech level first, and what lies 60 dB below the source's loudest bin counts as
    just that quiet: the depth of silence between harmonics or above a codec's band would be most of it else.

    Returns
    -------
    None if the source has no speech.
    """
    speech = speech_frames(wav_a)
    if not speech.any():
        return None
    a, b = (log_mel(torch.from_numpy(at_level(wav))).numpy() * _DB_PER_NEPER for wav in (wav_a, wav_b))
    quietest = a.max() - _RANGE_DB
    b = _fit(b.T, len(speech), quietest).T
    return float(np.abs(np.maximum(a, quietest) - np.maximum(b, quietest))[:, speech].mean())


def _fit(frames: np.ndarray, n_frames: int, filler: float = 0) -> np.ndarray:
    """The first ``n_frames``, filled up with ``filler`` at the end where there are fewer."""
    missing = max(0, n_frames - len(frames))
    return np.pad(frames[:n_frames], [(0, missing)] + [(0, 0)] * (frames.ndim - 1), constant_values=filler)
