"""Training of the speaker encoder's time-delay network, before stage 1.

It learns from a teacher, the d-vector encoder of :mod:`saic.training.teacher`, and classifies the
training speakers with an additive angular margin (ArcFace, Deng et al. 2019). Every crop gets a
random gain; most get an equalizer, and some noise, a room or a band limit. So channel and speaker are
not confounded where a speaker has one recording.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from saic.config import Augmentation as AugmentationConfig
from saic.config import Config
from saic.errors import DataError, UsageError
from saic.model.speaker_encoder import TdnnSpeakerEncoder, build_speaker_encoder
from saic.signal.mel import N_MELS
from saic.training.augmentation import Augmentation, degrade
from saic.training.loop import cosine, generators
from saic.training.training_set import Crops, TrainingSet
from saic.weights import write_tensors

SPEAKER_FILE = "speaker.safetensors"
_AUGMENTATION = AugmentationConfig(vtlp_factors=(1.0,), degraded_share=0.3)  # a warp would change the speaker
_EQUALIZED_SHARE = 0.7
_GAIN_NEPERS = 0.5  # standard deviation
_TEACHER_WEIGHT = 10.0  # of the distance from the teacher's embedding
_MARGIN = 0.2  # of the speaker classifier, in radians
_SCALE = 30.0  # of its cosines


class SpeakerTraining:
    """Trains the network on random crops.

    Parameters
    ----------
    training_set
        What to train on.
    config
        With ``speaker_encoder.tdnn`` and ``speaker_training``.
    teacher_embeddings
        Of each clip of ``training_set`` the teacher's embedding (D,), or None: such a clip trains the
        classifier alone.

    Raises
    ------
    UsageError
        The config has no time-delay network.
    DataError
        No clip has an embedding of the teacher.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        config: Config,
        teacher_embeddings: Sequence[np.ndarray | None],
        device: str = "cpu",
    ):
        if config.speaker_encoder.tdnn is None:
            raise UsageError("The config's speaker encoder has no tdnn, so there is nothing to train before stage 1.")
        sizes = {len(embedding) for embedding in teacher_embeddings if embedding is not None}
        if not sizes:
            raise DataError("The teacher finds speech in no clip.")
        torch.manual_seed(config.seed)
        self.training_set, self.config, self.device = training_set, config, device
        self.mean, self.std = training_set.statistics()
        (size,) = sizes
        none = np.zeros(size, dtype=np.float32)
        self._teacher_embeddings = torch.from_numpy(np.stack([none if e is None else e for e in teacher_embeddings]))
        self.encoder = build_speaker_encoder(config.speaker_encoder, N_MELS).to(device)
        embedding_size = config.speaker_encoder.embedding_size
        self.heads = nn.ModuleDict(
            {
                "teacher": nn.Linear(embedding_size, size),
                "speaker": nn.Linear(embedding_size, len(training_set.speakers), bias=False),
            }
        ).to(device)
        self.optimizer = torch.optim.AdamW(
            [*self.encoder.parameters(), *self.heads.parameters()], lr=config.speaker_training.lr, weight_decay=1e-4
        )

    def step(self, i: int) -> dict[str, Tensor]:
        """One step on a batch of random crops."""
        settings = self.config.speaker_training
        random, _ = generators(self.config.seed + 2, i)
        self.optimizer.param_groups[0]["lr"] = settings.lr * cosine(i, settings.steps)
        crops = self.training_set.sample(settings.batch_size, random)
        mel = self._augmented(crops, random)
        wanted = self._teacher_embeddings[crops.clip].to(self.device)
        speakers = crops.speaker.to(self.device)
        embedding = self.encoder(mel.to(self.device), crops.mask.to(self.device))
        has_teacher = wanted.any(dim=1)
        distance = 1 - F.cosine_similarity(self.heads["teacher"](embedding), wanted, dim=1)
        losses = {
            "teacher": (distance * has_teacher).sum() / has_teacher.sum().clamp_min(1),
            "speaker": self._classification(embedding, speakers, i),
        }
        self.optimizer.zero_grad()
        (_TEACHER_WEIGHT * losses["teacher"] + losses["speaker"]).backward()
        nn.utils.clip_grad_norm_([*self.encoder.parameters(), *self.heads.parameters()], 5.0)
        self.optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _augmented(self, crops: Crops, random: np.random.Generator) -> Tensor:
        """(B, 80, S) standardized log-mel, with a random gain for each crop, and channels and rooms for some."""
        size = len(crops)
        equalizer = Augmentation.draw(size, _AUGMENTATION, random, share=_EQUALIZED_SHARE)
        mel = degrade(equalizer.mel(crops.mel), _AUGMENTATION.degraded_share, random)
        gain = torch.from_numpy(random.normal(scale=_GAIN_NEPERS, size=(size, 1, 1))).to(mel)
        return (mel + gain - self.mean) / self.std

    def _classification(self, embedding: Tensor, speakers: Tensor, i: int) -> Tensor:
        """Cross entropy of scaled cosines; the margin rises to its value in the first third of the steps."""
        settings = self.config.speaker_training
        margin = _MARGIN * min(1.0, 3 * i / settings.steps)
        cosines = F.normalize(embedding, dim=1) @ F.normalize(self.heads["speaker"].weight, dim=1).T
        angles = cosines.clamp(-1 + 1e-6, 1 - 1e-6).acos()
        own = F.one_hot(speakers, cosines.shape[1]).bool()
        return F.cross_entropy(_SCALE * torch.where(own, (angles + margin).cos(), cosines), speakers)

    @torch.no_grad()
    def embed(self, crops: Crops) -> Tensor:
        """(B, E) embeddings of crops as they are."""
        self.encoder.eval()
        embeddings = self.encoder(((crops.mel - self.mean) / self.std).to(self.device), crops.mask.to(self.device))
        self.encoder.train()
        return embeddings.cpu()

    def state_dict(self) -> dict[str, Any]:
        """Networks and optimizer."""
        parts = {"encoder": self.encoder, "heads": self.heads, "optimizer": self.optimizer}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.encoder.load_state_dict(state["encoder"])
        self.heads.load_state_dict(state["heads"])
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self, folder: Path) -> None:
        """Write the encoder, with the mel statistics of its input, to a run folder."""
        tensors = {f"encoder.{name}": tensor for name, tensor in self.encoder.state_dict().items()}
        tensors |= {"mel_mean": self.mean, "mel_std": self.std}
        stored = {name: tensor.float().contiguous().cpu() for name, tensor in tensors.items()}
        write_tensors(folder / SPEAKER_FILE, stored)


