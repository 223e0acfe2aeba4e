"""Time of a training step of each stage on this machine, by what a step does.

A few steps are taken on a few clips, with random weights: they take as long as any others.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from saic.config import Config
from saic.data.manifest import Clip
from saic.signal.mel import FRAMES_PER_S
from saic.training import stage2
from saic.training.augmentation import Augmentation
from saic.training.loop import Stage
from saic.training.perceptual import MelFeatures, PerceptualStage
from saic.training.prosody import ProsodySet, ProsodyTraining
from saic.training.speaker import SpeakerTraining
from saic.training.stage1 import Stage1
from saic.training.stage2 import Stage2
from saic.training.training_set import TrainingSet
from saic.training.vocoder import VocoderStage
from saic.training.waveform_set import WaveformSet
from train import recognizer

PERCEPTUAL, SPEAKER, STAGE1, STAGE2 = "perceptual", "speaker", "stage1", "stage2"
VOCODER, PROSODY = "vocoder", "prosody"
_N_CLIPS = 16
_N_CENTERS = 128
_TEACHER_SIZE = 256
_DATA, _BACKWARD, _OPTIMIZER = "data", "backward", "optimizer"


@dataclass(frozen=True)
class StepTime:
    """Mean seconds of a step, and what they were spent on.

    ``data_s``: drawing crops, and augmentation; ``backward_s``; ``optimizer_s``: clipping of
    gradients and the update; ``forward_s``: the rest, that is networks and losses.
    """

    total_s: float
    data_s: float
    backward_s: float
    optimizer_s: float

    @property
    def forward_s(self) -> float:
        """Seconds in networks and losses."""
        return self.total_s - self.data_s - self.backward_s - self.optimizer_s


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


def stages(config: Config, clips: list[Clip], lossless: list[Clip], device: str = "cpu") -> Iterator[tuple[str, Stage]]:
    """The stages of a config by name, ready to step, each made when it is asked for.

    Parameters
    ----------
    clips, lossless
        Of which a few are used; ``lossless`` for the vocoder.
    """
    frames, vocoder_frames = config.training.segment_frames, config.vocoder_training.segment_frames
    data = TrainingSet(some_clips(clips, frames), segment_frames=frames, stride=config.content_stride)
    features = phones = None
    if uses_perceptual(config):
        yield PERCEPTUAL, PerceptualStage(data, config, device)
        features = MelFeatures(config.perceptual.channels).requires_grad_(False).to(device)
    if config.speaker_encoder.tdnn is not None:
        yield (
            SPEAKER,
            SpeakerTraining(data, config, [np.ones(_TEACHER_SIZE, dtype=np.float32)] * len(data.clips), device),
        )
    yield STAGE1, Stage1(data, config, features, device)
    if uses_recognizer(config):
        phones = recognizer.network(recognizer.read_archive()).to(device)
    yield STAGE2, Stage2(data, config, None, features, recognizer=phones, device=device)
    chosen = some_clips(lossless, vocoder_frames)
    waveforms = WaveformSet(TrainingSet(chosen, segment_frames=vocoder_frames, stride=1))
    yield VOCODER, VocoderStage(waveforms, config, recognizer=phones, device=device)
    channels = config.content_encoder.code_channels
    centers = torch.randn(_N_CENTERS, channels)
    prosody = ProsodySet(data, torch.randn(channels, data.n_codes), centers)
    yield PROSODY, ProsodyTraining(prosody, prosody, centers, 1.0, config, config.prosody_training.steps, device)


def measure(stage: Stage, steps: int = 3) -> StepTime:
    """Mean time of some steps, after one that is not counted."""
    clock = _Clock()
    optimizers = getattr(stage, "optimizers", None) or {"": stage.optimizer}
    timed: list[tuple[Any, str, str]] = [
        *((TrainingSet, name, _DATA) for name in ("sample", "crops_of", "parallel_crops")),
        (WaveformSet, "sample", _DATA),
        (Augmentation, "mel", _DATA),
        (stage2, "degrade", _DATA),
        (torch.Tensor, "backward", _BACKWARD),
        (nn.utils, "clip_grad_norm_", _OPTIMIZER),
        *((optimizer, "step", _OPTIMIZER) for optimizer in optimizers.values()),
    ]
    stage.step(0)
    with ExitStack() as patches:
        for owner, name, kind in timed:
            patches.enter_context(patch.object(owner, name, clock.timed(getattr(owner, name), kind)))
        _synchronize()
        began = time.perf_counter()
        for i in range(1, steps + 1):
            stage.step(i)
        _synchronize()
        total_s = time.perf_counter() - began
    return StepTime(total_s / steps, *(clock.seconds[kind] / steps for kind in (_DATA, _BACKWARD, _OPTIMIZER)))


class _Clock:
    """Adds up the time of calls by kind; a call within a timed call is not counted again."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((_DATA, _BACKWARD, _OPTIMIZER), 0.0)
        self._is_running = False

    def timed(self, function: Callable, kind: str) -> Callable:
        """The function, with its time counted."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._is_running:
                return function(*args, **kwargs)
            _synchronize()
            self._is_running, began = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                _synchronize()
                self.seconds[kind] += time.perf_counter() - began
                self._is_running = False

        return call


def _synchronize() -> None:
    """Wait for the GPU, if there is one: its work is only queued."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
