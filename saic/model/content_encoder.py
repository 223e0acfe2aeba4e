"""Content encoder (paper 3.2): log-mel to content codes.

Instance normalization removes speaker information that is constant over a clip.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import ContentEncoder as Config
from saic.model.layers import Conv, ConvBank, InstanceNorm
from saic.model.phone_encoder import PhoneEncoder, to_code_frames
from saic.signal.masking import average_pool, downsample_mask

_MAX_DEVIATIONS = 6.0  # limit after normalization: a band above a codec's cutoff has a deviation near 0


class ContentBlock(nn.Module):
    """Residual block: two convolutions, each followed by instance norm; the second has a stride."""

    def __init__(self, channels: int, kernel: int, stride: int, instance_norm: bool):
        super().__init__()
        self.stride = stride
        self.conv1 = Conv(channels, channels, kernel)
        self.conv2 = Conv(channels, channels, kernel, stride)
        self.norm = InstanceNorm(instance_norm)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(B, channels, T) and its mask to (B, channels, ceil(T / stride)) and its mask."""
        y = self.norm(self.conv1(x), mask)
        mask = downsample_mask(mask, self.stride)
        y = self.norm(self.conv2(F.relu(y)), mask)
        return average_pool(x, self.stride) + F.relu(y), mask


class ConvolutionFront(nn.Module):
    """The paper's front end: a convolution bank, and the blocks up to the last with a stride."""

    def __init__(self, config: Config, strides: tuple[int, ...], n_mels: int):
        super().__init__()
        self.bank = ConvBank(n_mels, config.channels, config.bank_kernels)
        # Without this norm, skip connections would carry the mean of every channel to the output.
        self.norm = InstanceNorm(config.instance_norm)
        self.blocks = _blocks(config, strides)

    def forward(self, mel: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """(B, 80, T) standardized log-mel to (B, channels, ceil(T / stride)) and its mask."""
        x = limit_deviations(self.norm(mel, mask))
        x = self.norm(self.bank(x), mask)
        for block in self.blocks:
            x, mask = block(x, mask)
        return x, mask


class PhoneEncoderFront(nn.Module):
    """Front end that interpolates phone-encoder features at the frames of the content codes.

    The phone encoder was trained on many speakers, so its features are nearly independent of the
    speaker.
    """

    def __init__(self, config: Config, strides: tuple[int, ...]):
        super().__init__()
        sizes = config.phone_encoder
        self.stride = math.prod(strides)
        self.phone_encoder = PhoneEncoder(sizes.channels, sizes.blocks, sizes.kernel)
        self.norm = InstanceNorm(config.instance_norm)
        self.mix = Conv((sizes.blocks - 1) * sizes.channels, config.channels, 1)

    def forward(
        self,
        mel: Tensor,
        mask: Tensor | None,
        phone_features: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """As :class:`ConvolutionFront`; ``phone_features`` are computed unless given."""
        if phone_features is None:
            phone_features = self.phone_encoder.phone_features(mel)
        mask = downsample_mask(mask, self.stride)
        x = to_code_frames(phone_features, -(-mel.shape[-1] // self.stride), self.stride)
        return self.mix(self.norm(x, mask)), mask


class ContentEncoder(nn.Module):
    """Standardized log-mel to content codes at 1/stride of its frame rate.

    A front end lowers the frame rate; the blocks after it keep it. The last
    ``config.detail_channels`` of the code channels have no network: they are a linear map of the
    instance-normalized mel.
    """

    def __init__(self, config: Config, n_mels: int):
        super().__init__()
        last = max((i for i, stride in enumerate(config.strides) if stride > 1), default=0)
        front_strides, strides = config.strides[: last + 1], config.strides[last + 1 :]
        self.front = (
            PhoneEncoderFront(config, front_strides)
            if config.phone_encoder
            else ConvolutionFront(config, front_strides, n_mels)
        )
        self.blocks = _blocks(config, strides)
        self.out = Conv(config.channels, config.code_channels - config.detail_channels, 1)
        self.stride, self.norm = math.prod(config.strides), InstanceNorm(config.instance_norm)
        self.detail = Conv(n_mels, config.detail_channels, 1) if config.detail_channels else None

    def forward(
        self,
        mel: Tensor,
        mask: Tensor | None = None,
        *,
        phone_features: Tensor | None = None,
    ) -> Tensor:
        """Encode.

        Parameters
        ----------
        mel
            (B, 80, T) standardized log-mel, any T >= 1.
        mask
            (B, 1, T) of 0 and 1: speech frames; None counts every frame as speech.
        phone_features
            Output of :meth:`~saic.model.phone_encoder.PhoneEncoder.phone_features` for the mel, if
            it is known already.

        Returns
        -------
        (B, C, ceil(T / stride)) content codes.
        """
        known = () if phone_features is None else (phone_features,)
        x, code_mask = self.front(mel, mask, *known)
        for block in self.blocks:
            x, code_mask = block(x, code_mask)
        codes = self.out(x)
        if self.detail is None:
            return codes
        normalized = limit_deviations(self.norm(mel, mask))
        return torch.cat([codes, self.detail(average_pool(normalized, self.stride))], dim=1)


def limit_deviations(normalized: Tensor) -> Tensor:
    """An instance-normalized mel, within six deviations."""
    return normalized.clamp(-_MAX_DEVIATIONS, _MAX_DEVIATIONS)


def _blocks(config: Config, strides: tuple[int, ...]) -> nn.ModuleList:
    return nn.ModuleList(ContentBlock(config.channels, config.kernel, s, config.instance_norm) for s in strides)
