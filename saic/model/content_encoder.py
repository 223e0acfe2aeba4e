"""Content Encoder (paper 3.2): what is said, with who says it normalized away."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import ContentEncoder as Config
from saic.model.layers import Conv, ConvBank, InstanceNorm
from saic.model.phone_encoder import Listener, on_code_grid
from saic.signal.masking import average_pool, downsample_mask

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


class ConvolutionFront(nn.Module):
    """A bank of convolutions and the blocks up to the last step in rate: hears a mel without its colour."""

    def __init__(self, config: Config, strides: tuple[int, ...], n_mels: int):
        super().__init__()
        self.bank = ConvBank(n_mels, config.channels, config.bank_kernels)
        # Without it the skip path carries the mean of every channel to the output.
        self.norm = InstanceNorm(config.instance_norm)
        self.blocks = _blocks(config, strides)
        self.receptive_field = self.bank.receptive_field + _reach(config.kernel, strides)

    def forward(self, mel: Tensor, mask: Tensor | None, statistics: list | None) -> tuple[Tensor, Tensor | None, list]:
        """(B, 80, T) standardized log-mel to (B, channels, L), its mask, and one item of statistics a norm or block."""
        x, colour = self.norm(mel, mask, statistics[0] if statistics else None)
        x = x.clamp(-_LARGEST, _LARGEST)
        x, bank = self.norm(self.bank(x), mask, statistics[1] if statistics else None)
        x, mask, pairs = _through(self.blocks, x, mask, statistics[2:] if statistics else None)
        return x, mask, [colour, bank, *pairs]


class ListenerFront(nn.Module):
    """What a phone recognizer hears, on the grid of the codes.

    It was made to know sounds whoever says them, and holds next to nothing of a speaker.
    """

    def __init__(self, config: Config, strides: tuple[int, ...]):
        super().__init__()
        sizes = config.listener
        self.stride = math.prod(strides)
        self.listener = Listener(sizes.channels, sizes.blocks, sizes.kernel)
        self.norm = InstanceNorm(config.instance_norm)
        self.mix = Conv((sizes.blocks - 1) * sizes.channels, config.channels, 1)
        self.receptive_field = math.inf

    def forward(
        self, mel: Tensor, mask: Tensor | None, statistics: list | None, sounds: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, list]:
        """As :class:`ConvolutionFront`; ``sounds`` are what the listener hears, if it is known already."""
        mask = downsample_mask(mask, self.stride)
        sounds = self.listener.sounds(mel) if sounds is None else sounds
        x = on_code_grid(sounds, -(-mel.shape[-1] // self.stride), self.stride)
        x, used = self.norm(x, mask, statistics[0] if statistics else None)
        return self.mix(x), mask, [used]


class ContentEncoder(nn.Module):
    """Standardized log-mel to content codes at 1/stride of its frame rate.

    A front hears the mel; the blocks behind it all work at the rate of the codes.
    """

    def __init__(self, config: Config, n_mels: int):
        super().__init__()
        last_step = max((i for i, stride in enumerate(config.strides) if stride > 1), default=0)
        fast, slow = config.strides[: last_step + 1], config.strides[last_step + 1 :]
        self.front = ListenerFront(config, fast) if config.listener else ConvolutionFront(config, fast, n_mels)
        self.blocks = _blocks(config, slow)
        self.out = Conv(config.channels, config.code_channels, 1)
        self.receptive_field = self.front.receptive_field + math.prod(fast) * _reach(config.kernel, slow)

    def forward(
        self,
        mel: Tensor,
        mask: Tensor | None = None,
        statistics: list | None = None,
        *,
        sounds: Tensor | None = None,
    ) -> tuple[Tensor, list]:
        """Encode.

        Parameters
        ----------
        mel
            (B, 80, T) standardized log-mel, any T >= 1.
        mask
            (B, 1, T) of 0 and 1: speech frames; None counts every frame as speech.
        statistics
            Normalization statistics returned by an earlier call, to encode a chunk as part of its whole. A listener
            hears further than a chunk (15 s): with one, a recording is encoded whole.
        sounds
            What a listener front hears in the mel (:meth:`~saic.model.phone_encoder.Listener.sounds`), if it is known already.

        Returns
        -------
        content: (B, C, ceil(T / stride)); statistics: those of the front, then one pair per block.
        """
        n = len(statistics) - len(self.blocks) if statistics else 0
        known = () if sounds is None else (sounds,)
        x, mask, used = self.front(mel, mask, statistics[:n] if statistics else None, *known)
        x, _, pairs = _through(self.blocks, x, mask, statistics[n:] if statistics else None)
        return self.out(x), [*used, *pairs]


def _blocks(config: Config, strides: tuple[int, ...]) -> nn.ModuleList:
    return nn.ModuleList(ContentBlock(config.channels, config.kernel, s, config.instance_norm) for s in strides)


def _through(
    blocks: nn.ModuleList, x: Tensor, mask: Tensor | None, statistics: list | None
) -> tuple[Tensor, Tensor | None, list]:
    used = []
    for i, block in enumerate(blocks):
        x, mask, pair = block(x, mask, statistics[i] if statistics else None)
        used.append(pair)
    return x, mask, used


def _reach(kernel: int, strides: tuple[int, ...]) -> int:
    """Frames that two convolutions per block add to the receptive field, at the input's rate."""
    reach, rate = 0, 1
    for stride in strides:
        reach += 2 * (kernel - 1) * rate
        rate *= stride
    return reach + rate - 1
