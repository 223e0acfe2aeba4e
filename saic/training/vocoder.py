"""Training of the neural vocoder, on mels of recordings and on blurred mels.

Converted mels are blurred, but have no waveform to train on. The mel that a model reconstructs from
a recording is blurred as well, and the recording is its waveform. Without a model, a recording's
mel is blurred by moving averages over bands and frames.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import Config
from saic.errors import WeightsError
from saic.signal.mel import FLOOR, HOP_SAMPLES, SAMPLE_RATE, log_mel
from saic.training.loop import cosine, generators
from saic.training.phone_recognizer import PhoneRecognizer, phone_loss
from saic.training.spectral_loss import MultiResolutionSpectralLoss
from saic.training.waveform_set import WaveformBatch, WaveformSet
from saic.vocoder.excitation import pulses
from saic.vocoder.source_filter import SourceFilter

_VALIDATION_CROPS = 32
_GAIN_DB = (-20.0, 6.0)  # range of the random gain of crops
_BLURS = ((1, 3), (3, 1), (3, 3), (3, 5), (5, 3))  # bins, frames


class VocoderStage:
    """Trains a :class:`~saic.vocoder.source_filter.SourceFilter`.

    The losses are spectral and, with a ``recognizer``, the phone loss.
    """

    def __init__(
        self,
        waveforms: WaveformSet,
        config: Config,
        init: Mapping[str, Tensor] | None = None,
        *,
        recognizer: PhoneRecognizer | None = None,
        first_step: int = 0,
        unseen: WaveformSet | None = None,
        device: str = "cpu",
    ):
        """Start from random weights, or from a vocoder's tensors ``init`` with its mel statistics.

        At step ``first_step`` the optimizer starts, and the warm-up of the learning rate begins.

        Raises
        ------
        WeightsError
            ``init`` has other sizes than the config.
        """
        torch.manual_seed(config.seed)
        sizes, settings = config.vocoder, config.vocoder_training
        self.waveforms, self.unseen, self.config, self.device = waveforms, unseen, config, device
        self.recognizer, self.first_step = recognizer, first_step
        self.network = SourceFilter(sizes.channels, sizes.layers, sizes.kernel, sizes.expansion).to(device)
        if init is None:
            mean, std = waveforms.training_set.statistics()
            self.network.mel_mean.copy_(mean)
            self.network.mel_std.copy_(std)
        else:
            try:
                self.network.load_state_dict(init)
            except RuntimeError:
                raise WeightsError(
                    "The vocoder of --init has other sizes than the config: take them from its config.json."
                ) from None
        self.spectral_loss = MultiResolutionSpectralLoss(settings.windows).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.lr, betas=(0.8, 0.99), weight_decay=0.01
        )

    def step(self, i: int) -> dict[str, float]:
        """One step on random crops."""
        settings = self.config.vocoder_training
        random, noise = generators(self.config.seed + 2, i)
        self.optimizer.param_groups[0]["lr"] = settings.lr * cosine(i, settings.steps, first=self.first_step)
        batch = self.waveforms.sample(settings.batch_size, random, gain_db=_GAIN_DB)
        mel = blur_some(batch, random, noise, settings.blurred_share)
        output, target = self._synthesize(batch, mel, noise), batch.wav.to(self.device)
        losses = {"loss": self.spectral_loss(output, target)}
        if self.recognizer is not None and settings.phone_loss_weight:
            phones = phone_loss(self.recognizer, log_mel(output), log_mel(target))
            losses["phone_loss"] = settings.phone_loss_weight * phones
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Spectral loss on recordings of unseen speakers, always on the same crops and noise."""
        random, noise = generators(self.config.seed, 0)
        batch = self.unseen.sample(_VALIDATION_CROPS, random)
        self.network.eval()
        output = self._synthesize(batch, batch.mel, noise)
        self.network.train()
        return {"loss": float(self.spectral_loss(output, batch.wav.to(self.device)))}

    def _synthesize(self, batch: WaveformBatch, mel: Tensor, generator: torch.Generator) -> Tensor:
        """(B, 200 S) waveforms from mels (B, 80, S), with F0 and phases of the batch."""
        hz, voicing = (
            F.interpolate(x[:, None], scale_factor=HOP_SAMPLES, mode="linear")[:, 0]
            for x in (batch.hz, (batch.f0 > 0).float())
        )
        phase = (hz.double() / SAMPLE_RATE).cumsum(dim=1)
        pulse = pulses((phase - phase.round()).float(), hz, voicing)
        noise = torch.randn(batch.wav.shape, generator=generator)
        return self.network(*(x.to(self.device) for x in (mel, batch.f0, pulse, noise)))

    def state_dict(self) -> dict[str, Any]:
        """Network and optimizer."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore :meth:`state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def blur_some(batch: WaveformBatch, random: np.random.Generator, noise: torch.Generator, share: float) -> Tensor:
    """Mels (B, 80, S) of a batch, a random ``share`` of them reconstructed or blurred."""
    result = batch.mel.clone()
    for b in np.flatnonzero(random.random(len(result)) < share):
        result[b] = _blur(batch.mel[b], random, noise) if batch.reconstructed is None else batch.reconstructed[b]
    return result


def _blur(mel: Tensor, random: np.random.Generator, noise: torch.Generator) -> Tensor:
    """Average a (80, S) log-mel over a few bands and frames, and add weak noise."""
    bins, frames = _BLURS[random.integers(len(_BLURS))]
    x = F.pad(mel[None, None], (frames // 2, frames // 2, bins // 2, bins // 2), mode="replicate")
    blurred = F.avg_pool2d(x, (bins, frames), stride=1)[0, 0]
    noisy = blurred + 0.1 * float(random.random()) * torch.randn(blurred.shape, generator=noise)
    return noisy.clamp_min(float(np.log(FLOOR)))
