"""Stage 2 (paper 3.1.2): training of encoders that predict the stage-1 codes, and of the decoder.

The content encoder's input is an augmented clip; if there is a parallel clip of another speaker, it
is that clip, augmented. The speaker encoder's input is another crop of the target speaker. The
decoder's target is the clip in the target speaker's voice. That voice is not in the content
encoder's input, so the content codes cannot encode it.

Stage 2 may also start from finished or random weights instead of stage-1 codes; Eq. 2 is then left
out. With finished weights, self-distillation may come first: for ``stage2.distill_steps`` steps
only the content encoder trains, to predict from an augmented copy the codes that the initial
weights give for the clean clip.
"""

import copy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saic.config import Config
from saic.conversion import Speech, Voice, convert_mel
from saic.errors import UsageError
from saic.model.model import Model
from saic.signal.mel_statistics import match_mel_moments, measure_mel_statistics
from saic.training.augmentation import Augmentation, degrade
from saic.training.distributed import average_gradients, gather, shard
from saic.training.initialization import copy_phone_encoder, fit_speaker_layers, load_weights, mel_statistics
from saic.training.loop import cosine, generators, precision
from saic.training.losses import FeatureNetwork, ReconstructionLoss, multi_scale_l1, speaker_style_loss
from saic.training.phone_recognizer import PhoneRecognizer, phone_loss
from saic.training.stage1 import Codes, load_codes
from saic.training.training_set import Crops, TrainingSet

_VALIDATION_CROPS = 64
_CONVERTED_SHARE = 0.5  # of a batch, for the losses on conversions


