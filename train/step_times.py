"""Time of a training step of each stage on this machine.

A few steps are taken on a few clips, with random weights: they take as long as any others.
"""

import time
from collections.abc import Callable, Collection, Iterator
from functools import cache

import numpy as np
import torch

from saic.config import Config
from saic.data.manifest import Clip
from saic.signal.mel import FRAMES_PER_S
from saic.training.loop import Stage
from saic.training.perceptual import MelFeatures, PerceptualStage
from saic.training.phone_recognizer import PhoneRecognizer
from saic.training.prosody import ProsodySet, ProsodyTraining
from saic.training.speaker import SpeakerTraining
from saic.training.stage1 import Stage1
from saic.training.stage2 import Stage2
from saic.training.training_set import TrainingSet
from saic.training.vocoder import VocoderStage
from saic.training.waveform_set import WaveformSet
from train import recognizer

_N_CLIPS = 16
_N_CENTERS = 128
_TEACHER_SIZE = 256


def uses_perceptual(config: Config) -> bool:
    """Whether a loss of the config needs the network of train.perceptual."""
    training = config.training
    return training.perceptual_weight * training.perceptual_share > 0 or config.stage2.weights.speaker_style > 0


def uses_recognizer(config: Config) -> bool:
    """Whether the config has a phone encoder, or a loss that needs the recognizer."""
    weights = config.stage2.weights
    has_phone_encoder = config.content_encoder.phone_encoder is not None
    return has_phone_encoder or weights.phone_loss > 0 or config.vocoder_training.phone_loss_weight > 0


def some_clips(clips: list[Clip], min_frames: int) -> list[Clip]:
    """At most 16 clips of at least ``min_frames`` mel frames, evenly spaced in the list."""
    long_enough = [clip for clip in clips if clip.duration_s * FRAMES_PER_S >= min_frames] or clips
    return [long_enough[i] for i in np.linspace(0, len(long_enough) - 1, min(_N_CLIPS, len(long_enough))).astype(int)]


def stages(
    config: Config,
    clips: list[Clip],
    lossless: list[Clip],
    device: str = "cpu",
    only: Collection[str] | None = None,
) -> Iterator[tuple[str, Stage]]:
    """The stages of a config by name, ready to step, each made when it is asked for.

    Parameters
    ----------
    clips, lossless
        Of which a few are used; ``lossless`` for the vocoder.
    only
        Names of the stages that are made; None makes all.
    """

    @cache
    def data() -> TrainingSet:
        frames = config.training.segment_frames
        return TrainingSet(some_clips(clips, frames), segment_frames=frames, stride=config.content_stride)

    @cache
    def features() -> MelFeatures | None:
        if not uses_perceptual(config):
            return None
        return MelFeatures(config.perceptual.channels).requires_grad_(False).to(device)

    @cache
    def phones() -> PhoneRecognizer | None:
        return recognizer.network(recognizer.read_archive()).to(device) if uses_recognizer(config) else None

    def speaker() -> SpeakerTraining:
        embeddings = [np.ones(_TEACHER_SIZE, dtype=np.float32)] * len(data().clips)
        return SpeakerTraining(data(), config, embeddings, device)

    def vocoder() -> VocoderStage:
        frames = config.vocoder_training.segment_frames
        waveforms = WaveformSet(TrainingSet(some_clips(lossless, frames), segment_frames=frames, stride=1))
        return VocoderStage(waveforms, config, recognizer=phones(), device=device)

    def prosody() -> ProsodyTraining:
        channels = config.content_encoder.code_channels
        centers = torch.randn(_N_CENTERS, channels)
        crops = ProsodySet(data(), torch.randn(channels, data().n_codes), centers)
        return ProsodyTraining(crops, crops, centers, 1.0, config, config.prosody_training.steps, device)

    makers: dict[str, Callable[[], Stage]] = {
        "perceptual": lambda: PerceptualStage(data(), config, device),
        "speaker": speaker,
        "stage1": lambda: Stage1(data(), config, features(), device),
        "stage2": lambda: Stage2(data(), config, None, features(), recognizer=phones(), device=device),
        "vocoder": vocoder,
        "prosody": prosody,
    }
    has = {"perceptual": uses_perceptual(config), "speaker": config.speaker_encoder.tdnn is not None}
    for name, make in makers.items():
        if has.get(name, True) and (only is None or name in only):
            yield name, make()


def seconds_per_step(stage: Stage, steps: int = 3) -> float:
    """Mean time of some steps, after one that is not counted."""
    stage.step(0)
    synchronize(stage.device)
    began = time.perf_counter()
    for i in range(1, steps + 1):
        stage.step(i)
    synchronize(stage.device)
    return (time.perf_counter() - began) / steps


def synchronize(device: str) -> None:
    """Wait for a GPU, whose work is only queued."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
