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
_FADE_FRAMES = 12  # 150 ms
_QUIET_DB = -25.0  # re the speech level: consonants, word ends, noise
_LIMIT_FRAMES = 4  # 50 ms, since a converted frame depends on the frames beside it
_LEVEL_FRAMES = 8  # 100 ms, over which the speech level is averaged
_DB_PER_NEPER = 20 / math.log(10)


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


def mute_frames(mel: Tensor, kept: Tensor, source: Tensor | None = None) -> Tensor:
    """Set all frames of a (B, 80, T) log-mel to the floor, except the ``kept`` ones, (T,) of bool.

    The amplitude fades linearly over 150 ms beside kept frames. Noise is steady where it is heard
    at all: a noise that starts within 20 ms sounds like a consonant.

    Parameters
    ----------
    source
        (B, 80, T) log-mel of the recording that was converted. Where it is at least 25 dB below its
        speech, the output is not louder relative to its own speech than the source is, within
        50 ms. None sets no such limit.
    """
    if source is not None:
        allowed = _level_nearby(source, kept)
        excess = (_relative_level(mel, kept) - allowed).clamp_min(0)
        mel = mel - torch.where(allowed < _QUIET_DB, excess, 0.0) / _DB_PER_NEPER
    reach = F.pad(kept.float()[None, None], (_FADE_FRAMES, _FADE_FRAMES))
    ramp = 1 - torch.arange(-_FADE_FRAMES, _FADE_FRAMES + 1).abs() / (_FADE_FRAMES + 1)
    windows = reach.unfold(2, 2 * _FADE_FRAMES + 1, 1)[0, 0] * ramp.to(reach)
    gain = windows.amax(dim=1).to(mel)  # 1 in kept frames, less beside them
    return torch.where(kept, mel, (mel + gain.log()).clamp_min(math.log(FLOOR)))


def quiet_frames(mel: Tensor, kept: Tensor) -> Tensor:
    """(T,) bool: where a (1, 80, T) log-mel is at least 25 dB below its speech, for 50 ms on each side."""
    return (_level_nearby(mel, kept) < _QUIET_DB)[0, 0]


def _level_nearby(mel: Tensor, kept: Tensor) -> Tensor:
    """(B, 1, T) highest relative level within 50 ms."""
    return F.max_pool1d(_relative_level(mel, kept), 2 * _LIMIT_FRAMES + 1, 1, _LIMIT_FRAMES)


def _relative_level(mel: Tensor, kept: Tensor) -> Tensor:
    """(B, 1, T) level of every frame in dB re the loudest 100 ms of the kept frames."""
    power = mel.float().mul(2).exp().sum(dim=1, keepdim=True)
    speech = F.avg_pool1d(power * kept, _LEVEL_FRAMES, 1, _LEVEL_FRAMES // 2).amax(dim=-1, keepdim=True)
    return 10 * (power / speech.clamp_min(FLOOR**2)).log10()
