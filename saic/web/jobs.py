"""Heavy work, counted: one job a core, each with a deadline, each to be stopped by the page that asked for it.

The log gets an opaque number, a verb, seconds and how it ended; never a session, a file name or a word.
"""

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator

from saic.errors import SaicError, UsageError

DEADLINE_S = 180.0
"""Seconds a job may take, the wait for a core included. A clip of five minutes takes less than one minute."""

_log = logging.getLogger(__name__)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Job:
    """One piece of work. `check` is called between its stages, which is where it can be stopped."""

    def __init__(self, deadline: float) -> None:
        self.number = secrets.token_hex(4)
        self._deadline = deadline
        self._stopped = threading.Event()

    @property
    def left_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def stop(self) -> None:
        self._stopped.set()

    def check(self) -> None:
        """Raise UsageError if the job was stopped or has had its time."""
        if self._stopped.is_set():
            raise UsageError("Stopped. Nothing was kept of this run.")
        if self.left_s == 0:
            raise UsageError("This took too long and was stopped. Try again later, or with a shorter recording.")


class Jobs:
    """The jobs of one server.

    Parameters
    ----------
    slots : how many run at once; the others wait
    deadline_s : seconds from asking to the end
    """

    def __init__(self, slots: int | None = None, *, deadline_s: float = DEADLINE_S) -> None:
        self.slots, self.deadline_s = slots or cores(), deadline_s
        self._free = threading.BoundedSemaphore(self.slots)
        self._running: dict[str, set[Job]] = {}
        self._mutex = threading.Lock()

    @contextlib.contextmanager
    def run(self, verb: str, session: str) -> Iterator[Job]:
        """Wait for a core, then be the job of a session. Leaving it early is safe: its core is free only then."""
        began = time.monotonic()
        job = Job(began + self.deadline_s)
        with self._mutex:
            self._running.setdefault(session, set()).add(job)
        ended = "failed"
        try:
            if not self._free.acquire(timeout=job.left_s):
                job.check()
            try:
                job.check()
                yield job
                ended = "done"
            finally:
                self._free.release()
        except SaicError as error:
            ended = f"refused ({type(error).__name__})"
            raise
        finally:
            with self._mutex:
                self._running[session].discard(job)
                if not self._running[session]:
                    del self._running[session]
            _log.info("job %s: %s %s after %.1f s", job.number, verb, ended, time.monotonic() - began)

    def wait_until_idle(self) -> None:
        """Return once nobody's job runs or waits."""
        while self._running:
            time.sleep(0.1)

    def stop(self, session: str) -> None:
        """Stop what a session runs or waits for, at the next stage."""
        with self._mutex:
            for job in self._running.get(session, ()):
                job.stop()