class Stage2:
    """Optimizes encoders and decoder together (Eq. 4); the stage-1 codes are constant.

    Parameters
    ----------
    training_set
        What to train on.
    config
        The whole configuration.
    initial
        Codes and decoder of stage 1, a model to continue from, or None for random weights.
    features
        Network of the perceptual and the speaker-style loss; None omits both.
    content
        Weights whose content encoder is taken, if ``initial`` is None; the rest is random.
    speaker_encoder
        Trained speaker encoder (:func:`~saic.training.speaker.load_speaker_encoder`), adapted to
        :func:`~saic.training.initialization.mel_statistics`. None takes that of ``initial``, or random
        weights. If ``initial`` is a model, its layers that take speaker embeddings are fitted to this
        encoder. A time-delay network stays as it is; the paper's is trained.
    recognizer
        Phone recognizer of the phone loss; None omits it. It also initializes the phone encoder, if
        ``initial`` and ``content`` have none.
    earlier
        Model of this stage's earlier steps, for a part of a training: all its tensors are taken.
    first_step
        Step at which the optimizer starts; the warm-up of the learning rate begins there.
    unseen
        Speakers that are not in training, for :meth:`validate`.
    resumed
        Whether :meth:`load_state_dict` follows: then no layers are fitted, which takes all clips and minutes.
    device
        "cpu" or "cuda".

    Raises
    ------
    DataError, UsageError
        ``initial`` does not fit the data or the config, or the config's steps of self-distillation have no
        weights, or a frozen content encoder.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        config: Config,
        initial: dict[str, Any] | Model | None,
        features: FeatureNetwork | None,
        *,
        content: Model | None = None,
        speaker_encoder: nn.Module | None = None,
        recognizer: PhoneRecognizer | None = None,
        earlier: Model | None = None,
        first_step: int = 0,
        unseen: TrainingSet | None = None,
        resumed: bool = False,
        device: str = "cpu",
    ):
        torch.manual_seed(config.seed)
        self.training_set, self.unseen, self.config, self.device = training_set, unseen, config, device
        self.recognizer, self.first_step = recognizer, first_step
        self.model = Model(config).to(device)
        has_phone_encoder = config.content_encoder.phone_encoder is not None
        self.phone_encoder = self.model.content_encoder.front.phone_encoder if has_phone_encoder else None
        self.codes = self.teacher = None
        known = initial if isinstance(initial, Model) else content
        mean, std = mel_statistics(training_set, known)
        self.model.mel_mean.copy_(mean)
        self.model.mel_std.copy_(std)
        if known is not None:
            load_weights(self.model, known, only_content=known is content, speaker=speaker_encoder is None)
            if config.stage2.distill_steps:
                self.teacher = copy.deepcopy(known.content_encoder).to(device)
        copy_phone_encoder(self.model, known, recognizer)
        if isinstance(initial, dict):
            self._start_from_codes(initial)
        if speaker_encoder is not None:
            self.model.speaker_encoder = speaker_encoder.to(device)
            if isinstance(initial, Model) and earlier is None and not resumed:
                fit_speaker_layers(self.model, initial, training_set)
        if earlier is not None:
            load_weights(self.model, earlier)
        self._freeze(content_is_known=known is not None)
        training = config.training
        self.loss = ReconstructionLoss(features, training.perceptual_weight, training.perceptual_share)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        pretrained = set() if self.phone_encoder is None else set(self.phone_encoder.parameters())
        groups = [
            {"params": [p for p in trained if p not in pretrained], "lr_scale": 1.0},
            {"params": [p for p in trained if p in pretrained], "lr_scale": config.stage2.phone_encoder_lr_scale},
        ]
        self.optimizer = torch.optim.Adam([group for group in groups if group["params"]], lr=config.stage2.lr)

    def step(self, i: int) -> dict[str, Tensor]:
        """One step of Eq. 2 to 4, or of self-distillation."""
        stage, training, model = self.config.stage2, self.config.training, self.model
        random, _ = generators(self.config.seed + 1, i)
        for group in self.optimizer.param_groups:
            group["lr"] = group["lr_scale"] * stage.lr * cosine(i, stage.steps, first=self.first_step)
        crops = self.training_set.sample(training.batch_size, random)
        inputs = self.training_set.parallel_crops(crops, random)
        reference = self.training_set.crops_of(crops.speaker.numpy(), random).to(self.device)
        crops, inputs = crops.to(self.device), inputs.to(self.device)
        input_augmentation = Augmentation.draw(len(crops), stage.augmentation, random)
        voice_augmentation = Augmentation.draw(
            len(crops), stage.augmentation, random, share=stage.augmentation.target_share
        )
        source = degrade(input_augmentation.mel(inputs.mel), stage.augmentation.degraded_share, random)

        with precision(self.config, self.device):
            normalized = model.normalized(shard(source), shard(inputs.mask))
            phone_features = None if self.phone_encoder is None else self.phone_encoder.phone_features(normalized)
            content = model.content_encoder(normalized, shard(inputs.mask), phone_features=phone_features)
        losses = {}
        if self._uses_phone_feature_loss:
            losses["phone_features"] = self._phone_feature_loss(phone_features, inputs.mel)
        if self.teacher is not None and i < stage.distill_steps:
            losses["content"] = F.mse_loss(gather(content.float()), self._teacher_codes(inputs))
            return self._update(losses)

        reference_mel, f0_stats = voice_augmentation.mel(reference.mel), voice_augmentation.f0_stats(reference.f0_stats)
        target, f0 = model.standardize(voice_augmentation.mel(crops.mel)), voice_augmentation.f0(crops.f0)
        with precision(self.config, self.device):
            speaker = model.encode_speaker(shard(reference_mel), shard(reference.mask))
            output = model.decoder(self._noisy(content, random), speaker, shard(f0), shard(crops.mask))
        content, speaker, output = (gather(x.float()) for x in (content, speaker, output))
        output = match_mel_moments(output, target, crops.mask)
        losses["reconstruction"] = self.loss(output, target)
        predicted, has_f0 = model.predict_f0_stats(speaker), reference.f0_stats[:, 0] > 0
        losses["f0"] = _mean_where(has_f0, (predicted - f0_stats).abs().mean(dim=1))
        f0_stats = torch.where(has_f0[:, None], f0_stats, predicted.detach())
        if self.codes is not None:
            n_learned = content.shape[1] - self.codes.n_detail
            wanted = self.codes.content_of(crops.code_rows)
            losses["content"] = F.mse_loss(content[:, :n_learned], wanted[:, :n_learned])
            if speaker.requires_grad:
                difference = (speaker - self.codes.speaker_of(crops)).square().mean(dim=1)
                losses["speaker"] = _mean_where(voice_augmentation.is_identity.to(self.device), difference)
        if self._uses_phone_loss:
            n_used = max(1, round(stage.phone_loss_share * len(output)))
            losses["phone_loss"] = self._phone_loss(output[:n_used], target[:n_used])
        if self._uses_phone_loss or self._uses_style_loss:
            voices = Voice(speaker, f0_stats, measure_mel_statistics(reference_mel, reference.mask))
            converted = self._conversion_losses(content, f0, crops.mask, target, voices, reference_mel, reference.mask)
            losses |= {name: losses.get(name, 0.0) + loss for name, loss in converted.items()}
        mel_l1 = (output.detach() - target).abs().mean()
        return self._update(losses) | {"mel_l1": mel_l1}

    def _update(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """One optimizer step on the weighted sum of losses."""
        self.optimizer.zero_grad()
        sum(getattr(self.config.stage2.weights, name) * loss for name, loss in losses.items()).backward()
        average_gradients(self.model.parameters())
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def _noisy(self, content: Tensor, random: np.random.Generator) -> Tensor:
        """The decoder's input: content codes, with noise on the detail channels.

        It is in proportion to their deviation over the crop, since codes of any scale then carry the
        same information.
        """
        stage, (_, channels, n_codes) = self.config.stage2, content.shape
        n_detail = self.config.content_encoder.detail_channels
        scale = torch.tensor([0.0] * (channels - n_detail) + [stage.detail_noise] * n_detail)
        if not scale.any():
            return content
        size = self.config.training.batch_size, channels, n_codes
        noise = shard(torch.from_numpy(random.standard_normal(size, dtype=np.float32)))
        deviation = content.detach().std(dim=-1, keepdim=True)
        return content + deviation * (scale.view(1, -1, 1) * noise).to(content)

    @property
    def _uses_phone_feature_loss(self) -> bool:
        """Whether the phone encoder is trained on a loss of its own."""
        trains = self.phone_encoder is not None and self.phone_encoder.lead.weight.requires_grad
        return trains and self.recognizer is not None and self.config.stage2.weights.phone_features > 0

    @property
    def _uses_style_loss(self) -> bool:
        return self.loss.network is not None and self.config.stage2.weights.speaker_style > 0

    @property
    def _uses_phone_loss(self) -> bool:
        return self.recognizer is not None and self.config.stage2.weights.phone_loss > 0

    @torch.no_grad()
    def _teacher_codes(self, clean: Crops) -> Tensor:
        """Content codes that the initial weights give for clean clips."""
        mask = shard(clean.mask)
        return gather(self.teacher(self.model.normalized(shard(clean.mel), mask), mask))

    def _phone_feature_loss(self, phone_features: Tensor, clean_mel: Tensor) -> Tensor:
        """L1 distance of augmented clips' phone features from the recognizer's, of the clean mels.

        It is relative to the mean absolute deviation of the latter over time.
        """
        with torch.no_grad():
            clean_features = gather(self.recognizer.phone_features(shard(clean_mel)))
        deviation = (clean_features - clean_features.mean(dim=1, keepdim=True)).abs().mean()
        return (gather(phone_features) - clean_features).abs().mean() / deviation

    def _phone_loss(self, output: Tensor, target: Tensor, *, same_voice: bool = True) -> Tensor:
        """:func:`phone_loss` of standardized mels."""
        output, target = (mel * self.model.mel_std + self.model.mel_mean for mel in (output, target))
        with precision(self.config, self.device):
            return phone_loss(self.recognizer, output, target, same_voice=same_voice)

    def _conversion_losses(
        self,
        content: Tensor,
        f0: Tensor,
        mask: Tensor,
        target: Tensor,
        voices: Voice,
        reference_mel: Tensor,
        reference_mask: Tensor,
    ) -> dict[str, Tensor]:
        """Losses on conversions of a part of the batch, each clip to the next one's voice.

        There is no recording of the result to compare with. Its feature statistics are compared
        with those of the other voice's reference, and its phones with the source's.
        """
        n = max(1, round(_CONVERTED_SHARE * len(content)))
        source, other = slice(0, n), slice(1, n + 1)
        voice = Voice(voices.embedding[other], voices.f0_stats[other], voices.mel_statistics[other])
        with precision(self.config, self.device):
            mel, _ = convert_mel(self.model, content[source], f0[source], mask[source], voice)
        output = self.model.standardize(mel)
        losses = {}
        if self._uses_style_loss:
            reference = self.model.standardize(reference_mel[other])
            losses["speaker_style"] = speaker_style_loss(
                self.loss.network, output, mask[source], reference, reference_mask[other]
            )
        if self._uses_phone_loss:
            losses["phone_loss"] = self._phone_loss(output, target[source], same_voice=False)
        return losses

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mel L1 and top-1 on unseen speakers.

        The mel L1 is of crops converted to their own speaker's voice, measured on another crop.
        """
        random = np.random.default_rng(self.config.seed)
        crops = self.unseen.sample(_VALIDATION_CROPS, random)
        references = self.unseen.crops_of(crops.speaker.numpy(), random).to(self.device)
        crops = crops.to(self.device)
        self.model.eval()
        converted = []
        for b in range(len(crops)):
            one = slice(b, b + 1)
            reference = Speech(references.mel[one], references.mask[one], tracked_f0=references.f0[one])
            content = self.model.encode_content(crops.mel[one], crops.mask[one])
            voice = Voice.from_speech(self.model, [reference])
            converted.append(convert_mel(self.model, content, crops.f0[one], crops.mask[one], voice)[0])
        output = match_mel_moments(torch.cat(converted), crops.mel, crops.mask)
        standardized = self.model.standardize(output), self.model.standardize(crops.mel)
        top1 = self._speaker_top1(random)
        self.model.train()
        return {"loss": float(multi_scale_l1(*standardized)), "speaker_top1": top1}

    def _speaker_top1(self, random: np.random.Generator) -> float:
        """Share of unseen speakers whose crop is nearest to the mean of four other crops of theirs.

        By cosine similarity of speaker embeddings.
        """
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
        """Restore :meth:`state_dict`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _start_from_codes(self, stage1: dict[str, Any]) -> None:
        data, config = self.training_set, self.config
        self.codes = Codes(data.n_codes, len(data.speakers), config).requires_grad_(False).to(self.device)
        load_codes(stage1, self.codes, self.model.decoder, data)

    def _freeze(self, content_is_known: bool) -> None:
        """Exclude what does not train from the gradient, which also saves its backward pass."""
        stage, encoder = self.config.stage2, self.model.content_encoder
        if stage.distill_steps and stage.freeze_content:
            raise UsageError("stage2.distill_steps trains the content encoder, and stage2.freeze_content does not.")
        if stage.distill_steps and not content_is_known:
            raise UsageError("The config has stage2.distill_steps: give --init or --content with weights to distill.")
        if stage.freeze_content:
            if not content_is_known:
                raise UsageError("The config freezes the content encoder: give --content or --init with its weights.")
            encoder.requires_grad_(False)
        if self.phone_encoder is not None and stage.phone_encoder_lr_scale == 0:
            self.phone_encoder.requires_grad_(False)
        if self.config.speaker_encoder.tdnn is not None:
            self.model.speaker_encoder.requires_grad_(False).eval()


def _mean_where(chosen: Tensor, values: Tensor) -> Tensor:
    """Mean of the chosen values; 0 where nothing is chosen."""
    return (values * chosen).sum() / chosen.sum().clamp_min(1)
