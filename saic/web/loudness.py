"""Equal loudness, so that versions are compared by voice and quality and not by volume."""

import numpy as np
import torch
from torchaudio import functional as F

from saic.audio import SAMPLE_RATE

_PEAK = 0.98
_HALF_DB = 20 * np.log10(2)
_MIN_S = 0.4  # one gating block of the standard


def loudness_lufs(wav: np.ndarray) -> float:
    """Integrated loudness of a wav (N,) by ITU-R BS.1770-4; -inf for what is too short or all gated out."""
    if len(wav) < _MIN_S * SAMPLE_RATE:
        return -np.inf
    # torchaudio's filters clip at full scale, and the K filter lifts high tones by 4 dB: measure at half the level.
    value = float(F.loudness(torch.from_numpy(0.5 * np.asarray(wav, np.float32))[None], SAMPLE_RATE)) + _HALF_DB
    return value if np.isfinite(value) else -np.inf


def matched(wavs: list[np.ndarray]) -> list[np.ndarray]:
    """Versions (N,) of one recording at one loudness: that of the first, or less where a peak would clip.

    A version without loudness stays as it is.
    """
    heard = [loudness_lufs(wav) for wav in wavs]
    if not np.isfinite(heard[0]):
        return wavs
    room = [20 * np.log10(_PEAK / max(float(np.abs(wav).max()), 1e-9)) for wav in wavs]
    wanted = min(level + headroom for level, headroom in zip(heard, room, strict=True) if np.isfinite(level))
    wanted = min(wanted, heard[0])
    gains_db = [wanted - level if np.isfinite(level) else 0.0 for level in heard]
    return [(wav * 10 ** (gain / 20)).astype(np.float32) for wav, gain in zip(wavs, gains_db, strict=True)]
