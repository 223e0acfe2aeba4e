"""Measure seconds and memory of a whole conversion by the length of the recording.

``python -m benchmarks.length [--seconds 1 10 60 600 3600] [--systems saic paper mcadams world chimera]
[--threads 1] [--plot benchmarks/length.png]`` converts example clips that are repeated to each length,
from a FLAC file to a WAV file, each in a process of its own:

- ``saic``: the bundled weights, to a voice of the gallery, profile balanced;
- ``paper``: networks of the paper's shape, which is that of AdaIN-VC (``train/configs/paper.yaml``,
  untrained: time and memory do not depend on the weights' values), with 100 iterations of Griffin-Lim
  as AdaIN-VC has, to a voice that is measured;
- ``mcadams``: no model;
- ``world``: analysis by WORLD (pyworld: ``pip install '.[bench]'``), F0 1.3 times as high, envelopes
  stretched by 1.1, synthesis;
- ``chimera``: ``chimera-voice`` in an environment of its own, named by ``SAIC_CHIMERA_PYTHON``
  (``saic/evaluation/external.py`` says how to make it).

Only ``saic`` goes beyond ten minutes: the others were written for short recordings, or have them in
memory. Seconds are processor seconds of the conversion alone, of all threads. Systems of one length
run one after the other, so their ratios, to the first system, are of one machine and one run. The
memory is the largest resident size during the conversion minus that before it, so without Python, the
libraries and the model; a clip of 2 s was converted before. It needs Linux. The folder for temporary
files should not be in memory.

``--starts 5`` measures ``saic convert`` alone, from its start to its end, on one example: the median of
five runs, in wall seconds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile as sf

from benchmarks.examples import EXAMPLES, write_repeated
from benchmarks.measured import measured
from saic import audio
from saic.errors import UsageError
from saic.evaluation.external import CHIMERA_PYTHON, require_environment

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "train" / "configs" / "paper.yaml"
NAMES = {
    "saic": "SAIC",
    "paper": "AdaIN-VC's shape",
    "mcadams": "McAdams",
    "world": "WORLD",
    "chimera": "Chimera",
}
ITERATIONS = 100
"""Of Griffin-Lim, in AdaIN-VC."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_LONGEST_OTHER_S = 600.0

Convert = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Figure:
    """What one conversion took: processor seconds, seconds, and MB above the process with its model."""

    system: str
    length_s: float
    processor_s: float
    wall_s: float
    memory_mb: float
    before_mb: float

    def line(self, first: "Figure") -> str:
        """A row of the table; ``first`` is of the first system and the same length."""
        return (
            f"{NAMES[self.system]:17}{self.length_s:8g} s{self.processor_s:9.2f} s"
            f"{self.processor_s / self.length_s:9.4f}{self.processor_s / first.processor_s:8.1f}{self.wall_s:9.1f} s"
            f"{self.memory_mb:8.0f} MB above {self.before_mb:.0f} MB"
        )


def converter(system: str) -> Convert:
    """The conversion of a file to another by a system."""
    if system in ("mcadams", "world"):
        from saic.signal import mcadams
        from saic.signal.loudness import normalize_loudness

        change = mcadams.anonymize if system == "mcadams" else world
        return lambda source, output: audio.save(output, normalize_loudness(change(audio.load(source))))
    from saic.config import Config
    from saic.model.model import Model
    from saic.pipeline import Pipeline
    from saic.vocoder.vocoder import GriffinLim

    if system == "paper":
        pipeline = Pipeline(Model(Config.from_yaml(PAPER)))
        pipeline.vocoder = GriffinLim(ITERATIONS)
        voice = pipeline.voice(EXAMPLES[-1])
    else:
        pipeline = Pipeline.from_pretrained()
        voice = pipeline.gallery.voice(pipeline.gallery.names[0])

    def convert(source: Path, output: Path) -> None:
        conversion = pipeline.convert_spooled(source, voice)
        with audio.encode_blocks(conversion.blocks(), "wav", audio.SAMPLE_RATE) as file:
            audio.write(output, file)

    return convert


