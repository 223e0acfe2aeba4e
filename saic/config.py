"""The configuration of model and training: strict, frozen, saved beside the weights.

A YAML file holds only what differs from the defaults below. An unknown key or a value out of range
raises :class:`~saic.errors.ConfigError`, which names the valid keys. Keys of version 0.9 are
renamed by :mod:`saic.migration`.
"""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from saic.errors import ConfigError
from saic.migration import FORMAT_VERSION, migrate_config

_Size = Annotated[int, Field(ge=1)]
_MAX_STRIDE = 64  # mel frames per content code, 0.8 s; the decoder pads a clip to a multiple of it


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Audio(_Section):
    """The mel front end, always this one; saved so that other programs can check it."""

    sample_rate_hz: Literal[16_000] = 16_000
    n_fft: Literal[1024] = 1024
    hop_samples: Literal[200] = 200
    n_mels: Literal[80] = 80


class PhoneEncoder(_Section):
    """Sizes of the Conformer in :mod:`saic.model.phone_encoder`; defaults as in ``hama``."""

    channels: int = Field(144, ge=1)
    blocks: int = Field(4, ge=2)
    kernel: int = Field(31, ge=1)

    @model_validator(mode="after")
    def _check_sizes(self) -> "PhoneEncoder":
        """Reject sizes with which the network can be built but not run."""
        if self.kernel % 2 == 0:
            raise ValueError("kernel must be odd")
        if self.channels % max(1, self.channels // 36):  # attention heads, as saic.model.phone_encoder counts them
            raise ValueError("channels must be a multiple of the number of attention heads, one for every 36 channels")
        return self


class ContentEncoder(_Section):
    """Content encoder (paper 3.2), sizes after AdaIN-VC (the paper's reference 16)."""

    channels: int = Field(128, ge=4)
    bank_kernels: int = Field(4, ge=1, le=16)
    kernel: int = Field(5, ge=3)
    code_channels: int = Field(64, ge=1)
    strides: tuple[Literal[1, 2], ...] = (1, 2, 1, 1, 1, 1)
    instance_norm: bool = Field(True, description="False is an ablation: content codes then hold the speaker")
    phone_encoder: PhoneEncoder | None = Field(
        PhoneEncoder(),
        description="replaces the convolution bank and the first blocks; null keeps these, as in the paper",
    )
    detail_channels: int = Field(
        0,
        ge=0,
        description="of the code channels, those that are a linear map of the instance-normalized mel; stage 1 has no"
        " code for them",
    )

    @model_validator(mode="after")
    def _check_parts(self) -> "ContentEncoder":
        if self.detail_channels >= self.code_channels:
            raise ValueError("detail_channels must be fewer than code_channels")
        return self


class SpeakerTdnn(_Section):
    """Time-delay network of the speaker encoder, trained by train.speaker."""

    channels: int = Field(256, ge=4)
    dilations: tuple[_Size, ...] = Field((1, 2, 3, 4), min_length=1, description="of each block, in features")
    stride: Literal[1, 2] = Field(2, description="mel frames per feature")


class SpeakerEncoder(_Section):
    """Speaker encoder (paper 3.3)."""

    channels: int = Field(128, ge=4)
    bank_kernels: int = Field(4, ge=1, le=16)
    kernel: int = Field(5, ge=3)
    embedding_size: int = Field(128, ge=1)
    strides: tuple[Literal[1, 2], ...] = (1, 2, 1, 2, 1, 2)
    tdnn: SpeakerTdnn | None = Field(
        None,
        description="replaces these convolutions, is trained before stage 1 and stays as it is in both stages; null"
        " keeps them, as in the paper",
    )


class Decoder(_Section):
    """Decoder (paper 3.4). ``upsampling`` must undo the content encoder's ``strides``."""

    channels: int = Field(128, ge=4)
    kernel: int = Field(5, ge=3)
    upsampling: tuple[Literal[1, 2], ...] = (1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1)


class Conversion(_Section):
    """How :mod:`saic.conversion` changes the decoder's output."""

    correlation_share: float = Field(
        0.0, ge=0, le=1, description="share of the target's correlations between mel bands that is transferred"
    )
    spectral_correction_share: float = Field(
        0.0, ge=0, le=1, description="share of the predicted decoder error that is added to the output"
    )


class Training(_Section):
    """Settings of both stages."""

    batch_size: int = Field(32, ge=2)
    segment_frames: int = Field(160, ge=16, description="length of a crop; a multiple of the content stride")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of convolutions and matrix products; a processor that only emulates bfloat16 takes float32",
    )
    perceptual_weight: float = Field(0.3, ge=0)
    perceptual_share: float = Field(0.125, ge=0, le=1, description="share of a batch that the perceptual loss uses")


