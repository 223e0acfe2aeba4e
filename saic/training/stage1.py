"""Stage 1, latent optimization (paper 3.1.1): of content codes, speaker codes and decoder."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from saic.config import Config
from saic.errors import DataError, UsageError
from saic.model.decoder import Decoder
from saic.signal.mel import N_MELS
from saic.signal.mel_statistics import match_mel_moments
from saic.training.distributed import average_gradients, gather, replicated, shard
from saic.training.loop import cosine, generators, precision
from saic.training.losses import FeatureNetwork, ReconstructionLoss
from saic.training.training_set import Crops, TrainingSet
from saic.weights import write_tensors

CODES = "codes.safetensors"
_OTHER_DATA = "Stage 1 was run on other data, in another order, or with another config: use the same for both."


class Codes(nn.Module):
    """Latent codes: one content code for every ``stride`` frames, one code for every speaker.

    ``config.content_encoder.detail_channels`` of a content code, the last ones, are not learned but 0.
    """

    def __init__(self, n_codes: int, n_speakers: int, config: Config):
        super().__init__()
        encoder = config.content_encoder
        self.n_detail, n_learned = encoder.detail_channels, encoder.code_channels - encoder.detail_channels
        # Sparse gradients: a step updates only the rows of its batch, some thousand.
        self.content = nn.Embedding(n_codes, n_learned, sparse=True)
        self.speaker = nn.Embedding(n_speakers, config.speaker_encoder.embedding_size)
        nn.init.normal_(self.content.weight, std=0.05)
        nn.init.normal_(self.speaker.weight, std=0.05)

    def content_of(self, rows: Tensor) -> Tensor:
        """(B, C, n) content codes of (B, n) rows of the table, such as ``code_rows`` of crops."""
        return F.pad(self.content(rows).transpose(1, 2), (0, 0, 0, self.n_detail))

    def speaker_of(self, crops: Crops) -> Tensor:
        """(B, E) speaker codes of crops."""
        return self.speaker(crops.speaker)


class Stage1:
    """Optimizes codes and decoder together (Eq. 1).

    Parameters
    ----------
    training_set, config, features, device
        As for :class:`~saic.training.stage2.Stage2`.
    initial
        What :func:`read_codes` gave, to continue from; None for random codes and weights.
    speaker_codes
        (K, E) codes of the training speakers that stay as they are, see
        :func:`~saic.training.speaker.speaker_means`; None optimizes them (paper 3.1.1).
    first_step
        Step at which the optimizers start; the warm-up of the learning rate begins there.

    Raises
    ------
    DataError
        ``initial`` was trained on other data or with other sizes.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        config: Config,
        features: FeatureNetwork | None,
        device: str = "cpu",
        *,
        initial: dict[str, Any] | None = None,
        speaker_codes: Tensor | None = None,
        first_step: int = 0,
    ):
        torch.manual_seed(config.seed)
        self.training_set, self.config, self.device, self.first_step = training_set, config, device, first_step
        self.mean, self.std = (x.to(device) for x in training_set.statistics())
        self.codes = Codes(training_set.n_codes, len(training_set.speakers), config).to(device)
        sizes = config.content_encoder.code_channels, config.speaker_encoder.embedding_size
        self.decoder = Decoder(config.decoder, N_MELS, *sizes).to(device)
        if initial is not None:
            load_codes(initial, self.codes, self.decoder, training_set)
        if speaker_codes is not None:
            self.codes.speaker.requires_grad_(False).weight.copy_(speaker_codes)
        training = config.training
        self.loss = ReconstructionLoss(features, training.perceptual_weight, training.perceptual_share)
        self.optimizers = {
            "content": torch.optim.SparseAdam(self.codes.content.parameters(), lr=config.stage1.lr_codes),
            "decoder": torch.optim.Adam(self.decoder.parameters(), lr=config.stage1.lr_decoder),
        }
        if speaker_codes is None:
            self.optimizers["speaker"] = torch.optim.Adam(self.codes.speaker.parameters(), lr=config.stage1.lr_codes)

    def step(self, i: int) -> dict[str, Tensor]:
        """One step of Eq. 1, with the penalty on the content code.

        Eq. 1 as printed has it on the noise, where it would be constant.
        """
        stage, training = self.config.stage1, self.config.training
        random, noise_source = generators(self.config.seed, i)
        factor = cosine(i, stage.steps, first=self.first_step)
        rates = {"content": stage.lr_codes, "speaker": stage.lr_codes, "decoder": stage.lr_decoder}
        for name, optimizer in self.optimizers.items():
            optimizer.param_groups[0]["lr"] = rates[name] * factor
        crops = self.training_set.sample(training.batch_size, random).to(self.device)
        target = (crops.mel - self.mean) / self.std
        content = replicated(self.codes.content_of(crops.code_rows))
        speaker = replicated(self.codes.speaker_of(crops))
        noise = torch.randn(content.shape, generator=noise_source).to(self.device) * stage.noise_std
        with precision(self.config, self.device):
            output = self.decoder(shard(content + noise), shard(speaker), shard(crops.f0), shard(crops.mask))
        output = match_mel_moments(gather(output.float()), target, crops.mask)
        reconstruction = self.loss(output, target)
        decay = stage.content_decay * content.square().sum(dim=(1, 2)).mean()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()
        (reconstruction + decay).backward()
        average_gradients(self.decoder.parameters())
        nn.utils.clip_grad_norm_(self.decoder.parameters(), 5.0)
        for optimizer in self.optimizers.values():
            optimizer.step()
        return {
            "reconstruction": reconstruction.detach(),
            "mel_l1": (output.detach() - target).abs().mean(),
            "content_rms": content.detach().square().mean().sqrt(),
            "speaker_rms": speaker.detach().square().mean().sqrt(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Codes, decoder and their optimizers, and the fingerprint of the training set."""
        return {
            "data": self.training_set.fingerprint,
            "codes": self.codes.state_dict(),
            "decoder": self.decoder.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.codes.load_state_dict(state["codes"])
        self.decoder.load_state_dict(state["decoder"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])

    def save_codes(self, folder: Path) -> None:
        """Write codes and decoder to a run folder (float16), with the fingerprint of the training set."""
        parts = (("codes", self.codes), ("decoder", self.decoder))
        tensors = {f"{part}.{name}": tensor for part, owner in parts for name, tensor in owner.state_dict().items()}
        half = {name: tensor.half().contiguous().cpu() for name, tensor in tensors.items()}
        write_tensors(folder / CODES, half, {"data": self.training_set.fingerprint})


def read_codes(folder: Path) -> dict[str, Any]:
    """What :meth:`Stage1.save_codes` wrote to a run folder.

    Returns
    -------
    Tensors of ``codes`` and of ``decoder``, and ``data``, the fingerprint of the training set; None in a
    file of an earlier version.

    Raises
    ------
    UsageError
        The folder holds none.
    """
    found: dict[str, Any] = {"codes": {}, "decoder": {}}
    try:
        with safe_open(folder / CODES, "pt") as file:
            found["data"] = (file.metadata() or {}).get("data")
            for name in file.keys():  # noqa: SIM118 - not a dict
                part, _, own_name = name.partition(".")
                found[part][own_name] = file.get_tensor(name).float()
    except (OSError, KeyError, SafetensorError):
        raise UsageError("The folder holds no codes of a finished stage 1. Run train.stage1 to its end.") from None
    return found


def load_codes(stored: dict[str, Any], codes: Codes, decoder: Decoder, training_set: TrainingSet) -> None:
    """Copy what :func:`read_codes` gave, or a :meth:`Stage1.state_dict`, into codes and a decoder.

    Raises
    ------
    DataError
        They were trained on other clips than those of the set, or in another order, or the sizes differ.
    """
    if stored.get("data") not in (None, training_set.fingerprint):
        raise DataError(_OTHER_DATA)
    try:
        codes.load_state_dict(stored["codes"])
        decoder.load_state_dict(stored["decoder"])
    except RuntimeError:
        raise DataError(_OTHER_DATA) from None
