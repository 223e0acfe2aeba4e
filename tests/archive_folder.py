"""A folder of fake recordings for the tests of archives, and what is in it after a run."""

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from saic.archive import journal
from saic.archive.engine import run_here
from saic.archive.recipe import MCADAMS, Recipe
from saic.archive.run import run
from saic.archive.work import Request, Work, opened, plan_work
from tests.archive_fakes import FakeLoad, made_of

ROOT = Path(__file__).parents[1]
N_FILES = 6


class Folder:
    """A folder of fake recordings, and runs of it."""

    def __init__(self, path: Path) -> None:
        self.source, self.output, self.log = path / "in", path / "out", path / "log"
        self.source.mkdir()
        self.request = Request(self.source, self.output, Recipe(method=MCADAMS), seed=1)
        self.load = FakeLoad(self.log)

    def add(self, name: str, content: str = "") -> None:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content or f"content of {name}")

    def run(self, engine=run_here, load=None, **changes: object) -> "Result":
        request = replace(self.request, **changes)
        with opened(request) as archive:
            work = plan_work(request, archive)
            return Result(work, list(run(work.tasks, load or self.load, engine, archive)))

    @property
    def outputs(self) -> dict[str, bytes]:
        # os.walk also while another process makes the folder, and removes it again
        found = (Path(parent, name) for parent, _, names in os.walk(self.output) for name in names if name[0] != ".")
        return {path.relative_to(self.output).as_posix(): path.read_bytes() for path in found}

    @property
    def conversions(self) -> list[int]:
        """The numbers of the recordings that were converted, in any run."""
        return [int(line.split()[0]) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def rows(self, path: Path | None = None) -> dict[str, tuple]:
        """State, reason, input, output's hash, of each row, read from outside."""
        with sqlite3.connect(path or self.output / journal.NAME) as db:
            found = db.execute("SELECT output, state, reason, input, sha256 FROM files").fetchall()
        db.close()
        return {os.fsdecode(name): tuple(rest) for name, *rest in found}

    def command(self, *options: str) -> list[str]:
        paths = map(str, (self.log, self.source, self.output))
        return [sys.executable, "-m", "tests.archive_fakes", *paths, *options]


class Result:
    def __init__(self, work: Work, results: list) -> None:
        self.work = work
        self.failed = {result.job.number: result.error for result in results if result.error is not None}
        self.n_written = len(results) - len(self.failed)


def expected(folder: Folder) -> dict[str, bytes]:
    paths = sorted(folder.source.rglob("*.wav"))
    return {path.relative_to(folder.source).as_posix(): made_of(path.read_bytes()) for path in paths}


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
