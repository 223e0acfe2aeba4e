"""A phone recognizer on mels, trained by the project: it hears whether words survive.

Convolutions over time with one output for each fortieth of a second, trained by connectionist temporal classification
(Graves et al. 2006) on the transcripts of the corpus. Stage 2 compares what it hears in an output with what it hears in
the clip. A distance of mels counts a blurred consonant as little; this counts it as what it is, another word. It is no
judge: figures are made by recognizers that never trained anything here.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from saic.config import Config as FullConfig
from saic.config import Disguise as DisguiseConfig
from saic.config import Recognizer as Config
from saic.errors import DataError, UsageError
from saic.mel import FRAMES_PER_S, N_MELS
from saic.training import distributed
from saic.training.corpus import Corpus
from saic.training.disguise import Disguise, degrade
from saic.training.loop import cosine, generators, precision
from saic.weights import write_tensors

FILE = "recognizer.safetensors"
_STRIDE = 2
_LONGEST_S = 14.0  # transcribed clips up to this length train it
_LEAST_DEVIATION = 0.1
_MASKED_BANDS, _MASKED_FRAMES = 12, 24  # at most, each twice: SpecAugment (Park et al. 2019)
_DEGRADED = 0.15
_LOG_PROBABILITY_SHARE = 0.1  # in nats they are ten times as steep as the features


class _Block(nn.Module):
    """ConvNeXt's block (Liu et al. 2022) over time."""

    def __init__(self, channels: int, kernel: int = 9, expansion: int = 3, dropout: float = 0.1):
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, channels * expansion)
        self.narrow = nn.Linear(channels * expansion, channels)
        self.dropout = nn.Dropout(dropout)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))
        return x + (self.scale * self.dropout(self.narrow(F.gelu(self.widen(y))))).transpose(1, 2)