def load_speaker_encoder(folder: Path, config: Config, mean: Tensor, std: Tensor) -> TdnnSpeakerEncoder:
    """Load and freeze the network of :meth:`SpeakerTraining.save`.

    Parameters
    ----------
    mean, std
        (80, 1) mel statistics that its input is standardized with from now on. Its first layer is
        adapted to them.

    Raises
    ------
    UsageError
        The folder has none, or one of other sizes.
    """
    encoder = build_speaker_encoder(config.speaker_encoder, N_MELS)
    try:
        tensors = load_file(folder / SPEAKER_FILE)
        own_mean, own_std = tensors.pop("mel_mean"), tensors.pop("mel_std")
        encoder.load_state_dict({name.removeprefix("encoder."): tensor for name, tensor in tensors.items()})
    except (OSError, KeyError, RuntimeError, SafetensorError):
        raise UsageError("The --speaker folder has no speaker encoder for this config. Run train.speaker.") from None
    convolution = encoder.lead.conv
    with torch.no_grad():  # (x std + mean - own_mean) / own_std = x scale + shift
        scale, shift = std / own_std, (mean - own_mean) / own_std
        convolution.bias += (convolution.weight * shift).sum(dim=(1, 2))
        convolution.weight *= scale
    return encoder.eval().requires_grad_(False)


@torch.no_grad()
def speaker_means(encoder: TdnnSpeakerEncoder, training_set: TrainingSet, mean: Tensor, std: Tensor) -> Tensor:
    """(K, E) mean embedding of each training speaker's clips, of length sqrt(E)."""
    means = []
    for clips in training_set.clips_of:
        embeddings = [
            encoder(((training_set.clip_mel(k) - mean) / std)[None], training_set.clip_mask(k)[None]) for k in clips
        ]
        total = torch.cat(embeddings).sum(dim=0, keepdim=True)
        means.append(F.normalize(total, dim=1) * total.shape[1] ** 0.5)
    return torch.cat(means)
