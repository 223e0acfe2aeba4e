"""Measure the speed of a conversion and of vocoders: ``python -m benchmarks.speed [--seconds 20] [--threads 2]``.

All parts run on one clip in one process, so their ratios are comparable between machines. Figures
are real-time factors: duration of the computation over duration of the clip. Griffin-Lim and WORLD
(Morise et al. 2016, by pyworld: ``pip install '.[bench]'``) are beside the vocoder of the weights, WORLD
with its own analysis.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.examples import EXAMPLES
from saic import audio
from saic.conversion import Speech
from saic.pipeline import Pipeline
from saic.signal import mcadams
from saic.signal.f0 import track_f0
from saic.signal.mel import SAMPLE_RATE, log_mel

TARGET_S = 10


def median_s(action: Callable[[], object]) -> float:
    """Median duration of an action over five runs, after one to warm up."""
    action()
    durations = []
    for _ in range(5):
        began = time.perf_counter()
        action()
        durations.append(time.perf_counter() - began)
    return statistics.median(durations)


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
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    pipeline = Pipeline.from_pretrained(arguments.weights)
    griffin_lim = pipeline.with_griffin_lim().vocoder
    wav = np.resize(audio.load(EXAMPLES[0]), int(arguments.seconds * SAMPLE_RATE))
    clip, speech = (wav, SAMPLE_RATE), Speech.from_wav(wav)
    target = np.resize(audio.load(EXAMPLES[4]), TARGET_S * SAMPLE_RATE), SAMPLE_RATE
    voice = pipeline.voice(target)

    def encode_and_decode() -> None:
        content = pipeline.model.encode_content(speech.mel, speech.mask)
        pipeline.model.decode(content, voice.embedding, speech.f0, speech.mask)

    with torch.inference_mode():
        parts = {
            "mel": lambda: log_mel(torch.from_numpy(wav)),
            "F0 track": lambda: track_f0(wav),
            "content encoder and decoder": encode_and_decode,
            "vocoder": lambda: pipeline.vocoder(speech.mel[0], speech.f0[0]),
            "Griffin-Lim": lambda: griffin_lim(speech.mel[0], speech.f0[0]),
            f"voice of a {TARGET_S} s target": lambda: pipeline.voice(target),
            f"convert to a {TARGET_S} s target": lambda: pipeline.convert(clip, target),
            "convert to a kept voice": lambda: pipeline.convert(clip, voice),
            "the same with reconstruction": lambda: pipeline.convert(clip, voice),
            "pseudonym": lambda: pipeline.anonymize(clip, seed=0),
            "McAdams, without a model": lambda: mcadams.anonymize(wav),
        }
        print(f"{arguments.seconds:g} s clip, {arguments.threads} threads")
        for name, action in (parts | world(wav)).items():
            print(f"{name:32}{median_s(action) / arguments.seconds:8.4f} of real time")


if __name__ == "__main__":
    main()
