"""Measure the speed of vocoders: ``python benchmarks/vocoders.py [--seconds 10] [--threads 2]``.

The vocoder of the weights, Griffin-Lim and WORLD (Morise et al. 2016, by pyworld: ``pip install
'.[bench]'``) run on one clip in one process. Each has its analysis in rows of its own: the first
needs a mel and an F0 track, Griffin-Lim a mel, WORLD its own parameters. Figures are real-time
factors: duration of the computation over duration of the clip.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from speed import CLIP, median_s

from saic import audio
from saic.pipeline import Pipeline
from saic.signal.f0 import track_f0
from saic.signal.mel import SAMPLE_RATE, log_mel


def world(wav: np.ndarray) -> dict[str, Callable[[], object]]:
    """Analysis and synthesis by WORLD; empty if pyworld is not installed."""
    try:
        import pyworld
    except ImportError:
        print("WORLD is left out. Install it in SAIC's source tree with: pip install '.[bench]'")
        return {}
    samples = wav.astype(np.float64)
    parameters = pyworld.wav2world(samples, SAMPLE_RATE)
    return {
        "WORLD, analysis": lambda: pyworld.wav2world(samples, SAMPLE_RATE),
        "WORLD, synthesis": lambda: pyworld.synthesize(*parameters, SAMPLE_RATE),
    }


def main() -> None:
    """Print one line per part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="folder of weights; without it, the bundled ones")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pipeline = Pipeline.from_pretrained(arguments.weights)
    griffin_lim = pipeline.with_griffin_lim()
    wav = np.resize(audio.load(CLIP), int(arguments.seconds * SAMPLE_RATE))
    mel, f0 = log_mel(torch.from_numpy(wav)), torch.from_numpy(track_f0(wav))
    with torch.inference_mode():
        parts = {
            "mel": partial(log_mel, torch.from_numpy(wav)),
            "F0 track": partial(track_f0, wav),
            f"vocoder of the weights ({pipeline.info()['vocoder']})": partial(pipeline.vocoder, mel, f0),
            "Griffin-Lim": partial(griffin_lim.vocoder, mel, f0),
        }
        print(f"{arguments.seconds:g} s clip, {arguments.threads} threads")
        for name, action in (parts | world(wav)).items():
            print(f"{name:32}{median_s(action) / arguments.seconds:8.4f} of real time")


if __name__ == "__main__":
    main()
