"""Stage 2 (paper 3.1.2): encoders learn to produce the stage-1 codes from audio, the decoder follows.

The content encoder hears a clip in disguise, or the same utterance in another speaker's rendering where there is one;
the speaker encoder hears other crops of the speaker, and the decoder must give the clip as that speaker said it. The
content encoder never knows whose voice is wanted, so it cannot tell it.

Started from weights instead of stage-1 codes, or from nothing, the same goes on without Eq. 2: there are no codes to
reach. For the first steps, though, if the config says so, the content encoder alone learns to say the codes that the
weights have for clips as they are: so does a listener that they did not have, and so do they themselves in noise.
"""

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import Config
from saic.errors import DataError, UsageError
from saic.model.model import Model
from saic.signal.f0 import (
    transpose_f0,
)
from saic.signal.mel_statistics import match_mel_moments, measure_mel_statistics, transfer_mel_statistics
from saic.training.augmentation import Disguise, degrade
from saic.training.distributed import average_gradients, gather, share
from saic.training.loop import cosine, generators, precision
from saic.training.losses import FeatureNetwork, ReconstructionLoss, multi_scale_l1, voice_distance
from saic.training.phone_recognizer import Recognizer, word_distance
from saic.training.stage1 import Codes
from saic.training.training_set import Corpus, Crops

