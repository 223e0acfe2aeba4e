"""Measure how much faster several workers anonymize a folder than one.

``python -m benchmarks.archive [--files 40] [--seconds 20] [--workers 2] [--repeats 1]`` makes a
folder of equally long recordings from the example clips, and anonymizes it with one worker and with
several, in turn. Each worker has one thread. The ratio is of whole runs with journal and writing;
"after loading" leaves out the time until the first worker has its model. Outputs must be equal.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.examples import EXAMPLES
from saic import audio
from saic.archive.processes import THREAD_VARIABLES, run_in_processes
from saic.archive.recipe import Recipe
from saic.archive.run import run
from saic.archive.work import Request, opened, plan_work


@dataclass(frozen=True)
class Timing:
    """Seconds of a whole run, and of it after the first model was loaded."""

    whole_s: float
    loaded_s: float


def make_folder(folder: Path, n_files: int, seconds: float) -> None:
    """Recordings of one length, each with another start in an example clip."""
    clips = [audio.load(path) for path in EXAMPLES]
    folder.mkdir()
    for k in range(n_files):
        wav = np.roll(clips[k % len(clips)], -k * audio.SAMPLE_RATE // 4)
        audio.save(folder / f"{k:04d}.wav", np.resize(wav, int(seconds * audio.SAMPLE_RATE)))


def measure(source: Path, output: Path, n_workers: int) -> Timing:
    """Anonymize a folder."""
    loaded = []
    began = time.perf_counter()

    def engine(load, jobs, ready):
        def note() -> None:
            loaded.append(time.perf_counter())
            ready()

        return run_in_processes(load, jobs, note, n_workers)

    request = Request(source, output, Recipe(), seed=1)
    with opened(request) as archive:
        work = plan_work(request, archive)
        for result in run(work.tasks, work.recipe, engine, archive):
            if result.error is not None:
                raise result.error
    ended = time.perf_counter()
    return Timing(ended - began, ended - loaded[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    timings: dict[int, list[Timing]] = {1: [], arguments.workers: []}
    # Before a worker starts: it imports this module, and with it numpy, before it can set them itself.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    with tempfile.TemporaryDirectory() as scratch:
        source, outputs = Path(scratch) / "in", []
        make_folder(source, arguments.files, arguments.seconds)
        for repeat in range(arguments.repeats):
            for n_workers, made in timings.items():
                outputs.append(Path(scratch) / f"out-{repeat}-{n_workers}")
                made.append(measure(source, outputs[-1], n_workers))
        for path in sorted(outputs[0].glob("*.wav")):
            if any(path.read_bytes() != (other / path.name).read_bytes() for other in outputs):
                raise SystemExit(f"{path.name} differs between runs.")
    print(f"{arguments.files} files of {arguments.seconds:g} s, one thread a worker")
    medians = {}
    for n_workers, made in timings.items():
        whole_s = statistics.median(timing.whole_s for timing in made)
        loaded_s = statistics.median(timing.loaded_s for timing in made)
        medians[n_workers] = whole_s, loaded_s
        print(f"{n_workers} workers: {whole_s:.1f} s, {loaded_s:.1f} s after loading")
    whole, loaded = (one / several for one, several in zip(medians[1], medians[arguments.workers], strict=True))
    print(f"{arguments.workers} workers are {whole:.2f} times as fast as one, {loaded:.2f} times after loading")
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"Largest worker: {peak_mb:.0f} MB")


if __name__ == "__main__":
    main()
