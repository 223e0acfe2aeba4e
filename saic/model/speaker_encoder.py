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
        self.dense = nn.Sequential(
            nn.Linear(2 * config.channels, config.channels),
            nn.ReLU(),
            nn.Linear(config.channels, config.embedding_size),
        )

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, 80, T) standardized log-mel and (B, 1, T) speech mask to (B, E)."""
        x = self.bank(mel)
        for block in self.blocks:
            x = block(x)
            mask = downsample_mask(mask, block.stride)
        return self.dense(torch.cat(masked_statistics(x, mask), dim=1).squeeze(-1))
