"""How fast vocoders are: ``python benchmarks/vocoders.py [--seconds 10] [--threads 2]``.

The weights' own vocoder, Griffin-Lim and WORLD (Morise et al. 2016, by pyworld: ``pip install 'saic[bench]'``) on the
same clip in the same process. WORLD has parameters of its own instead of a mel, so its analysis is a row too; the other
two need a mel and, the neural one, a pitch track, whose rows stand beside them. Shares of real time: 0.01 means a
hundredth of the clip's own length.
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
from saic.signal.f0 import (
    track_f0,
)
from saic.signal.mel import SAMPLE_RATE, log_mel


def world(wav: np.ndarray) -> dict[str, Callable[[], object]]:
    """Analysis and synthesis by WORLD; nothing where pyworld is not installed."""
    try:
        import pyworld
    except ImportError:
        print("WORLD is left out: pip install 'saic[bench]'")
        return {}
    samples = wav.astype(np.float64)
    parameters = pyworld.wav2world(samples, SAMPLE_RATE)
    return {
        "WORLD, analysis": lambda: pyworld.wav2world(samples, SAMPLE_RATE),
        "WORLD, synthesis": lambda: pyworld.synthesize(*parameters, SAMPLE_RATE),
    }


def main() -> None:
    """Print one line a part."""
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
            "pitch": partial(track_f0, wav),
            f"the weights' own ({pipeline.info()['vocoder']})": partial(pipeline.vocoder, mel, f0),
            "Griffin-Lim": partial(griffin_lim.vocoder, mel, f0),
        }
        print(f"{arguments.seconds:g} s clip, {arguments.threads} threads")
        for name, action in (parts | world(wav)).items():
            print(f"{name:32}{median_s(action) / arguments.seconds:8.4f} of real time")


if __name__ == "__main__":
    main()
