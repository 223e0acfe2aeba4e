"""Stage 1, latent optimization (paper 3.1.1): of content codes, speaker codes and decoder."""

from typing import Any

import torch
from torch import Tensor, nn

from saic.config import Config
from saic.model.decoder import Decoder
from saic.signal.mel import N_MELS
from saic.signal.mel_statistics import match_mel_moments
from saic.training.distributed import average_gradients, gather, replicated, share
from saic.training.loop import cosine, generators, precision
from saic.training.losses import FeatureNetwork, ReconstructionLoss
from saic.training.training_set import Crops, TrainingSet


class Codes(nn.Module):
    """Latent codes: one content code for every ``stride`` frames, one code for every speaker."""

    def __init__(self, n_codes: int, n_speakers: int, config: Config):
        super().__init__()
        # Sparse gradients: a step updates only the rows of its batch, some thousand.
        self.content = nn.Embedding(n_codes, config.content_encoder.code_channels, sparse=True)
        self.speaker = nn.Embedding(n_speakers, config.speaker_encoder.embedding_size)
        nn.init.normal_(self.content.weight, std=0.05)
        nn.init.normal_(self.speaker.weight, std=0.05)

    def content_of(self, crops: Crops) -> Tensor:
        """(B, C, S / stride) content codes of crops of S frames."""
        return self.content(crops.code_rows).transpose(1, 2)

    def speaker_of(self, crops: Crops) -> Tensor:
        """(B, E) speaker codes of crops."""
        return self.speaker(crops.speaker)


class Stage1:
    """Optimizes codes and decoder together (Eq. 1)."""

    def __init__(self, training_set: TrainingSet, config: Config, features: FeatureNetwork | None, device: str = "cpu"):
        torch.manual_seed(config.seed)
        self.training_set, self.config, self.device = training_set, config, device
        self.mean, self.std = (x.to(device) for x in training_set.statistics())
        self.codes = Codes(training_set.n_codes, len(training_set.speakers), config).to(device)
        sizes = config.content_encoder.code_channels, config.speaker_encoder.embedding_size
        self.decoder = Decoder(config.decoder, N_MELS, *sizes).to(device)
        training = config.training
        self.loss = ReconstructionLoss(features, training.perceptual_weight, training.perceptual_share)
        self.optimizers = {
            "content": torch.optim.SparseAdam(self.codes.content.parameters(), lr=config.stage1.lr_codes),
            "speaker": torch.optim.Adam(self.codes.speaker.parameters(), lr=config.stage1.lr_codes),
            "decoder": torch.optim.Adam(self.decoder.parameters(), lr=config.stage1.lr_decoder),
        }

    def step(self, i: int) -> dict[str, float]:
        """One step of Eq. 1, with the penalty on the content code.

        Eq. 1 as printed has it on the noise, where it would be constant.
        """
        stage, training = self.config.stage1, self.config.training
        random, noise_source = generators(self.config.seed, i)
        factor = cosine(i, stage.steps)
        for name, rate in (("content", stage.lr_codes), ("speaker", stage.lr_codes), ("decoder", stage.lr_decoder)):
            self.optimizers[name].param_groups[0]["lr"] = rate * factor
        crops = self.training_set.sample(training.batch_size, random).to(self.device)
        target = (crops.mel - self.mean) / self.std
        content, speaker = (replicated(codes) for codes in (self.codes.content_of(crops), self.codes.speaker_of(crops)))
        noise = torch.randn(content.shape, generator=noise_source).to(self.device) * stage.noise_std
        with precision(self.config, self.device):
            output = self.decoder(share(content + noise), share(speaker), share(crops.f0), share(crops.mask))
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
            "reconstruction": float(reconstruction.detach()),
            "mel_l1": float((output.detach() - target).abs().mean()),
            "content_rms": float(content.detach().square().mean().sqrt()),
            "speaker_rms": float(speaker.detach().square().mean().sqrt()),
        }

    def state_dict(self) -> dict[str, Any]:
        """Codes, decoder and their optimizers."""
        return {
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
