"""Stage 2 (paper 3.1.2): encoders learn to produce the stage-1 codes from audio, the decoder follows.

The content encoder hears a clip in disguise, or the same utterance in another speaker's rendering where there is one;
the speaker encoder hears other crops of the speaker, and the decoder must give the clip as that speaker said it. The
content encoder never knows whose voice is wanted, so it cannot tell it.

Started from weights instead of stage-1 codes, or from nothing, the same goes on without Eq. 2: there are no codes to
reach.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic import pitch, timbre
from saic.config import Config
from saic.errors import DataError, UsageError
from saic.layers import Conv
from saic.model import Model
from saic.training.corpus import Corpus
from saic.training.disguise import Disguise, degrade
from saic.training.distributed import average_gradients, gather, share
from saic.training.loop import cosine, generators, precision
from saic.training.losses import FeatureNetwork, ReconstructionLoss, multi_scale_l1, voice_distance
from saic.training.recognizer import Recognizer, word_distance
from saic.training.stage1 import Codes

_VALIDATION_CROPS = 64
_PHONE_KERNEL = 3
_CONVERTED_SHARE = 0.5  # of a batch, for the losses on conversions


class Stage2:
    """Optimizes encoders and decoder together (Eq. 4); the stage-1 codes stay as they are."""

    def __init__(
        self,
        corpus: Corpus,
        config: Config,
        start: dict[str, Any] | Model | None,
        features: FeatureNetwork | None,
        *,
        recognizer: Recognizer | None = None,
        unseen: Corpus | None = None,
        device: str = "cpu",
    ):
        torch.manual_seed(config.seed)
        self.corpus, self.unseen, self.config, self.device = corpus, unseen, config, device
        self.recognizer = recognizer
        self.model = Model(config).to(device)
        self.phones = Conv(config.content_encoder.code_channels, len(corpus.alphabet) or 1, _PHONE_KERNEL).to(device)
        self.codes = None
        if isinstance(start, Model):
            self._start_from(start)
        else:
            self._measure_mels()
        if isinstance(start, dict):
            self._start_from_codes(start)
        training = config.training
        self.loss = ReconstructionLoss(features, training.perceptual_weight, training.perceptual_share)
        parameters = [*self.model.parameters(), *self.phones.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=config.stage2.lr)

    def step(self, i: int) -> dict[str, float]:
        """One step of Eq. 2 to 4."""
        stage, training, model = self.config.stage2, self.config.training, self.model
        random, _ = generators(self.config.seed + 1, i)
        self.optimizer.param_groups[0]["lr"] = stage.lr * cosine(i, stage.steps)
        crops = self.corpus.sample(training.batch_size, random)
        heard = self.corpus.said_by_others(crops, random)
        other = self.corpus.crops_of(crops.speaker.numpy(), random)
        mask = Disguise.draw(len(crops), stage.disguise, random)
        voice = Disguise.draw(len(crops), stage.disguise, random, share=stage.disguise.targets)

        source = degrade(mask.mel(heard.mel), stage.disguise.degraded, random).to(self.device)
        reference, reference_mask = voice.mel(other.mel).to(self.device), other.mask.to(self.device)
        register = voice.register(other.pitch).to(self.device)
        target = model.standardize(voice.mel(crops.mel).to(self.device))
        f0, plain = voice.f0(crops.f0).to(self.device), voice.plain.to(self.device)
        crops, heard = crops.to(self.device), heard.to(self.device)

        with precision(self.config, self.device):
            content = model.encode_content(share(source), share(heard.mask))
            speaker = model.encode_speaker(share(reference), share(reference_mask))
            output, _ = model.decoder(content, speaker, share(f0), share(crops.mask))
        content, speaker, output = (gather(whole.float()) for whole in (content, speaker, output))
        output = timbre.match(output, target, crops.mask)
        losses = {
            "reconstruction": self.loss(output, target),
            "pitch": F.l1_loss(model.pitch_of(speaker), register),
        }
        if self.codes is not None:
            losses["content"] = F.mse_loss(content, self.codes.content_of(crops))
            losses["speaker"] = _mean_where(plain, (speaker - self.codes.speaker_of(crops)).square().mean(dim=1))
        if self.corpus.alphabet:
            known = crops.phones.clamp_min(0)
            entropy = F.cross_entropy(self.phones(content), known, reduction="none")
            losses["phones"] = _mean_where(crops.phones >= 0, entropy)
        if self._hears_words:
            seen = max(1, round(stage.words_share * len(output)))
            losses["words"] = self._words(output[:seen], target[:seen])
        if self._hears_words or self._hears_voices:
            voices = model.standardize(reference), reference_mask, speaker, register
            judged = self._judge_conversions(content, f0, crops.mask, target, *voices)
            losses |= {name: losses.get(name, 0.0) + loss for name, loss in judged.items()}
        self.optimizer.zero_grad()
        sum(getattr(stage.weights, name) * loss for name, loss in losses.items()).backward()
        average_gradients([*model.parameters(), *self.phones.parameters()])
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        self.optimizer.step()
        mel_l1 = (output.detach() - target).abs().mean()
        return {name: float(loss.detach()) for name, loss in losses.items()} | {"mel_l1": float(mel_l1)}

    @property
    def _hears_voices(self) -> bool:
        return self.loss.network is not None and self.config.stage2.weights.voice > 0

    @property
    def _hears_words(self) -> bool:
        return self.recognizer is not None and self.config.stage2.weights.words > 0

    def _words(self, output: Tensor, target: Tensor, *, same_voice: bool = True) -> Tensor:
        """Standardized mels to how much is heard in one and not in the other."""
        output, target = (mel * self.model.mel_std + self.model.mel_mean for mel in (output, target))
        with precision(self.config, self.device):
            return word_distance(self.recognizer, output, target, same_voice=same_voice)

    def _judge_conversions(
        self,
        content: Tensor,
        f0: Tensor,
        mask: Tensor,
        target: Tensor,
        reference: Tensor,
        reference_mask: Tensor,
        speaker: Tensor,
        register: Tensor,
    ) -> dict[str, Tensor]:
        """Say some clips of a batch in the voice of the clip after them; how far that is from the voice and the words.

        There is no recording of this to compare with: only other ones of the voice, and the words in another voice.
        """
        n = max(1, round(_CONVERTED_SHARE * len(content)))
        said, voice = slice(0, n), slice(1, n + 1)
        melody = pitch.transpose(f0[said], register[voice])
        with precision(self.config, self.device):
            output, _ = self.model.decoder(content[said], speaker[voice], melody, mask[said])
        wanted = reference[voice], reference_mask[voice]
        moving = timbre.measure(*wanted), mask[said]
        output = timbre.transfer(output.float(), *moving, correlation=self.config.decoder.correlation_share)
        losses = {}
        if self._hears_voices:
            losses["voice"] = voice_distance(self.loss.network, output, mask[said], *wanted)
        if self._hears_words:
            losses["words"] = self._words(output, target[said], same_voice=False)
        return losses

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """On speakers that never trained: mel L1 of a clip rebuilt in its own voice, taken from another crop."""
        random = np.random.default_rng(self.config.seed)
        crops = self.unseen.sample(_VALIDATION_CROPS, random)
        reference = self.unseen.crops_of(crops.speaker.numpy(), random).to(self.device)
        crops = crops.to(self.device)
        self.model.eval()
        output = self.model(crops.mel, reference.mel, crops.f0, crops.mask, reference.mask)
        output = timbre.match(output, crops.mel, crops.mask)
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
        """Model, phone head and optimizer."""
        parts = {"model": self.model, "phones": self.phones, "optimizer": self.optimizer}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        self.phones.load_state_dict(state["phones"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _start_from_codes(self, stage1: dict[str, Any]) -> None:
        config = self.config
        self.codes = Codes(self.corpus.n_codes, len(self.corpus.speakers), config).requires_grad_(False).to(self.device)
        try:
            self.codes.load_state_dict(stage1["codes"])
            self.model.decoder.load_state_dict(stage1["decoder"])
        except RuntimeError:
            raise DataError("Stage 1 was run on other data or with another config: use the same for both.") from None

    def _measure_mels(self) -> None:
        mean, std = self.corpus.statistics()
        self.model.mel_mean.copy_(mean)
        self.model.mel_std.copy_(std)

    def _start_from(self, model: Model) -> None:
        """Go on from weights; blocks that the config adds at the decoder's end pass what comes to them at first."""
        blocks, n_known = self.model.decoder.blocks, len(model.decoder.blocks)
        for block in blocks[n_known:]:
            block.hush()
        added = tuple(f"decoder.blocks.{i}." for i in range(n_known, len(blocks)))
        fresh = {name: tensor for name, tensor in self.model.state_dict().items() if name.startswith(added)}
        try:
            self.model.load_state_dict(fresh | model.state_dict())  # the mels' mean and deviation too
        except RuntimeError:
            raise UsageError(
                "The config names other sizes than those of the --init weights: leave them out. Only blocks at the"
                " decoder's end may be added."
            ) from None


def _mean_where(chosen: Tensor, values: Tensor) -> Tensor:
    """Mean of the chosen values; 0 where nothing is chosen."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)
