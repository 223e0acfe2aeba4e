"""Decode a stranger's file in a process that may be lost: little memory, little time, no way to write a file.

`audio.load` checks headers and caps what is decoded. What it cannot bound is a fault in a decoder's C code, so a
server lets a worker call it. A worker starts once and stays warm: starting one costs half a second, asking it
about a millisecond.

::

    server ── {"path", "limits"} ──► worker   one line of JSON each way, then the samples;
           ◄── {"samples"} + float32 ───      nothing that a worker says is unpickled or run
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import numpy as np

from saic import audio, errors

TIMEOUT_S = 20.0
MEMORY_BYTES = 768 * 2**20
"""Private memory of a worker. Five minutes of the largest formats take a quarter of it."""

_LOST = "This recording cannot be decoded within the limits of this server. Export it as WAV or FLAC and try again."


_LIMITS = audio.Limits()


class Sandbox:
    """Workers that decode, at most `workers` at a time; they end with this process.

    Parameters
    ----------
    limits : what a recording may be
    workers : how many, each started when it is first needed
    timeout_s : seconds after which a worker is killed
    """

    def __init__(self, limits: audio.Limits = _LIMITS, *, workers: int = 2, timeout_s: float = TIMEOUT_S) -> None:
        self.limits, self.timeout_s = limits, timeout_s
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)

    def load(self, path: str | os.PathLike) -> np.ndarray:
        """Do what `saic.audio.load` does: a wav (N,) float32 at 16 kHz, or its errors.

        Raises
        ------
        AudioError, UsageError
            As `saic.audio.load`; UndecodableAudio also when the worker took too long, too much memory, or crashed.
        """
        worker = self._idle.get()
        try:
            if worker is None or not worker.alive:
                worker = _Worker()
            return worker.load(os.fspath(path), self.limits, self.timeout_s)
        finally:
            self._idle.put(worker)

    def warm_up(self) -> None:
        """Start a worker now, without waiting for it, so that the first upload need not."""
        worker = self._idle.get()
        try:
            if worker is None:
                worker = _Worker()
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the workers that are idle."""
        with contextlib.suppress(queue.Empty):
            while True:
                if worker := self._idle.get_nowait():
                    worker.end()


class _Worker:
    """One process of `_serve`, seen from the server."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[1])
        environment = {"PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "saic.audio.sandbox"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # decoders print, and what they print may quote a file
            env=environment,
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def load(self, path: str, limits: audio.Limits, timeout_s: float) -> np.ndarray:
        alarm = threading.Timer(timeout_s, self._process.kill)
        alarm.start()
        try:
            self._process.stdin.write(_line({"path": path, "limits": asdict(limits)}))
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
            if "error" in answer:
                raise _as_error(answer["error"], answer["message"])
            data = self._process.stdout.read(4 * answer["samples"])
            if len(data) != 4 * answer["samples"]:
                raise EOFError
            return np.frombuffer(data, np.float32).copy()
        except (OSError, EOFError, ValueError, KeyError, TypeError):  # killed, crashed, or talking nonsense
            self.end()
            raise errors.UndecodableAudio(_LOST) from None
        finally:
            alarm.cancel()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _as_error(name: str, message: str) -> errors.SaicError:
    """An error of saic.errors by its name."""
    kind = getattr(errors, str(name), None)
    if isinstance(kind, type) and issubclass(kind, errors.SaicError):
        return kind(str(message))
    return errors.UndecodableAudio(_LOST)


def _line(message: dict) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _confine() -> None:
    """Give up what decoding does not need; what is given up cannot be taken back."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the time stays bounded
        return
    for kind, limit in {
        resource.RLIMIT_DATA: MEMORY_BYTES,
        resource.RLIMIT_FSIZE: 0,  # no byte is written to any file
        resource.RLIMIT_CORE: 0,  # nor by the system when it crashes
        resource.RLIMIT_NOFILE: 16,
    }.items():
        resource.setrlimit(kind, (limit, limit))


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer one request after another until the server is gone."""
    for line in requests:
        request = json.loads(line)
        try:
            wav = audio.load(request["path"], limits=audio.Limits(**request["limits"]))
            answers.write(_line({"samples": len(wav)}) + wav.astype(np.float32).tobytes())
        except errors.SaicError as error:
            answers.write(_line({"error": type(error).__name__, "message": str(error)}))
        except Exception:  # whatever a decoder lets through: the server learns that, and not what it quotes
            answers.write(_line({"error": "UndecodableAudio", "message": _LOST}))
        answers.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a decoder's printing is no answer
    _confine()
    _serve(sys.stdin.buffer, answers)
