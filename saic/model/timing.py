"""New timing for the profile strict: an even rate of speech, few pauses, their lengths drawn at random.

Timing identifies a speaker: how fast somebody speaks, which sounds are long, where and how long the
pauses are. Time is warped before decoding, so the output has no artifacts of time stretching.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from saic.model.layers import interpolate
from saic.signal.mel import FRAMES_PER_S

_MAX_STRETCH = 1.2
_SMOOTHING_FRAMES = 16.0  # deviation of a Gaussian, 0.2 s: about a syllable
_PAUSE_S, _PAUSE_SPREAD = 0.3, 0.5  # median, and deviation of the logarithm
_PAUSE_RANGE_S = 0.1, 1.0
_PAUSES_PER_S = 0.3  # pauses that are kept per second of speech, on average; others are cut to _CUT_S
_CUT_S = 0.05
_EDGE_S = 0.1  # before the first and after the last speech
_EPS = 1e-3


@dataclass(frozen=True)
class TimeMap:
    """Which frame of the source each output frame shows.

    Attributes
    ----------
    positions
        (T',) positions in the source, in frames, ascending.
    """

    positions: Tensor

    def frames(self, x: Tensor) -> Tensor:
        """(..., T) frames to (..., T'), the nearest of each."""
        return x[..., self.positions.round().long().clamp(0, x.shape[-1] - 1)]

    def code_places(self, n_codes: int, stride: int) -> Tensor:
        """(ceil(T' / stride),) the place of each new code among ``n_codes`` codes, in codes."""
        padded = F.pad(self.positions[None, None], (0, -len(self.positions) % stride), mode="replicate")
        centers = (padded[0, 0].unflatten(0, (-1, stride)).mean(dim=1) - (stride - 1) / 2) / stride
        return centers.clamp(0, n_codes - 1)

    def codes(self, content: Tensor, stride: int) -> Tensor:
        """(B, C, ceil(T / stride)) codes to (B, C, ceil(T' / stride)), interpolated linearly."""
        return interpolate(content, self.code_places(content.shape[-1], stride))


def rate_of_change(content: Tensor) -> Tensor:
    """(B, C, L) content codes to (B, L): root mean square difference to the next code."""
    change = (content[..., 1:] - content[..., :-1]).float().square().mean(dim=1).sqrt()
    return F.pad(change, (0, 1))


def new_timing(change: Tensor, kept: Tensor, stride: int, rate: float, random: np.random.Generator) -> TimeMap:
    """Warp speech to an even rate, and draw the lengths of pauses.

    Where content codes change faster than usual, on average over a syllable, speech gets slower, by
    a factor of at most 1.2; and the reverse. Of more than 0.3 pauses per second of speech, the
    longest remain, and the others are cut to 50 ms.

    Parameters
    ----------
    change
        (L,) :func:`rate_of_change` of the content codes of a recording.
    kept
        (T,) bool: frames of speech; runs of other frames are pauses.
    stride
        Mel frames per code.
    rate
        Mean of :func:`rate_of_change` over speech of many people.
    random
        Draws the pauses: log-normal, 0.1 to 1 s, median 0.3 s. The first and the last one are 0.1 s.
    """
    change = change.repeat_interleave(stride)[: len(kept)]
    local = _smooth(change * kept) / _smooth(kept.to(change)).clamp_min(_EPS)
    step = torch.where(kept, (local / rate).clamp(1 / _MAX_STRETCH, _MAX_STRETCH), 1.0).double().cpu().numpy()
    runs = _runs(~kept.cpu().numpy())
    pauses = [(start, stop) for start, stop in runs if start > 0 and stop < len(kept)]
    most = round(_PAUSES_PER_S * float(kept.sum()) / FRAMES_PER_S + random.uniform(-0.5, 0.5))
    longest = sorted(pauses, key=lambda pause: pause[0] - pause[1])[: max(most, 0)]
    seconds = dict.fromkeys(runs, _EDGE_S) | dict.fromkeys(pauses, _CUT_S)
    for pause in sorted(longest):
        seconds[pause] = np.clip(random.lognormal(np.log(_PAUSE_S), _PAUSE_SPREAD), *_PAUSE_RANGE_S)
    for start, stop in runs:
        step[start:stop] = seconds[start, stop] * FRAMES_PER_S / (stop - start)
    ends = np.concatenate([[0], np.cumsum(step)])
    middles = np.arange(max(1, round(ends[-1]))) + 0.5
    return TimeMap(torch.from_numpy(np.interp(middles, ends, np.arange(len(ends))) - 0.5).to(change.device))


def _smooth(x: Tensor) -> Tensor:
    """(T,) averaged by a Gaussian."""
    reach = math.ceil(3 * _SMOOTHING_FRAMES)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(x) / _SMOOTHING_FRAMES).square())
    return F.conv1d(x[None, None], kernel[None, None] / kernel.sum(), padding=reach)[0, 0]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First frame of each run of True, and the frame after it."""
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(np.int8), 1)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
