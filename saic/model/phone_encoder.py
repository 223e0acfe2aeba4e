"""Phone encoder: a Conformer (Gulati et al. 2020) without its phone classifier.

It is the content encoder's front end (``content_encoder.phone_encoder`` in the config). Its initial
weights are those of a public phone recognizer, with a linear map from this project's log-mel
(``python -m train.recognizer``). Stage 2 fine-tunes it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.signal.mel import HOP_SAMPLES, N_MELS

OWN_HOP_SAMPLES = 160  # of the recognizer's log-mel, 100 frames a second
_STRIDE = 2  # of the first convolution: 50 phone features a second
_HEAD_CHANNELS = 36  # of one attention head
_WINDOW = 750  # frames of attention, 15 s; the cost of attention grows with the square of the window


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
        windows = heads.tensor_split(-(-x.shape[1] // _WINDOW), dim=3)
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
        x = x + self.ffn1(x) / 2
        x = x + self.attention(x)
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
        self.lead = nn.Conv1d(N_MELS, channels, 3, _STRIDE, padding=1)
        self.blocks = nn.ModuleList(_Block(channels, kernel) for _ in range(n_blocks))

    def block_features(self, mel: Tensor) -> list[Tensor]:
        """Output of every block, first to last, each (B, T', C).

        T' = ceil(T * 5 / 8), one frame for every 20 ms.
        """
        with torch.autocast(mel.device.type, enabled=False):  # bfloat16 has too few digits for a sum over bands
            own_mel = self.matrix @ to_recognizer_frames(mel.float()) + self.offset
        return self.block_features_of_own_mel(own_mel)

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
    n_own = -(-n_frames * HOP_SAMPLES // OWN_HOP_SAMPLES)
    place = (torch.arange(n_own, device=mel.device) * OWN_HOP_SAMPLES / HOP_SAMPLES - 0.5).clamp(0, n_frames - 1)
    return _interpolate(mel, place)


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
    center = (torch.arange(n_codes, device=features.device) + 0.5) * stride * HOP_SAMPLES
    place = (center / (OWN_HOP_SAMPLES * _STRIDE)).clamp(0, features.shape[1] - 1)
    return _interpolate(features.transpose(1, 2), place)


def _interpolate(x: Tensor, place: Tensor) -> Tensor:
    """Values of (..., T) at N fractional frames, by linear interpolation: (..., N)."""
    before = place.long()
    after = (before + 1).clamp_max(x.shape[-1] - 1)
    return torch.lerp(x[..., before], x[..., after], (place - before).to(x.dtype))
