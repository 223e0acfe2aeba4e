"""Loudness matching, so that listeners compare voice and quality instead of volume."""

import numpy as np
import torch
from torchaudio import functional as F

from saic.audio import SAMPLE_RATE

_PEAK = 0.98
_HALF_DB = 20 * np.log10(2)
_MIN_S = 0.4  # one gating block of the standard


def loudness_lufs(wav: np.ndarray) -> float:
    """Integrated loudness of a wav (N,) by ITU-R BS.1770-4; -inf if too short or all gated out."""
    if len(wav) < _MIN_S * SAMPLE_RATE:
        return -np.inf
    # torchaudio's filters clip at full scale, and the K filter raises high frequencies by 4 dB:
    # measure at half the level.
    value = float(F.loudness(torch.from_numpy(0.5 * np.asarray(wav, np.float32))[None], SAMPLE_RATE)) + _HALF_DB
    return value if np.isfinite(value) else -np.inf


def match_loudness(wavs: list[np.ndarray]) -> list[np.ndarray]:
    """Scale versions (N,) of one recording to one loudness.

    It is the loudness of the first version, or less if the peak of a version would exceed 0.98. A
    version whose loudness is -inf (see `loudness_lufs`) stays unchanged. If the first one's is,
    all stay unchanged.
    """
    levels = [loudness_lufs(wav) for wav in wavs]
    if not np.isfinite(levels[0]):
        return wavs
    headrooms_db = [20 * np.log10(_PEAK / max(float(np.abs(wav).max()), 1e-9)) for wav in wavs]
    loudest = min(level + headroom for level, headroom in zip(levels, headrooms_db, strict=True) if np.isfinite(level))
    wanted = min(loudest, levels[0])
    gains_db = [wanted - level if np.isfinite(level) else 0.0 for level in levels]
    return [(wav * 10 ** (gain / 20)).astype(np.float32) for wav, gain in zip(wavs, gains_db, strict=True)]
