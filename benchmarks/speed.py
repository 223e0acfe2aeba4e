"""Measure the speed of a conversion: ``python benchmarks/speed.py [--seconds 10] [--threads 2]``.

All parts run on one clip in one process, so their ratios are comparable between machines. Figures are real-time
factors: duration of the computation over duration of the clip.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from saic import audio
from saic.pipeline import Pipeline
from saic.signal import mcadams
from saic.signal.f0 import track_f0
from saic.signal.mel import SAMPLE_RATE, log_mel

CLIP = Path(__file__).parents[1] / "assets" / "examples" / "voice_a.flac"


def median_s(action: Callable[[], object], repeats: int = 5) -> float:
    """Median duration of an action, after one warm-up run."""
    action()
    durations = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


def main() -> None:
    """Print one line per part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pipeline = Pipeline.from_pretrained()
    wav = np.resize(audio.load(CLIP), int(arguments.seconds * SAMPLE_RATE))
    clip, mel = (wav, SAMPLE_RATE), log_mel(torch.from_numpy(wav))
    f0 = torch.from_numpy(track_f0(wav))[None]
    with torch.inference_mode():
        parts = {
            "mel": lambda: log_mel(torch.from_numpy(wav)),
            "F0 track": lambda: track_f0(wav),
            "encoders and decoder": lambda: pipeline.model(mel[None], mel[None], f0),
            "vocoder": lambda: pipeline.vocoder(mel, f0[0]),
            "convert": lambda: pipeline.convert(clip, clip, reconstruct=False),
            "convert, with reconstruction": lambda: pipeline.convert(clip, clip),
            "McAdams, without a model": lambda: mcadams.anonymize(wav),
        }
        print(f"{arguments.seconds:g} s clip, {arguments.threads} threads")
        for name, action in parts.items():
            print(f"{name:32}{median_s(action) / arguments.seconds:8.4f} of real time")


if __name__ == "__main__":
    main()