class Stage1(_Section):
    """Latent optimization (paper 3.1.1, Eq. 1)."""

    steps: int = Field(5_000, ge=1)
    part_steps: int | None = Field(None, ge=1, description="steps of one part of train.release; null: one part")
    noise_std: float = Field(1.0, ge=0)
    content_decay: float = Field(1e-4, ge=0)
    lr_codes: float = Field(1e-1, gt=0)
    lr_decoder: float = Field(1e-3, gt=0)


class Stage2Weights(_Section):
    """Weights of the losses of stage 2; Eq. 4 has those of content, speaker and reconstruction."""

    content: float = Field(1.0, ge=0)
    speaker: float = Field(1.0, ge=0)
    f0: float = Field(1.0, ge=0, description="of the predicted median and spread of log2 F0")
    reconstruction: float = Field(1.0, ge=0)
    speaker_style: float = Field(0.3, ge=0, description="feature statistics of conversions, against a reference")
    phone_features: float = Field(0.5, ge=0, description="phone features of augmented clips, against clean ones")
    phone_loss: float = Field(0.5, ge=0, description="phone recognizer on reconstructions and conversions")


class Augmentation(_Section):
    """Augmentation of log-mels (:mod:`saic.training.augmentation`)."""

    vtlp_factors: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.11, 1.18, 1.25),
        min_length=1,
        description="frequency warps of vocal-tract-length perturbation",
    )
    equalizer_db: float = Field(5.0, ge=0, description="standard deviation of the random equalizer's gain")
    target_share: float = Field(
        0.5, ge=0, le=1, description="share of targets that are augmented, together with their references"
    )
    degraded_share: float = Field(
        0.2, ge=0, le=1, description="share of inputs with noise; also with reverberation, and with a band limit"
    )


class Stage2(_Section):
    """Amortized encoders (paper 3.1.2, Eq. 2 to 4)."""

    steps: int = Field(3_000, ge=1)
    part_steps: int | None = Field(None, ge=1, description="steps of one part of train.release; null: one part")
    lr: float = Field(5e-4, gt=0)
    distill_steps: int = Field(
        0, ge=0, description="first steps, in which only the content encoder trains, on codes of the --init weights"
    )
    phone_encoder_lr_scale: float = Field(
        0.25, ge=0, description="learning rate of the phone encoder, relative to lr; 0 freezes it"
    )
    freeze_content: bool = Field(False, description="the content encoder stays as it was initialized")
    detail_noise: float = Field(
        0.0,
        ge=0,
        description="noise on content_encoder.detail_channels of the decoder's input, relative to their deviation over"
        " a crop",
    )
    phone_loss_share: float = Field(0.5, gt=0, le=1, description="share of a batch that the phone loss uses")
    augmentation: Augmentation = Augmentation()
    weights: Stage2Weights = Stage2Weights()


class SpeakerTraining(_Section):
    """Training of the speaker encoder's time-delay network."""

    steps: int = Field(8_000, ge=1)
    lr: float = Field(1e-3, gt=0)
    batch_size: int = Field(32, ge=2)


class Perceptual(_Section):
    """Feature network of the perceptual loss: VGG-style, at a quarter of VGG16's width."""

    channels: tuple[_Size, ...] = Field((16, 32, 64, 128), min_length=1, max_length=4)
    steps: int = Field(1_000, ge=1)
    lr: float = Field(1e-3, gt=0)
    batch_size: int = Field(16, ge=2)


class Vocoder(_Section):
    """Kind of vocoder, and its sizes."""

    kind: Literal["griffin-lim", "neural"] = "griffin-lim"
    iterations: int = Field(32, ge=1, le=1_000, description="of Griffin-Lim")
    channels: int = Field(256, ge=4)
    layers: int = Field(6, ge=1)
    kernel: Literal[3, 5, 7, 9] = 7
    expansion: int = Field(3, ge=1)


class VocoderTraining(_Section):
    """Training of the neural vocoder."""

    steps: int = Field(4_700, ge=1)
    part_steps: int | None = Field(None, ge=1, description="steps of one part of train.release; null: one part")
    lr: float = Field(1e-3, gt=0)
    batch_size: int = Field(8, ge=1)
    segment_frames: int = Field(64, ge=16)
    windows: tuple[Annotated[int, Field(ge=16)], ...] = Field(
        (2048, 1024, 512), min_length=1, description="STFT windows of the loss, in samples"
    )
    phone_loss_weight: float = Field(0.5, ge=0, description="weight of the phone loss")
    blurred_share: float = Field(
        0.4, ge=0, le=1, description="share of a batch whose mels are blurred or reconstructed"
    )

    @model_validator(mode="after")
    def _check_windows(self) -> "VocoderTraining":
        if max(self.windows) > self.segment_frames * Audio().hop_samples:
            raise ValueError("windows must be no longer than segment_frames of 200 samples")
        return self


