"""The engine that converts in processes of this machine, each with one thread and its own model."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from multiprocessing import connection

from saic.archive.engine import Job, Load, Result, attempt
from saic.archive.workers import Worker, file_of, load_converter, run_in_workers
from saic.errors import SaicError
from saic.files import blocks_of

_JOIN_S = 5.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_GONE = (EOFError, OSError)  # what a pipe raises whose other end is closed


def run_in_processes(
    load: Load, jobs: Iterable[Job], ready: Callable[[], None], n_workers: int = 2
) -> Generator[Result, None, None]:
    """Convert in ``n_workers`` new processes; see :func:`~saic.archive.workers.run_in_workers`."""
    return run_in_workers(lambda: _Process(load), _wait, jobs, ready, n_workers)


def _wait(workers: Sequence["_Process"]) -> list["_Process"]:
    answered = connection.wait([worker.pipe for worker in workers])
    return [worker for worker in workers if worker.pipe in answered]


class _Process(Worker):
    """A process, and this end of its pipe."""

    def __init__(self, load: Load) -> None:
        # Not fork: threads of torch do not survive it. The other end is closed here, so that the
        # death of the process closes the pipe.
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other,), daemon=True)
        self._process.start()
        other.close()
        self.send(load)

    def send(self, job: Job | Load) -> None:
        with contextlib.suppress(*_GONE):  # its death is found when its answer is read
            self.pipe.send(job)

    def receive(self) -> Result | SaicError | bool | None:
        try:
            answer = self.pipe.recv()
            if isinstance(answer, Result) and answer.made is not None:
                data = file_of(iter(self.pipe.recv_bytes, b""))  # an empty block is the last
                answer = replace(answer, made=replace(answer.made, data=data))
            return answer
        except _GONE:
            return None

    def end(self) -> None:
        self.pipe.close()
        if self.job is not None or not self.has_loaded:
            self._process.terminate()
        self._process.join(_JOIN_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(pipe: connection.Connection) -> None:
    """Convert what comes through the pipe until its other end is closed, also by the death of that process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the parent ends its workers
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # before numpy and torch are loaded
    with contextlib.suppress(*_GONE):
        convert = load_converter(pipe.recv())
        if isinstance(convert, SaicError):
            return pipe.send(convert)
        pipe.send(True)
        while True:
            job = pipe.recv()
            try:
                answer = attempt(convert, job)
            except SaicError as error:
                answer = error
            _send(pipe, answer)


def _send(pipe: connection.Connection, answer: Result | SaicError) -> None:
    if isinstance(answer, SaicError) or answer.made is None:
        return pipe.send(answer)
    pipe.send(replace(answer, made=replace(answer.made, data=b"")))
    for block in blocks_of(answer.made.data):
        if block:
            pipe.send_bytes(block)
    pipe.send_bytes(b"")
