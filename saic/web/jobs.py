"""Heavy work, counted and shared out: one job a core, each with a deadline, each to be stopped by who asked for it.

A core that becomes free goes to the address, and there to the session, that had the least time of late. A job that
runs for long lets others go first between two of its steps. So one visitor, however many long jobs it asks for,
costs the others hardly more than the step that it is at.

The log gets an opaque number, a verb, seconds and how it ended; never a session, an address, a file name or a word.
"""

import contextlib
import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from saic.errors import SaicError, UsageError
from saic.web.visitors import has_room

DEADLINE_S = 180.0
"""Seconds a job may take, the wait for a core included. A clip of five minutes takes less than one minute."""

MAX_JOBS = 40
"""Jobs that run or wait at once."""

MAX_JOBS_A_SESSION = 4
"""Of these, the jobs of one page or client."""

SHARE = 0.25
"""Of the free places, what one address may hold."""

_SLICE_S = 2.0  # after which a job lets those go first who had less
_MEMORY_S = 60.0  # time that was used so long ago counts for a third

_STOPPED = "Stopped. Nothing was kept of this run."
_TOO_LONG = "This took too long and was stopped. Try again later, or with a shorter recording."
_BUSY = "The server is busy with other work of yours or of others. Try again in a minute."

_log = logging.getLogger(__name__)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Job:
    """One piece of work. `check` is called between its stages, which is where it can be stopped or may have to wait."""

    def __init__(self, jobs: "Jobs", session: str, address: str, deadline: float) -> None:
        self.number = secrets.token_hex(4)
        self.session, self.address = session, address
        self.since = math.inf  # when it last got a core
        self.stopped = False
        self._jobs, self._deadline = jobs, deadline

    @property
    def left_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        """Raise UsageError if the job was stopped or has had its time; let others go first if it ran for long."""
        if self.stopped:
            raise UsageError(_STOPPED)
        if self.left_s == 0:
            raise UsageError(_TOO_LONG)
        if time.monotonic() - self.since > _SLICE_S:
            self._jobs.give_way(self)


class Jobs:
    """The jobs of one server.

    Parameters
    ----------
    slots : how many run at once; the others wait
    deadline_s : seconds from asking to the end
    """

    def __init__(self, slots: int | None = None, *, deadline_s: float = DEADLINE_S) -> None:
        self.slots, self.deadline_s = slots or cores(), deadline_s
        self.running: list[Job] = []
        self.waiting: list[Job] = []  # in the order in which they came
        self._changed = threading.Condition()
        self._used = _Used()
        self._current = threading.local()

    @contextlib.contextmanager
    def run(
        self, verb: str, session: str, address: str = "", waits: Callable[[int], None] = lambda before: None
    ) -> Iterator[Job]:
        """Wait for a core, then be the job of a session. Leaving it early is safe: its core is free only then.

        Parameters
        ----------
        verb : what it does, for the log
        session : whose it is
        address : whose share it counts for
        waits : called with the number of jobs that wait before this one, about once a second

        Raises
        ------
        UsageError (stopped, too late, or this session or address has too many jobs)
        """
        if getattr(self._current, "job", None):  # a step of a job that has its core
            yield self._current.job
            return
        began = time.monotonic()
        job = Job(self, session, address, began + self.deadline_s)
        ended = "failed"
        try:
            self._admit(job)
            self._wait(job, waits)
            self._current.job = job
            job.check()
            yield job
            ended = "done"
        except SaicError as error:
            ended = f"refused ({type(error).__name__})"
            raise
        finally:
            self._current.job = None
            self._leave(job)
            _log.info("job %s: %s %s after %.1f s", job.number, verb, ended, time.monotonic() - began)

    def check_stopped(self) -> None:
        """Raise UsageError if this thread is at a job that was stopped; never waits."""
        job = getattr(self._current, "job", None)
        if job and job.stopped:
            raise UsageError(_STOPPED)

    def give_way(self, job: Job) -> None:
        """Wait once more if somebody waits who had less time than the owner of a running job."""
        with self._changed:
            self._account(job)
            if not any(self._order(other) < self._order(job) for other in self.waiting):
                return
            self.running.remove(job)
            self.waiting.append(job)
            self._changed.notify_all()
        self._wait(job)

    def wait_until_idle(self) -> None:
        """Return once nobody's job runs or waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self.running and not self.waiting)

    def stop(self, *sessions: str) -> None:
        """Stop what sessions run, at the next step, and what they wait for, at once."""
        with self._changed:
            for job in (*self.running, *self.waiting):
                if job.session in sessions:
                    job.stopped = True
            self._changed.notify_all()

    def stop_all(self) -> None:
        """Stop every job, as `stop`."""
        self.stop(*{job.session for job in (*self.running, *self.waiting)})

    def _admit(self, job: Job) -> None:
        with self._changed:
            there = [*self.running, *self.waiting]
            of_session = sum(other.session == job.session for other in there)
            of_address = sum(other.address == job.address for other in there)
            others = len(there) - of_address
            if of_session >= MAX_JOBS_A_SESSION or not has_room(of_address + 1, others, MAX_JOBS, SHARE):
                raise UsageError(_BUSY)
            self.waiting.append(job)

    def _wait(self, job: Job, waits: Callable[[int], None] = lambda before: None) -> None:
        """Return once a job has a core."""
        while True:
            with self._changed:
                if job.stopped:
                    raise UsageError(_STOPPED)
                if job.left_s == 0:
                    raise UsageError(_TOO_LONG)
                if self._next() is job:
                    self.waiting.remove(job)
                    self.running.append(job)
                    job.since = time.monotonic()
                    self._changed.notify_all()  # there may be another free core
                    return
                before = sorted(self.waiting, key=self._order).index(job)
                self._changed.wait(min(1.0, job.left_s))
            waits(before)

    def _next(self) -> Job | None:
        """Who gets the next core, if one is free. No address has all of several cores: one is left for the others."""
        if len(self.running) >= self.slots:
            return None
        most = max(1, self.slots - 1)
        running = [job.address for job in self.running]
        may = [job for job in self.waiting if running.count(job.address) < most]
        return min(may, key=self._order, default=None)

    def _order(self, job: Job) -> tuple[float, float]:
        """Sorts jobs by what their owners had; `min` takes the first that came among equals."""
        return self._used.of(job.address), self._used.of((job.address, job.session))

    def _account(self, job: Job) -> None:
        """Count the time that a job has had since it got its core, or since it was last counted."""
        now = time.monotonic()
        for owner in (job.address, (job.address, job.session)):
            self._used.add(owner, max(0.0, now - job.since))
        job.since = now

    def _leave(self, job: Job) -> None:
        with self._changed:
            if job in self.running:
                self._account(job)
                self.running.remove(job)
            elif job in self.waiting:
                self.waiting.remove(job)
            self._changed.notify_all()


class _Used:
    """Seconds of a core that owners had of late: what they had fades with time."""

    def __init__(self) -> None:
        self._seconds: dict[object, tuple[float, float]] = {}

    def of(self, owner: object) -> float:
        seconds, at = self._seconds.get(owner, (0.0, 0.0))
        return seconds * math.exp((at - time.monotonic()) / _MEMORY_S)

    def add(self, owner: object, seconds: float) -> None:
        self._seconds[owner] = self.of(owner) + seconds, time.monotonic()
        if len(self._seconds) > 1000:
            self._seconds = {other: had for other, had in self._seconds.items() if self.of(other) > 0.01}
