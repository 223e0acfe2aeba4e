"""Measure training: ``python -m benchmarks.training --data CORPUS [--config FILE ...] [--steps 5] [--threads 1]``.

Prints the time of a step of every stage of each config, and the shares of drawing crops with
augmentation, forward pass with losses, backward pass, and optimizer. Then the time to load the mels
and F0 of a few clips, measured and from the cache.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import torch

from saic.config import Config
from saic.training.training_set import TrainingSet
from saic.training.waveform_set import WaveformSet
from train.entry import read_clips
from train.step_times import measure, some_clips, stages
from train.vocoder import lossless_clips

CONFIGS = [Path(__file__).parents[1] / "train" / "configs" / f"{name}.yaml" for name in ("v1", "paper")]


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
