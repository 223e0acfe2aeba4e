"""Scheduling of heavy work: one job per CPU core, with a deadline, in fair shares for addresses.

Core time is the time for which a job holds a core. A core that becomes free goes to the address
that had the least core time in the last minutes, and within it to the session that had the least.
After a time slice, a job gives its core to waiting jobs with less core time, between two of its
steps. So a visitor with many long jobs delays the others by little more than one step.

The log gets a random number, the job's name, its duration and how it ended; never a session name,
an address, a file name or spoken words.
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
from saic.web.server.visitors import within_fair_share

DEADLINE_S = 180.0
"""Seconds that a job on five minutes of audio may take, the wait included. It takes less than a minute."""

MAX_JOBS = 40
"""Jobs that run or wait at once."""

MAX_JOBS_PER_SESSION = 8
"""Jobs of one page or API client that run or wait at once."""

MAX_ADDRESS_SHARE = 0.25
"""Fraction of the free places that one address may hold, see `within_fair_share`."""

_TIME_SLICE_S = 2.0  # after which a job gives way to waiting jobs with less recent core time
_DECAY_S = 60.0  # time constant of recent core time: what was used 60 s ago counts 1 / e

_STOPPED = "Stopped. Nothing was kept of this run."
_TOO_LONG = "This took too long and was stopped. Try again later, or with a shorter recording."
_BUSY = "The server is busy with other work of yours or of others. Try again in a minute."

_log = logging.getLogger(__name__)


class Unfinished(UsageError):
    """A job had no room, was stopped, or is past its deadline."""


class Busy(Unfinished):
    """Its session or address has too many jobs: it may begin in a moment."""


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Job:
    """One piece of work. It calls `check` between its steps; it can stop or give way only there."""

    def __init__(self, jobs: "Jobs", session: str, address: str, deadline: float, group: str = "") -> None:
        self.number = secrets.token_hex(4)
        self.session, self.address, self.group = session, address, group
        self.charged_until = math.inf  # core time up to here is charged to its owner; inf: it has had no core yet
        self.stopped = False
        self._jobs, self._deadline = jobs, deadline

    @property
    def has_started(self) -> bool:
        """Whether it has had a core."""
        return self.charged_until < math.inf

    def renew(self) -> None:
        """Move the deadline to that of a job that begins now: the next of several long steps gets the same time."""
        self._deadline = time.monotonic() + self._jobs.deadline_s

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        """Give way to other jobs after a time slice; Unfinished if stopped or past the deadline."""
        if self.stopped:
            raise Unfinished(_STOPPED)
        if self.left_s == 0:
            raise Unfinished(_TOO_LONG)
        if time.monotonic() - self.charged_until > _TIME_SLICE_S:
            self._jobs.give_way(self)


class Jobs:
    """The jobs of one server. Protects visitors from one who requests too much work.

    Parameters
    ----------
    slots : number of jobs that run at once; None: one per core
    deadline_s : seconds that a job may take, the wait included
    max_started : jobs that run or have given way: each holds memory. One address has at most half of them
    """

    def __init__(
        self, slots: int | None = None, *, deadline_s: float = DEADLINE_S, max_started: int = MAX_JOBS
    ) -> None:
        self.slots, self.deadline_s, self.max_started = slots or cores(), deadline_s, max_started
        self.running: list[Job] = []
        self.waiting: list[Job] = []  # first come first
        self._changed = threading.Condition()
        self._usage = _RecentUsage()
        self._current = threading.local()

    @contextlib.contextmanager
    def run(
        self,
        name: str,
        session: str,
        address: str = "",
        on_wait: Callable[[int], None] = lambda n_ahead: None,
        group: str = "",
    ) -> Iterator[Job]:
        """Wait for a core, then run the block as a job. The core is free again when the block ends.

        Inside of another job's block this does nothing and gives that job.

        Parameters
        ----------
        name : what the job does, for the log
        session : session that the job belongs to
        address : address that it counts for
        on_wait : called about once a second with the number of jobs that come first
        group : name of the session's jobs that can be stopped together, see `stop`

        Raises
        ------
        Unfinished (stopped, past the deadline, or too many jobs of this session or address)
        """
        if getattr(self._current, "job", None):
            yield self._current.job
            return
        began = time.monotonic()
        job = Job(self, session, address, began + self.deadline_s, group)
        outcome = "failed"
        try:
            self._admit(job)
            self._wait_for_core(job, on_wait)
            self._current.job = job
            job.check()
            yield job
            outcome = "done"
        except SaicError as error:
            outcome = f"refused ({type(error).__name__})"
            raise
        finally:
            self._current.job = None
            self._leave(job)
            _log.info("job %s: %s %s after %.1f s", job.number, name, outcome, time.monotonic() - began)

    def check_stopped(self) -> None:
        """Raise Unfinished if the job of this thread was stopped; never waits."""
        job = getattr(self._current, "job", None)
        if job and job.stopped:
            raise Unfinished(_STOPPED)

    def give_way(self, job: Job) -> None:
        """Let a running job wait again if the owner of a waiting one has less recent core time."""
        with self._changed:
            self._charge(job)
            if not any(self._priority(other) < self._priority(job) for other in self.waiting if self._may_start(other)):
                return
            self.running.remove(job)
            self.waiting.append(job)
            self._changed.notify_all()
        self._wait_for_core(job)

    def wait_until_idle(self) -> None:
        """Return once no job runs or waits."""
        with self._changed:
            self._changed.wait_for(lambda: not self.running and not self.waiting)

    def stop(self, *sessions: str, group: str | None = None) -> None:
        """Stop the jobs of sessions, or of one group: running ones at the next `Job.check`, waiting ones at once."""
        with self._changed:
            for job in (*self.running, *self.waiting):
                if job.session in sessions and group in (None, job.group):
                    job.stopped = True
            self._changed.notify_all()

    def stop_all(self) -> None:
        """Stop every job, see `stop`."""
        self.stop(*{job.session for job in (*self.running, *self.waiting)})

    def _admit(self, job: Job) -> None:
        """Add a job to those that wait; Busy if its session or address has too many."""
        with self._changed:
            admitted = [*self.running, *self.waiting]
            of_session = sum(other.session == job.session for other in admitted)
            of_address = sum(other.address == job.address for other in admitted)
            others = len(admitted) - of_address
            if of_session >= MAX_JOBS_PER_SESSION or not within_fair_share(
                of_address + 1, others, MAX_JOBS, MAX_ADDRESS_SHARE
            ):
                raise Busy(_BUSY)
            self.waiting.append(job)

    def _wait_for_core(self, job: Job, on_wait: Callable[[int], None] = lambda n_ahead: None) -> None:
        while True:
            with self._changed:
                if job.stopped:
                    raise Unfinished(_STOPPED)
                if job.left_s == 0:
                    raise Unfinished(_TOO_LONG)
                if self._next() is job:
                    self.waiting.remove(job)
                    self.running.append(job)
                    job.charged_until = time.monotonic()
                    self._changed.notify_all()  # there may be another free core
                    return
                n_ahead = sorted(self.waiting, key=self._priority).index(job)
                self._changed.wait(min(1.0, job.left_s))
            on_wait(n_ahead)

    def _next(self) -> Job | None:
        """The job that gets the next core; None if no core is free or no job may have it.

        With several cores, one address never has all of them: one stays for the others.
        """
        if len(self.running) >= self.slots:
            return None
        max_of_address = max(1, self.slots - 1)
        addresses = [job.address for job in self.running]
        eligible = [
            job for job in self.waiting if addresses.count(job.address) < max_of_address and self._may_start(job)
        ]
        return min(eligible, key=self._priority, default=None)

    def _may_start(self, job: Job) -> bool:
        """Whether a job has started, or may do so beside those that have."""
        started = [other for other in (*self.running, *self.waiting) if other.has_started]
        own = sum(other.address == job.address for other in started)
        return job.has_started or (len(started) < self.max_started and own < max(1, self.max_started // 2))

    def _priority(self, job: Job) -> tuple[float, float]:
        """Recent core time of a job's address and session; the lowest gets the next core."""
        return self._usage.seconds(job.address), self._usage.seconds((job.address, job.session))

    def _charge(self, job: Job) -> None:
        """Add the core time of a job, up to now, to that of its address and session."""
        now = time.monotonic()
        for owner in (job.address, (job.address, job.session)):
            self._usage.add(owner, max(0.0, now - job.charged_until))
        job.charged_until = now

    def _leave(self, job: Job) -> None:
        with self._changed:
            if job in self.running:
                self._charge(job)
                self.running.remove(job)
            elif job in self.waiting:
                self.waiting.remove(job)
            self._changed.notify_all()


class _RecentUsage:
    """Core time of owners in seconds, with exponential decay (time constant `_DECAY_S`)."""

    def __init__(self) -> None:
        self._totals: dict[object, tuple[float, float]] = {}  # owner -> seconds, time of that total

    def seconds(self, owner: object) -> float:
        total, since = self._totals.get(owner, (0.0, 0.0))
        return total * math.exp((since - time.monotonic()) / _DECAY_S)

    def add(self, owner: object, seconds: float) -> None:
        self._totals[owner] = self.seconds(owner) + seconds, time.monotonic()
        if len(self._totals) > 1000:
            self._totals = {other: total for other, total in self._totals.items() if self.seconds(other) > 0.01}