class ProsodyTraining(_Section):
    """Training of the prosody predictor."""

    steps: int = Field(800, ge=1)


class ParallelSpeech(_Section):
    """Parallel synthetic speech that train.release makes with train.kokoro."""

    sentences: int = Field(1_200, ge=1)
    voices_per_sentence: int = Field(3, ge=2)
    voices: int = Field(160, ge=2, description="speakers, blends included")

    @model_validator(mode="after")
    def _check_voices(self) -> "ParallelSpeech":
        if self.voices_per_sentence > self.voices:
            raise ValueError("voices_per_sentence must be at most voices")
        return self


_NETWORKS = ("audio", "content_encoder", "speaker_encoder", "decoder")
"""Sections of :class:`Config` that set the sizes of the model's tensors."""


class Config(_Section):
    """All settings of the networks and of their training."""

    format_version: Literal[6] = FORMAT_VERSION
    audio: Audio = Audio()
    content_encoder: ContentEncoder = ContentEncoder()
    speaker_encoder: SpeakerEncoder = SpeakerEncoder()
    decoder: Decoder = Decoder()
    conversion: Conversion = Conversion()
    training: Training = Training()
    speaker_training: SpeakerTraining = SpeakerTraining()
    perceptual: Perceptual = Perceptual()
    stage1: Stage1 = Stage1()
    stage2: Stage2 = Stage2()
    vocoder: Vocoder = Vocoder()
    vocoder_training: VocoderTraining = VocoderTraining()
    prosody_training: ProsodyTraining = ProsodyTraining()
    parallel_speech: ParallelSpeech = ParallelSpeech()
    seed: int = Field(0, ge=0, lt=2**44, description="times 1,000,003 it must fit into the 64 bits of a torch seed")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Build from nested plain values.

        Raises
        ------
        ConfigError
            A key is unknown or a value is out of range; the message names what is valid.
        """
        try:
            config = cls.model_validate(migrate_config(values) if isinstance(values, dict) else values)
        except ValidationError as error:
            raise ConfigError("\n".join(_explain(cls, e) for e in error.errors())) from None
        down, up = config.content_stride, math.prod(config.decoder.upsampling)
        if down != up:
            raise ConfigError(
                f"The product of decoder.upsampling is {up}, that of content_encoder.strides {down}: they must agree."
            )
        if down > _MAX_STRIDE:
            raise ConfigError(f"The product of content_encoder.strides is {down}. It must be at most {_MAX_STRIDE}.")
        if config.training.segment_frames % down:
            raise ConfigError(f"training.segment_frames must be a multiple of the content stride {down}.")
        return config

    @classmethod
    def from_yaml(cls, path: str | Path) -> "Config":
        """Read a YAML file of differences from the defaults."""
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise ConfigError(f"The config cannot be read: {error.strerror}.") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"The config is not valid YAML: {error}") from None
        except (ValueError, RecursionError):  # other letters than UTF-8's, a date that does not exist, too deep
            raise ConfigError("The config is not valid YAML in UTF-8.") from None
        if not isinstance(values, dict):
            raise ConfigError("The config must be a mapping of keys to values.")
        return cls.from_dict(values)

    def with_networks_of(self, other: "Config") -> "Config":
        """This config, with the networks of another one where it has no section of its own for them."""
        own = self.model_fields_set
        return self.model_copy(update={name: getattr(other, name) for name in _NETWORKS if name not in own})

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, ready for JSON or YAML."""
        return self.model_dump(mode="json")

    @property
    def content_stride(self) -> int:
        """Mel frames per content code."""
        return math.prod(self.content_encoder.strides)


def _explain(root: type[BaseModel], error: dict[str, Any]) -> str:
    """One sentence for one pydantic error; an unknown key lists its valid siblings."""
    if not error["loc"]:
        return "The config must be a mapping of keys to values."
    *parents, _ = error["loc"]
    where = _printable(".".join(map(str, error["loc"])))
    if error["type"] != "extra_forbidden":
        return f"Config key '{where}': {error['msg']}."
    section = root
    for parent in parents:
        kind = section.model_fields[parent].annotation
        section = next(iter(get_args(kind)), kind)  # the section of "Section | None"
    return f"Unknown config key '{where}'. Valid keys here: {', '.join(section.model_fields)}."


def _printable(key: str) -> str:
    """A key from a file, shortened, without control characters that could act on a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in key[:80])
