"""Shared 1-D blocks: convolution, masked instance norm, convolution bank.

All work on (B, channels, T). A ``mask`` is (B, 1, T) float, 1 on speech; statistics are taken over those
frames only, so pauses and padding change nothing. Convolutions pad by repeating the edge frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_EPS = 1e-5
_MIN_FRAMES = 4


class Conv(nn.Module):
    """Convolution that keeps the length (divided by ``stride``, rounded up), for even kernels too.

    The padding is split so that the last frame of an odd length is covered whatever the stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1):
        super().__init__()
        self.pad = (kernel - 1) // 2, kernel // 2
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, self.pad, mode="replicate"))


class ConvBank(nn.Module):
    """Parallel convolutions of kernel 1 to ``kernels`` beside the input itself, mixed to ``channels``.

    The bank of AdaIN-VC (Chou et al. 2019): short kernels see bursts, long ones see transitions.
    """

    def __init__(self, in_channels: int, channels: int, kernels: int):
        super().__init__()
        self.bank = nn.ModuleList(Conv(in_channels, channels, k) for k in range(1, kernels + 1))
        self.mix = Conv(in_channels + kernels * channels, channels, 1)
        self.receptive_field = kernels

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.mix(torch.cat([x, *(F.relu(conv(x)) for conv in self.bank)], dim=1)))


def masked_statistics(x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over speech frames.

    Parameters
    ----------
    x
        (B, channels, T).
    mask
        (B, 1, T) of 0 and 1, or None for all frames. A clip with fewer than four speech frames uses all of its
        frames: a deviation over next to nothing is next to 0, and dividing by it would blow up the rest.

    Returns
    -------
    mean, std: each (B, channels, 1).
    """
    with torch.autocast(x.device.type, enabled=False):  # three digits are too few for a difference of like numbers
        x = x.float()
        if mask is None:
            weight = torch.full_like(x[:, :1], 1 / x.shape[-1])
        else:
            count = mask.sum(dim=-1, keepdim=True)
            weight = torch.where(count >= _MIN_FRAMES, mask / count.clamp_min(1), 1 / x.shape[-1])
        weight = weight.transpose(1, 2)  # a matrix product is the cheapest weighted sum
        mean = x @ weight
        variance = (x - mean).square() @ weight
        return mean, (variance + _EPS).sqrt()


class InstanceNorm(nn.Module):
    """Instance normalization over speech frames, without affine parameters (Ulyanov et al. 2016).

    ``statistics``, (2, B, channels, 1) stacked mean and standard deviation, replaces the clip's own: a chunk of a
    long recording is normalized as the whole would be. Not ``active``, it passes everything as it is.
    """

    def __init__(self, active: bool = True):
        super().__init__()
        self.active = active

    def forward(self, x: Tensor, mask: Tensor | None, statistics: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if statistics is None:
            statistics = torch.stack(masked_statistics(x, mask))
        if not self.active:
            return x, statistics
        mean, std = statistics
        return (x - mean) * (1 / std), statistics


def downsample_mask(mask: Tensor | None, stride: int) -> Tensor | None:
    """(B, 1, T) to (B, 1, ceil(T / stride)): a coarse frame is speech if any of its fine frames is."""
    if mask is None or stride == 1:
        return mask
    return F.max_pool1d(mask, stride, stride, ceil_mode=True)


def average_pool(x: Tensor, stride: int) -> Tensor:
    """(B, channels, T) to (B, channels, ceil(T / stride)); the last, shorter window averages what it has."""
    return x if stride == 1 else F.avg_pool1d(x, stride, stride, ceil_mode=True)
