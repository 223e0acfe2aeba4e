"""A phone recognizer that hears whether words survive: the loss on words of stage 2.

A distance of mels counts a blurred consonant as little; a recognizer counts it as what it is, another word. A corpus
need not have transcripts to train one: a public one is taken, the Conformer (Gulati et al. 2020) of the package
``hama``, which writes phones by connectionist temporal classification (Graves et al. 2006). It reads another log-mel
than ours; a linear map, found by least squares (``python -m train.recognizer``), leads from one to the other. It is no
judge: figures are made by recognizers that never trained anything here.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from saic.errors import UsageError
from saic.mel import HOP_SAMPLES, N_MELS
from saic.training import distributed
from saic.weights import write_tensors

FILE = "recognizer.safetensors"
OWN_HOP_SAMPLES = 160
_STRIDE = 2
_HEAD_CHANNELS = 36  # of an attention head
_PHONES_SHARE = 0.2  # a frame mistaken for another counts several nats, and features about 1


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
        return self.out(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


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


class Recognizer(nn.Module):
    """(B, 80, T) log-mel to what was heard: features, and log-probabilities of phones, 50 times a second."""

    def __init__(self, n_phones: int, channels: int = 144, n_blocks: int = 4, kernel: int = 31):
        super().__init__()
        self.register_buffer("matrix", torch.eye(N_MELS))
        self.register_buffer("offset", torch.zeros(N_MELS, 1))
        self.lead = nn.Conv1d(N_MELS, channels, 3, _STRIDE, padding=1)
        self.blocks = nn.ModuleList(_Block(channels, kernel) for _ in range(n_blocks))
        self.out = nn.Linear(channels, n_phones)

    def forward(self, mel: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features after every block, each (B, T', C), first to last; then log-probabilities (B, T', phones).

        T' = ceil(T * 5 / 8), one for every 20 ms.
        """
        with torch.autocast(mel.device.type, enabled=False):  # bfloat16 has too few digits for a sum over bands
            mapped = self.matrix @ on_own_grid(mel.float()) + self.offset
        return self.hear(mapped)

    def hear(self, own_mel: Tensor) -> tuple[list[Tensor], Tensor]:
        """The same from the (B, 80, T) log-mel that the network was made for, 100 frames a second."""
        x = F.gelu(self.lead(own_mel)).transpose(1, 2)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x.float())
        return features, self.out(x).float().log_softmax(dim=-1)

    def save(self, folder: Path) -> None:
        """Write the network to a run folder."""
        write_tensors(folder / FILE, {name: tensor.cpu() for name, tensor in self.state_dict().items()})


def on_own_grid(mel: Tensor) -> Tensor:
    """(B, 80, T) mel, frame t at sample 200 t + 100, to the recognizer's frames, at 160 t: linear interpolation."""
    n_frames = mel.shape[-1]
    n_own = -(-n_frames * HOP_SAMPLES // OWN_HOP_SAMPLES)
    place = (torch.arange(n_own, device=mel.device) * OWN_HOP_SAMPLES / HOP_SAMPLES - 0.5).clamp(0, n_frames - 1)
    before = place.long()
    after = (before + 1).clamp_max(n_frames - 1)
    return torch.lerp(mel[..., before], mel[..., after], (place - before).to(mel.dtype))


def word_distance(recognizer: Recognizer, output: Tensor, target: Tensor, *, same_voice: bool = True) -> Tensor:
    """How much a recognizer hears in one mel and not in another, frame by frame; 0 for equal mels.

    Parameters
    ----------
    output, target
        (B, 80, T) log-mels; gradients go to the output alone.
    same_voice
        Whether features are compared as well. They tell voices apart too, so two voices are compared by phones alone.

    Returns
    -------
    A share of the Kullback-Leibler divergence of phones in nats, and with it the L1 distance of features, relative to
    the target's own deviation over time and averaged over layers.
    """
    own = distributed.rows(len(output))
    with torch.no_grad():
        wanted, said = recognizer(target[own])
    got, heard = recognizer(output[own])
    divergence = distributed.total(F.kl_div(heard, said, reduction="sum", log_target=True)[None])[0]
    distance = _PHONES_SHARE * divergence / (len(output) * said.shape[1])
    if not same_voice:
        return distance
    pairs = list(zip(got, wanted, strict=True))
    differences = torch.stack([(g - w).abs().sum() for g, w in pairs])
    deviations = torch.stack([(w - w.mean(dim=1, keepdim=True)).abs().sum() for _, w in pairs])
    return distance + (distributed.total(differences) / distributed.total(deviations).clamp_min(1e-4)).mean()


def load_recognizer(folder: Path, device: str = "cpu") -> Recognizer:
    """The frozen network that ``train.recognizer`` wrote into a folder."""
    try:
        tensors = load_file(folder / FILE)
        n_phones, channels = tensors["out.weight"].shape
        n_blocks = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
        kernel = tensors["blocks.0.convolution.depthwise.weight"].shape[-1]
        network = Recognizer(n_phones, channels, n_blocks, kernel)
        network.load_state_dict(tensors)
    except (OSError, KeyError, RuntimeError, ValueError, SafetensorError):
        raise UsageError("The --recognizer folder holds no recognizer. Run train.recognizer.") from None
    return network.to(device).eval().requires_grad_(False)
