"""Fuzz of the decoder and of the pipeline: ``python -m tests.fuzz``.

Makes two seconds of synthetic speech in each format of `saic.audio`, damages the files in many ways,
and decodes them in worker processes with little memory and a time limit. Some of the arrays that
decode, and odd arrays, then go through `Pipeline.anonymize` in a worker of its own.

An input must give a result that keeps the promises of its function, or an `AudioError`. A fault is
any other error, a wrong result, a crash, a time-out, or more memory than allowed. Exit status 1 if
there is one, or if no input gives a result. Each input depends on the seed and its number alone, so
a fault can be repeated; ``--keep DIR`` also saves it. ``tests/test_fuzz.py`` shows that each kind
of fault is found.
"""

import argparse
import contextlib
import functools
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from saic import audio
from saic.audio.sandbox import MEMORY_BYTES, TIMEOUT_S
from saic.errors import AudioError

PATIENT_NAME = "Jane Doe 1960"
"""Part of the name of every damaged file; must not appear in a message."""

PIPELINE_MEMORY_BYTES = 4 * 2**30
PIPELINE_TIMEOUT_S = 120.0

_START_TIMEOUT_S = 300.0  # importing torch and loading the weights, on a busy computer
_DURATION_S = 2.0
_LIMITS = audio.Limits()
_MAX_MESSAGE = 300

Samples = tuple[np.ndarray, float]  # samples (N,) or (N, channels), rate in Hz


# --- what is damaged


@functools.cache
def valid_files() -> dict[str, bytes]:
    """A file of two seconds for each suffix that is decoded, and for more of the codecs within.

    The key is the suffix, followed by the codec where a suffix has several.
    """
    import soxr  # here, and the encoders too: workers need none of them

    from tests.conftest import RATE, voice
    from tests.test_audio import opus_in_caf, two_data_chunks, with_pyav, with_soundfile

    speech = voice(140, _DURATION_S)

    def at(rate_hz: int) -> np.ndarray:
        return soxr.resample(speech, RATE, rate_hz).clip(-1, 1)

    return {
        ".wav": with_soundfile(speech, RATE),
        ".wav float": with_soundfile(at(44_100), 44_100, subtype="FLOAT"),
        ".wav A-law": with_soundfile(at(8_000), 8_000, subtype="ALAW"),
        ".wav MP3": with_pyav(speech, RATE, "wav", "libmp3lame", bit_rate=32_000),
        ".wav two data chunks": two_data_chunks(speech, RATE),
        ".wav stereo": with_soundfile(np.stack([speech, 0.5 * speech], axis=1), RATE, subtype="PCM_24"),
        ".flac": with_soundfile(at(48_000), 48_000, "FLAC"),
        ".ogg": with_soundfile(at(44_100), 44_100, "OGG", "VORBIS"),
        ".oga": with_pyav(speech, RATE, "ogg", "flac"),
        ".opus": with_soundfile(at(48_000), 48_000, "OGG", "OPUS"),
        ".mp3": with_pyav(at(44_100), 44_100, "mp3", "libmp3lame"),
        ".m4a": with_pyav(at(44_100), 44_100, "ipod", "aac"),
        ".m4a ALAC": with_pyav(at(44_100), 44_100, "ipod", "alac"),
        ".aac": with_pyav(at(44_100), 44_100, "adts", "aac"),
        ".mp4": with_pyav(at(44_100), 44_100, "mp4", "aac", "stereo", "mpeg4"),
        ".mov": with_pyav(at(48_000), 48_000, "mov", "pcm_s24be", "stereo"),
        ".webm": with_pyav(at(48_000), 48_000, "webm", "libopus", "mono", "libvpx"),
        ".mkv": with_pyav(at(48_000), 48_000, "matroska", "libopus", "stereo"),
        ".mka": with_pyav(at(48_000), 48_000, "matroska", "flac", "5.0"),
        ".3gp": with_pyav(at(8_000), 8_000, "3gp", "libopencore_amrnb", bit_rate=12_200, dtx=True),
        ".amr": with_pyav(at(8_000), 8_000, "amr", "libopencore_amrnb", bit_rate=12_200),
        ".wma": with_pyav(at(44_100), 44_100, "asf", "wmav2", "stereo", bit_rate=64_000),
        ".wma 1": with_pyav(speech, RATE, "asf", "wmav1", bit_rate=32_000),
        ".aiff": with_soundfile(at(44_100), 44_100, "AIFF"),
        ".aif": with_soundfile(at(22_050), 22_050, "AIFF", "PCM_24"),
        ".aifc": with_soundfile(at(8_000), 8_000, "AIFF", "ULAW"),
        ".caf": opus_in_caf(at(48_000)),
        ".caf ALAC": with_pyav(at(44_100), 44_100, "caf", "alac"),
        ".caf ALAC of libsndfile": with_soundfile(at(44_100), 44_100, "CAF", "ALAC_16"),
    }


