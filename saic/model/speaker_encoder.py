"""Speaker encoder (paper 3.3): one embedding per clip."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import SpeakerEncoder as Config
from saic.model.layers import Conv, ConvBank
from saic.signal.masking import average_pool, downsample_mask, masked_statistics


class SpeakerBlock(nn.Module):
    """Residual block without normalization, which would remove what distinguishes speakers."""

    def __init__(self, channels: int, kernel: int, stride: int):
        super().__init__()
        self.stride = stride
        self.conv1 = Conv(channels, channels, kernel)
        self.conv2 = Conv(channels, channels, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        return average_pool(x, self.stride) + F.relu(self.conv2(F.relu(self.conv1(x))))


class SpeakerEncoder(nn.Module):
    """Standardized log-mel to a speaker embedding, by statistics pooling over speech frames."""

    def __init__(self, config: Config, n_mels: int):
        super().__init__()
        self.bank = ConvBank(n_mels, config.channels, config.bank_kernels)
        self.blocks = nn.ModuleList(SpeakerBlock(config.channels, config.kernel, s) for s in config.strides)
        self.stride, self.reach = 1, self.bank.reach  # frames that a feature depends on, on each side
        for block in self.blocks:
            self.reach += self.stride * (block.conv1.reach + block.conv2.reach)
            self.stride *= block.stride
        self.dense = nn.Sequential(
            nn.Linear(2 * config.channels, config.channels),
            nn.ReLU(),
            nn.Linear(config.channels, config.embedding_size),
        )

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, 80, T) standardized log-mel and (B, 1, T) speech mask to (B, E)."""
        return self.pool(*masked_statistics(self.features(mel), self.downsample(mask)))

    def features(self, mel: Tensor) -> Tensor:
        """(B, 80, T) standardized log-mel to (B, channels, ceil(T / stride))."""
        x = self.bank(mel)
        for block in self.blocks:
            x = block(x)
        return x

    def downsample(self, mask: Tensor | None) -> Tensor | None:
        """(B, 1, T) speech mask to that of the features."""
        for block in self.blocks:
            mask = downsample_mask(mask, block.stride)
        return mask

    def pool(self, mean: Tensor, deviation: Tensor) -> Tensor:
        """Statistics of the features over speech frames, each (B, channels, 1), to (B, E)."""
        return self.dense(torch.cat([mean, deviation], dim=1).squeeze(-1))
