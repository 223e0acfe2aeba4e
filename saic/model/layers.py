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


class BatchNorm(nn.BatchNorm1d):
    """Batch normalization without a count of batches, an integer that weights files do not take."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.num_batches_tracked = None

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest) -> None:
        # Tensors from safetensors have no version: torch takes them for version 1, and adds a count.
        super()._load_from_state_dict(state_dict, prefix, {**local_metadata, "version": 2}, *rest)


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


Moments = tuple[Tensor, Tensor]
"""Mean and standard deviation, each (B, channels, 1)."""


class InstanceNorm(nn.Module):
    """Instance normalization over speech frames, without affine parameters (Ulyanov et al. 2016).

    With ``active`` False it is the identity. ``known`` are the moments of a whole recording, where
    the input is a part of it.
    """

    def __init__(self, active: bool = True):
        super().__init__()
        self.active = active

    def forward(self, x: Tensor, mask: Tensor | None, known: Moments | None = None) -> Tensor:
        if not self.active:
            return x
        mean, std = masked_statistics(x, mask) if known is None else known
        return (x - mean) * (1 / std)


class AdaIN(nn.Module):
    """Adaptive instance normalization (Huang & Belongie 2017, Eq. 8).

    A linear layer predicts mean and scale from the condition.
    """

    def __init__(self, channels: int, condition_size: int):
        super().__init__()
        self.norm = InstanceNorm()
        self.affine = nn.Linear(condition_size, 2 * channels)

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor | None, known: Moments | None = None) -> Tensor:
        """(B, channels, T) and (B, condition_size) to (B, channels, T)."""
        x = self.norm(x, mask, known)
        shift, scale = self.affine(condition).unsqueeze(-1).chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale)


def interpolate(x: Tensor, places: Tensor) -> Tensor:
    """Values of (..., T) at N fractional places, by linear interpolation: (..., N)."""
    before = places.long()
    after = (before + 1).clamp_max(x.shape[-1] - 1)
    return torch.lerp(x[..., before], x[..., after], (places - before).to(x.dtype))
