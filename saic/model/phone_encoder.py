"""What hears phones in a mel: a Conformer (Gulati et al. 2020) without its phone classifier.

The content encoder may listen through one (``content_encoder.listener`` in the config). It comes from a public
recognizer, brought to this project's mels (``python -m train.recognizer``), and learns on in stage 2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.signal.mel import HOP_SAMPLES, N_MELS

OWN_HOP_SAMPLES = 160
_STRIDE = 2
_HEAD_CHANNELS = 36  # of an attention head
_WINDOW = 750  # of attention, 15 s: all of a long recording at once would cost its length squared


class _FeedForward(nn.Module):
    def __init__(self, channels: int, expansion: int = 4):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.fc1 = nn.Linear(channels, expansion * channels)
        self.fc2 = nn.Linear(expansion * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.silu(self.fc1(self.norm(x))))


class _Attention(nn.Module):
    """Self-attention without positions: the convolutions tell what is near."""

    def __init__(self, channels: int):
        super().__init__()
        self.n_heads = max(1, channels // _HEAD_CHANNELS)
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(self.norm(x)).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        windows = heads.tensor_split(-(-x.shape[1] // _WINDOW), dim=3)
        seen = torch.cat([F.scaled_dot_product_attention(*window) for window in windows], dim=2)
        return self.out(seen.transpose(1, 2).flatten(2))


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
    """Conformer block (Gulati et al. 2020, Fig. 1); batch norm is folded into the depthwise convolution."""

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


class Listener(nn.Module):
    """(B, 80, T) mel to what is heard in it, 50 times a second.

    ``matrix`` and ``offset`` lead from the mel that is given to the log-mel, at 100 frames a second, that the network
    was made for.
    """

    def __init__(self, channels: int, n_blocks: int, kernel: int):
        super().__init__()
        self.register_buffer("matrix", torch.eye(N_MELS))
        self.register_buffer("offset", torch.zeros(N_MELS, 1))
        self.lead = nn.Conv1d(N_MELS, channels, 3, _STRIDE, padding=1)
        self.blocks = nn.ModuleList(_Block(channels, kernel) for _ in range(n_blocks))

    def listen(self, mel: Tensor) -> list[Tensor]:
        """Features after every block, each (B, T', C), first to last; T' = ceil(T * 5 / 8), one for every 20 ms."""
        with torch.autocast(mel.device.type, enabled=False):  # bfloat16 has too few digits for a sum over bands
            mapped = self.matrix @ on_own_grid(mel.float()) + self.offset
        return self.features(mapped)

    def sounds(self, mel: Tensor) -> Tensor:
        """(B, T', C) features of all blocks but the first, which still tells voices apart."""
        return torch.cat(self.listen(mel)[1:], dim=-1)

    def features(self, own_mel: Tensor) -> list[Tensor]:
        """The same from the (B, 80, T) log-mel that the network was made for, 100 frames a second."""
        x = F.gelu(self.lead(own_mel)).transpose(1, 2)
        found = []
        for block in self.blocks:
            x = block(x)
            found.append(x.float())
        return found


def on_own_grid(mel: Tensor) -> Tensor:
    """(B, 80, T) mel, frame t at sample 200 t + 100, to the recognizer's frames, at 160 t: linear interpolation."""
    n_frames = mel.shape[-1]
    n_own = -(-n_frames * HOP_SAMPLES // OWN_HOP_SAMPLES)
    place = (torch.arange(n_own, device=mel.device) * OWN_HOP_SAMPLES / HOP_SAMPLES - 0.5).clamp(0, n_frames - 1)
    return _at(mel, place)


def on_code_grid(heard: Tensor, n_codes: int, stride: int) -> Tensor:
    """(B, T', C) features, at samples 320 k, to (B, C, L) in the middle of content codes of ``stride`` mel frames."""
    middle = (torch.arange(n_codes, device=heard.device) + 0.5) * stride * HOP_SAMPLES
    place = (middle / (OWN_HOP_SAMPLES * _STRIDE)).clamp(0, heard.shape[1] - 1)
    return _at(heard.transpose(1, 2), place)


def _at(x: Tensor, place: Tensor) -> Tensor:
    """(..., T) between its frames: linear interpolation at places (N,)."""
    before = place.long()
    after = (before + 1).clamp_max(x.shape[-1] - 1)
    return torch.lerp(x[..., before], x[..., after], (place - before).to(x.dtype))
