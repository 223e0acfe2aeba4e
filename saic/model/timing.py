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

from saic.signal.mel import FRAMES_PER_S
from saic.signal.vad import MAIN_AFTER_FRAMES, MAIN_BEFORE_FRAMES

_MAX_STRETCH = 1.2
_SMOOTHING_FRAMES = 16.0  # deviation of a Gaussian, 0.2 s: about a syllable
_PAUSE_S, _PAUSE_SPREAD = 0.3, 0.5  # median, and deviation of the logarithm
_PAUSE_RANGE_S = 0.1, 1.0
_PAUSES_PER_S = 0.3  # pauses that are kept per second of speech, on average; others are cut to _CUT_S
_CUT_S = 0.05
_EDGE_FRAMES = 8  # 0.1 s of silence before the first speech and after the last
_EPS = 1e-3


@dataclass(frozen=True)
class TimeMap:
    """Which frame of the source each output frame shows.

    Attributes
    ----------
    positions
        (T',) positions in the source, in frames, ascending. Those outside of the source are silence.
    """

    positions: Tensor

    def inside(self, n_frames: int) -> Tensor:
        """(T',) bool: which output frames show one of the source's ``n_frames`` frames."""
        nearest = self.positions.round()
        return (nearest >= 0) & (nearest < n_frames)

    def frames(self, x: Tensor) -> Tensor:
        """(..., T) frames to (..., T'), the nearest of each."""
        return x[..., self.positions.round().long().clamp(0, x.shape[-1] - 1)]

    def code_places(self, n_codes: int, stride: int) -> Tensor:
        """(ceil(T' / stride),) the place of each new code among ``n_codes`` codes, in codes."""
        padded = F.pad(self.positions[None, None], (0, -len(self.positions) % stride), mode="replicate")
        centers = (padded[0, 0].unflatten(0, (-1, stride)).mean(dim=1) - (stride - 1) / 2) / stride
        return centers.clamp(0, n_codes - 1)


def rate_of_change(content: Tensor) -> Tensor:
    """(B, C, L) content codes to (B, L): root mean square difference to the next code."""
    change = (content[..., 1:] - content[..., :-1]).float().square().mean(dim=1).sqrt()
    return F.pad(change, (0, 1))


def new_timing(
    change: Tensor, kept: Tensor, span: tuple[int, int], stride: int, rate: float, random: np.random.Generator
) -> TimeMap:
    """Warp speech to an even rate, and draw the lengths of pauses.

    Where content codes change faster than usual, on average over a syllable, speech gets slower, by
    a factor of at most 1.2; and the reverse. Of more than 0.3 pauses per second of speech, the
    longest remain, and the others are cut to 50 ms.

    The output begins 0.25 s before the span of speech and ends 0.35 s after it, wherever the source
    does: of that, 0.1 s is silence, the rest may hold consonants.

    Parameters
    ----------
    change
        (L,) :func:`rate_of_change` of the content codes of a recording.
    kept
        (T,) bool: frames of speech; runs of other frames are pauses.
    span
        First frame near the speech level, and the frame after the last one, see
        :func:`saic.signal.vad.main_speech_span`.
    stride
        Mel frames per code.
    rate
        Mean of :func:`rate_of_change` over speech of many people.
    random
        Draws the pauses: log-normal, 0.1 to 1 s, median 0.3 s.
    """
    first, last = span
    change, kept = change.repeat_interleave(stride)[first:last], kept[first:last]
    local = _smooth(change * kept) / _smooth(kept.to(change)).clamp_min(_EPS)
    step = torch.where(kept, (local / rate).clamp(1 / _MAX_STRETCH, _MAX_STRETCH), 1.0).double().cpu().numpy()
    pauses = _runs(~kept.cpu().numpy())
    most = round(_PAUSES_PER_S * float(kept.sum()) / FRAMES_PER_S + random.uniform(-0.5, 0.5))
    longest = sorted(pauses, key=lambda pause: pause[0] - pause[1])[: max(most, 0)]
    seconds = dict.fromkeys(pauses, _CUT_S)
    for pause in sorted(longest):
        seconds[pause] = np.clip(random.lognormal(np.log(_PAUSE_S), _PAUSE_SPREAD), *_PAUSE_RANGE_S)
    for start, stop in pauses:
        step[start:stop] = seconds[start, stop] * FRAMES_PER_S / (stop - start)
    before, after = _EDGE_FRAMES + MAIN_BEFORE_FRAMES, _EDGE_FRAMES + MAIN_AFTER_FRAMES
    ends = np.cumsum([0, before, *step, after])
    places = np.array([first - before, *range(first, last + 1), last + after])
    middles = np.arange(round(ends[-1])) + 0.5
    return TimeMap(torch.from_numpy(np.interp(middles, ends, places) - 0.5).to(change.device))


def _smooth(x: Tensor) -> Tensor:
    """(T,) averaged by a Gaussian."""
    reach = math.ceil(3 * _SMOOTHING_FRAMES)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(x) / _SMOOTHING_FRAMES).square())
    return F.conv1d(x[None, None], kernel[None, None] / kernel.sum(), padding=reach)[0, 0]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First frame of each run of True, and the frame after it."""
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(np.int8), 1)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