_VALIDATION_CROPS = 64
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
        self.listener = self.model.content_encoder.front.listener if config.content_encoder.listener else None
        self.codes = self.teacher = None
        if isinstance(start, Model):
            self._start_from(start)
        else:
            self._measure_mels()
        if isinstance(start, dict):
            self._start_from_codes(start)
        if self.listener is not None and not isinstance(start, Model):
            self._lend_listener()
        training = config.training
        self.loss = ReconstructionLoss(features, training.perceptual_weight, training.perceptual_share)
        taught = [] if self.listener is None else list(self.listener.parameters())
        fresh = [p for p in self.model.parameters() if all(p is not other for other in taught)]
        groups = [{"params": fresh, "pace": 1.0}, {"params": taught, "pace": config.stage2.listener_pace}]
        self.optimizer = torch.optim.Adam([group for group in groups if group["params"]], lr=config.stage2.lr)

    def step(self, i: int) -> dict[str, float]:
        """One step of Eq. 2 to 4."""
        stage, training, model = self.config.stage2, self.config.training, self.model
        random, _ = generators(self.config.seed + 1, i)
        for group in self.optimizer.param_groups:
            group["lr"] = group["pace"] * stage.lr * cosine(i, stage.steps)
        crops = self.corpus.sample(training.batch_size, random)
        heard = self.corpus.said_by_others(crops, random)
        other = self.corpus.crops_of(crops.speaker.numpy(), random).to(self.device)
        crops, heard = crops.to(self.device), heard.to(self.device)
        mask = Disguise.draw(len(crops), stage.disguise, random)
        voice = Disguise.draw(len(crops), stage.disguise, random, share=stage.disguise.targets)

        source = degrade(mask.mel(heard.mel), stage.disguise.degraded, random)
        reference, reference_mask = voice.mel(other.mel), other.mask
        register = voice.register(other.pitch)
        target = model.standardize(voice.mel(crops.mel))
        f0, plain = voice.f0(crops.f0), voice.plain.to(self.device)

        with precision(self.config, self.device):
            mel = model.heard(share(source), share(heard.mask))
            sounds = None if self.listener is None else self.listener.sounds(mel)
            content, _ = model.content_encoder(mel, share(heard.mask), sounds=sounds)
        losses = {}
        if sounds is not None and self.recognizer is not None:
            losses["listening"] = self._listening(sounds, heard.mel)
        if self.teacher is not None and i < stage.codes_first:
            losses["content"] = F.mse_loss(gather(content.float()), self._taught(heard))
            return self._update(losses)

        with precision(self.config, self.device):
            speaker = model.encode_speaker(share(reference), share(reference_mask))
            output, _ = model.decoder(content, speaker, share(f0), share(crops.mask))
        content, speaker, output = (gather(whole.float()) for whole in (content, speaker, output))
        output = match_mel_moments(output, target, crops.mask)
        losses["reconstruction"] = self.loss(output, target)
        losses["pitch"] = F.l1_loss(model.pitch_of(speaker), register)
        if self.codes is not None:
            losses["content"] = F.mse_loss(content, self.codes.content_of(crops))
            losses["speaker"] = _mean_where(plain, (speaker - self.codes.speaker_of(crops)).square().mean(dim=1))
        if self._hears_words:
            seen = max(1, round(stage.words_share * len(output)))
            losses["words"] = self._words(output[:seen], target[:seen])
        if self._hears_words or self._hears_voices:
            voices = model.standardize(reference), reference_mask, speaker, register
            judged = self._judge_conversions(content, f0, crops.mask, target, *voices)
            losses |= {name: losses.get(name, 0.0) + loss for name, loss in judged.items()}
        mel_l1 = (output.detach() - target).abs().mean()
        return self._update(losses) | {"mel_l1": float(mel_l1)}

    def _update(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """One step of the optimizer down the weighted sum of losses."""
        self.optimizer.zero_grad()
        sum(getattr(self.config.stage2.weights, name) * loss for name, loss in losses.items()).backward()
        average_gradients(self.model.parameters())
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        return {name: float(loss.detach()) for name, loss in losses.items()}

    @property
    def _hears_voices(self) -> bool:
        return self.loss.network is not None and self.config.stage2.weights.voice > 0

    @property
    def _hears_words(self) -> bool:
        return self.recognizer is not None and self.config.stage2.weights.words > 0

    @torch.no_grad()
    def _taught(self, heard: Crops) -> Tensor:
        """Content codes that the weights of the start have for clips as they are."""
        mask = share(heard.mask)
        return gather(self.teacher(self.model.heard(share(heard.mel), mask), mask)[0])

    def _listening(self, sounds: Tensor, mel: Tensor) -> Tensor:
        """How far the listener is, in a disguise, from what the recognizer hears in the (B, 80, T) clips as they are.

        L1 distance, relative to the deviation over time.
        """
        with torch.no_grad():
            wanted = gather(self.recognizer.sounds(share(mel)))
        deviation = (wanted - wanted.mean(dim=1, keepdim=True)).abs().mean()
        return (gather(sounds) - wanted).abs().mean() / deviation

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
        melody = transpose_f0(f0[said], register[voice])
        with precision(self.config, self.device):
            output, _ = self.model.decoder(content[said], speaker[voice], melody, mask[said])
        wanted = reference[voice], reference_mask[voice]
        moving = measure_mel_statistics(*wanted), mask[said]
        output = transfer_mel_statistics(output.float(), *moving, correlation=self.config.decoder.correlation_share)
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
        output = match_mel_moments(output, crops.mel, crops.mask)
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
        parts = {"model": self.model, "optimizer": self.optimizer}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Undo :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
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
        """Go on from weights; blocks that the config adds at the decoder's end pass what comes to them at first.

        A listener that it adds is the recognizer's.
        """
        blocks, n_known = self.model.decoder.blocks, len(model.decoder.blocks)
        for block in blocks[n_known:]:
            block.hush()
        added = tuple(f"decoder.blocks.{i}." for i in range(n_known, len(blocks)))
        known = model.state_dict()
        if self.listener is not None and not model.config.content_encoder.listener:
            front = "content_encoder.front."
            added, known = (*added, front), {name: tensor for name, tensor in known.items() if front not in name}
        fresh = {name: tensor for name, tensor in self.model.state_dict().items() if name.startswith(added)}
        try:
            self.model.load_state_dict(fresh | known)  # the mels' mean and deviation too
        except RuntimeError:
            raise UsageError(
                "The config names other sizes than those of the --init weights: leave them out. Only blocks at the"
                " decoder's end and a listener may be added."
            ) from None
        if self.listener is not None and not model.config.content_encoder.listener:
            self._lend_listener()
        if self.config.stage2.codes_first:
            self.teacher = copy.deepcopy(model.content_encoder).to(self.device)

    def _lend_listener(self) -> None:
        """The recognizer's network, for mels as they are standardized here."""
        if self.recognizer is None:
            raise UsageError("The config has a listener: give --recognizer, whose network it is.")
        lent = self.recognizer.listener(self.model.mel_mean, self.model.mel_std)
        try:
            self.listener.load_state_dict(lent.state_dict())
        except RuntimeError:
            raise UsageError("The config's listener has other sizes than the --recognizer.") from None


def _mean_where(chosen: Tensor, values: Tensor) -> Tensor:
    """Mean of the chosen values; 0 where nothing is chosen."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)
