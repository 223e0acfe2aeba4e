"""Fusion Decoder (paper 3.4): content codes and a speaker embedding, joined by AdaIN, to a mel.

The paper gives pitch no path of its own, so a content code has to hold it, absolute as it is, and the source's
pitch stays in the converted voice. Here the harmonics of a given pitch enter as a third input.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import Decoder as Config
from saic.model.layers import Conv, InstanceNorm
from saic.signal.f0 import HARMONIC_MEL_CHANNELS, harmonic_mel
from saic.signal.masking import downsample_mask

_QUIET = 0.1  # how loud a hushed block is: at 0 nothing would ever teach it


class AdaIN(nn.Module):
    """Adaptive instance normalization (Huang & Belongie 2017, Eq. 8): the speaker sets mean and scale."""

    def __init__(self, channels: int, condition_size: int):
        super().__init__()
        self.norm = InstanceNorm()
        self.affine = nn.Linear(condition_size, 2 * channels)

    def forward(
        self, x: Tensor, condition: Tensor, mask: Tensor | None, statistics: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        x, used = self.norm(x, mask, statistics)
        shift, scale = self.affine(condition).unsqueeze(-1).chunk(2, dim=1)
        return torch.addcmul(shift, x, 1 + scale), used


class DecoderBlock(nn.Module):
    """Residual block: two convolutions, each followed by AdaIN; the second may double the rate."""

    def __init__(self, channels: int, kernel: int, condition_size: int, upsampling: int):
        super().__init__()
        self.upsampling = upsampling
        self.conv1 = Conv(channels, channels, kernel)
        self.conv2 = Conv(channels, channels * upsampling, kernel)
        self.adain1 = AdaIN(channels, condition_size)
        self.adain2 = AdaIN(channels, condition_size)

    @torch.no_grad()
    def hush(self) -> None:
        """Let nearly everything pass as it is, whatever the speaker: a block that joins a trained decoder."""
        shift, scale = self.adain2.affine.bias.chunk(2)
        self.adain2.affine.weight.zero_()
        shift.zero_()
        scale.fill_(_QUIET - 1)

    def forward(
        self, x: Tensor, condition: Tensor, mask: Tensor | None, fine: Tensor | None, statistics: tuple | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        first, second = statistics or (None, None)
        y, first = self.adain1(self.conv1(x), condition, mask, first)
        y = shuffle(self.conv2(F.relu(y)), self.upsampling)
        y, second = self.adain2(y, condition, fine, second)
        return x.repeat_interleave(self.upsampling, dim=-1) + F.relu(y), (first, second)


class Decoder(nn.Module):
    """Content codes at 1/stride of the frame rate to a standardized log-mel at the full rate."""

    def __init__(self, config: Config, n_mels: int, code_channels: int, embedding_size: int):
        super().__init__()
        channels = config.channels
        self.stride = 1
        for factor in config.upsampling:
            self.stride *= factor
        # From this block on the rate is the mel's own: there the harmonics come in.
        self._last_upsampling = max((i for i, factor in enumerate(config.upsampling) if factor > 1), default=0)
        self.dense = nn.Sequential(
            nn.Linear(embedding_size, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU()
        )
        self.lead = Conv(code_channels, channels, config.kernel)
        self.blocks = nn.ModuleList(DecoderBlock(channels, config.kernel, channels, u) for u in config.upsampling)
        self.voice = Conv(HARMONIC_MEL_CHANNELS, channels, 1)
        self.out = Conv(channels, n_mels, config.kernel)
        self.receptive_field = self._receptive_field(config)

    def forward(
        self,
        content: Tensor,
        embedding: Tensor,
        f0: Tensor,
        mask: Tensor | None = None,
        statistics: list | None = None,
    ) -> tuple[Tensor, list]:
        """Decode.

        Parameters
        ----------
        content
            (B, C, ceil(T / stride)).
        embedding
            (B, E).
        f0
            (B, T) pitch of the mel to come in Hz, 0 for unvoiced; T, the frames of the mel that the content came
            from.
        mask
            (B, 1, T) of 0 and 1: that mel's speech frames; None counts every frame as speech.
        statistics
            As in :class:`~saic.model.content_encoder.ContentEncoder`.

        Returns
        -------
        mel: (B, 80, T) standardized log-mel; statistics: one pair per block.
        """
        condition = self.dense(embedding)
        n_frames = f0.shape[-1]
        f0 = F.pad(f0, (0, -n_frames % self.stride))
        if mask is not None:
            mask = F.pad(mask, (0, -n_frames % self.stride))
        x, rate, used = self.lead(content), self.stride, []
        for i, block in enumerate(self.blocks):
            coarse, rate = downsample_mask(mask, rate), rate // block.upsampling
            fine = downsample_mask(mask, rate)
            x, pair = block(x, condition, coarse, fine, statistics[i] if statistics else None)
            used.append(pair)
            if i == self._last_upsampling:
                x = x + self.voice(harmonic_mel(f0))
        return self.out(x)[..., :n_frames], used

    def _receptive_field(self, config: Config) -> int:
        """Mel frames that one output frame depends on, statistics apart."""
        rate = self.stride
        reach = (config.kernel - 1) * rate
        for factor in config.upsampling:
            reach += 2 * (config.kernel - 1) * rate
            rate //= factor
        return reach + (config.kernel - 1) + self.stride


def shuffle(x: Tensor, factor: int) -> Tensor:
    """Pixel shuffle in time: (B, channels * factor, T) to (B, channels, T * factor)."""
    if factor == 1:
        return x
    batch, channels, frames = x.shape
    return x.view(batch, channels // factor, factor, frames).transpose(2, 3).reshape(batch, channels // factor, -1)
