"""Content Encoder (paper 3.2): what is said, with who says it normalized away."""

import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import ContentEncoder as Config
from saic.layers import Conv, ConvBank, InstanceNorm, average_pool, downsample_mask

_LARGEST = 6.0  # deviations: a band without speech in it, as above a codec's edge, has next to none to measure by


class ContentBlock(nn.Module):
    """Residual block: two convolutions, each followed by instance norm; the second may halve the rate."""

    def __init__(self, channels: int, kernel: int, stride: int, instance_norm: bool):
        super().__init__()
        self.stride = stride
        self.conv1 = Conv(channels, channels, kernel)
        self.conv2 = Conv(channels, channels, kernel, stride)
        self.norm = InstanceNorm(instance_norm)

    def forward(
        self, x: Tensor, mask: Tensor | None, statistics: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor | None, tuple[Tensor, Tensor]]:
        first, second = statistics or (None, None)
        y, first = self.norm(self.conv1(x), mask, first)
        coarse = downsample_mask(mask, self.stride)
        y, second = self.norm(self.conv2(F.relu(y)), coarse, second)
        return average_pool(x, self.stride) + F.relu(y), coarse, (first, second)


class ContentEncoder(nn.Module):
    """Standardized log-mel to content codes at 1/stride of its frame rate."""

    def __init__(self, config: Config, n_mels: int):
        super().__init__()
        self.bank = ConvBank(n_mels, config.channels, config.bank_kernels)
        # Without it the skip path carries the mean of every channel to the output.
        self.norm = InstanceNorm(config.instance_norm)
        self.blocks = nn.ModuleList(
            ContentBlock(config.channels, config.kernel, s, config.instance_norm) for s in config.strides
        )
        self.out = Conv(config.channels, config.code_channels, 1)
        self.receptive_field = self.bank.receptive_field + _reach(config.kernel, config.strides)

    def forward(self, mel: Tensor, mask: Tensor | None = None, statistics: list | None = None) -> tuple[Tensor, list]:
        """Encode.

        Parameters
        ----------
        mel
            (B, 80, T) standardized log-mel, any T >= 1.
        mask
            (B, 1, T) of 0 and 1: speech frames; None counts every frame as speech.
        statistics
            Normalization statistics returned by an earlier call, to encode a chunk as part of its whole.

        Returns
        -------
        content: (B, C, ceil(T / stride)); statistics: those of the mel and of the bank, then one pair per block.
        """
        x, colour = self.norm(mel, mask, statistics[0] if statistics else None)
        x = x.clamp(-_LARGEST, _LARGEST)
        x, bank = self.norm(self.bank(x), mask, statistics[1] if statistics else None)
        used = [colour, bank]
        for i, block in enumerate(self.blocks):
            x, mask, pair = block(x, mask, statistics[i + 2] if statistics else None)
            used.append(pair)
        return self.out(x), used


def _reach(kernel: int, strides: tuple[int, ...]) -> int:
    """Frames that two convolutions per block add to the receptive field, at the input's rate."""
    reach, rate = 0, 1
    for stride in strides:
        reach += 2 * (kernel - 1) * rate
        rate *= stride
    return reach + rate - 1