def world(wav: np.ndarray) -> np.ndarray:
    """(N,) recording with another F0 and other formants, by WORLD."""
    import pyworld

    f0, envelope, aperiodicity = pyworld.wav2world(wav.astype(np.float64), audio.SAMPLE_RATE)
    bins = (np.arange(envelope.shape[1]) / 1.1).astype(int)
    changed = pyworld.synthesize(1.3 * f0, np.ascontiguousarray(envelope[:, bins]), aperiodicity, audio.SAMPLE_RATE)
    return changed[: len(wav)].astype(np.float32)


def measure(system: str, source: Path, length_s: float, folder: Path, threads: int) -> Figure:
    """Convert a recording in this process, with Chimera in another."""
    short, output = folder / "short.flac", folder / "out.wav"
    write_repeated(short, map(audio.load, EXAMPLES), 2.0)
    if system == "chimera":
        command = [os.environ[CHIMERA_PYTHON], Path(__file__).with_name("measured.py"), short, source, output]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    else:
        import torch

        torch.set_num_threads(threads)
        found = measured(converter(system), short, source, output)
    return Figure(system, length_s, **found)


def start_s(n_runs: int) -> float:
    """Median seconds of the command ``saic convert`` on one example, start included."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(n_runs):
            words = ("convert", EXAMPLES[0], "--target", EXAMPLES[-1], "-o", f"{folder}/{k}.wav")
            began = time.perf_counter()
            subprocess.run([sys.executable, "-m", "saic", *words], check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def plot(figures: list[Figure], path: Path) -> None:
    """Seconds and memory by length, as one picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, NullLocator

    figure, (seconds, memory) = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for system in dict.fromkeys(each.system for each in figures):
        own = sorted((each for each in figures if each.system == system), key=lambda each: each.length_s)
        lengths = [each.length_s for each in own]
        seconds.plot(lengths, [each.processor_s for each in own], "o-", label=NAMES[system])
        memory.plot(lengths, [max(each.memory_mb, 1) for each in own], "o-", label=NAMES[system])
    ticks = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h"}
    for axes, unit in ((seconds, "Processor seconds"), (memory, "MB above the model")):
        axes.set(xscale="log", yscale="log", xlabel="Length of the recording", ylabel=unit)
        axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels(ticks.values())
        axes.grid(alpha=0.3)
    seconds.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[1, 10, 60, 600, 3600])
    parser.add_argument("--systems", nargs="+", choices=NAMES, default=["saic", "paper", "mcadams"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    parser.add_argument("--starts", type=int, default=0, metavar="N", help="measure saic convert alone, N times")
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)  # in the process that converts
    arguments = parser.parse_args()
    if arguments.source is not None:
        length_s = arguments.seconds[0]
        with tempfile.TemporaryDirectory() as folder:
            figure = measure(arguments.systems[0], arguments.source, length_s, Path(folder), arguments.threads)
        print(json.dumps(asdict(figure)))
        return
    if arguments.starts:
        length_s = sf.info(EXAMPLES[0]).duration
        print(f"saic convert: {start_s(arguments.starts):.1f} s for {length_s:.1f} s of speech, start included")
        return
    if "chimera" in arguments.systems:
        try:
            require_environment()
        except UsageError as error:
            parser.error(str(error))
    figures = []
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(arguments.threads))}
    print(f"{'':17}{'length':>10}{'processor':>11}{'RTF':>9}{'ratio':>8}{'wall':>11}{'memory':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for length_s in arguments.seconds:
            source = Path(folder) / "source.flac"
            write_repeated(source, map(audio.load, EXAMPLES), length_s)
            for system in arguments.systems:
                if system != "saic" and length_s > _LONGEST_OTHER_S:
                    continue
                options = ["--source", source, "--seconds", length_s, "--threads", arguments.threads]
                command = [sys.executable, "-m", "benchmarks.length", "--systems", system, *map(str, options)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
                figures.append(Figure(**json.loads(done.stdout)))
                first = next(each for each in figures if each.length_s == length_s)
                print(figures[-1].line(first), flush=True)
    if arguments.plot is not None:
        plot(figures, arguments.plot)


if __name__ == "__main__":
    main()
