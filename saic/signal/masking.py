"""Statistics over speech frames, and masks at lower frame rates.

A mask is (B, 1, T), 1 on speech frames and 0 elsewhere (:mod:`saic.signal.vad`).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from saic.signal.mel import FLOOR

_EPS = 1e-5
_MIN_FRAMES = 4  # over fewer, the deviation is near 0, and a division by it would amplify noise
_FADE_FRAMES = 4  # 50 ms


def masked_statistics(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over speech frames.

    Parameters
    ----------
    x
        (B, channels, T).
    mask
        (B, 1, T) of 0 and 1, or None for all frames. In a clip with fewer than four speech frames
        all frames count.

    Returns
    -------
    mean, std: each (B, channels, 1).
    """
    # bfloat16 has too few digits for differences of nearly equal numbers.
    with torch.autocast(x.device.type, enabled=False):
        x = x.float()
        if mask is None:
            weight = torch.full_like(x[:, :1], 1 / x.shape[-1])
        else:
            count = mask.sum(dim=-1, keepdim=True)
            weight = torch.where(count >= _MIN_FRAMES, mask / count.clamp_min(1), 1 / x.shape[-1])
        weight = weight.transpose(1, 2)  # a matrix product is the fastest weighted sum
        mean = x @ weight
        variance = (x - mean).square() @ weight
        return mean, (variance + _EPS).sqrt()


def downsample_mask(mask: Tensor | None, stride: int) -> Tensor | None:
    """(B, 1, T) to (B, 1, ceil(T / stride)): 1 where any of the input frames is 1."""
    if mask is None or stride == 1:
        return mask
    return F.max_pool1d(mask, stride, stride, ceil_mode=True)


def average_pool(x: Tensor, stride: int) -> Tensor:
    """(B, channels, T) to (B, channels, ceil(T / stride)); the last window may be shorter."""
    return x if stride == 1 else F.avg_pool1d(x, stride, stride, ceil_mode=True)


def mute_frames(mel: Tensor, kept: Tensor) -> Tensor:
    """Set all frames of a (B, 80, T) log-mel to the floor, except the ``kept`` ones, (T,) of bool.

    The level fades over 50 ms beside kept frames, linearly in dB.
    """
    reach = F.pad(kept.float()[None, None], (_FADE_FRAMES, _FADE_FRAMES))
    ramp = 1 - torch.arange(-_FADE_FRAMES, _FADE_FRAMES + 1).abs() / (_FADE_FRAMES + 1)
    windows = reach.unfold(2, 2 * _FADE_FRAMES + 1, 1)[0, 0] * ramp.to(reach)
    share = windows.amax(dim=1).to(mel)  # 1 in kept frames, less beside them
    return share * mel + (1 - share) * math.log(FLOOR)
