"""Kill runs of a folder in the middle, resume them, and check that nothing is lost, doubled or half there.

``python -m benchmarks.killed_archive [--data MANIFEST_OR_FOLDER] [--files 300] [--broken 10]
[--hours 1] [--workers 2] [--engines local ray]`` anonymizes a folder with one recording of an hour and
many short ones, of which some are broken, with a key, once by each engine:

1. a worker is killed (SIGKILL) when a fourth of the outputs are written;
2. the command is killed when half of them are;
3. the command goes on with ``--resume``.

Then each output must be a whole recording as long as its source, with the hash that the journal has,
each broken file must have failed, and nothing else may be there. Outputs of all engines must be
equal, byte by byte. One voice for each subject: the share of outputs whose speaker embedding is
nearest to the mean of its own subject's other outputs. Seconds are those of whole commands, with the
start of Python, Ray and model. Memory is the largest sum, over all processes of a run, of what they
have for themselves and their shares of what they share (PSS). It needs Linux. Without ``--data``,
recordings are cut from the example clips.
"""

import argparse
import contextlib
import hashlib
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import soundfile as sf

from benchmarks.examples import EXAMPLES, write_repeated
from saic import audio
from saic.archive.journal import NAME
from saic.data import manifest
from saic.keys import Key
from saic.pipeline import Pipeline

SHORTEST_S, LONGEST_S = 2.5, 6.0
LONG_SUBJECT = "0-long"  # the first in the order of names
BROKEN = (b"", b"no sound at all\n" * 500, b"RIFF\xff\xff\xff\x7fWAVEfmt ", b"fLaC" + bytes(2_000), bytes(40_000))
POLL_S = 0.3


@dataclass
class Run:
    """A run of the command: its exit code (negative for a signal), seconds, memory, and what it printed last."""

    code: int
    seconds: float
    peak_mb: float
    last: str


def make_folder(folder: Path, n_files: int, n_broken: int, hours: float, data: Path | None) -> list[str]:
    """Write ``subject/number.wav``, and the long recording; return the paths of those that are broken."""
    clips = list(_clips(data, n_files))
    if len(clips) < n_files:
        raise SystemExit(f"There are only {len(clips)} recordings of {SHORTEST_S:g} to {LONGEST_S:g} s.")
    broken = []
    for k, (subject, wav) in enumerate(clips):
        path = folder / subject / f"{k:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if (k + 1) % (n_files // n_broken) == 0 and len(broken) < n_broken:
            path.write_bytes(BROKEN[len(broken) % len(BROKEN)])
            broken.append(path.relative_to(folder).as_posix())
        else:
            audio.save(path, wav)
    if hours:
        (folder / LONG_SUBJECT).mkdir()
        write_repeated(folder / LONG_SUBJECT / "0000.wav", [wav for _, wav in clips], 3600 * hours)
    return broken


