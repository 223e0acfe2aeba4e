"""Fusion decoder (paper 3.4): content codes, speaker embedding (by AdaIN) and F0 to a log-mel.

The paper's decoder has no F0 input: its content codes must hold the source's F0, and the converted
speech keeps it. Here the log-mel of the harmonics of a given F0 is a third input.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import Decoder as Config
from saic.model.layers import AdaIN, Conv
from saic.signal.f0 import HARMONIC_MEL_CHANNELS, harmonic_mel
from saic.signal.masking import downsample_mask

_TAPS = (-1 / 16, 4 / 16, 10 / 16, 4 / 16, -1 / 16)
FLICKER_REACH = len(_TAPS) // 2
"""Frames, on each side, that :func:`remove_flicker` uses."""


class DecoderBlock(nn.Module):
    """Residual block: two convolutions, each followed by AdaIN; the second can upsample."""

    def __init__(self, channels: int, kernel: int, condition_size: int, upsampling: int):
        super().__init__()
        self.upsampling = upsampling
        self.conv1 = Conv(channels, channels, kernel)
        self.conv2 = Conv(channels, channels * upsampling, kernel)
        self.adain1 = AdaIN(channels, condition_size)
        self.adain2 = AdaIN(channels, condition_size)

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        mask: Tensor | None,
        upsampled_mask: Tensor | None,
    ) -> Tensor:
        y = self.adain1(self.conv1(x), condition, mask)
        y = pixel_shuffle(self.conv2(F.relu(y)), self.upsampling)
        y = self.adain2(y, condition, upsampled_mask)
        return x.repeat_interleave(self.upsampling, dim=-1) + F.relu(y)


class Decoder(nn.Module):
    """Content codes at 1/stride of the mel's frame rate to a standardized log-mel."""

    def __init__(self, config: Config, n_mels: int, code_channels: int, embedding_size: int):
        super().__init__()
        channels = config.channels
        self.stride = math.prod(config.upsampling)
        # The harmonics are added after this block, from which on the frame rate is the mel's.
        self.last_upsampling = max((i for i, factor in enumerate(config.upsampling) if factor > 1), default=0)
        self.dense = nn.Sequential(
            nn.Linear(embedding_size, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU()
        )
        self.lead = Conv(code_channels, channels, config.kernel)
        self.blocks = nn.ModuleList(DecoderBlock(channels, config.kernel, channels, u) for u in config.upsampling)
        self.pitch_projection = Conv(HARMONIC_MEL_CHANNELS, channels, 1)
        self.out = Conv(channels, n_mels, config.kernel)

    def forward(
        self,
        content: Tensor,
        embedding: Tensor,
        f0: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Decode.

        Parameters
        ----------
        content
            (B, C, ceil(T / stride)).
        embedding
            (B, E).
        f0
            (B, T) F0 of the output in Hz, 0 where unvoiced.
        mask
            (B, 1, T) of 0 and 1: speech frames; None counts every frame as speech.

        Returns
        -------
        (B, 80, T) standardized log-mel.
        """
        condition = self.dense(embedding)
        n_frames = f0.shape[-1]
        f0 = F.pad(f0, (0, -n_frames % self.stride))
        if mask is not None:
            mask = F.pad(mask, (0, -n_frames % self.stride))
        x, stride = self.lead(content), self.stride
        for i, block in enumerate(self.blocks):
            block_mask, stride = downsample_mask(mask, stride), stride // block.upsampling
            x = block(x, condition, block_mask, downsample_mask(mask, stride))
            if i == self.last_upsampling:
                x = x + self.harmonics(f0)
        return remove_flicker(self.out(x))[..., :n_frames]

    def harmonics(self, f0: Tensor) -> Tensor:
        """(B, T) F0 in Hz to the (B, channels, T) that is added after the last upsampling."""
        return self.pitch_projection(harmonic_mel(f0))


def remove_flicker(mel: Tensor) -> Tensor:
    """Remove what changes from each frame of a (B, 80, T) log-mel to the next and back, at 40 Hz.

    No voice has that, but upsampling makes it: its frames come from other channels in turn. Losses that
    pool frames do not see it. The gain is 0 at 40 Hz, 0.75 at 20 Hz and above 0.95 below 12 Hz.
    """
    taps = torch.tensor(_TAPS, dtype=mel.dtype, device=mel.device)
    padded = F.pad(mel, (FLICKER_REACH, FLICKER_REACH), mode="replicate")
    return sum(tap * padded[..., k : k + mel.shape[-1]] for k, tap in enumerate(taps))


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Pixel shuffle in time: (B, channels * factor, T) to (B, channels, T * factor)."""
    if factor == 1:
        return x
    batch, channels, frames = x.shape
    return x.view(batch, channels // factor, factor, frames).transpose(2, 3).reshape(batch, channels // factor, -1)
