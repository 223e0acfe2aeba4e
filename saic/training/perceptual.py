"""The feature network of the perceptual loss: VGG-style, on mels, trained to classify speakers.

It has a quarter of VGG16's width (Simonyan & Zisserman 2015). Its features replace those of VGG16
trained on ImageNet, so that a reconstruction keeps the speaker. For words there is another loss
(:mod:`saic.training.phone_recognizer`).
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from saic.config import Config as FullConfig
from saic.config import Perceptual as Config
from saic.errors import UsageError
from saic.signal.mel import N_MELS
from saic.training.loop import cosine, generators
from saic.training.training_set import TrainingSet
from saic.training.vgg import Vgg16
from saic.weights import write_tensors

FEATURES = "features.safetensors"
_CONVOLUTIONS = (2, 2, 3, 3)  # VGG16's blocks up to relu4_3


class MelFeatures(nn.Module):
    """Feature maps at the end of each block: VGG16's relu1_2, relu2_2, relu3_3, relu4_3.

    ``scale`` and ``shift`` (80, 1) turn mels that are standardized by other statistics into those that
    the network was trained on.
    """

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.register_buffer("scale", torch.ones(N_MELS, 1), persistent=False)
        self.register_buffer("shift", torch.zeros(N_MELS, 1), persistent=False)
        self.blocks = nn.ModuleList()
        previous = 1
        for width, count in zip(channels, _CONVOLUTIONS, strict=False):
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [nn.Conv2d(previous, width, 3, padding=1), nn.ReLU()]
                previous = width
            self.blocks.append(nn.Sequential(*layers))

    def forward(self, mel: Tensor) -> list[Tensor]:
        """(B, 80, T) standardized log-mel to maps (B, width, 80 / 2^i, T / 2^i)."""
        x, maps = (mel * self.scale + self.shift).unsqueeze(1), []
        for i, block in enumerate(self.blocks):
            x = block(F.max_pool2d(x, 2) if i else x)
            maps.append(x)
        return maps


class SpeakerClassifier(nn.Module):
    """The feature network with the speaker classifier that trains it."""

    def __init__(self, config: Config, n_speakers: int):
        super().__init__()
        self.features = MelFeatures(config.channels)
        self.speaker = nn.Linear(2 * config.channels[-1], n_speakers)

    def forward(self, mel: Tensor) -> Tensor:
        """(B, 80, T) standardized log-mel to speaker logits (B, K)."""
        last = self.features(mel)[-1].mean(dim=2)
        return self.speaker(torch.cat([last.mean(dim=-1), last.std(dim=-1)], dim=1))


class PerceptualStage:
    """Trains a :class:`SpeakerClassifier` on random crops."""

    def __init__(self, training_set: TrainingSet, config: FullConfig, device: str = "cpu"):
        torch.manual_seed(config.seed)
        self.training_set, self.config, self.device = training_set, config, device
        self.mean, self.std = training_set.statistics()
        self.classifier = SpeakerClassifier(config.perceptual, len(training_set.speakers)).to(device)
        self.optimizer = torch.optim.AdamW(self.classifier.parameters(), lr=config.perceptual.lr)

    def step(self, i: int) -> dict[str, Tensor]:
        """One step on a batch of random crops."""
        config = self.config.perceptual
        random, _ = generators(self.config.seed, i)
        self.optimizer.param_groups[0]["lr"] = config.lr * cosine(i, config.steps)
        crops = self.training_set.sample(config.batch_size, random)
        speakers = crops.speaker.to(self.device)
        logits = self.classifier(((crops.mel - self.mean) / self.std).to(self.device))
        loss = F.cross_entropy(logits, speakers)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.classifier.parameters(), 5.0)
        self.optimizer.step()
        accuracy = (logits.argmax(dim=1) == speakers).float().mean()
        return {"speaker": loss.detach(), "accuracy": accuracy}

    def state_dict(self) -> dict[str, Any]:
        """Network and optimizer."""
        return {"classifier": self.classifier.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.classifier.load_state_dict(state["classifier"])
        self.optimizer.load_state_dict(state["optimizer"])

    def save_features(self, folder: Path) -> None:
        """Write the feature network, without the classifier, and its mel statistics (float16) to a run folder."""
        tensors = self.classifier.features.state_dict() | {"mel_mean": self.mean, "mel_std": self.std}
        write_tensors(folder / FEATURES, {name: tensor.half().cpu() for name, tensor in tensors.items()})


def load_features(
    path: Path, channels: tuple[int, ...], mean: Tensor, std: Tensor, device: str = "cpu"
) -> MelFeatures | Vgg16:
    """Load and freeze a feature network: VGG16 from a file, or the run of ``train.perceptual``.

    Parameters
    ----------
    channels
        Those of the config's section ``perceptual``.
    mean, std
        (80, 1) mel statistics by which its input is standardized from now on. VGG16 was not trained on
        mels and takes any.

    Raises
    ------
    UsageError
        The file does not hold VGG16, or the folder has no network of these channels.
    """
    network = Vgg16.load(path) if path.is_file() else _own_features(path, channels, mean, std)
    return network.to(device).eval().requires_grad_(False)


def _own_features(folder: Path, channels: tuple[int, ...], mean: Tensor, std: Tensor) -> MelFeatures:
    network = MelFeatures(channels)
    try:
        tensors = load_file(folder / FEATURES)
        own_mean, own_std = (tensors.pop(name, other).float() for name, other in (("mel_mean", mean), ("mel_std", std)))
        network.load_state_dict(tensors)
    except (OSError, RuntimeError, SafetensorError):
        raise UsageError("The --perceptual folder has no features for this config. Run train.perceptual.") from None
    # (x std + mean - own_mean) / own_std = x scale + shift; files of earlier versions have no statistics
    network.scale, network.shift = std / own_std, (mean - own_mean) / own_std
    return network
