"""The parts of a release (:mod:`train.release`), and which of them are finished.

``parts.json`` in the run folder has the hashes of all files that the parts wrote and read, so the
folder can be copied to another machine between parts.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saic import files
from saic.errors import UsageError
from saic.files import sha256
from saic.training.loop import latest

_STATE = "parts.json"


@dataclass(frozen=True)
class Part:
    """One part of a release.

    ``make(resume)`` writes ``output``, a path relative to the run folder. ``inputs`` are the names
    of parts whose outputs it reads. ``stage`` names the stage of :mod:`train.step_times` of which
    it takes ``steps``; those of "parallel" are clips.
    """

    name: str
    output: str
    make: Callable[[bool], None]
    inputs: tuple[str, ...] = ()
    stage: str = ""
    steps: int = 0


@dataclass
class Progress:
    """Which parts of a run folder are finished.

    A part is finished if its file has the hash it was written with, and so have the files it was
    made from. So a part whose input was made again is made again too.
    """

    run: Path
    parts: list[Part]
    _records: dict[str, dict[str, Any]] = field(default_factory=dict)
    _hashes: dict[tuple[Path, int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.run / _STATE).is_file():
            try:
                self._records = json.loads((self.run / _STATE).read_text(encoding="utf-8"))
            except ValueError:
                raise UsageError(
                    "The parts.json of the run folder is damaged. Delete it to make all parts again, or name another"
                    " folder."
                ) from None

    def is_finished(self, part: Part) -> bool:
        """Whether the part and all that it starts from are finished and unchanged."""
        record = self._records.get(part.name, {})
        is_whole = self._hash(part) is not None and self._hash(part) == record.get("sha256")
        return is_whole and not self.missing(part) and record["inputs"] == self._inputs(part)

    def missing(self, part: Part) -> list[str]:
        """Names of the parts that it starts from and that are not finished."""
        return [name for name in part.inputs if not self.is_finished(self._named(name))]

    def minutes(self, part: Part) -> float:
        """How long a finished part took, over all its interruptions."""
        return self._records[part.name]["seconds"] / 60

    def begun(self, part: Part) -> str:
        """ ", begun, at step N" if an interrupted part has a checkpoint; else an empty string."""
        newest = latest(self.run / part.name)
        return "" if newest is None else f", begun, at step {newest.name.removeprefix('step-')}"

    def make(self, part: Part) -> None:
        """Make a part, or go on with it if it was interrupted.

        Its checkpoints are removed at the end.
        """
        inputs, record = self._inputs(part), self._records.get(part.name, {})
        resume = record.get("inputs") == inputs
        if not resume:
            shutil.rmtree(self.run / part.name, ignore_errors=True)
            record = {"seconds": 0.0}
        self._records[part.name] = {"inputs": inputs, "sha256": None, "seconds": record["seconds"]}
        self._write()
        began = time.monotonic()
        try:
            part.make(resume)
            self._records[part.name]["sha256"] = self._hash(part)
        finally:
            self._records[part.name]["seconds"] += time.monotonic() - began
            with suppress(OSError) if sys.exc_info()[0] else nullcontext():  # a full disk, which the part has told of
                self._write()
        shutil.rmtree(self.run / part.name / "checkpoints", ignore_errors=True)

    def _inputs(self, part: Part) -> dict[str, str | None]:
        return {name: self._hash(self._named(name)) for name in part.inputs}

    def _hash(self, part: Part) -> str | None:
        path = self.run / part.output
        if not path.is_file():
            return None
        key = (path, path.stat().st_size, path.stat().st_mtime_ns)
        if key not in self._hashes:
            self._hashes[key] = sha256(path)
        return self._hashes[key]

    def _named(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    def _write(self) -> None:
        files.write(self.run / _STATE, (json.dumps(self._records, indent=2) + "\n").encode(), force=True)
