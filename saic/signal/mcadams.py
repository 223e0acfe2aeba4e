"""Anonymization without a model, by the McAdams coefficient (VoicePrivacy baseline B2).

::

    wav -> 20 ms frames -> linear prediction -> poles: angle phi to phi ** alpha
                               |                              |
                               v                              v
                           residual ---------------> new all-pole filter -> overlap-add -> wav

Patino et al., "Speaker anonymisation using the McAdams coefficient", Interspeech 2021
(arXiv:2011.01130). Complex poles model formants. An angle of 1 radian, 2,546 Hz, is unchanged;
lower formants move up, higher ones down. F0 and timing are unchanged, so an attacker who knows the
method still recognizes the speaker. It serves as a control.
"""

import numpy as np

from saic.audio import SAMPLE_RATE
from saic.errors import EmptyAudio, InvalidAudio, UsageError

ALPHA_RANGE = (0.5, 0.9)
ORDER = 20
HOP_SAMPLES = SAMPLE_RATE // 100
WINDOW_SAMPLES = 2 * HOP_SAMPLES  # 20 ms, overlapping by half

_BLOCK_FRAMES = 1024  # 10 s at a time, which bounds memory
# Added, relative to a frame's energy, to the denominator of Burg's method, so that all poles stay
# inside the unit circle.
_FLOOR = 1e-12


def anonymize(wav: np.ndarray, alpha: float | None = None, seed: int | None = 0) -> np.ndarray:
    """Move the formants of a recording, with one coefficient for all of it.

    Parameters
    ----------
    wav
        (N,) float32 in [-1, 1], 16 kHz, N > 0.
    alpha
        The McAdams coefficient, above 0 and at most 1. The lower it is, the further formants move;
        1 changes nothing. None draws it uniformly from 0.5 to 0.9, as B2 of VoicePrivacy 2024 does
        per utterance (evaluation plan, arXiv:2404.02677); B2 of 2022 draws it per speaker.
    seed
        Seed of that draw; None draws anew.

    Returns
    -------
    (N,) float32 in [-1, 1], with the rms level of the input, or less if a peak would exceed 1.

    Raises
    ------
    EmptyAudio, InvalidAudio
        There are no samples, or they are not (N,) or not finite.
    UsageError
        alpha is out of range.
    """
    wav = np.asarray(wav, dtype=np.float64)
    if wav.ndim != 1 or not np.isfinite(wav).all():
        raise InvalidAudio("A wav is (N,) finite samples.")
    if len(wav) == 0:
        raise EmptyAudio("There are no samples to anonymize.")
    if alpha is None:
        alpha = np.random.default_rng(seed).uniform(*ALPHA_RANGE)
    if not 0 < alpha <= 1:  # above 1, angles could exceed pi
        raise UsageError(f"The McAdams coefficient is {alpha:g}. It must be above 0 and at most 1.")
    n_frames = -(-len(wav) // HOP_SAMPLES) + 1
    padded = np.pad(wav, (HOP_SAMPLES, (n_frames + 1) * HOP_SAMPLES - HOP_SAMPLES - len(wav)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES]
    # Square root of a Hann window, applied before and after: its overlapping squares add up to 1.
    window = np.sin(np.pi * (np.arange(WINDOW_SAMPLES) + 0.5) / WINDOW_SAMPLES)
    hops = np.zeros((n_frames + 1, HOP_SAMPLES))
    for start in range(0, n_frames, _BLOCK_FRAMES):
        changed = _move_formants(frames[start : start + _BLOCK_FRAMES] * window, alpha) * window
        hops[start : start + len(changed)] += changed[:, :HOP_SAMPLES]
        hops[start + 1 : start + 1 + len(changed)] += changed[:, HOP_SAMPLES:]
    return _match_level(hops.ravel()[HOP_SAMPLES : HOP_SAMPLES + len(wav)], wav).astype(np.float32)


def linear_prediction(frames: np.ndarray, order: int = ORDER) -> np.ndarray:
    """Prediction-error filters A(z) of many frames at once, by Burg's method.

    All poles of 1 / A(z) lie inside the unit circle.

    Parameters
    ----------
    frames
        (F, N) with N > order.

    Returns
    -------
    (F, order + 1): the coefficients of A(z), the first of them 1.
    """
    filters = np.zeros((len(frames), order + 1))
    filters[:, 0] = 1
    floor = _FLOOR * np.sum(frames**2, axis=1) + np.finfo(float).tiny
    forward, backward = frames[:, 1:], frames[:, :-1]
    for m in range(1, order + 1):
        product = np.einsum("fn,fn->f", forward, backward)
        power = np.einsum("fn,fn->f", forward, forward) + np.einsum("fn,fn->f", backward, backward)
        reflection = (-2 * product / (power + floor))[:, None]
        filters[:, : m + 1] += reflection * filters[:, m::-1]
        forward, backward = (forward + reflection * backward)[:, 1:], (backward + reflection * forward)[:, :-1]
    return filters


def move_poles(filters: np.ndarray, alpha: float) -> np.ndarray:
    """Raise the angle of each complex pole to the power alpha; real poles and all radii stay.

    Parameters
    ----------
    filters
        (F, P + 1) coefficients of A(z), the first of them 1.
    alpha
        The McAdams coefficient.

    Returns
    -------
    (F, P + 1) coefficients of the new A(z).
    """
    order = filters.shape[1] - 1
    companions = np.zeros((len(filters), order, order))
    companions[:, 0] = -filters[:, 1:]
    companions[:, np.arange(1, order), np.arange(order - 1)] = 1
    poles = np.linalg.eigvals(companions).astype(complex)
    angles = np.sign(poles.imag) * np.abs(np.angle(poles)) ** alpha
    poles = np.where(poles.imag == 0, poles, np.abs(poles) * np.exp(1j * angles))
    moved = np.zeros((len(filters), order + 1), dtype=complex)
    moved[:, 0] = 1
    for m in range(order):
        moved[:, 1 : m + 2] -= poles[:, m, None] * moved[:, : m + 1]
    return moved.real  # poles come in conjugate pairs


def _move_formants(frames: np.ndarray, alpha: float) -> np.ndarray:
    """Filter (F, N) frames by their A(z), then by 1 / A(z) with the poles moved."""
    filters = linear_prediction(frames)
    moved = move_poles(filters, alpha)
    n = frames.shape[1]
    # Time is the first axis from here on: the recursion runs over samples, for all frames at once.
    past = np.pad(frames.T, ((ORDER, 0), (0, 0)))
    residual = sum(filters[:, k] * past[ORDER - k : ORDER - k + n] for k in range(ORDER + 1))
    recent_last = np.ascontiguousarray(moved[:, :0:-1].T)
    out = np.zeros((ORDER + n, len(frames)))
    for t in range(n):
        out[ORDER + t] = residual[t] - np.einsum("kf,kf->f", recent_last, out[t : t + ORDER])
    return out[ORDER:].T


def _match_level(wav: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Scale to the rms level of another wav, limited to a peak of 1."""
    rms, target_rms = (np.sqrt(np.mean(x**2)) for x in (wav, like))
    wav = wav * (target_rms / max(rms, np.finfo(float).tiny))
    return wav / max(1.0, np.abs(wav).max())
