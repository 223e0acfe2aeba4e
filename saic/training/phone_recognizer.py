"""A pretrained phone recognizer, and the phone loss.

A blurred consonant can change a word, but hardly changes a mel distance; it does change the output
of a phone recognizer. The recognizer is the Conformer (Gulati et al. 2020) of the package ``hama``,
trained by connectionist temporal classification (Graves et al. 2006). No transcripts are needed
here. Its log-mel differs from this project's; a linear map between them is fitted by least squares
(``python -m train.recognizer``). As a training loss it is not an independent evaluator: word error
rates come from another recognizer, Whisper.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from saic.errors import UsageError
from saic.model.phone_encoder import PhoneEncoder
from saic.training import distributed
from saic.weights import write_tensors

RECOGNIZER_FILE = "recognizer.safetensors"
_DIVERGENCE_WEIGHT = 0.2  # a wrong phone gives several nats per frame; feature distances are about 1


class PhoneRecognizer(PhoneEncoder):
    """(B, 80, T) log-mel to features and log-probabilities of phones, 50 frames a second."""

    def __init__(self, n_phones: int, channels: int = 144, n_blocks: int = 4, kernel: int = 31):
        super().__init__(channels, n_blocks, kernel)
        self.out = nn.Linear(channels, n_phones)

    def forward(self, mel: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features (B, T', C) of every block, in order, and log-probabilities (B, T', phones)."""
        return self._with_phones(self.block_features(mel))

    def recognize_own_mel(self, own_mel: Tensor) -> tuple[list[Tensor], Tensor]:
        """:meth:`forward` for the recognizer's own log-mel (B, 80, T), 100 frames per second."""
        return self._with_phones(self.block_features_of_own_mel(own_mel))

    def phone_encoder(self, mean: Tensor, deviation: Tensor) -> PhoneEncoder:
        """The network without its classifier, adapted to standardized mels.

        ``mean`` and ``deviation`` (80, 1) are those by which the mels are standardized.
        """
        sizes = self.lead.out_channels, len(self.blocks), self.blocks[0].convolution.depthwise.kernel_size[0]
        encoder = PhoneEncoder(*sizes).to(mean.device)
        kept = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("out.")}
        encoder.load_state_dict(kept)
        encoder.offset = self.matrix @ mean + self.offset
        encoder.matrix = self.matrix * deviation.T
        return encoder

    def save(self, folder: Path) -> None:
        """Write the network (float16) to a run folder."""
        stored = {name: tensor.half().cpu() for name, tensor in self.state_dict().items()}
        write_tensors(folder / RECOGNIZER_FILE, stored)

    def _with_phones(self, features: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        return features, self.out(features[-1]).float().log_softmax(dim=-1)


def phone_loss(recognizer: PhoneRecognizer, output: Tensor, target: Tensor, *, same_voice: bool = True) -> Tensor:
    """Difference between a phone recognizer's outputs for two mels, by frame; 0 for equal mels.

    Parameters
    ----------
    output, target
        (B, 80, T) log-mels; only the output gets a gradient.
    same_voice
        Whether both mels are of one voice. Only then are features compared too, since they depend
        on the voice somewhat.

    Returns
    -------
    0.2 times the Kullback-Leibler divergence of phones in nats, plus the L1 distance of features
    relative to the target's deviation over time, averaged over blocks.
    """
    own = distributed.rows(len(output))
    with torch.no_grad():
        target_features, target_phones = recognizer(target[own])
    features, phones = recognizer(output[own])
    divergence = distributed.total(F.kl_div(phones, target_phones, reduction="sum", log_target=True)[None])[0]
    distance = _DIVERGENCE_WEIGHT * divergence / (len(output) * target_phones.shape[1])
    if not same_voice:
        return distance
    pairs = list(zip(features, target_features, strict=True))
    differences = torch.stack([(x - y).abs().sum() for x, y in pairs])
    deviations = torch.stack([(y - y.mean(dim=1, keepdim=True)).abs().sum() for _, y in pairs])
    return distance + (distributed.total(differences) / distributed.total(deviations).clamp_min(1e-4)).mean()


def load_recognizer(folder: Path, device: str = "cpu") -> PhoneRecognizer:
    """Load and freeze the network that ``train.recognizer`` wrote to a folder.

    Raises
    ------
    UsageError
        The folder holds none.
    """
    try:
        tensors = load_file(folder / RECOGNIZER_FILE)
        n_phones, channels = tensors["out.weight"].shape
        n_blocks = len({name.split(".")[1] for name in tensors if name.startswith("blocks.")})
        kernel = tensors["blocks.0.convolution.depthwise.weight"].shape[-1]
        network = PhoneRecognizer(n_phones, channels, n_blocks, kernel)
        network.load_state_dict(tensors)
    except (OSError, KeyError, RuntimeError, ValueError, SafetensorError):
        raise UsageError("The --recognizer folder holds no recognizer. Run train.recognizer.") from None
    return network.to(device).eval().requires_grad_(False)
