"""Training of the neural vocoder on recordings: their mels as they are, and as a conversion would blur them.

A conversion has no recording to learn from. A recording that a model rebuilt in its own voice has, and is as blurred;
where no model is given, averages over bands and frames stand for the blur.
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
from saic.training.phone_recognizer import Recognizer, word_distance
from saic.training.spectral_loss import SpectralDistance
from saic.training.waveform_set import Heard, Waveforms
from saic.vocoder.excitation import pulses
from saic.vocoder.source_filter import SourceFilter

_VALIDATION_CROPS = 32
_BLURS = ((1, 3), (3, 1), (3, 3), (3, 5), (5, 3))  # bins, frames


class VocoderStage:
    """Optimizes a :class:`~saic.vocoder.source_filter.SourceFilter` by the distance from recordings.

    That of spectra; with a ``recognizer`` also that of what it hears.
    """

    def __init__(
        self,
        waveforms: Waveforms,
        config: Config,
        first: Mapping[str, Tensor] | None = None,
        *,
        recognizer: Recognizer | None = None,
        unseen: Waveforms | None = None,
        device: str = "cpu",
    ):
        """As a new network, or from the tensors of a ``first``, its statistics of the mel included.

        Raises
        ------
        WeightsError
            The first network has other sizes than the config.
        """
        torch.manual_seed(config.seed)
        settings = config.vocoder
        self.waveforms, self.unseen, self.config, self.device = waveforms, unseen, config, device
        self.recognizer = recognizer
        self.network = SourceFilter(settings.channels, settings.layers, settings.kernel, settings.expansion).to(device)
        if first is None:
            mean, std = waveforms.corpus.statistics()
            self.network.mel_mean.copy_(mean)
            self.network.mel_std.copy_(std)
        else:
            try:
                self.network.load_state_dict(first)
            except RuntimeError:
                raise WeightsError(
                    "The vocoder to go on from has other sizes than the config: take them from its config.json."
                ) from None
        self.distance = SpectralDistance(settings.windows).to(device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.lr, betas=(0.8, 0.99), weight_decay=0.01
        )

    def step(self, i: int) -> dict[str, float]:
        """One step on random crops."""
        settings = self.config.vocoder
        random, noise = generators(self.config.seed + 2, i)
        self.optimizer.param_groups[0]["lr"] = settings.lr * cosine(i, settings.steps)
        heard = self.waveforms.sample(settings.batch_size, random, gain_db=settings.gain_db)
        output = self._output(heard, harden(heard, random, noise, settings.hardened_share), noise)
        truth = heard.wav.to(self.device)
        losses = {"loss": self.distance(output, truth)}
        if self.recognizer is not None and settings.words:
            losses["words"] = settings.words * word_distance(self.recognizer, log_mel(output), log_mel(truth))
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """On unseen speakers' mels as they are; the same crops and noise every time."""
        random, noise = generators(self.config.seed, 0)
        heard = self.unseen.sample(_VALIDATION_CROPS, random)
        self.network.eval()
        output = self._output(heard, heard.mel, noise)
        self.network.train()
        return {"loss": float(self.distance(output, heard.wav.to(self.device)))}

    def _output(self, heard: Heard, mel: Tensor, generator: torch.Generator) -> Tensor:
        hz, voicing = (
            F.interpolate(x[:, None], scale_factor=HOP_SAMPLES, mode="linear")[:, 0]
            for x in (heard.hz, (heard.f0 > 0).float())
        )
        phase = (hz.double() / SAMPLE_RATE).cumsum(dim=1)
        pulse = pulses((phase - phase.round()).float(), hz, voicing)
        noise = torch.randn(heard.wav.shape, generator=generator)
        return self.network(*(x.to(self.device) for x in (mel, heard.f0, pulse, noise)))

    def state_dict(self) -> dict[str, Any]:
        """Network and optimizer."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo :meth:`state_dict`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def harden(heard: Heard, random: np.random.Generator, noise: torch.Generator, share: float) -> Tensor:
    """Mels (B, 80, T) of a batch, a share of them as a decoder would blur them."""
    result = heard.mel.clone()
    for b in np.flatnonzero(random.random(len(result)) < share):
        result[b] = _blur(heard.mel[b], random, noise) if heard.rebuilt is None else heard.rebuilt[b]
    return result


def _blur(mel: Tensor, random: np.random.Generator, noise: torch.Generator) -> Tensor:
    """(80, T) log-mel, averaged over some bands and frames, with a little noise."""
    bins, frames = _BLURS[random.integers(len(_BLURS))]
    x = F.pad(mel[None, None], (frames // 2, frames // 2, bins // 2, bins // 2), mode="replicate")
    blurred = F.avg_pool2d(x, (bins, frames), stride=1)[0, 0]
    noisy = blurred + 0.1 * float(random.random()) * torch.randn(blurred.shape, generator=noise)
    return noisy.clamp_min(float(np.log(FLOOR)))
