"""Speaker encoder (paper 3.3): one embedding per clip."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import SpeakerEncoder as Config
from saic.config import SpeakerTdnn
from saic.model.layers import BatchNorm, Conv, ConvBank
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

    def renormalized(self, embedding: Tensor) -> Tensor:
        """A mean or blend (B, E) of embeddings, with the norm that the decoder was trained on: here any."""
        return embedding


class TdnnBlock(nn.Module):
    """Residual block: a dilated convolution with kernel 3 and a pointwise one, each with batch norm."""

    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.reach = dilation
        self.conv = nn.Conv1d(channels, channels, 3, dilation=dilation)
        self.norm = BatchNorm(channels)
        self.mix = nn.Conv1d(channels, channels, 1)
        self.mix_norm = BatchNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(F.pad(x, (self.reach, self.reach), mode="replicate")))
        return x + F.relu(self.mix_norm(self.mix(F.relu(y))))


class TdnnSpeakerEncoder(nn.Module):
    """Time-delay network: standardized log-mel to an embedding with an L2 norm of sqrt(E).

    After ECAPA-TDNN (Desplanques et al. 2020): the features of all blocks are concatenated and
    projected, then pooled. Without its squeeze-and-excitation and attention, which depend on the whole
    recording, a recording of any length can be computed in windows. Batch normalization uses its
    running statistics as soon as the network is frozen.
    """

    def __init__(self, config: Config, sizes: SpeakerTdnn, n_mels: int):
        super().__init__()
        channels, pooled = sizes.channels, 3 * sizes.channels // 2
        self.lead = Conv(n_mels, channels, 5, sizes.stride)
        self.norm = BatchNorm(channels)
        self.blocks = nn.ModuleList(TdnnBlock(channels, dilation) for dilation in sizes.dilations)
        self.mix = nn.Conv1d(len(self.blocks) * channels, pooled, 1)
        self.pool_norm = BatchNorm(2 * pooled)
        self.dense = nn.Linear(2 * pooled, config.embedding_size)
        self.stride = sizes.stride
        self.reach = self.lead.reach + sizes.stride * sum(block.reach for block in self.blocks)

    def train(self, mode: bool = True) -> "TdnnSpeakerEncoder":
        """As of every module, but a frozen network stays in evaluation mode."""
        return super().train(mode and any(parameter.requires_grad for parameter in self.parameters()))

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, 80, T) standardized log-mel and (B, 1, T) speech mask to (B, E)."""
        return self.pool(*masked_statistics(self.features(mel), self.downsample(mask)))

    def features(self, mel: Tensor) -> Tensor:
        """(B, 80, T) standardized log-mel to (B, 3 channels / 2, ceil(T / stride))."""
        x = F.relu(self.norm(self.lead(mel)))
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return F.relu(self.mix(torch.cat(features, dim=1)))

    def downsample(self, mask: Tensor | None) -> Tensor | None:
        """(B, 1, T) speech mask to that of the features."""
        return downsample_mask(mask, self.stride)

    def pool(self, mean: Tensor, deviation: Tensor) -> Tensor:
        """Statistics of the features over speech frames, each (B, channels, 1), to (B, E)."""
        return self.renormalized(self.dense(self.pool_norm(torch.cat([mean, deviation], dim=1).squeeze(-1))))

    def renormalized(self, embedding: Tensor) -> Tensor:
        """A mean or blend (B, E) of embeddings, with the norm that the decoder was trained on: sqrt(E)."""
        return F.normalize(embedding, dim=1) * embedding.shape[1] ** 0.5


def build_speaker_encoder(config: Config, n_mels: int) -> SpeakerEncoder | TdnnSpeakerEncoder:
    """The speaker encoder that a config describes."""
    if config.tdnn is None:
        return SpeakerEncoder(config, n_mels)
    return TdnnSpeakerEncoder(config, config.tdnn, n_mels)
