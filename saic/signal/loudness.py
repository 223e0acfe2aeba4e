"""Loudness by ITU-R BS.1770-4 and EBU R 128."""

import numpy as np
import torch
from torchaudio import functional as AF

from saic.audio import SAMPLE_RATE
from saic.signal.filters import Samples

OUTPUT_LUFS = -23.0
"""Loudness of every output (EBU R 128), whatever that of the source."""

MAX_TRUE_PEAK_DBFS = -1.0

_STEP_SAMPLES = SAMPLE_RATE // 10
_STEPS_PER_BLOCK = 4  # a gating block of 0.4 s
_OFFSET_LU, _ABSOLUTE_GATE_LUFS, _RELATIVE_GATE_LU = -0.691, -70.0, -10.0
_BLOCK_SAMPLES = 600 * _STEP_SAMPLES  # 60 s at a time, which bounds memory
_FILTER_SAMPLES = SAMPLE_RATE // 2  # after which the K filter's response is over
_PEAK_MARGIN = 64  # samples that the interpolation at a block's end depends on
_OVERSAMPLING = 4  # of the true peak (BS.1770-4, Annex 2)


def loudness_lufs(wav: Samples) -> float:
    """Integrated loudness of (N,) samples; -inf if they are shorter than 0.4 s or all is gated out."""
    return _gated(_step_power(wav))


def true_peak(wav: Samples) -> float:
    """Largest magnitude of (N,) samples, between and at them, by four-fold oversampling."""
    peak = 0.0
    for start in range(0, len(wav), _BLOCK_SAMPLES):
        first, last = max(0, start - _PEAK_MARGIN), min(start + _BLOCK_SAMPLES + _PEAK_MARGIN, len(wav))
        part = torch.as_tensor(wav[first:last]).float()
        resampled = AF.resample(part, SAMPLE_RATE, _OVERSAMPLING * SAMPLE_RATE)
        own = slice((start - first) * _OVERSAMPLING, (start - first + _BLOCK_SAMPLES) * _OVERSAMPLING)
        peak = max(peak, float(resampled[own].abs().max()))
    return peak


def normalization_gain(wav: Samples) -> float:
    """The factor that brings (N,) samples to -23 LUFS, or to a true peak of -1 dBFS if that is less.

    It is 1 if their loudness cannot be measured.
    """
    blocks = (np.asarray(wav[start : start + _BLOCK_SAMPLES]) for start in range(0, len(wav), _BLOCK_SAMPLES))
    peak = max((float(np.abs(block).max()) for block in blocks), default=0.0)
    scale = 0.5 / max(peak, 1e-9)
    level = _gated(_step_power(wav) * scale**2)  # at a peak of -6 dBFS, since the standard leaves out quiet blocks
    if not np.isfinite(level):
        return 1.0
    level -= 20 * np.log10(scale)
    return min(10 ** ((OUTPUT_LUFS - level) / 20), 10 ** (MAX_TRUE_PEAK_DBFS / 20) / max(true_peak(wav), 1e-9))


def normalize_loudness(wav: np.ndarray) -> np.ndarray:
    """Scale a (N,) wav to -23 LUFS, or less if its true peak would exceed -1 dBFS.

    Returns
    -------
    (N,) float32; unchanged if its loudness cannot be measured.
    """
    return (wav * normalization_gain(wav)).astype(np.float32)


def _step_power(wav: Samples) -> np.ndarray:
    """Mean square after K weighting, of every whole 100 ms."""
    powers = [np.zeros(0)]
    for start in range(0, len(wav), _BLOCK_SAMPLES):
        first = max(0, start - _FILTER_SAMPLES)
        part = torch.as_tensor(wav[first : start + _BLOCK_SAMPLES]).float()
        # torchaudio's filters clip at full scale, and the K filter raises high frequencies by 4 dB:
        # filter at half of it.
        scale = 2 * max(float(part.abs().max()), 1e-9)
        part = AF.treble_biquad(part / scale, SAMPLE_RATE, 4.0, 1500.0, 1 / np.sqrt(2))
        part = AF.highpass_biquad(part, SAMPLE_RATE, 38.0, 0.5)[start - first :]
        steps = part[: len(part) // _STEP_SAMPLES * _STEP_SAMPLES].reshape(-1, _STEP_SAMPLES)
        powers.append(steps.double().square().mean(dim=1).numpy() * scale**2)
    return np.concatenate(powers)


def _gated(steps: np.ndarray) -> float:
    """Loudness from the power of steps: mean over blocks of four that both gates let pass (BS.1770-4, Annex 1)."""
    if len(steps) < _STEPS_PER_BLOCK:
        return -np.inf
    sums = np.lib.stride_tricks.sliding_window_view(steps, _STEPS_PER_BLOCK).mean(axis=1)
    passed = sums[sums > _power(_ABSOLUTE_GATE_LUFS)]
    if len(passed) == 0:
        return -np.inf
    passed = passed[passed > passed.mean() * 10 ** (_RELATIVE_GATE_LU / 10)]
    return float(_OFFSET_LU + 10 * np.log10(passed.mean()))


def _power(lufs: float) -> float:
    return 10 ** ((lufs - _OFFSET_LU) / 10)