Damage = Callable[[np.random.Generator, bytearray, list[bytes]], bytearray]

_HEAD, _TAIL = 512, 2048  # MP4 and MOV may have their index at the end
_EXTREMES = [0, 1, 2, 127, 128, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]
_TAG = re.compile(rb"[A-Za-z][A-Za-z0-9 ]{3}")  # the name of a chunk or of a box


def _header_place(rng: np.random.Generator, data: bytearray) -> int:
    head, tail = min(len(data), _HEAD), min(len(data), _TAIL)
    return int(rng.integers(head)) if rng.random() < 0.7 else len(data) - 1 - int(rng.integers(tail))


def _span(rng: np.random.Generator, data: bytearray, longest: int = 4000) -> slice:
    start = int(rng.integers(len(data)))
    return slice(start, min(start + 1 + int(rng.integers(longest)), len(data)))


def flip_bits(rng: np.random.Generator, data: bytearray, others: list[bytes]) -> bytearray:
    for _ in range(int(rng.geometric(0.1))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return data


def change_header_bytes(rng: np.random.Generator, data: bytearray, others: list[bytes]) -> bytearray:
    for _ in range(int(rng.geometric(0.3))):
        data[_header_place(rng, data)] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    return data


def set_extreme_lengths(rng: np.random.Generator, data: bytearray, others: list[bytes]) -> bytearray:
    """Before or behind the name of a chunk, or anywhere in the header."""
    tags = [match.start() for match in _TAG.finditer(bytes(data[:_HEAD]))]
    tags += [len(data) - _TAIL + match.start() for match in _TAG.finditer(bytes(data[-_TAIL:])) if len(data) > _TAIL]
    for _ in range(int(rng.geometric(0.6))):
        size = int(rng.choice([1, 2, 4, 8]))
        place = _header_place(rng, data)
        if tags and rng.random() < 0.6:
            place = max(tags[int(rng.integers(len(tags)))] + int(rng.choice([-4, 4, 8, 12, 16])), 0)
        value = _EXTREMES[int(rng.integers(len(_EXTREMES)))] % 2 ** (8 * size)
        data[place : place + size] = value.to_bytes(size, "little" if rng.random() < 0.5 else "big")
    return data


def truncate(rng: np.random.Generator, data: bytearray, others: list[bytes]) -> bytearray:
    place = int(rng.integers(len(data)))
    return data[place:] if rng.random() < 0.1 else data[:place]


def repeat_block(rng: np.random.Generator, data: bytearray, others: list[bytes]) -> bytearray:
    block = data[_span(rng, data)]
    place = int(rng.integers(len(data)))
    data[place:place] = block * int(rng.geometric(0.5))
    return data


def remove_block(rng: np.random.Generator, data: bytearray, others: list[bytes]) -> bytearray:
    del data[_span(rng, data)]
    return data


def overwrite_block(rng: np.random.Generator, data: bytearray, others: list[bytes]) -> bytearray:
    span = _span(rng, data)
    n_bytes = span.stop - span.start
    data[span] = bytes(n_bytes) if rng.random() < 0.3 else rng.bytes(n_bytes)
    return data


def splice(rng: np.random.Generator, data: bytearray, others: list[bytes]) -> bytearray:
    """The beginning of this file and the end of another."""
    other = others[int(rng.integers(len(others)))]
    return data[: int(rng.integers(len(data)))] + other[int(rng.integers(len(other))) :]


def append_garbage(rng: np.random.Generator, data: bytearray, others: list[bytes]) -> bytearray:
    n_bytes = int(rng.integers(1, 20_000))
    other = others[int(rng.integers(len(others)))]
    return data + [rng.bytes(n_bytes), bytes(n_bytes), b"A" * n_bytes, other][int(rng.integers(4))]


DAMAGES: tuple[Damage, ...] = (
    flip_bits,
    change_header_bytes,
    set_extreme_lengths,
    truncate,
    repeat_block,
    remove_block,
    overwrite_block,
    splice,
    append_garbage,
)


def damaged_file(files: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes, str]:
    """A key of `files`, the damaged bytes of that file, and what was done to it."""
    rng = np.random.default_rng([seed, number])
    kind = sorted(files)[number % len(files)]
    data, done = bytearray(files[kind]), []
    for _ in range(min(int(rng.geometric(0.6)), 4)):
        if data:
            damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
            data = damage(rng, data, list(files.values()))
            done.append(damage.__name__)
    return kind, bytes(data), ", ".join(done)


# --- odd arrays

_RATES_HZ = [8_000, 4_000, 7_999.5, 11_025, 44_100, 48_000, 384_000]
_BAD_RATES_HZ = [0, -16_000, 1, 3_999, 384_001, 1e12, float("nan"), float("inf"), True]
_LENGTHS = [0, 1, 2, 3, 100, 159, 160, 161, 255, 1_023, 1_024, 1_025, 4_095, 4_097, 7_999, 8_001]


def _one_value(rng: np.random.Generator, wav: np.ndarray, value: float) -> np.ndarray:
    wav = wav.copy()
    wav[rng.integers(len(wav), size=int(rng.geometric(0.5)))] = value
    return wav


def _channels(rng: np.random.Generator, wav: np.ndarray) -> np.ndarray:
    gains = rng.choice([-1, 0, 0.01, 0.5, 1], size=int(rng.integers(0, 11)))
    return wav[:, None] * gains.astype(np.float32) + 0.001 * rng.standard_normal((len(wav), len(gains)))


def _as_integers(rng: np.random.Generator, wav: np.ndarray) -> np.ndarray:
    kind = np.dtype(str(rng.choice(["i1", "<i2", ">i2", "i4", "i8", "u1", "u2", "u4", "u8"])))
    info = np.iinfo(kind)
    middle = 0 if info.min < 0 else 2.0 ** (info.bits - 1)
    scaled = np.clip(wav.astype(np.float64), -1, 1) * (2.0 ** (info.bits - 1) - 1) + middle
    return np.clip(scaled, float(info.min), float(info.max) * (1 - 1e-12)).astype(kind)


Oddity = Callable[[np.random.Generator, np.ndarray], np.ndarray]

ODDITIES: dict[str, Oddity] = {
    "as it is": lambda rng, wav: wav,
    "NaN": lambda rng, wav: _one_value(rng, wav, np.nan),
    "infinite": lambda rng, wav: _one_value(rng, wav, rng.choice([np.inf, -np.inf])),
    "all NaN": lambda rng, wav: np.full_like(wav, np.nan),
    "huge": lambda rng, wav: wav * rng.choice([2.0, 15.0, 100.0, 32_768.0, 1e30, 1e300]),
    "a knock": lambda rng, wav: _one_value(rng, 0.01 * wav, 1.0),
    "tiny": lambda rng, wav: wav * rng.choice([1e-2, 1e-4, 1e-6, 1e-30, 1e-45]),
    "all equal": lambda rng, wav: np.full_like(wav, rng.choice([0.0, -0.0, 1e-30, 0.1, 1.0, -1.0])),
    "of odd length": lambda rng, wav: np.resize(wav, int(rng.choice(_LENGTHS))),
    "an impulse": lambda rng, wav: _one_value(rng, np.zeros_like(wav), 1.0),
    "full scale, alternating": lambda rng, wav: np.resize(np.float32([1, -1]), len(wav)),
    "clipped": lambda rng, wav: np.clip(100 * wav, -1, 1),
    "offset": lambda rng, wav: wav + np.float32(rng.choice([-0.9, 0.5, 10.0])),
    "noise": lambda rng, wav: rng.uniform(-1, 1, len(wav)) * rng.choice([1e-4, 0.1, 1.0]),
    "in noise": lambda rng, wav: wav + rng.choice([0.001, 0.03, 0.3]) * rng.standard_normal(len(wav)),
    "a tone": lambda rng, wav: 0.5 * np.sin(rng.uniform(0.001, np.pi) * np.arange(len(wav))),
    "backwards": lambda rng, wav: wav[::-1],
    "gated": lambda rng, wav: wav * (rng.random(len(wav) // 800 + 1).repeat(800)[: len(wav)] < 0.5),
    "repeated": lambda rng, wav: np.tile(wav, int(rng.integers(2, 6))),
    "integers": _as_integers,
    "float16": lambda rng, wav: wav.astype(np.float16),
    "float64, big-endian": lambda rng, wav: wav.astype(">f8"),
    "long double": lambda rng, wav: wav.astype(np.longdouble),
    "complex": lambda rng, wav: wav.astype(np.complex64),
    "boolean": lambda rng, wav: wav > 0,
    "objects": lambda rng, wav: wav[:1000].astype(object),
    "text": lambda rng, wav: np.array(["speech"]),
    "channels": _channels,
    "transposed": lambda rng, wav: _channels(rng, wav).T,
    "one column": lambda rng, wav: wav[:, None],
    "3-D": lambda rng, wav: wav[:, None, None],
    "a number": lambda rng, wav: np.array(0.5),
}


def odd_array(wavs: list[np.ndarray], seed: int, number: int) -> tuple[str, Samples, str]:
    """A key of `ODDITIES`, samples of that kind made of one of the wavs, and what was done to it."""
    rng = np.random.default_rng([seed, 1, number])
    kind = list(ODDITIES)[number % len(ODDITIES)]
    wav = wavs[int(rng.integers(len(wavs)))]
    rates_hz = [[16_000], _RATES_HZ, _BAD_RATES_HZ][int(rng.choice(3, p=[0.5, 0.4, 0.1]))]
    rate_hz = rates_hz[int(rng.integers(len(rates_hz)))]
    with np.errstate(all="ignore"):
        samples = ODDITIES[kind](rng, wav)
    return kind, (samples, rate_hz), f"{samples.dtype} {samples.shape} at {rate_hz} Hz"


# --- what is tried, in a worker


class BrokenPromise(Exception):
    """A result or a message is not what the function promises."""


def _require(kept: bool, promise: str) -> None:
    if not kept:
        raise BrokenPromise(promise)


def _require_wav(wav: np.ndarray) -> None:
    _require(isinstance(wav, np.ndarray) and wav.dtype == np.float32 and wav.ndim == 1, "a wav is (N,) float32")
    _require(len(wav) > 0, "a wav is not empty")
    _require(bool(np.isfinite(wav).all()), "a wav is finite")
    _require(float(np.abs(wav).max()) <= 1.0, "a wav lies in [-1, 1]")


def decode(path: str) -> np.ndarray:
    """The wav (N,) of a damaged file."""
    recording = audio.read(path)
    _require_wav(recording.wav)
    _require(len(recording.wav) <= (_LIMITS.max_duration_s + 1) * audio.SAMPLE_RATE, "a wav is within the limit")
    _require(all(PATIENT_NAME not in note for note in recording.notes), "a note has no file name")
    return recording.wav


@functools.cache
def _pipeline():
    import torch

    from saic import Pipeline

    torch.set_num_threads(1)
    return Pipeline.from_pretrained()


def anonymize(clip: Samples) -> None:
    """Anonymize odd samples."""
    check_anonymized(clip, _pipeline().anonymize(clip).wav)


def check_anonymized(clip: Samples, wav: np.ndarray) -> None:
    """An output of `Pipeline.anonymize` keeps what it promises."""
    _require_wav(wav)
    _require(len(wav) == len(audio.from_array(*clip)), "an output is as long as its source")


# --- workers

DONE = "done"
"""Label of an input that gave a result."""


@dataclass(frozen=True)
class Outcome:
    """What one input gave.

    Attributes
    ----------
    label : `DONE`, the class of the error, "crash", "time-out" or "memory"
    fault : whether that may not happen
    message : of the error
    result : what the function returned
    peak_bytes : highest resident memory of the worker so far
    cpu_s : processor time of the worker
    """

    label: str
    fault: bool = False
    message: str = ""
    result: np.ndarray | None = None
    peak_bytes: int = 0
    cpu_s: float = 0.0


class Worker:
    """A process that calls one function again and again. A new one follows a crash or a time-out.

    Parameters
    ----------
    function : importable by name; gets an input and returns an array or None
    timeout_s : seconds of processor time for one input, so that other programs don't count
    memory_bytes : limit of the private memory, and of the resident memory
    patience : a worker that does not answer for this many times `timeout_s` is ended
    """

    def __init__(self, function: Callable, timeout_s: float, memory_bytes: int, *, patience: float = 6.0) -> None:
        self._function, self._timeout_s, self._memory_bytes = function, timeout_s, memory_bytes
        self._wait_s = patience * timeout_s
        self._process = self._connection = None

    def run(self, value: object) -> Outcome:
        if self._process is None:
            self._start()
        try:
            self._connection.send(value)
            if not self._connection.poll(self._wait_s):
                self.close()
                return Outcome("time-out", True, f"no answer in {self._wait_s:g} s")
            outcome = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            self.close()
            return Outcome("crash", True, f"ended by signal {-code}" if code < 0 else f"ended with status {code}")
        if not outcome.fault and outcome.cpu_s > self._timeout_s:
            outcome = replace(outcome, label="time-out", fault=True, message=f"{outcome.cpu_s:.0f} s of processor time")
        if not outcome.fault and outcome.peak_bytes > self._memory_bytes:
            outcome = replace(outcome, label="memory", fault=True, message=f"{outcome.peak_bytes / 2**20:.0f} MiB")
        if outcome.label in ("memory", "MemoryError"):
            self.close()  # so that it isn't counted again
        return outcome

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, self._function, self._memory_bytes), daemon=True, name="fuzz worker"
        )
        self._process.start()
        other.close()
        if not self._connection.poll(_START_TIMEOUT_S) or self._connection.recv() != "ready":
            raise RuntimeError("A worker did not start.")


def _serve(connection, function: Callable, memory_bytes: int) -> None:
    """Answer inputs until the connection is closed."""
    with open(os.devnull, "w") as nothing:  # decoders print about damaged files
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    _limit_memory(memory_bytes)
    if function is anonymize:
        _pipeline()
    connection.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            value = connection.recv()
            began_s = time.process_time()
            outcome = _try(function, value)
            cpu_s = time.process_time() - began_s
            connection.send(replace(outcome, peak_bytes=_peak_bytes(), cpu_s=cpu_s))


def _try(function: Callable, value: object) -> Outcome:
    try:
        return Outcome(DONE, result=function(value))
    except AudioError as error:  # no other error of SAIC: the calls are right, only the recordings are not
        name, message = type(error).__name__, str(error)
        if PATIENT_NAME in message or not message.isprintable() or not 0 < len(message) <= _MAX_MESSAGE:
            return Outcome("BrokenPromise", True, f"message of {name}: {message[:_MAX_MESSAGE]!r}")
        return Outcome(name, message=message)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{str(error)[:_MAX_MESSAGE]} ({Path(last.filename).name}:{last.lineno})"
        return Outcome(type(error).__name__, True, message)


def _limit_memory(memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _peak_bytes() -> int:
    """Highest resident memory of this process; 0 where the system does not tell."""
    try:  # getrusage also counts what the parent had before the start
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


# --- the run


@dataclass
class Tally:
    """Counts of one part.

    Attributes
    ----------
    counts : by (kind of input, label)
    faults : a line for each
    """

    counts: Counter = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    peak_bytes: int = 0
    slowest: tuple[float, str] = (0.0, "")  # processor time in s, and of which input
    seconds: float = 0.0

    def add(self, number: int, kind: str, outcome: Outcome) -> None:
        self.counts[kind, f"FAULT {outcome.label}" if outcome.fault else outcome.label] += 1
        self.peak_bytes = max(self.peak_bytes, outcome.peak_bytes)
        self.slowest = max(self.slowest, (outcome.cpu_s, f"{kind}, number {number}"))

    @property
    def failed(self) -> bool:
        """Whether there are faults, or inputs and not one result."""
        return bool(self.faults) or (bool(self.counts) and not any(label == DONE for _, label in self.counts))

    def table(self) -> str:
        """Counts by kind of input and label, with sums."""
        labels = sorted({label for _, label in self.counts}, key=lambda label: (label[0].isupper(), label))
        kinds = list(dict.fromkeys(kind for kind, _ in sorted(self.counts)))
        width = max(map(len, [*kinds, "all"]), default=3)
        lines = [" " * width + "".join(f"  {label}" for label in ["inputs", *labels])]
        for kind in [*kinds, "all"]:
            row = [sum(n for (k, lab), n in self.counts.items() if kind in (k, "all") and lab == la) for la in labels]
            cells = zip(["inputs", *labels], [sum(row), *row], strict=True)
            lines.append(f"{kind:{width}}" + "".join(f"  {n:{len(label)},}" for label, n in cells))
        return "\n".join(lines)


def fuzz(
    title: str,
    inputs: Callable[[int], tuple[str, object, str]],
    n_inputs: int,
    workers: list[Worker],
    *,
    on_fault: Callable[[int, str, object, Outcome], str] | None = None,
    on_result: Callable[[int, np.ndarray], None] | None = None,
) -> Tally:
    """Give inputs number 0 to `n_inputs` to the workers, and count what happens.

    Parameters
    ----------
    inputs : number to kind, input and description
    on_fault : gets number, kind, input and outcome; returns what is added to the line of the fault
    on_result : gets the number and the array that a worker returned
    """
    tally, began, told, lock = Tally(), time.monotonic(), 0.0, threading.Lock()
    numbers = iter(range(n_inputs))

    def work(worker: Worker) -> None:
        nonlocal told
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return worker.close()
            kind, value, description = inputs(number)
            outcome = worker.run(value)
            with lock:
                tally.add(number, kind, outcome)
                if outcome.fault:
                    line = f"{title} {number}, {kind}, {description}: {outcome.label}: {outcome.message}"
                    line += on_fault(number, kind, value, outcome) if on_fault else ""
                    tally.faults.append(line)
                    print(f"FAULT {line}", flush=True)
                elif on_result and outcome.result is not None:
                    on_result(number, outcome.result)
                done, spent = sum(tally.counts.values()), time.monotonic() - began
                if spent - told >= 10 or done == n_inputs:
                    told = spent
                    print(
                        f"{title}: {done:,} of {n_inputs:,}, {len(tally.faults)} faults, "
                        f"peak {tally.peak_bytes / 2**20:.0f} MiB, {spent:.0f} s, "
                        f"{spent / done * (n_inputs - done):.0f} s left",
                        flush=True,
                    )

    with ThreadPoolExecutor(len(workers)) as threads:
        for ended in as_completed([threads.submit(work, worker) for worker in workers]):
            ended.result()
    tally.seconds = time.monotonic() - began
    return tally


def fuzz_decoder(
    n_mutations: int,
    seed: int = 0,
    *,
    function: Callable = decode,
    n_workers: int = 2,
    timeout_s: float = TIMEOUT_S,
    memory_bytes: int = MEMORY_BYTES,
    keep: Path | None = None,
    n_wavs: int = 0,
) -> tuple[Tally, list[np.ndarray]]:
    """Decode damaged files.

    Parameters
    ----------
    function : path to the wav (N,)
    keep : folder for the files that gave a fault
    n_wavs : how many of the decoded wavs to return

    Returns
    -------
    tally, wavs
    """
    files, wavs = valid_files(), {}
    every = max(n_mutations // max(2 * n_wavs, 1), 1)  # about half of the files decode

    with tempfile.TemporaryDirectory() as folder:

        def inputs(number: int) -> tuple[str, object, str]:
            kind, data, description = damaged_file(files, seed, number)
            path = Path(folder) / f"{PATIENT_NAME} {threading.get_ident()}{kind.split()[0]}"
            path.write_bytes(data)
            return kind, str(path), description

        def save(number: int, kind: str, path: str, outcome: Outcome) -> str:
            if keep is None:
                return ""
            kept = keep / f"{seed}-{number}-{outcome.label}{Path(path).suffix}"
            shutil.copy(path, kept)
            return f" -> {kept}"

        def collect(number: int, wav: np.ndarray) -> None:
            if n_wavs and number % every == 0 and len(wavs) < n_wavs:
                wavs[number] = wav[: 20 * audio.SAMPLE_RATE]

        workers = [Worker(function, timeout_s, memory_bytes) for _ in range(n_workers)]
        tally = fuzz("decoder", inputs, n_mutations, workers, on_fault=save, on_result=collect)
    return tally, [wavs[number] for number in sorted(wavs)]


def fuzz_pipeline(
    n_inputs: int,
    wavs: list[np.ndarray],
    seed: int = 0,
    *,
    function: Callable = anonymize,
    timeout_s: float = PIPELINE_TIMEOUT_S,
    memory_bytes: int = PIPELINE_MEMORY_BYTES,
    keep: Path | None = None,
) -> Tally:
    """Anonymize the wavs, for at most half of the inputs, and then odd arrays made of them.

    Parameters
    ----------
    function : gets (samples, rate in Hz)
    keep : folder for the arrays that gave a fault
    """
    from tests.conftest import voice

    speech = [voice(pitch_hz, _DURATION_S, seed=seed + k) for k, pitch_hz in enumerate((100, 140, 220))]
    wavs = wavs[: n_inputs // 2]

    def inputs(number: int) -> tuple[str, object, str]:
        if number < len(wavs):
            return "decoded wavs", (wavs[number], audio.SAMPLE_RATE), f"{len(wavs[number]) / audio.SAMPLE_RATE:.1f} s"
        return odd_array(speech + wavs, seed, number - len(wavs))

    def save(number: int, kind: str, clip: Samples, outcome: Outcome) -> str:
        if keep is None:
            return ""
        kept = keep / f"{seed}-{number}-{outcome.label}.npz"
        np.savez(kept, samples=clip[0], rate_hz=clip[1])
        return f" -> {kept}"

    return fuzz("pipeline", inputs, n_inputs, [Worker(function, timeout_s, memory_bytes)], on_fault=save)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz of the decoder and the pipeline.")
    parser.add_argument("--mutations", type=int, default=10_000, help="damaged files for the decoder")
    parser.add_argument("--pipeline", type=int, default=300, help="arrays for the pipeline")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that gave a fault")
    options = parser.parse_args(arguments)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    decoder, wavs = fuzz_decoder(
        options.mutations, options.seed, n_workers=options.workers, keep=options.keep, n_wavs=options.pipeline // 2
    )
    pipeline = fuzz_pipeline(options.pipeline, wavs, options.seed, keep=options.keep)
    for title, tally in {"Decoder": decoder, "Pipeline": pipeline}.items():
        print(
            f"\n{title}: {sum(tally.counts.values()):,} inputs, {len(tally.faults)} faults, "
            f"peak {tally.peak_bytes / 2**20:.0f} MiB, {tally.seconds:.0f} s, "
            f"slowest {tally.slowest[0]:.1f} s ({tally.slowest[1]})\n"
        )
        print(tally.table())
        print(*(f"FAULT {line}" for line in tally.faults), sep="\n")
    return 1 if decoder.failed or pipeline.failed else 0


if __name__ == "__main__":
    sys.exit(main())
