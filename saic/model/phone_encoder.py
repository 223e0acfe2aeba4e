"""Phone encoder: a Conformer (Gulati et al. 2020) without its phone classifier.

It is the content encoder's front end (``content_encoder.phone_encoder`` in the config). Its initial
weights are those of a public phone recognizer, with a linear map from this project's log-mel
(``python -m train.recognizer``). Stage 2 fine-tunes it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.model.layers import interpolate
from saic.signal.mel import HOP_SAMPLES, N_MELS

OWN_HOP_SAMPLES = 160  # of the recognizer's log-mel, 100 frames a second
STRIDE = 2  # of the first convolution: 50 phone features a second
_HEAD_CHANNELS = 36  # of one attention head
WINDOW = 750
"""Frames of attention, 15 s: its cost grows with the square of the window."""


class _FeedForward(nn.Module):
    def __init__(self, channels: int, expansion: int = 4):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, expansion * channels)
        self.fc2 = nn.Linear(expansion * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.silu(self.fc1(self.norm(x))))


class _Attention(nn.Module):
    """Self-attention without positional encoding; the convolutions give the order of frames."""

    def __init__(self, channels: int):
        super().__init__()
        self.n_heads = max(1, channels // _HEAD_CHANNELS)
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(self.norm(x)).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        windows = heads.tensor_split(-(-x.shape[1] // WINDOW), dim=3)
        attended = torch.cat([F.scaled_dot_product_attention(*window) for window in windows], dim=2)
        return self.out(attended.transpose(1, 2).flatten(2))


class _Convolution(nn.Module):
    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.pointwise1 = nn.Conv1d(channels, 2 * channels, 1)
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.pointwise2 = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gated = F.glu(self.pointwise1(self.norm(x).transpose(1, 2)), dim=1)
        return self.pointwise2(F.silu(self.depthwise(gated))).transpose(1, 2)


class _Block(nn.Module):
    """Conformer block (Gulati et al. 2020, Fig. 1), batch norm folded into the convolution."""

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.ffn1, self.ffn2 = _FeedForward(channels), _FeedForward(channels)
        self.attention = _Attention(channels)
        self.convolution = _Convolution(channels, kernel)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolve(self.attend(x))

    def attend(self, x: Tensor) -> Tensor:
        """(B, T, C) to the same shape: the half whose frames depend on those of an attention window."""
        x = x + self.ffn1(x) / 2
        return x + self.attention(x)

    def convolve(self, x: Tensor) -> Tensor:
        """(B, T, C) to the same shape: the half whose frames depend on those within the kernel."""
        x = x + self.convolution(x)
        return self.norm(x + self.ffn2(x) / 2)


class PhoneEncoder(nn.Module):
    """(B, 80, T) mel to phone features, 50 frames a second.

    ``matrix`` and ``offset`` map the given mel to the log-mel, 100 frames a second, that the
    Conformer was trained on.
    """

    def __init__(self, channels: int, n_blocks: int, kernel: int):
        super().__init__()
        self.register_buffer("matrix", torch.eye(N_MELS))
        self.register_buffer("offset", torch.zeros(N_MELS, 1))
        self.lead = nn.Conv1d(N_MELS, channels, 3, STRIDE, padding=1)
        self.blocks = nn.ModuleList(_Block(channels, kernel) for _ in range(n_blocks))

    def block_features(self, mel: Tensor) -> list[Tensor]:
        """Output of every block, first to last, each (B, T', C).

        T' = ceil(T * 5 / 8), one frame for every 20 ms.
        """
        return self.block_features_of_own_mel(self.to_own_mel(to_recognizer_frames(mel)))

    def to_own_mel(self, mel: Tensor) -> Tensor:
        """(B, 80, T) mel at the recognizer's frames to the recognizer's own log-mel."""
        with torch.autocast(mel.device.type, enabled=False):  # bfloat16 has too few digits for a sum over bands
            return self.matrix @ mel.float() + self.offset

    def phone_features(self, mel: Tensor) -> Tensor:
        """Concatenated outputs of all blocks but the first, (B, T', (blocks - 1) C).

        The first block's output still depends on the speaker.
        """
        return torch.cat(self.block_features(mel)[1:], dim=-1)

    def block_features_of_own_mel(self, own_mel: Tensor) -> list[Tensor]:
        """:meth:`block_features` of the recognizer's own log-mel (B, 80, T), 100 frames per s."""
        x = F.gelu(self.lead(own_mel)).transpose(1, 2)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x.float())
        return features


def to_recognizer_frames(mel: Tensor) -> Tensor:
    """Interpolate a (B, 80, T) mel at the recognizer's frames, linearly.

    Frame t of the mel is centered on sample 200 t + 100, the recognizer's on sample 160 t.

    Returns
    -------
    (B, 80, ceil(T * 5 / 4)).
    """
    n_frames = mel.shape[-1]
    return interpolate(mel, recognizer_places(0, recognizer_length(n_frames), n_frames).to(mel.device))


def recognizer_length(n_frames: int) -> int:
    """Number of the recognizer's frames for T frames of the mel: ceil(T * 5 / 4)."""
    return -(-n_frames * HOP_SAMPLES // OWN_HOP_SAMPLES)


def recognizer_places(start: int, stop: int, n_frames: int) -> Tensor:
    """(stop - start,) the places of the recognizer's frames among T frames of the mel, in frames."""
    places = torch.arange(start, stop, dtype=torch.float64) * OWN_HOP_SAMPLES / HOP_SAMPLES - 0.5
    return places.clamp(0, n_frames - 1)


def code_places(start: int, stop: int, stride: int, n_features: int) -> Tensor:
    """(stop - start,) the places of content codes among T' phone features, in features."""
    center = (torch.arange(start, stop, dtype=torch.float64) + 0.5) * stride * HOP_SAMPLES
    return (center / (OWN_HOP_SAMPLES * STRIDE)).clamp(0, n_features - 1)


def to_code_frames(features: Tensor, n_codes: int, stride: int) -> Tensor:
    """Interpolate (B, T', C) phone features at the centers of content codes, linearly.

    Parameters
    ----------
    features
        Frame k is centered on sample 320 k.
    n_codes, stride
        Number of content codes, and of mel frames per code.

    Returns
    -------
    (B, C, n_codes).
    """
    places = code_places(0, n_codes, stride, features.shape[1]).to(features.device)
    return interpolate(features.transpose(1, 2), places)
