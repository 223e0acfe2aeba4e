"""Measure seconds and memory of a whole conversion by the length of the recording.

``python -m benchmarks.length [--seconds 1 10 60 600 3600] [--systems saic paper mcadams] [--threads 1]
[--plot benchmarks/length.png]`` converts example clips that are repeated to each length, from a FLAC
file to a WAV file, each in a process of its own:

- ``saic``: the bundled weights, to a voice of the gallery, profile balanced;
- ``paper``: networks of the paper's shape (``train/configs/paper.yaml``, untrained: time and memory
  do not depend on the weights' values) with Griffin-Lim, to a voice that is measured; up to ten
  minutes;
- ``mcadams``: no model; up to ten minutes, since it has the recording in memory.

Seconds are processor seconds of the conversion alone, of all threads: what runs beside changes them
little. The memory is the largest resident size during the conversion minus that before it, so without
Python, the libraries and the model; a clip of 2 s was converted before. It needs Linux. The folder for
temporary files should not be in memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import soundfile as sf

from saic import audio

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "assets" / "examples").glob("voice_*.flac"))
PAPER = ROOT / "train" / "configs" / "paper.yaml"
NAMES = {"saic": "SAIC", "paper": "Paper's shape, Griffin-Lim", "mcadams": "McAdams"}
_MAX_S = {"paper": 600.0, "mcadams": 600.0}

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

    def line(self) -> str:
        return (
            f"{NAMES[self.system]:27}{self.length_s:8g} s{self.processor_s:9.1f} s"
            f"{self.processor_s / self.length_s:9.4f}{self.wall_s:9.1f} s"
            f"{self.memory_mb:8.0f} MB above {self.before_mb:.0f} MB"
        )


def make_recording(path: Path, seconds: float) -> None:
    """Write the example clips, one after the other, as often as they are needed."""
    clips = [audio.load(clip) for clip in EXAMPLES]
    n_left, k = round(seconds * audio.SAMPLE_RATE), 0
    with sf.SoundFile(path, "w", audio.SAMPLE_RATE, 1, format="FLAC", subtype="PCM_16") as file:
        while n_left > 0:
            block = clips[k % len(clips)][:n_left]
            file.write(block)
            n_left, k = n_left - len(block), k + 1


def converter(system: str) -> Convert:
    """The conversion of a file to another by a system."""
    if system == "mcadams":
        from saic.signal import mcadams
        from saic.signal.loudness import normalize_loudness

        return lambda source, output: audio.save(output, normalize_loudness(mcadams.anonymize(audio.load(source))))
    from saic.config import Config
    from saic.model.model import Model
    from saic.pipeline import Pipeline

    if system == "paper":
        pipeline = Pipeline(Model(Config.from_yaml(PAPER))).with_griffin_lim()
        voice = pipeline.voice(EXAMPLES[-1])
    else:
        pipeline = Pipeline.from_pretrained()
        voice = pipeline.gallery.voice(pipeline.gallery.names[0])

    def convert(source: Path, output: Path) -> None:
        conversion = pipeline.convert_spooled(source, voice)
        with audio.encode_blocks(conversion.blocks(), "wav", audio.SAMPLE_RATE) as file:
            audio.write(output, file)

    return convert


def measure(system: str, source: Path, length_s: float, folder: Path, threads: int) -> Figure:
    """Convert a recording in this process."""
    import torch

    torch.set_num_threads(threads)
    convert = converter(system)
    make_recording(folder / "short.flac", 2.0)
    convert(folder / "short.flac", folder / "short.wav")
    before_mb = resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the largest size starts anew
    began = time.process_time(), time.perf_counter()
    convert(source, folder / "out.wav")
    seconds = time.process_time() - began[0], time.perf_counter() - began[1]
    return Figure(system, length_s, *seconds, resident_mb("VmHWM") - before_mb, before_mb)


def resident_mb(field: str) -> float:
    """A size of this process, VmRSS now or VmHWM at most, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) * 1024 / 1e6


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
    parser.add_argument("--systems", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)  # in the process that converts
    arguments = parser.parse_args()
    if arguments.source is not None:
        length_s = arguments.seconds[0]
        with tempfile.TemporaryDirectory() as folder:
            figure = measure(arguments.systems[0], arguments.source, length_s, Path(folder), arguments.threads)
        print(json.dumps(asdict(figure)))
        return
    figures = []
    print(f"{'':27}{'length':>10}{'processor':>11}{'RTF':>9}{'wall':>11}{'memory':>11}; threads: {arguments.threads}")
    with tempfile.TemporaryDirectory() as folder:
        for length_s in arguments.seconds:
            source = Path(folder) / "source.flac"
            make_recording(source, length_s)
            for system in arguments.systems:
                if length_s > _MAX_S.get(system, length_s):
                    continue
                options = ["--source", source, "--seconds", length_s, "--threads", arguments.threads]
                command = [sys.executable, "-m", "benchmarks.length", "--systems", system, *map(str, options)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                figures.append(Figure(**json.loads(done.stdout)))
                print(figures[-1].line(), flush=True)
    if arguments.plot is not None:
        plot(figures, arguments.plot)


if __name__ == "__main__":
    main()
