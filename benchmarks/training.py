"""Measure training: ``python -m benchmarks.training --data CORPUS [--config FILE ...] [--steps 5] [--threads 1]``.

Prints the time of a step of every stage of each config, and the shares of drawing crops with
augmentation, forward pass with losses, backward pass, and optimizer. Then the time to load the mels
and F0 of a few clips, measured and from the cache.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from saic.config import Config
from saic.training import stage2
from saic.training.augmentation import Augmentation
from saic.training.loop import Stage
from saic.training.training_set import TrainingSet
from saic.training.waveform_set import WaveformSet
from train.entry import read_clips
from train.step_times import some_clips, stages, synchronize
from train.vocoder import lossless_clips

_DATA, _BACKWARD, _OPTIMIZER = "data", "backward", "optimizer"
CONFIGS = [Path(__file__).parents[1] / "train" / "configs" / f"{name}.yaml" for name in ("v1", "paper")]


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


def main() -> None:
    """Print a table of step times, and the time with and without the cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--config", type=Path, action="append")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clips, lossless = read_clips(arguments.data, "train"), lossless_clips(arguments.data, "train")
    print(f"{arguments.device}, {arguments.threads} threads, mean of {arguments.steps} steps\n")
    print("| Config | Stage | Step, s | Data, % | Forward, % | Backward, % | Optimizer, % |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for path in arguments.config or CONFIGS:
        for name, stage in stages(Config.from_yaml(path), clips, lossless, arguments.device):
            found = measure(stage, arguments.steps)
            shares = (found.data_s, found.forward_s, found.backward_s, found.optimizer_s)
            percent = " | ".join(f"{100 * share / found.total_s:.0f}" for share in shares)
            print(f"| {path.stem} | {name} | {found.total_s:.3f} | {percent} |", flush=True)
    print_loading(some_clips(lossless, 80))


def measure(stage: Stage, steps: int) -> StepTime:
    """Mean time of some steps, after one that is not counted."""
    clock = _Clock(stage.device)
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
        synchronize(stage.device)
        began = time.perf_counter()
        for i in range(1, steps + 1):
            stage.step(i)
        synchronize(stage.device)
        total_s = time.perf_counter() - began
    return StepTime(total_s / steps, *(clock.seconds[kind] / steps for kind in (_DATA, _BACKWARD, _OPTIMIZER)))


class _Clock:
    """Adds up the time of calls by kind; a call within a timed call is not counted again."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.seconds = dict.fromkeys((_DATA, _BACKWARD, _OPTIMIZER), 0.0)
        self._is_running = False

    def timed(self, function: Callable, kind: str) -> Callable:
        """The function, with its time counted."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._is_running:
                return function(*args, **kwargs)
            synchronize(self._device)
            self._is_running, began = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                synchronize(self._device)
                self.seconds[kind] += time.perf_counter() - began
                self._is_running = False

        return call


def print_loading(clips: list) -> None:
    """Print the time to load clips in an empty cache, then from it."""
    minutes = sum(clip.duration_s for clip in clips) / 60
    print(f"\n{len(clips)} lossless clips, {minutes:.1f} minutes; seconds for an hour of speech:")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SAIC_CACHE"] = folder
        for state in ("measured", "from the cache"):
            began = time.perf_counter()
            training_set = TrainingSet(clips, segment_frames=16, stride=1)
            mels_s = time.perf_counter() - began
            WaveformSet(training_set)
            waveforms_s = time.perf_counter() - began - mels_s
            per_hour = (f"{60 * seconds / minutes:.1f}" for seconds in (mels_s, waveforms_s))
            print("{}: mels and F0 {}; waveforms and refined F0 {}".format(state, *per_hour))


if __name__ == "__main__":
    main()
