"""Shared 1-D blocks: convolution, masked instance norm, convolution bank.

All work on (B, channels, T). A ``mask`` is (B, 1, T) float, 1 on speech; statistics are taken over those
frames only, so pauses and padding change nothing. Convolutions pad by repeating the edge frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.signal.masking import masked_statistics


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
