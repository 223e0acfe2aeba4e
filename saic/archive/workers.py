"""What engines with several workers have in common: who gets which job, and what becomes of it if a worker dies."""

import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import BinaryIO

from saic.archive.engine import Convert, Job, Load, Result, unexpected
from saic.errors import SaicError
from saic.files import as_usage_error, temporary_file

MAX_ATTEMPTS = 2
"""How often a file is tried whose worker dies."""

_MAX_FAILED_STARTS = 3


class WorkerLost(SaicError):
    """The process that converted a file ended twice, or processes end before they have loaded."""


class Worker(ABC):
    """A process that converts, with the job that it has, as seen by the process that writes.

    It gives an answer when it has loaded, and then one for each job.
    """

    has_loaded = False
    job: Job | None = None
    attempt = 0

    def give(self, job: Job, attempt: int) -> None:
        """Send a job to a worker that has none."""
        self.job, self.attempt = job, attempt
        self.send(job)

    @abstractmethod
    def send(self, job: Job) -> None: ...

    @abstractmethod
    def receive(self) -> Result | SaicError | bool | None:
        """A result, True when it has loaded, an error that ends the run, or None if it died."""

    @abstractmethod
    def end(self) -> None:
        """End the process, also while it converts."""


def run_in_workers(
    start: Callable[[], Worker],
    wait: Callable[[Sequence[Worker]], Sequence[Worker]],
    jobs: Iterable[Job],
    ready: Callable[[], None],
    n_workers: int,
) -> Generator[Result, None, None]:
    """Convert in workers; the rest of an engine, see :mod:`saic.archive.engine`.

    A worker that dies, for instance because memory ran out, costs its one file: another worker
    tries it once more, after all others, and if that dies too, the file has failed.

    Parameters
    ----------
    start
        Starts a worker, which loads.
    wait
        Waits for an answer, and gives the workers that have one.

    Raises
    ------
    WorkerLost
        Three workers in a row died while they loaded.
    SaicError
        What ``load`` raised, or an error that all files would have.
    """
    waiting = deque((job, 1) for job in jobs)
    workers: list[Worker] = []
    n_failed_starts, is_ready = 0, False
    try:
        while waiting or any(worker.job for worker in workers):
            n_busy = sum(worker.job is not None for worker in workers)
            while len(workers) < min(n_workers, len(waiting) + n_busy):
                workers.append(start())
            for worker in wait(workers):
                answer = worker.receive()
                if isinstance(answer, SaicError):
                    raise answer
                if answer is None:  # it died
                    workers.remove(worker)
                    worker.end()
                    if not worker.has_loaded:
                        n_failed_starts += 1
                    if n_failed_starts == _MAX_FAILED_STARTS:
                        raise WorkerLost(
                            "Worker processes die before they have loaded the model, perhaps because memory ran out."
                            " Use fewer --workers."
                        )
                    if worker.job and worker.attempt < MAX_ATTEMPTS:
                        waiting.append((worker.job, worker.attempt + 1))
                    elif worker.job:
                        yield Result(worker.job, error=_lost(worker))
                    continue
                n_failed_starts = 0
                if not is_ready:
                    is_ready = True
                    ready()
                worker.has_loaded, worker.job = True, None
                if waiting:
                    worker.give(*waiting.popleft())
                if isinstance(answer, Result):
                    yield answer
            for worker in workers:  # those that were idle when a job came back
                if waiting and worker.has_loaded and worker.job is None:
                    worker.give(*waiting.popleft())
    finally:
        for worker in workers:
            worker.end()


def _lost(worker: Worker) -> WorkerLost:
    return WorkerLost(
        f"The process that converted this recording ended {worker.attempt} times, perhaps because memory ran out. Cut"
        " the recording, or use fewer --workers."
    )


def load_converter(load: Load) -> Convert | SaicError:
    """The function that converts, with one thread; or the error of loading it. For the worker's side."""
    try:
        convert = load()
        if torch := sys.modules.get("torch"):  # not loaded by the method mcadams
            torch.set_num_threads(1)
        return convert
    except SaicError as error:
        return error
    except Exception as error:
        return unexpected(error)


def file_of(blocks: Iterable[bytes]) -> BinaryIO:
    """A temporary file of the blocks of an output; :class:`~saic.errors.UsageError` if it cannot be written."""
    file = temporary_file()
    for block in blocks:
        try:
            file.write(block)
        except OSError as error:
            raise as_usage_error(error, "A temporary file cannot be written") from None
    return file
