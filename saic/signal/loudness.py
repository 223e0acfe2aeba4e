"""Loudness by ITU-R BS.1770-4 and EBU R 128."""

from collections.abc import Iterator

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torchaudio import functional as AF

from saic.audio import SAMPLE_RATE
from saic.signal.filters import Samples
from saic.spool import Spool

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
_RAMP_SAMPLES = SAMPLE_RATE // 200  # 5 ms: half of the time in which the gain falls before a peak
_HIGHEST = 0.99 * 10 ** (MAX_TRUE_PEAK_DBFS / 20)  # a gain that changes moves peaks between samples a little
_TOLERANCE_LU, _MAX_CORRECTIONS = 0.05, 4


def loudness_lufs(wav: Samples) -> float:
    """Integrated loudness of (N,) samples; -inf if they are shorter than 0.4 s or all is gated out."""
    return _gated(_step_power(wav))


def true_peak(wav: Samples) -> float:
    """Largest magnitude of (N,) samples, between and at them, by four-fold oversampling."""
    return max((float(_peaks(wav, start).max()) for start in range(0, len(wav), _BLOCK_SAMPLES)), default=0.0)


def normalize(wav: Samples) -> Spool[np.ndarray]:
    """Bring (N,) samples to -23 LUFS with no true peak above -1 dBFS.

    Where a peak would exceed it, the gain is less, from 10 ms before it to 10 ms after it. A lower
    gain of the whole would tell recordings apart by their level.

    Returns
    -------
    (N,) float32; unchanged if their loudness cannot be measured.
    """
    peak = true_peak(wav)
    scale = 0.5 / max(peak, 1e-9)
    level = _gated(_step_power(wav) * scale**2)  # at a peak of -6 dBFS, since the standard leaves out quiet blocks
    if not np.isfinite(level):
        return Spool().extend(_blocks(wav, 1.0))
    gain = _amplitude(OUTPUT_LUFS - level) * scale
    if peak * gain <= _HIGHEST:
        return Spool().extend(_blocks(wav, gain))
    made = Spool().extend(_limited(wav, gain))
    for _ in range(_MAX_CORRECTIONS):
        error = OUTPUT_LUFS - loudness_lufs(made)
        if not abs(error) > _TOLERANCE_LU:
            break
        gain *= _amplitude(error)
        made = Spool().extend(_limited(wav, gain))
    return made


def normalize_loudness(wav: np.ndarray) -> np.ndarray:
    """:func:`normalize` of a wav (N,) in memory, (N,) float32."""
    return normalize(wav)[:]


def normalize_for_rate(wav: Samples, rate_hz: int) -> Samples:
    """Bring (N,) normalized samples to the same loudness in a file of ``rate_hz``.

    A rate below 16 kHz keeps less of the spectrum, up to 0.6 dB. What it keeps is brought to -23 LUFS,
    at 16 kHz. For other rates, the samples are returned as they are.
    """
    return normalize(Spool().extend(_band_limited(wav, rate_hz))) if rate_hz < SAMPLE_RATE else wav


def _band_limited(wav: Samples, rate_hz: int) -> Iterator[np.ndarray]:
    """What a file of ``rate_hz`` keeps of (N,) samples: blocks (n,) of N samples in all."""
    down, up = soxr.ResampleStream(SAMPLE_RATE, rate_hz, 1), soxr.ResampleStream(rate_hz, SAMPLE_RATE, 1)
    n_left = len(wav)
    for block in _blocks(wav, 1.0):
        made = up.resample_chunk(down.resample_chunk(block))
        n_left -= len(made)
        yield made
    rest = up.resample_chunk(down.resample_chunk(np.zeros(0, np.float32), last=True), last=True)[:n_left]
    yield np.pad(rest, (0, n_left - len(rest)))  # of an odd number of samples, the resampler may give one less


def _blocks(wav: Samples, gain: float) -> Iterator[np.ndarray]:
    """Blocks of (N,) samples times a gain, (n,) float32."""
    for start in range(0, len(wav), _BLOCK_SAMPLES):
        yield (np.asarray(wav[start : start + _BLOCK_SAMPLES]) * gain).astype(np.float32)


def _limited(wav: Samples, gain: float) -> Iterator[np.ndarray]:
    """As :func:`_blocks`, with a lower gain around peaks."""
    for k, block in enumerate(_blocks(wav, gain)):
        peaks = _peaks(wav, k * _BLOCK_SAMPLES, 2 * _RAMP_SAMPLES) * gain
        if peaks.max() > _HIGHEST:
            # The least gain of the neighborhood, then its mean: at every sample, all that is averaged
            # is low enough for that sample.
            allowed = (_HIGHEST / peaks).clamp_max(1)[None]
            least = -F.max_pool1d(-allowed, 2 * _RAMP_SAMPLES + 1, 1)
            block = block * F.avg_pool1d(least, 2 * _RAMP_SAMPLES + 1, 1)[0].numpy()
        yield block


def _peaks(wav: Samples, start: int, margin: int = 0) -> torch.Tensor:
    """(margin + n + margin,) magnitudes of a block: each the largest from a sample to the next.

    Beyond the ends of the recording they are 0.
    """
    reach = margin + _PEAK_MARGIN
    first, last = max(0, start - reach), min(start + _BLOCK_SAMPLES + reach, len(wav))
    part = torch.as_tensor(wav[first:last]).float()
    resampled = AF.resample(part, SAMPLE_RATE, _OVERSAMPLING * SAMPLE_RATE)
    peaks = resampled.abs().reshape(-1, _OVERSAMPLING).amax(dim=1)
    stop = min(start + _BLOCK_SAMPLES, len(wav))
    peaks = F.pad(peaks, (max(0, margin - (start - first)), max(0, margin - (last - stop))))
    begin = max(0, start - first - margin)
    return peaks[begin : begin + stop - start + 2 * margin]


def _step_power(wav: Samples) -> np.ndarray:
    """Mean square after K weighting, of every whole 100 ms."""
    powers = np.zeros(len(wav) // _STEP_SAMPLES)
    for start in range(0, len(wav), _BLOCK_SAMPLES):
        first = max(0, start - _FILTER_SAMPLES)
        part = torch.as_tensor(wav[first : start + _BLOCK_SAMPLES]).float()
        # torchaudio's filters clip at full scale, and the K filter raises high frequencies by 4 dB:
        # filter at half of it.
        scale = 2 * max(float(part.abs().max()), 1e-9)
        part = AF.treble_biquad(part / scale, SAMPLE_RATE, 4.0, 1500.0, 1 / np.sqrt(2))
        part = AF.highpass_biquad(part, SAMPLE_RATE, 38.0, 0.5)[start - first :]
        steps = part[: len(part) // _STEP_SAMPLES * _STEP_SAMPLES].reshape(-1, _STEP_SAMPLES)
        place = start // _STEP_SAMPLES
        powers[place : place + len(steps)] = steps.double().square().mean(dim=1).numpy() * scale**2
    return powers


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


def _amplitude(decibels: float) -> float:
    return 10 ** (decibels / 20)
