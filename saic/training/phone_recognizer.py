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
from saic.model.phone_encoder import Listener
from saic.training import distributed
from saic.weights import write_tensors

FILE = "recognizer.safetensors"
_PHONES_SHARE = 0.2  # a frame mistaken for another counts several nats, and features about 1


class Recognizer(Listener):
    """(B, 80, T) log-mel to what was heard: features, and log-probabilities of phones, 50 times a second."""

    def __init__(self, n_phones: int, channels: int = 144, n_blocks: int = 4, kernel: int = 31):
        super().__init__(channels, n_blocks, kernel)
        self.out = nn.Linear(channels, n_phones)

    def forward(self, mel: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features after every block, each (B, T', C), first to last; then log-probabilities (B, T', phones)."""
        return self._with_phones(self.listen(mel))

    def hear(self, own_mel: Tensor) -> tuple[list[Tensor], Tensor]:
        """The same from the (B, 80, T) log-mel that the network was made for, 100 frames a second."""
        return self._with_phones(self.features(own_mel))

    def listener(self, mean: Tensor, deviation: Tensor) -> Listener:
        """All but the phones, for mels that are standardized by the (80, 1) ``mean`` and ``deviation``."""
        sizes = self.lead.out_channels, len(self.blocks), self.blocks[0].convolution.depthwise.kernel_size[0]
        listener = Listener(*sizes).to(mean.device)
        kept = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("out.")}
        listener.load_state_dict(kept)
        listener.offset = self.matrix @ mean + self.offset
        listener.matrix = self.matrix * deviation.T
        return listener

    def save(self, folder: Path) -> None:
        """Write the network to a run folder."""
        write_tensors(folder / FILE, {name: tensor.cpu() for name, tensor in self.state_dict().items()})

    def _with_phones(self, features: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        return features, self.out(features[-1]).float().log_softmax(dim=-1)


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
