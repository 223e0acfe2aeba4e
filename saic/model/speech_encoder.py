"""Speech encoder: the encoder of Whisper (Radford et al. 2022), a second front end of the content encoder.

It stands beside the phone encoder (``content_encoder.speech_encoder`` in the config). Its weights
are those of Whisper tiny.en, with a linear map from this project's log-mel (``python -m
train.speech_encoder``). Training does not change them.

Whisper's input is always 30 s, padded with silence. Here it is as long as the recording, in windows
of at most 15 s. Whisper raises its log-mel to the recording's maximum minus 80 dB; here that level
is fixed (``floor``), because the content encoder's input has a fixed level already. So neither a
knock nor the length of a recording changes the features of a word.
"""

import copy
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.model.phone_encoder import to_recognizer_frames
from saic.signal.mel import N_MELS

_STRIDE = 2  # of the second convolution: 50 features a second
_HEAD_CHANNELS = 64  # of one attention head
WINDOW = 750  # frames of attention, 15 s
_MARGIN = 50  # frames at each end of a window that the next window gives better, 1 s
_LONGEST_PERIOD = 10_000  # of the sinusoidal positions, in frames


class _Block(nn.Module):
    """Transformer block with layer norm before attention and before the feed-forward network."""

    def __init__(self, channels: int):
        super().__init__()
        self.n_heads = max(1, channels // _HEAD_CHANNELS)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(self.norm1(x)).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class SpeechEncoder(nn.Module):
    """(B, 80, T) mel to speech features, 50 frames a second.

    ``matrix`` and ``offset`` map the given mel to Whisper's log-mel, log10 of the power at 100
    frames a second; ``floor`` is its lowest value.
    """

    def __init__(self, channels: int, n_blocks: int):
        super().__init__()
        self.register_buffer("matrix", torch.eye(N_MELS))
        self.register_buffer("offset", torch.zeros(N_MELS, 1))
        self.register_buffer("floor", torch.tensor([-8.0]))
        self.conv1 = nn.Conv1d(N_MELS, channels, 3, padding=1)
        self.conv2 = nn.Conv1d(channels, channels, 3, _STRIDE, padding=1)
        self.blocks = nn.ModuleList(_Block(channels) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(channels)

    def for_standardized(self, mean: Tensor, deviation: Tensor) -> "SpeechEncoder":
        """A copy for mels that are standardized by ``mean`` and ``deviation`` (80, 1)."""
        other = copy.deepcopy(self).to(mean.device)
        other.offset = other.matrix @ mean + other.offset
        other.matrix = other.matrix * deviation.T
        return other

    def speech_features(self, mel: Tensor) -> Tensor:
        """Concatenated outputs of the middle block and of the network, (B, T', 2 C).

        T' = ceil(T * 5 / 8); frame k is centered on sample 320 k, as that of the phone encoder.
        """
        return self.features_of_own_mel(self.to_own_mel(to_recognizer_frames(mel)))

    def to_own_mel(self, mel: Tensor) -> Tensor:
        """(B, 80, T) mel at 100 frames per s to Whisper's scaled log-mel."""
        with torch.autocast(mel.device.type, enabled=False):  # bfloat16 has too few digits for a sum over bands
            return ((self.matrix @ mel.float() + self.offset).maximum(self.floor) + 4) / 4

    def features_of_own_mel(self, own_mel: Tensor) -> Tensor:
        """:meth:`speech_features` of Whisper's scaled log-mel (B, 80, T), 100 frames per s."""
        x = self.lead(own_mel).transpose(1, 2)
        pieces = [
            self.features_of_window(x[:, first : first + WINDOW])[:, start - first : stop - first]
            for start, stop, first in attention_windows(x.shape[1])
        ]
        return torch.cat(pieces, dim=1)

    def lead(self, own_mel: Tensor) -> Tensor:
        """(B, 80, T) of Whisper's scaled log-mel to (B, C, ceil(T / 2)): both convolutions."""
        return F.gelu(self.conv2(F.gelu(self.conv1(own_mel))))

    def features_of_window(self, x: Tensor) -> Tensor:
        """(B, n, C) frames of one window, n <= 750, to (B, n, 2 C)."""
        x = x + sinusoids(*x.shape[1:]).to(x)
        middle = x
        for i, block in enumerate(self.blocks, start=1):
            x = block(x)
            if i == len(self.blocks) // 2:
                middle = x
        return torch.cat([middle.float(), self.norm(x).float()], dim=-1)


def attention_windows(n_frames: int) -> Iterator[tuple[int, int, int]]:
    """First and last frame that each window gives, and the frame at which it begins.

    Ends of windows are dropped where another window has them inside.
    """
    step = n_frames if n_frames <= WINDOW else WINDOW - 2 * _MARGIN
    for start in range(0, n_frames, step):
        yield start, min(start + step, n_frames), max(0, min(start - _MARGIN, n_frames - WINDOW))


def sinusoids(n_frames: int, channels: int) -> Tensor:
    """(n_frames, channels) positions: sines, then cosines, of periods from 2 pi to 20,000 pi frames."""
    half = channels // 2
    rates = torch.exp(-math.log(_LONGEST_PERIOD) / max(1, half - 1) * torch.arange(half))
    phases = torch.arange(n_frames)[:, None] * rates
    return torch.cat([phases.sin(), phases.cos()], dim=1)
