"""A converter without model for the tests of archives, and a run of a folder with it that can be killed.

A recording's content says what becomes of it: ``broken`` cannot be decoded, ``odd`` raises an error
that nobody expects, ``full`` finds no space for temporary files, ``kill`` kills the process that
converts it, ``kill once`` does so the first time. Everything else gives ``voice of`` and the content.

``python -m tests.archive_fakes LOG IN OUT [--workers N] [--ray [ADDRESS]] [--resume] [--die-at POINT]`` runs a
folder.
"""

import argparse
import hashlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from saic.archive.engine import Convert, Job, Made, Tell, run_here
from saic.archive.processes import run_in_processes
from saic.errors import SaicError, UndecodableAudio
from saic.files import DiskError, temporary_file

POINTS = ("before writing", "after writing", "before done", "after done")


@dataclass(frozen=True)
class FakeLoad:
    """Makes the converter, which notes each conversion and its process in the file ``log``."""

    log: Path
    seconds: float = 0.0

    def __call__(self) -> Convert:
        return self.convert

    def convert(self, job: Job, tell: Tell) -> Made:
        with open(self.log, "a") as log:
            log.write(f"{job.number} {os.getpid()}\n")
        time.sleep(self.seconds)
        content = job.source.read_bytes()
        if content == b"broken":
            raise UndecodableAudio("This is no recording.")
        if content == b"full":
            raise DiskError("A temporary file cannot be written: No space left on device.")
        if content == b"odd":
            raise ValueError(f"something about {job.source}")
        if content == b"kill once":
            job.source.write_bytes(b"survivor")
        if content in (b"kill", b"kill once"):
            os.kill(os.getpid(), signal.SIGKILL)
        data = made_of(content)
        if content.startswith(b"in a file"):
            data = temporary_file()
            data.write(made_of(content))
        return Made(data, hashlib.sha256(content).hexdigest(), 1.0, self.seconds)


@dataclass(frozen=True)
class FailingLoad:
    """Fails, or dies, before it has made a converter."""

    error: SaicError | None = None

    def __call__(self) -> Convert:
        if self.error is not None:
            raise self.error
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def made_of(content: bytes) -> bytes:
    """The output of a recording's content."""
    return b"voice of " + content


def dying(method: Callable, after: bool, nth: int = 3) -> Callable:
    """A method whose process is killed before or after its nth call."""
    n_calls = 0

    def call(*arguments: object) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == nth and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        method(*arguments)
        if n_calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    return call


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--ray", nargs="?", const="")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--die-at", choices=POINTS)
    arguments = parser.parse_args()
    from saic.archive.cluster import run_on_ray
    from saic.archive.recipe import MCADAMS, Recipe
    from saic.archive.run import run
    from saic.archive.work import Request, opened, plan_work
    from tests.archive_fakes import FakeLoad  # not of __main__, which is another module in a worker

    recipe = Recipe(method=MCADAMS)
    request = Request(arguments.source, arguments.output, recipe, seed=1, resume=arguments.resume)
    engine = run_here
    if arguments.ray is not None:
        engine = partial(run_on_ray, n_workers=arguments.workers, address=arguments.ray or None)
    elif arguments.workers:
        engine = partial(run_in_processes, n_workers=arguments.workers)
    with opened(request) as archive:
        work = plan_work(request, archive)
        if arguments.die_at:
            when, name = arguments.die_at.split()
            setattr(archive, name, dying(getattr(archive, name), after=when == "after"))
        for _ in run(work.tasks, FakeLoad(arguments.log, arguments.seconds), engine, archive):
            pass


if __name__ == "__main__":
    main()
