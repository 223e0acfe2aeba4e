"""Loudness by ITU-R BS.1770-4 and EBU R 128."""

import numpy as np
import torch
from torchaudio import functional as AF

from saic.audio import SAMPLE_RATE

OUTPUT_LUFS = -23.0
"""Loudness of every output (EBU R 128), whatever that of the source."""

MAX_TRUE_PEAK_DBFS = -1.0

_HALF_DB = 20 * np.log10(2)
_MIN_S = 0.4  # one gating block of the standard
_OVERSAMPLING = 4  # of the true peak (BS.1770-4, Annex 2)


def loudness_lufs(wav: np.ndarray) -> float:
    """Integrated loudness of a (N,) wav; -inf if it is shorter than 0.4 s or all of it is gated out."""
    if len(wav) < _MIN_S * SAMPLE_RATE:
        return -np.inf
    # torchaudio's filters clip at full scale, and the K filter raises high frequencies by 4 dB:
    # measure at half the level.
    value = float(AF.loudness(torch.from_numpy(0.5 * np.asarray(wav, np.float32))[None], SAMPLE_RATE)) + _HALF_DB
    return value if np.isfinite(value) else -np.inf


def true_peak(wav: np.ndarray) -> float:
    """Largest magnitude of a (N,) wav between and at its samples, by four-fold oversampling."""
    resampled = AF.resample(torch.from_numpy(np.asarray(wav, np.float32)), SAMPLE_RATE, _OVERSAMPLING * SAMPLE_RATE)
    return float(resampled.abs().max())


def normalize_loudness(wav: np.ndarray) -> np.ndarray:
    """Scale a (N,) wav to -23 LUFS, or less if its true peak would exceed -1 dBFS.

    Returns
    -------
    (N,) float32; unchanged if its loudness cannot be measured.
    """
    peak = float(np.abs(wav).max(initial=0.0))
    level = loudness_lufs(wav / max(peak, 1e-9))  # at full scale, since the standard leaves out quiet blocks
    if not np.isfinite(level):
        return wav.astype(np.float32)
    level += 20 * np.log10(peak)
    gain = min(10 ** ((OUTPUT_LUFS - level) / 20), 10 ** (MAX_TRUE_PEAK_DBFS / 20) / max(true_peak(wav), 1e-9))
    return (wav * gain).astype(np.float32)
