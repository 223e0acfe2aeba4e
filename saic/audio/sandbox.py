"""Decode untrusted files in a separate process with little memory, a time limit and no permission
to write files.

`saic.audio.read` checks headers and limits the decoded length. It cannot guard against a fault in a
decoder's C code, so a server calls it in a worker process. A worker is started once and reused:
starting one takes half a second, a request about a millisecond.

::

    server ── {"path", "limits"} ──► worker   one line of JSON each way, then the samples;
           ◄── {"samples", "notes"} ────      no answer of a worker is unpickled or executed
               + float32, in blocks
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
"""Seconds that decoding ten minutes may take; more for longer limits, in proportion."""

MEMORY_BYTES = 768 * 2**20
"""Limit of a worker's private memory for recordings of ten minutes; see `memory_bytes`."""

_NOT_DECODED = (
    "This recording cannot be decoded within the limits of this server. Export it as WAV or FLAC of one channel and"
    " try again."
)
_LIMITS = audio.Limits()
_CHANNELS_KEPT = 4  # of a longer recording: two channels fit, and their mean
_BLOCK_SAMPLES = 2**20
# A worker that was taken over may send anything.
_MAX_HEAD_BYTES, _MAX_NOTES, _MAX_TEXT = 2**16, 8, 300


def memory_bytes(limits: audio.Limits) -> int:
    """Limit of a worker's private memory: `MEMORY_BYTES`, and more where the limits allow over ten minutes.

    A worker holds the recording: eight channels of ten minutes, or two of any length.
    """
    longer_s = max(0.0, limits.max_duration_s - _LIMITS.max_duration_s)
    return MEMORY_BYTES + int(4 * _CHANNELS_KEPT * audio.SAMPLE_RATE * longer_s)


class Sandbox:
    """A pool of decoding processes, at most `workers` at a time. They end with this process.

    Parameters
    ----------
    limits : recordings beyond them are refused
    workers : number of processes, each started when it is first needed
    timeout_s : seconds after which a worker is killed; None: `TIMEOUT_S` for ten minutes
    """

    def __init__(self, limits: audio.Limits = _LIMITS, *, workers: int = 2, timeout_s: float | None = None) -> None:
        self.limits = limits
        self.timeout_s = timeout_s or TIMEOUT_S * max(1.0, limits.max_duration_s / _LIMITS.max_duration_s)
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)

    def load(self, path: str | os.PathLike) -> np.ndarray:
        """Decode a file as `read` does, and return the wav (N,) alone."""
        return self.read(path).wav

    def read(self, path: str | os.PathLike) -> audio.Recording:
        """Decode a file as `saic.audio.read` does.

        Raises
        ------
        AudioError, UsageError
            As `saic.audio.read`; UndecodableAudio also when the worker crashed or exceeded its time
            or memory.
        """
        worker = self._idle.get()
        try:
            if worker is None or not worker.alive:
                worker = _Worker(memory_bytes(self.limits))
            return worker.read(os.fspath(path), self.limits, self.timeout_s)
        finally:
            self._idle.put(worker)

    def warm_up(self) -> None:
        """Start a worker now, without waiting for it: the first upload is then decoded sooner."""
        worker = self._idle.get()
        try:
            if worker is None:
                worker = _Worker(memory_bytes(self.limits))
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the idle workers."""
        with contextlib.suppress(queue.Empty):
            while True:
                if worker := self._idle.get_nowait():
                    worker.end()


class _Worker:
    """The server's end of one process that runs `_serve`."""

    def __init__(self, n_bytes: int) -> None:
        root = str(Path(__file__).parents[2])
        environment = {"PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "saic.audio.sandbox", str(n_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what decoders print may contain parts of a file
            env=environment,
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def read(self, path: str, limits: audio.Limits, timeout_s: float) -> audio.Recording:
        alarm = threading.Timer(timeout_s, self._process.kill)
        alarm.start()
        try:
            self._process.stdin.write(_line({"path": path, "limits": asdict(limits)}))
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline(_MAX_HEAD_BYTES))
            if "error" in answer:
                raise _as_error(answer["error"], answer["message"])
            n_samples = answer["samples"]
            if not 0 < n_samples <= (limits.max_duration_s + 1) * audio.SAMPLE_RATE:
                raise ValueError
            wav = np.empty(n_samples, np.float32)
            if self._process.stdout.readinto(wav) != wav.nbytes:
                raise EOFError
            if not np.isfinite(wav).all():
                raise ValueError
            return audio.Recording(wav, tuple(str(note)[:_MAX_TEXT] for note in answer["notes"][:_MAX_NOTES]))
        except errors.SaicError:
            raise
        except BaseException as error:  # killed, crashed, an invalid answer, or this call was interrupted
            self.end()  # else the rest of the answer would be that to the next request
            if isinstance(error, Exception):
                raise errors.UndecodableAudio(_NOT_DECODED) from None
            raise
        finally:
            alarm.cancel()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _as_error(name: str, message: str) -> errors.SaicError:
    """The error of saic.errors with this name."""
    kind = getattr(errors, str(name), None)
    if isinstance(kind, type) and issubclass(kind, errors.SaicError):
        return kind(str(message)[:_MAX_TEXT])
    return errors.UndecodableAudio(_NOT_DECODED)


def _line(message: dict) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _confine(n_bytes: int) -> None:
    """Set resource limits of this process to what decoding needs. They cannot be raised again."""
    try:
        import resource
    except ImportError:  # Windows has no such limits; the time limit still holds
        return
    for kind, limit in {
        resource.RLIMIT_DATA: n_bytes,
        resource.RLIMIT_FSIZE: 0,  # no byte can be written to a file
        resource.RLIMIT_CORE: 0,  # no core dump when it crashes
        resource.RLIMIT_NOFILE: 16,
    }.items():
        resource.setrlimit(kind, (limit, limit))


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the server closes the pipe."""
    for line in requests:
        request = json.loads(line)
        try:
            limits = audio.Limits(**request["limits"])
            recording = audio.spool(request["path"], limits=limits, memory_bytes=None)
        except errors.SaicError as error:
            answers.write(_line({"error": type(error).__name__, "message": str(error)}))
        except Exception:  # any other error of a decoder; its text may quote the file, so it is not passed on
            answers.write(_line({"error": "UndecodableAudio", "message": _NOT_DECODED}))
        else:
            answers.write(_line({"samples": len(recording.wav), "notes": recording.notes}))
            for block in recording.wav.blocks(_BLOCK_SAMPLES):
                answers.write(block.astype(np.float32).data)
            del recording
        answers.flush()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what a decoder prints must not mix with answers
    _confine(int(sys.argv[1]))
    _serve(sys.stdin.buffer, answers)
