"""Stage 2 (paper 3.1.2): encoders learn to produce the stage-1 codes from audio, the decoder follows.

The content encoder hears a clip under a random warp, the speaker encoder another crop of the same speaker, and
the decoder must give the clip as it is: the content encoder never knows the true voice, so it cannot tell it.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from saic.config import Config
from saic.errors import DataError
from saic.model import Model
from saic.training.corpus import Corpus
from saic.training.loop import cosine, generators
from saic.training.losses import FeatureNetwork, ReconstructionLoss, multi_scale_l1
from saic.training.stage1 import Codes
from saic.training.warp import warp

_VALIDATION_CROPS = 64


class Stage2:
    """Optimizes encoders and decoder together (Eq. 4); the stage-1 codes stay as they are."""

    def __init__(
        self,
        corpus: Corpus,
        config: Config,
        stage1: dict[str, Any],
        features: FeatureNetwork | None,
        *,
        unseen: Corpus | None = None,
        device: str = "cpu",
    ):
        torch.manual_seed(config.seed)
        self.corpus, self.unseen, self.config, self.device = corpus, unseen, config, device
        self.codes = Codes(corpus.n_codes, len(corpus.speakers), config).requires_grad_(False).to(device)
        self.model = Model(config).to(device)
        try:
            self.codes.load_state_dict(stage1["codes"])
            self.model.decoder.load_state_dict(stage1["decoder"])
        except RuntimeError:
            raise DataError("Stage 1 was run on other data or with another config: use the same for both.") from None
        mean, std = corpus.statistics()
        self.model.mel_mean.copy_(mean)
        self.model.mel_std.copy_(std)
        training = config.training
        self.loss = ReconstructionLoss(features, training.perceptual_weight, training.perceptual_share)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.stage2.lr)

    def step(self, i: int) -> dict[str, float]:
        """One step of Eq. 2 to 4."""
        stage, training, model = self.config.stage2, self.config.training, self.model
        random, _ = generators(self.config.seed + 1, i)
        self.optimizer.param_groups[0]["lr"] = stage.lr * cosine(i, stage.steps)
        crops = self.corpus.sample(training.batch_size, random)
        reference = self.corpus.crops_of(crops.speaker.numpy(), random).to(self.device)
        crops = crops.to(self.device)
        heard = torch.from_numpy(random.integers(len(stage.warps), size=len(crops))).to(self.device)
        target = model.standardize(crops.mel)
        content = model.encode_content(warp(crops.mel, heard, stage.warps), crops.mask)
        speaker = model.encode_speaker(reference.mel, reference.mask)
        output, _ = model.decoder(content, speaker, crops.f0, crops.mask)
        losses = {
            "content": F.mse_loss(content, self.codes.content_of(crops)),
            "speaker": F.mse_loss(speaker, self.codes.speaker_of(crops)),
            "reconstruction": self.loss(output, target),
            "pitch": F.l1_loss(model.pitch_of(speaker), reference.pitch),
        }
        self.optimizer.zero_grad()
        sum(getattr(stage.weights, name) * loss for name, loss in losses.items()).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        self.optimizer.step()
        mel_l1 = (output.detach() - target).abs().mean()
        return {name: float(loss.detach()) for name, loss in losses.items()} | {"mel_l1": float(mel_l1)}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """On speakers that never trained: mel L1 of a clip rebuilt in its own voice, taken from another crop."""
        random = np.random.default_rng(self.config.seed)
        crops = self.unseen.sample(_VALIDATION_CROPS, random)
        reference = self.unseen.crops_of(crops.speaker.numpy(), random).to(self.device)
        crops = crops.to(self.device)
        self.model.eval()
        output = self.model(crops.mel, reference.mel, crops.f0, crops.mask, reference.mask)
        self.model.train()
        standardized = self.model.standardize(output), self.model.standardize(crops.mel)
        return {"loss": float(multi_scale_l1(*standardized)), "speaker_top1": self._speaker_top1(random)}

    def _speaker_top1(self, random: np.random.Generator) -> float:
        """How often a crop's nearest speaker, by the mean of four other crops each, is its own."""
        everyone = np.arange(len(self.unseen.speakers))
        drawn = [self.unseen.crops_of(everyone, random).to(self.device) for _ in range(5)]
        embeddings = [F.normalize(self.model.encode_speaker(c.mel, c.mask), dim=1) for c in drawn]
        enrolled = F.normalize(torch.stack(embeddings[1:]).mean(dim=0), dim=1)
        nearest = (embeddings[0] @ enrolled.T).argmax(dim=1).cpu()
        return float((nearest == torch.arange(len(everyone))).float().mean())

    def state_dict(self) -> dict[str, Any]:
        """Model and optimizer."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
