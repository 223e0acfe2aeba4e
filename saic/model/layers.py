"""Layers of the encoders and the decoder: 1-D convolutions, instance normalization, AdaIN.

All take (B, channels, T). A ``mask`` is (B, 1, T), 1 on speech frames: statistics are computed over
those frames only, so that pauses and padding do not change them. Convolutions pad by repeating the
edge frame.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.signal.masking import masked_statistics


class Conv(nn.Module):
    """Convolution to a length of ceil(T / stride), for even kernels too.

    The padding is split so that the last frame of an odd length is covered at every stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1):
        super().__init__()
        self.pad = (kernel - 1) // 2, kernel // 2
        self.reach = kernel // 2
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, self.pad, mode="replicate"))


class ConvBank(nn.Module):
    """The convolution bank of AdaIN-VC (Chou et al. 2019).

    Parallel convolutions of kernel sizes 1 to ``kernels`` are concatenated with the input and mixed
    to ``channels``.
    """

    def __init__(self, in_channels: int, channels: int, kernels: int):
        super().__init__()
        self.bank = nn.ModuleList(Conv(in_channels, channels, k) for k in range(1, kernels + 1))
        self.reach = kernels // 2
        self.mix = Conv(in_channels + kernels * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.mix(torch.cat([x, *(F.relu(conv(x)) for conv in self.bank)], dim=1)))


class NormStatistics:
    """Mean and standard deviation of every instance norm, from one pass, to apply in others.

    With the statistics of a whole recording, the convolutions give for a part of it the same frames
    as for the whole::

        statistics = NormStatistics()
        encoder(whole, mask, statistics)  # measured
        encoder(part, part_mask, statistics.applied())  # the same mean and deviation in every layer
    """

    def __init__(self) -> None:
        self._measured: list[tuple[Tensor, Tensor]] = []
        self._next: int | None = None  # index of the pair to apply next; None while measuring

    def applied(self) -> "NormStatistics":
        """A copy that applies these statistics, for one pass."""
        other = NormStatistics()
        other._measured, other._next = self._measured, 0
        return other

    def of(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, each (B, channels, 1), for the next norm of the pass."""
        if self._next is None:
            self._measured.append(masked_statistics(x, mask))
            return self._measured[-1]
        self._next += 1
        return self._measured[self._next - 1]


class KnownStatistics(NormStatistics):
    """Mean and standard deviation of one norm, each (B, channels, 1), to apply any number of times."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        self._pair = mean, deviation

    def of(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._pair


class InstanceNorm(nn.Module):
    """Instance normalization over speech frames, without affine parameters (Ulyanov et al. 2016).

    With ``active`` False it is the identity.
    """

    def __init__(self, active: bool = True):
        super().__init__()
        self.active = active

    def forward(self, x: Tensor, mask: Tensor | None, statistics: NormStatistics | None = None) -> Tensor:
        if not self.active:
            return x
        mean, std = statistics.of(x, mask) if statistics else masked_statistics(x, mask)
        return (x - mean) * (1 / std)


class AdaIN(nn.Module):
    """Adaptive instance normalization (Huang & Belongie 2017, Eq. 8).

    A linear layer predicts mean and scale from the condition.
    """

    def __init__(self, channels: int, condition_size: int):
        super().__init__()
        self.norm = InstanceNorm()
        self.affine = nn.Linear(condition_size, 2 * channels)

    def forward(
        self, x: Tensor, condition: Tensor, mask: Tensor | None, statistics: NormStatistics | None = None
    ) -> Tensor:
        """(B, channels, T) and (B, condition_size) to (B, channels, T)."""
        x = self.norm(x, mask, statistics)
        shift, scale = self.affine(condition).unsqueeze(-1).chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


def interpolate(x: Tensor, places: Tensor) -> Tensor:
    """Values of (..., T) at N fractional places, by linear interpolation: (..., N)."""
    before = places.long()
    after = (before + 1).clamp_max(x.shape[-1] - 1)
    return torch.lerp(x[..., before], x[..., after], (places - before).to(x.dtype))
