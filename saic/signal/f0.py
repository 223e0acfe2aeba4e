"""Fundamental frequency (F0): tracking, statistics, transposition, and the mel of its harmonics.

The tracker follows RAPT (Talkin 1995): normalized cross-correlation in every mel frame, then the
path of lowest cost through F0 candidates and one unvoiced state.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saic.signal.filters import Samples, filtered_blocks
from saic.signal.mel import FLOOR, HOP_SAMPLES, N_MELS, SAMPLE_RATE, log_mel
from saic.spool import Spool

F0_MIN_HZ, F0_MAX_HZ = 55.0, 550.0
REGISTER_HZ = 165.0
"""Median F0 that divides the registers: most men speak below it, most women above."""

HARMONIC_MEL_CHANNELS = N_MELS + 1
_STEPS_PER_OCTAVE = 48
_BLOCK_FRAMES = 1_200  # 15 s at a time, which bounds memory
_WINDOW = 640  # 40 ms, two periods at 50 Hz
_FFT = 1024
_TYPICAL_LAG = 110  # 145 Hz, between the median F0 of men and of women
_BAND_HZ = (70.0, 100.0, 1_000.0, 1_400.0)  # the first harmonics, without mains hum and higher formants
_LAG_WEIGHT = 0.15  # lowers the score of long lags, since multiples of the period correlate as well
_UNVOICED_COST = 0.55  # per frame; a voiced frame costs 1 - correlation
_SWITCH_COST = 0.35  # between voiced and unvoiced
_OCTAVE_COST = 1.0  # of a jump by one octave between frames; a much higher cost flattens the contour
_STRETCH = 0.7, 1.4  # limits of the factor on the spread of log2 F0
_QUIET_DB = -35.0  # re the clip's loud frames: the correlation of quieter frames is scaled down


def candidates_hz() -> np.ndarray:
    """(K,) F0 candidates from 55 to 550 Hz, 48 per octave."""
    octaves = np.log2(F0_MAX_HZ / F0_MIN_HZ)
    return F0_MIN_HZ * 2 ** (np.arange(int(octaves * _STEPS_PER_OCTAVE) + 1) / _STEPS_PER_OCTAVE)


def track_f0(wav: Samples, on_block: Callable[[], None] = lambda: None) -> np.ndarray:
    """F0 of every mel frame.

    Parameters
    ----------
    wav
        (N,) float32 in [-1, 1], 16 kHz.
    on_block
        Called about every 15 s of the recording.

    Returns
    -------
    (T,) float32 in Hz, T = ceil(N / 200); 0 in unvoiced frames.
    """
    filtered = Spool.of(np.zeros(0, np.float32))
    filtered.extend(block for _, block in filtered_blocks(wav, _BAND_HZ, (0, 1, 1, 0)))
    n_frames, grid = -(-len(wav) // HOP_SAMPLES), candidates_hz()
    starts = range(0, n_frames, _BLOCK_FRAMES)
    # Not a list of parts: what stays between arrays that go leaves gaps in memory.
    energy = np.zeros(n_frames, np.float32)
    for start in starts:
        energy[start : start + _BLOCK_FRAMES] = _frames(filtered, start, _WINDOW).square().sum(dim=1)
        on_block()
    floor = float(np.quantile(energy, 0.9)) * 10 ** (_QUIET_DB / 10) + 1e-9
    path = _CheapestPath()
    for start in starts:
        correlation = _correlation(filtered, start, floor).numpy()
        path.add(1 - correlation * (1 - _LAG_WEIGHT * F0_MIN_HZ / grid))
        on_block()
    states = path.states()
    return np.where(states < 0, 0.0, grid[states]).astype(np.float32)


def measure_f0_stats(f0: Tensor) -> Tensor:
    """Median and spread of the log2 F0 of a (T,) track.

    The spread is half the distance from the 16th to the 84th percentile: the standard deviation if
    log2 F0 is normal.

    Returns
    -------
    (2,) median and spread over voiced frames; zeros if there are none.
    """
    voiced = f0[f0 > 0].log2()
    if len(voiced) == 0:
        return f0.new_zeros(2)
    low, median, high = (voiced.kthvalue(1 + round(q * (len(voiced) - 1))).values for q in (0.16, 0.5, 0.84))
    return torch.stack([median, (high - low) / 2])


def own_f0_stats(f0: Tensor, vowel_f0: Tensor | None = None) -> Tensor:
    """(B, 2) :func:`measure_f0_stats` of (B, T) tracks, measured on vowels alone if ``vowel_f0`` has some."""
    # On the CPU: the transfer takes less time than many small kernels on a GPU.
    tracks = zip(f0.cpu(), (f0 if vowel_f0 is None else vowel_f0).cpu(), strict=True)
    return torch.stack([measure_f0_stats(vowels if vowels.any() else track) for track, vowels in tracks]).to(f0)


def transpose_f0(f0: Tensor, f0_stats: Tensor, vowel_f0: Tensor | None = None) -> Tensor:
    """Give an F0 track the median and spread of another voice, by a linear map of log2 F0.

    The factor on the spread is limited to 0.7 to 1.4.

    Parameters
    ----------
    f0
        (B, T) Hz, 0 where unvoiced.
    f0_stats
        (B, 2) median and spread of the other voice's log2 F0, from :func:`measure_f0_stats`.
    vowel_f0
        (B, T') Hz, on which the track's own median and spread are measured: a hum in pauses is F0 too.
        None, or one without voiced frames: ``f0`` itself.

    Returns
    -------
    (B, T) Hz, 55 to 550 Hz, 0 where unvoiced.
    """
    median, spread = f0_stats.unsqueeze(-1).unbind(dim=1)
    own = own_f0_stats(f0, vowel_f0).unsqueeze(-1)
    stretch = (spread / own[:, 1].clamp_min(1e-3)).clamp(*_STRETCH)
    moved = 2 ** (median + (f0.clamp_min(F0_MIN_HZ).log2() - own[:, 0]) * stretch)
    return torch.where(f0 > 0, moved.clamp(F0_MIN_HZ, F0_MAX_HZ), 0.0)


def scale_f0(f0: Tensor, factor: float) -> Tensor:
    """(B, T) F0 in Hz times a factor, within 55 to 550 Hz; 0 where unvoiced."""
    return torch.where(f0 > 0, (f0 * factor).clamp(F0_MIN_HZ, F0_MAX_HZ), 0.0)


def harmonic_mel(f0: Tensor) -> Tensor:
    """Log-mel of a harmonic source with the given F0, all harmonics of equal amplitude.

    Parameters
    ----------
    f0
        (B, T) Hz, 0 where unvoiced.

    Returns
    -------
    (B, 81, T): in voiced frames 80 bands minus their mean, then a voicing flag of 1; 0 elsewhere.
    """
    steps = (f0.clamp(F0_MIN_HZ, F0_MAX_HZ) / F0_MIN_HZ).log2() * _STEPS_PER_OCTAVE
    rows = torch.where(f0 > 0, steps.round().long() + 1, 0)
    return F.embedding(rows, _harmonics().to(f0.device)).transpose(1, 2)


@cache
def _harmonics() -> Tensor:
    """(1 + K, 81): row 0 for unvoiced, then :func:`harmonic_mel` of each F0 candidate."""
    grid = candidates_hz()
    time = torch.arange(4 * _FFT) / SAMPLE_RATE
    rows = torch.zeros(1 + len(grid), HARMONIC_MEL_CHANNELS)
    generator = torch.Generator().manual_seed(0)
    for row, hz in zip(rows[1:], grid, strict=True):
        multiples = torch.arange(1, int(SAMPLE_RATE / 2 / hz) + 1)
        phases = 2 * torch.pi * torch.rand(len(multiples), 1, generator=generator)
        wav = torch.cos(2 * torch.pi * hz * multiples[:, None] * time + phases).sum(dim=0)
        mel = log_mel(wav)[:, 4:-4].exp().mean(dim=-1).clamp_min(FLOOR).log()
        row[:N_MELS] = mel - mel.mean()
    rows[1:, -1] = 1
    return rows


def _frames(filtered: Spool, start: int, span: int) -> Tensor:
    """(F, span) samples of at most 15 s of frames from ``start`` on, with zeros beyond the recording's ends."""
    n_frames = min(_BLOCK_FRAMES, -(-len(filtered) // HOP_SAMPLES) - start)
    left = (_WINDOW + _TYPICAL_LAG - HOP_SAMPLES) // 2  # centers both windows on the frame
    first = start * HOP_SAMPLES - left
    last = first + (n_frames - 1) * HOP_SAMPLES + span
    samples = torch.from_numpy(filtered[max(first, 0) : last])
    return F.pad(samples, (max(-first, 0), last - max(first, 0) - len(samples))).unfold(0, span, HOP_SAMPLES)


def _correlation(filtered: Spool, start: int, floor: float) -> Tensor:
    """(F, K) normalized cross-correlation of at most 15 s of frames with the signal one period later."""
    lags = SAMPLE_RATE / candidates_hz()
    longest = int(np.ceil(lags.max()))
    frames = _frames(filtered, start, _WINDOW + longest)
    head = F.pad(frames[:, :_WINDOW], (0, _FFT - _WINDOW))
    product = torch.fft.irfft(torch.fft.rfft(head).conj() * torch.fft.rfft(frames, _FFT), _FFT)[:, : longest + 1]
    squares = F.pad(frames.double().square().cumsum(dim=1), (1, 0))
    energy = (squares[:, _WINDOW:] - squares[:, : longest + 1]).float()
    normalized = product / ((energy[:, :1] + floor) * (energy + floor)).sqrt()
    low = torch.from_numpy(lags).floor().long()
    part = torch.from_numpy(lags - np.floor(lags)).float()
    return normalized[:, low] * (1 - part) + normalized[:, (low + 1).clamp_max(longest)] * part


def _cheapest_moves(cost: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """To each of K candidates, the cheapest move from one of the frame before.

    The cost of a jump is proportional to its length, so one pass upwards and one downwards find it
    (the distance transform of Felzenszwalb and Huttenlocher 2012).

    Parameters
    ----------
    cost
        (K,) of the best path to each candidate of the frame before.

    Returns
    -------
    (K,) the candidate before, and (K,) its cost plus that of the jump.
    """
    steps = np.arange(len(cost))
    slope = _OCTAVE_COST / _STEPS_PER_OCTAVE * steps
    rising, falling = cost - slope, (cost + slope)[::-1]
    below, above = np.minimum.accumulate(rising), np.minimum.accumulate(falling)
    from_below = np.maximum.accumulate(np.where(rising == below, steps, 0))
    from_above = len(cost) - 1 - np.maximum.accumulate(np.where(falling == above, steps, 0))[::-1]
    below, above = below + slope, above[::-1] - slope
    return np.where(above < below, from_above, from_below), np.minimum(above, below)


class _CheapestPath:
    """Viterbi path through K candidates and an unvoiced state."""

    def __init__(self) -> None:
        self._from_voiced, self._from_unvoiced = Spool(), []  # the state before each, -1 if unvoiced
        self._voiced, self._unvoiced = None, np.float32(_UNVOICED_COST)

    def add(self, cost: np.ndarray) -> None:
        """Go on through the costs (F, K) of further frames."""
        from_voiced = np.zeros(cost.shape, dtype=np.int16)
        from_unvoiced = np.zeros(len(cost), dtype=np.int16)
        voiced, unvoiced = self._voiced, self._unvoiced
        for t in range(len(cost)):
            if voiced is None:
                voiced = cost[0].astype(np.float64)
                continue
            source, stay = _cheapest_moves(voiced)
            enter = unvoiced + _SWITCH_COST
            from_voiced[t] = np.where(enter < stay, -1, source)
            leave = voiced.argmin()
            from_unvoiced[t] = -1 if unvoiced <= voiced[leave] + _SWITCH_COST else leave
            unvoiced = min(unvoiced, voiced[leave] + _SWITCH_COST) + _UNVOICED_COST
            voiced = np.minimum(stay, enter) + cost[t]
        self._voiced, self._unvoiced = voiced, unvoiced
        self._from_voiced.append(from_voiced.T)
        self._from_unvoiced.append(from_unvoiced)

    def states(self) -> np.ndarray:
        """(T,) the state of every frame, -1 if unvoiced."""
        from_unvoiced = np.concatenate(self._from_unvoiced)
        path = np.empty(len(from_unvoiced), dtype=np.int64)
        state = -1 if self._unvoiced < self._voiced.min() else int(self._voiced.argmin())
        for start in reversed(range(0, len(path), _BLOCK_FRAMES)):
            from_voiced = self._from_voiced[start : start + _BLOCK_FRAMES]
            for t in reversed(range(start, start + from_voiced.shape[1])):
                path[t] = state
                state = int(from_unvoiced[t]) if state < 0 else int(from_voiced[state, t - start])
        return path