def _clips(data: Path | None, n_files: int):
    """Subjects and recordings: those of the speakers who have most short ones, or parts of the examples."""
    if data is None:
        for k in range(n_files):
            wav = np.roll(audio.load(EXAMPLES[k % len(EXAMPLES)]), -k * audio.SAMPLE_RATE // 4)
            yield f"S{k % len(EXAMPLES)}", wav[: int((SHORTEST_S + k % 3) * audio.SAMPLE_RATE)]
        return
    short = [clip for clip in manifest.read(data) if SHORTEST_S <= clip.duration_s <= LONGEST_S]
    counts = Counter(clip.speaker for clip in short)
    chosen = sorted(short, key=lambda clip: (-counts[clip.speaker], clip.speaker, clip.utterance))[:n_files]
    for clip in chosen:
        yield clip.speaker, audio.load(clip.path)


def run(command: list[str], watch: Callable[[psutil.Process], psutil.Process | None] = lambda run: None) -> Run:
    """Run a command, and kill the process that ``watch`` chooses."""
    began, peak_mb, workers = time.perf_counter(), 0.0, set()
    with tempfile.TemporaryFile() as log:
        process = psutil.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            time.sleep(POLL_S)
            with contextlib.suppress(psutil.NoSuchProcess):
                started = process.children(recursive=True)
                workers |= set(filter(is_worker, started))
                peak_mb = max(peak_mb, sum(map(pss_mb, [process, *started])))
                if victim := watch(process):
                    victim.kill()
        seconds = time.perf_counter() - began
        log.seek(0)
        last = log.read()[-1_000:].decode(errors="replace")
    end = time.monotonic() + 120  # a worker that loads ends when it has loaded
    while any(map(is_worker, workers)):
        if time.monotonic() > end:
            raise SystemExit("Workers are left behind by a run that ended.")
        time.sleep(POLL_S)
    return Run(process.returncode, seconds, peak_mb, last)


def pss_mb(process: psutil.Process) -> float:
    """Memory of a process in MB, with its share of what it shares; 0 if it is gone."""
    with contextlib.suppress(psutil.Error):
        return process.memory_full_info().pss / 1e6
    return 0.0


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is one that converts."""
    with contextlib.suppress(psutil.Error):
        command = " ".join(process.cmdline())
        return command.startswith("ray::Converter") or "multiprocessing.spawn" in command
    return False


def measure(engine: str, source: Path, output: Path, key: Path, n_workers: int, n_outputs: int) -> list[Run]:
    """Anonymize a folder in a run that loses a worker and is killed, and one that goes on."""
    options = ["--engine", engine, "--workers", n_workers, "--key-file", key, "--subject-from", "^([^/]+)/"]
    command = [sys.executable, "-m", "saic", "anonymize", *map(str, (source, "-o", output, *options))]
    kills = {n_outputs // 4: "a worker", n_outputs // 2: "the command"}

    def watch(run: psutil.Process) -> psutil.Process | None:
        n_written = sum(1 for _ in output.rglob("*.wav"))
        for at in [at for at in kills if n_written >= at]:
            victim = kills.pop(at)
            print(f"{engine}: {victim} is killed at {n_written} outputs", flush=True)
            return next(filter(is_worker, run.children(recursive=True))) if victim == "a worker" else run
        return None

    killed = run(command, watch)
    if killed.code != -signal.SIGKILL:
        raise SystemExit(f"The run ended before it was killed. Take more files.\n{killed.last}")
    resumed = run([*command, "--resume"])
    if resumed.code != 5:
        raise SystemExit(f"The resumed run ended with {resumed.code} instead of 5, some failed.\n{resumed.last}")
    return [killed, resumed]


def check(source: Path, output: Path, broken: list[str]) -> None:
    """Raise :class:`SystemExit` if an output is lost, doubled or half there."""
    wanted = {path.relative_to(source).as_posix() for path in source.rglob("*.wav")} - set(broken)
    there = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()} - {NAME}
    if there != wanted:
        raise SystemExit(
            f"{len(wanted - there)} outputs are lost, {len(there - wanted)} are more than there should be."
        )
    with contextlib.closing(sqlite3.connect(output / NAME)) as journal:
        rows = {os.fsdecode(name): rest for name, *rest in journal.execute("SELECT output, state, sha256 FROM files")}
    states = {name: row[0] for name, row in rows.items()}
    if states != {**dict.fromkeys(wanted, "done"), **dict.fromkeys(broken, "failed")}:
        raise SystemExit("The journal does not have each file once as done, or as failed if it is broken.")
    for name in wanted:
        if hashlib.sha256((output / name).read_bytes()).hexdigest() != rows[name][1]:
            raise SystemExit("An output differs from the hash in the journal.")
        if len(sf.read(output / name, dtype="int16")[0]) != sf.info(source / name).frames:
            raise SystemExit("An output is shorter or longer than its recording.")


def share_nearest_own(output: Path) -> tuple[float, int]:
    """Share of outputs nearest to their own subject's mean, of the others for it; number of subjects.

    A subject with one output has no others, and is left out.
    """
    pipeline = Pipeline.from_pretrained()
    paths = [path for path in sorted(output.rglob("*.wav")) if len(list(path.parent.glob("*.wav"))) > 1]
    embeddings = np.stack([pipeline.embed(path).speaker for path in paths])
    subjects, rows = np.unique([path.parent.name for path in paths], return_inverse=True)
    sums = np.stack([embeddings[rows == k].sum(0) for k in range(len(subjects))])
    n_own = 0
    for embedding, row in zip(embeddings, rows, strict=True):
        others = sums - embedding * (np.arange(len(subjects)) == row)[:, None]
        n_own += int(np.argmax(others @ embedding / np.linalg.norm(others, axis=1)) == row)
    return n_own / len(paths), len(subjects)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--broken", type=int, default=10)
    parser.add_argument("--hours", type=float, default=1.0, help="of the long recording; 0: there is none")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engines", nargs="+", choices=("local", "ray"), default=("local", "ray"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source, key = Path(scratch) / "in", Path(scratch) / "key"
        broken = make_folder(source, arguments.files, arguments.broken, arguments.hours, arguments.data)
        Key.new(key)
        n_outputs = arguments.files - len(broken) + (arguments.hours > 0)
        seconds = sum(
            sf.info(p).duration for p in source.rglob("*.wav") if p.relative_to(source).as_posix() not in broken
        )
        long = f" and one of {arguments.hours:g} h" if arguments.hours else ""
        print(f"{arguments.files} files, {len(broken)} broken{long}: {seconds:.0f} s, {arguments.workers} workers")
        outputs = {}
        for engine in arguments.engines:
            output = outputs[engine] = Path(scratch) / engine
            killed, resumed = measure(engine, source, output, key, arguments.workers, n_outputs)
            check(source, output, broken)
            peak_mb = max(killed.peak_mb, resumed.peak_mb)
            print(f"{engine}: {killed.seconds:.0f} s until killed, {resumed.seconds:.0f} s resumed; {peak_mb:.0f} MB")
            print(f"{engine}: {n_outputs} outputs are whole, {len(broken)} failed, none is lost or doubled", flush=True)
        first, *others = outputs.values()
        for path in first.rglob("*.wav"):
            if any(path.read_bytes() != (other / path.relative_to(first)).read_bytes() for other in others):
                raise SystemExit("Engines gave different outputs.")
        share, n_subjects = share_nearest_own(first)
        print(f"{100 * share:.1f} % of the outputs are nearest to their own subject's others, of {n_subjects} subjects")


if __name__ == "__main__":
    main()
