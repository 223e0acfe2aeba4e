"""VGG16 (Simonyan & Zisserman 2015, configuration D) as feature network of the perceptual loss.

The weights are torchvision's, trained on ImageNet: ``vgg16-397923af.pth``, or the same state dict
as safetensors. They are not part of this project. Only the 13 convolutions are read.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from saic.errors import UsageError

_LAYOUT = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")
_TAPS = {3: "relu1_2", 8: "relu2_2", 13: "relu3_2", 22: "relu4_3", 30: "pool5"}  # by index in torchvision's features
_PREFIX = "features."
_MIN_FRAMES = 32  # five poolings leave one frame


class Vgg16(nn.Module):
    """Feature maps relu1_2, relu2_2, relu3_2, relu4_3 and pool5 of a mel as a gray image.

    The mel is the input of all three color channels. Standardized, it has the mean and deviation of
    torchvision's normalized images.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _LAYOUT:
            if width == "pool":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)

    def forward(self, mel: Tensor) -> list[Tensor]:
        """(B, 80, T) standardized log-mel, T >= 32, to maps (B, width, 80 / 2^i, T / 2^i).

        i = 0, 1, 2, 3, 5 is the number of poolings before the map.
        """
        if mel.shape[-1] < _MIN_FRAMES:
            raise UsageError(f"VGG16 needs training.segment_frames of at least {_MIN_FRAMES}.")
        x, maps = mel.unsqueeze(1).expand(-1, 3, -1, -1), []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in _TAPS:
                maps.append(x)
        return maps

    @classmethod
    def load(cls, path: Path) -> "Vgg16":
        """Load the weights of a file. No code in the file is executed.

        Raises
        ------
        UsageError
            The file is not a state dict of torchvision's ``vgg16``.
        """
        network = cls()
        try:
            tensors = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
            network.load_state_dict(tensors)
        except Exception:  # of any kind: torch.load takes bytes that are no archive for an old pickle
            raise UsageError("The --perceptual file does not hold the weights of torchvision's vgg16.") from None
        return network


def _safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name.startswith(_PREFIX)}  # noqa: SIM118


def _pickled(path: Path) -> dict[str, Tensor]:
    stored = torch.load(path, map_location="cpu", weights_only=True)  # executes nothing
    if not isinstance(stored, dict):
        raise ValueError("no state dict")
    return {name: tensor for name, tensor in stored.items() if name.startswith(_PREFIX)}