class Recognizer(nn.Module):
    """(B, 80, T) standardized log-mel to what was heard: features, and log-probabilities of phones."""

    def __init__(self, config: Config, n_phones: int):
        super().__init__()
        self.lead = nn.Conv1d(N_MELS, config.channels, 5, stride=_STRIDE, padding=2)
        self.blocks = nn.ModuleList(_Block(config.channels) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.channels)
        self.out = nn.Linear(config.channels, 1 + n_phones)

    def forward(self, mel: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features after every second block and of the last layer, each (B, C, T / 2), first to last; then
        log-probabilities (B, T / 2, 1 + phones), the blank first."""
        deviation, mean = torch.std_mean(mel, dim=-1, keepdim=True)
        x = F.gelu(self.lead((mel - mean) / (deviation + _LEAST_DEVIATION)))
        features = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i % 2:
                features.append(x.float())
        last = self.norm(x.transpose(1, 2))
        return [*features, last.transpose(1, 2).float()], self.out(last).float().log_softmax(dim=-1)


def word_distance(recognizer: Recognizer, output: Tensor, target: Tensor, *, last: bool = False) -> Tensor:
    """How much a recognizer hears in one mel and not in another, frame by frame; 0 for equal mels.

    Parameters
    ----------
    output, target
        (B, 80, T) standardized log-mels; gradients go to the output alone.
    last
        Whether to compare the last features alone: earlier ones still tell voices apart.

    Returns
    -------
    The L1 distance of features, relative to the target's own deviation over time and averaged over layers, and a tenth
    of the Kullback-Leibler divergence of phones in nats.
    """
    own = distributed.rows(len(output))
    with torch.no_grad():
        wanted, said = recognizer(target[own])
    got, heard = recognizer(output[own])
    pairs = list(zip(got, wanted, strict=True))[-1 if last else 0 :]
    differences = torch.stack([(g - w).abs().sum() for g, w in pairs])
    deviations = torch.stack([(w - w.mean(dim=-1, keepdim=True)).abs().sum() for _, w in pairs])
    divergence = F.kl_div(heard, said, reduction="sum", log_target=True)
    relative = distributed.total(differences) / distributed.total(deviations).clamp_min(1e-4)
    frames = len(output) * said.shape[1]
    return relative.mean() + _LOG_PROBABILITY_SHARE * distributed.total(divergence[None])[0] / frames


class RecognizerStage:
    """Trains a :class:`Recognizer` on whole clips, in disguise and with gaps.

    Parameters
    ----------
    spelled
        The phones of each clip of the corpus as a string, one character each; None for a clip without a transcript.
    mean, std
        (80, 1) of the corpus that the recognizer will be used on; None measures this one's.
    """

    def __init__(self, corpus: Corpus, spelled: list[str | None], config: FullConfig, device: str = "cpu"):
        torch.manual_seed(config.seed)
        self.corpus, self.config, self.device = corpus, config, device
        self.mean, self.std = corpus.statistics()
        limit = _LONGEST_S * FRAMES_PER_S
        self.clips = np.array([i for i, phones in enumerate(spelled) if phones and corpus.lengths[i] <= limit], int)
        if not len(self.clips):
            raise DataError(f"No clip of at most {_LONGEST_S:g} s has a transcript: there is nothing to learn from.")
        self.alphabet = sorted(set("".join(spelled[i] for i in self.clips)))
        index = {phone: k for k, phone in enumerate(self.alphabet, start=1)}
        self.phones = {int(i): torch.tensor([index[phone] for phone in spelled[i]]) for i in self.clips}
        self.network = Recognizer(config.recognizer, len(self.alphabet)).to(device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=config.recognizer.lr, weight_decay=0.02)

    def step(self, i: int) -> dict[str, float]:
        """One step on clips of about one length."""
        config = self.config.recognizer
        random, _ = generators(self.config.seed + 2, i)
        self.optimizer.param_groups[0]["lr"] = config.lr * cosine(i, config.steps)
        clips = self._draw(random)
        lengths = torch.from_numpy(self.corpus.lengths[clips])
        mel = nn.utils.rnn.pad_sequence([self.corpus.clip_mel(clip).T for clip in clips], batch_first=True)
        mel = mel.transpose(1, 2).where(torch.arange(mel.shape[1]) < lengths[:, None, None], mel.min())
        mel = Disguise.draw(len(clips), DisguiseConfig(), random).mel(mel)
        mel = _gaps((degrade(mel, _DEGRADED, random) - self.mean) / self.std, random)
        with precision(self.config, self.device):
            _, heard = self.network(mel.to(self.device))
        phones = [self.phones[clip] for clip in clips]
        sizes = torch.tensor([len(said) for said in phones])
        steps = (lengths + _STRIDE - 1) // _STRIDE
        said = torch.cat(phones).to(self.device)
        loss = F.ctc_loss(heard.transpose(0, 1), said, steps, sizes, zero_infinity=True)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 2.0)
        self.optimizer.step()
        return {"loss": float(loss.detach())}

    def _draw(self, random: np.random.Generator) -> list[int]:
        """Clips for one batch: a random one and others of its length, so that little is padding."""
        lengths = self.corpus.lengths[self.clips]
        wanted = random.choice(lengths)
        size = min(len(self.clips), max(2, int(self.config.recognizer.batch_s * FRAMES_PER_S / wanted)))
        nearest = np.argsort(np.abs(lengths - wanted) + FRAMES_PER_S / 2 * random.random(len(lengths)))[: 2 * size]
        return self.clips[random.permutation(nearest)[:size]].tolist()

    def state_dict(self) -> dict[str, Any]:
        """Network and optimizer."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo :meth:`state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self, folder: Path) -> None:
        """Write the network to a run folder."""
        write_tensors(folder / FILE, {name: tensor.cpu() for name, tensor in self.network.state_dict().items()})


def _gaps(mel: Tensor, random: np.random.Generator) -> Tensor:
    """A (B, 80, T) standardized mel with some bands and some moments at their mean."""
    bands, frames = torch.arange(N_MELS).view(1, -1, 1), torch.arange(mel.shape[-1]).view(1, 1, -1)
    for places, longest in ((bands, _MASKED_BANDS), (frames, min(_MASKED_FRAMES, mel.shape[-1] // 4))):
        for _ in range(2):
            size = random.integers(0, longest + 1, len(mel))
            first = torch.from_numpy(random.integers(0, places.numel() - size)).view(-1, 1, 1)
            mel = mel.masked_fill((places >= first) & (places < first + torch.from_numpy(size).view(-1, 1, 1)), 0.0)
    return mel


def load_recognizer(folder: Path, config: Config, device: str = "cpu") -> Recognizer:
    """The frozen network that :meth:`RecognizerStage.save` wrote into a folder."""
    try:
        tensors = load_file(folder / FILE)
        network = Recognizer(config, len(tensors["out.bias"]) - 1)
        network.load_state_dict(tensors)
    except (OSError, KeyError, RuntimeError):
        message = "The --recognizer folder has no recognizer for this config. Run train.recognizer."
        raise UsageError(message) from None
    return network.to(device).eval().requires_grad_(False)
