"""The engine that converts in processes of this machine, each with one thread and its own model."""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import BinaryIO

from saic.archive.engine import Job, Load, Result, attempt, unexpected
from saic.errors import SaicError
from saic.files import as_usage_error, blocks_of, temporary_file

MAX_ATTEMPTS = 2
"""How often a file is tried whose worker dies."""

_MAX_FAILED_STARTS = 3
_JOIN_S = 5.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_GONE = (EOFError, OSError)  # what a pipe raises whose other end is closed


class WorkerLost(SaicError):
    """The process that converted a file ended twice, or processes end before they have loaded."""


def run_in_processes(
    load: Load, jobs: Iterable[Job], ready: Callable[[], None], n_workers: int = 2
) -> Generator[Result, None, None]:
    """Convert in ``n_workers`` new processes; see :mod:`saic.archive.engine`.

    A worker that dies, for instance because memory ran out, costs its one file: another worker
    tries it once more, after all others, and if that dies too, the file has failed.

    Raises
    ------
    WorkerLost
        Three workers in a row died while they loaded.
    SaicError
        What ``load`` raised, or an error that all files would have.
    """
    waiting = deque((job, 1) for job in jobs)
    workers: list[_Worker] = []
    n_failed_starts, is_ready = 0, False
    try:
        while waiting or any(worker.job for worker in workers):
            n_busy = sum(worker.job is not None for worker in workers)
            while len(workers) < min(n_workers, len(waiting) + n_busy):
                workers.append(_Worker.start(load))
            for pipe in connection.wait([worker.pipe for worker in workers]):
                worker = next(each for each in workers if each.pipe is pipe)
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


def _lost(worker: "_Worker") -> WorkerLost:
    return WorkerLost(
        f"The process that converted this recording ended {worker.attempt} times, perhaps because memory ran out. Cut"
        " the recording, or use fewer --workers."
    )


@dataclass(eq=False)
class _Worker:
    """A process, this end of its pipe, and the job that it has."""

    process: BaseProcess
    pipe: connection.Connection
    has_loaded: bool = False
    job: Job | None = None
    attempt: int = 0

    @classmethod
    def start(cls, load: Load) -> "_Worker":
        # Not fork: threads of torch do not survive it. The other end is closed here, so that the
        # death of the process closes the pipe.
        context = multiprocessing.get_context("spawn")
        pipe, other = context.Pipe()
        process = context.Process(target=_work, args=(other,), daemon=True)
        process.start()
        other.close()
        worker = cls(process, pipe)
        worker._send(load)
        return worker

    def give(self, job: Job, attempt: int) -> None:
        self.job, self.attempt = job, attempt
        self._send(job)

    def receive(self) -> "Result | SaicError | bool | None":
        """A result, True when it has loaded, an error that ends the run, or None if it died."""
        try:
            answer = self.pipe.recv()
            if isinstance(answer, Result) and answer.made is not None:
                answer = replace(answer, made=replace(answer.made, data=self._receive_data()))
            return answer
        except _GONE:
            return None

    def _receive_data(self) -> BinaryIO:
        """The blocks of an output that follow its result, as a file without a name; an empty one is the last."""
        file = temporary_file()
        try:
            while block := self.pipe.recv_bytes():
                file.write(block)
        except (ConnectionError, EOFError):
            raise
        except OSError as error:
            raise as_usage_error(error, "A temporary file cannot be written") from None
        return file

    def end(self) -> None:
        self.pipe.close()
        if self.job is not None or not self.has_loaded:
            self.process.terminate()
        self.process.join(_JOIN_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _send(self, content: object) -> None:
        with contextlib.suppress(*_GONE):  # its death is found when its answer is read
            self.pipe.send(content)


def _work(pipe: connection.Connection) -> None:
    """Convert what comes through the pipe until its other end is closed, also by the death of that process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent ends its workers
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))  # before numpy and torch are loaded
    with contextlib.suppress(*_GONE):
        load = pipe.recv()
        try:
            convert = load()
            _use_one_thread()
        except SaicError as error:
            return pipe.send(error)
        except Exception as error:
            return pipe.send(unexpected(error))
        pipe.send(True)
        while True:
            job = pipe.recv()
            try:
                answer = attempt(convert, job)
            except SaicError as error:
                answer = error
            _send(pipe, answer)


def _send(pipe: connection.Connection, answer: "Result | SaicError") -> None:
    if isinstance(answer, SaicError) or answer.made is None:
        return pipe.send(answer)
    pipe.send(replace(answer, made=replace(answer.made, data=b"")))
    for block in blocks_of(answer.made.data):
        if block:
            pipe.send_bytes(block)
    pipe.send_bytes(b"")


def _use_one_thread() -> None:
    if torch := sys.modules.get("torch"):  # not loaded by the method mcadams
        torch.set_num_threads(1)
