"""Decoding untrusted files in a worker: same result as the decoder, typed errors, recovery after a crash."""

import contextlib
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from saic import audio
from saic.audio import Limits, sandbox
from saic.audio.sandbox import Sandbox
from saic.errors import SaicError, TooLong, UndecodableAudio
from tests.conftest import RATE, voice

ROOT = Path(__file__).parents[1]
LIMITS = Limits(max_bytes=2**20, max_duration_s=20)


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    box = Sandbox(LIMITS, workers=1)
    yield box
    box.close()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The same second of audio in four containers."""
    folder = tmp_path_factory.mktemp("clips")
    wav, encoded = voice(140, 1.0), {}
    for suffix in ("wav", "flac", "ogg", "mp3"):
        sf.write(folder / f"clip.{suffix}", wav, RATE)
        encoded[suffix] = (folder / f"clip.{suffix}").read_bytes()
    return encoded


def worker_of(box: Sandbox) -> sandbox._Worker:
    return box._idle.queue[-1]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_worker_gives_the_same_wav_as_the_decoder(suffix: str, box: Sandbox, clips, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(clips[suffix])
    assert np.array_equal(box.load(path), audio.load(path))


def test_worker_passes_on_notes(box: Sandbox, clips, tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(clips["wav"][:20_000])
    recording = box.read(path)
    assert recording.notes == audio.read(path).notes
    assert recording.notes == ("Only 0.6 s of 1.0 s could be decoded: the file is damaged.",)
    assert np.array_equal(recording.wav, audio.read(path).wav)
    path.write_bytes(clips["wav"])
    assert box.read(path).notes == ()


@pytest.mark.parametrize(
    "head",
    [
        '{"samples": 1, "notes": []}',  # NaN
        '{"samples": 1}',
        '{"samples": 1, "notes": null}',
        '{"samples": 1, "notes": 5}',
        '{"samples": 0, "notes": []}',
        '{"samples": -1, "notes": []}',
        '{"samples": 2, "notes": []}',
        '{"samples": 1099511627776, "notes": []}',
        '{"samples": "1", "notes": []}',
        "7",
        "[" * 100_000,
    ],
)
def test_invalid_answer_of_a_worker_raises_undecodable_audio_and_ends_it(head: str, tmp_path: Path) -> None:
    is_too_short = '"samples": 2,' in head  # such an answer never ends
    box = Sandbox(LIMITS, workers=1, timeout_s=0.5 if is_too_short else 2)
    worker = sandbox._Worker(sandbox.MEMORY_BYTES)
    worker.end()
    not_a_number = "bytes([0, 0, 192, 127])"
    script = f"import sys; input(); print({head!r}, flush=True); sys.stdout.buffer.write({not_a_number})"
    worker._process = subprocess.Popen(
        [sys.executable, "-c", f"{script}; sys.stdout.flush(); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    box._idle.get()
    box._idle.put(worker)
    with pytest.raises(UndecodableAudio):
        box.read(tmp_path / "clip")
    assert not worker.alive
    box.close()


def test_worker_imports_no_torch() -> None:
    script = "import sys, saic.audio.sandbox; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n", done.stderr


def test_worker_gets_the_folder_of_the_package_as_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the package itself, whose module ``signal`` would hide that of the standard library."""
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **kwargs: started.append(kwargs) or popen(*args, **kwargs))
    box = Sandbox(LIMITS, workers=1)
    box.warm_up()
    box.close()
    assert [Path(kwargs["env"]["PYTHONPATH"]) for kwargs in started] == [ROOT]


def test_errors_keep_type_and_message(box: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    sf.write(path, np.zeros(25 * 8000), 8000)
    with pytest.raises(TooLong, match="20 s"):
        box.load(path)
    with pytest.raises(SaicError, match="does not exist"):
        box.load(tmp_path / "gone.wav")


def test_worker_that_hangs_or_dies_raises_an_error_and_is_replaced(
    clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(clips["wav"])
    box = Sandbox(LIMITS, workers=1)
    box.load(path)
    os.kill(worker_of(box)._process.pid, signal.SIGSTOP)  # like a decoder that does not return
    box.timeout_s, began = 0.3, time.monotonic()
    with pytest.raises(UndecodableAudio, match="limits of this server"):
        box.load(path)
    assert time.monotonic() - began < 5
    box.timeout_s = 20
    assert len(box.load(path)) == RATE
    os.kill(worker_of(box)._process.pid, signal.SIGKILL)
    worker_of(box)._process.wait()
    assert len(box.load(path)) == RATE
    box.close()


def test_worker_has_little_memory_and_cannot_write_files(box: Sandbox, clips, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    (tmp_path / "clip.wav").write_bytes(clips["wav"])
    box.load(tmp_path / "clip.wav")
    if not hasattr(resource, "prlimit"):
        pytest.skip("this system does not show the limits of another process")
    pid = worker_of(box)._process.pid
    assert resource.prlimit(pid, resource.RLIMIT_DATA)[0] == sandbox.MEMORY_BYTES
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] == 0
    assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0


def test_worker_decodes_what_is_longer_than_ten_minutes(tmp_path: Path) -> None:
    """Within its memory, and in several blocks: as the decoder of this process does."""
    limits = Limits(max_bytes=2**30, max_duration_s=1800)
    path = tmp_path / "long.flac"
    minute = np.random.default_rng(0).uniform(-0.1, 0.1, 60 * RATE)
    with sf.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(11):
            file.write(minute)
    box = Sandbox(limits, workers=1)
    wav = box.load(path)
    assert box.timeout_s == 3 * sandbox.TIMEOUT_S
    box.close()
    assert np.array_equal(wav, audio.load(path, limits=limits))


def _wav(rate: int, channels: int, bits: int, code: int, n_claimed: int, data: bytes) -> bytes:
    """A RIFF file with any values in its header."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", code, channels % 2**16, rate, rate * frame % 2**32, frame % 2**16, bits)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", n_claimed) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def false_header(random: np.random.Generator) -> bytes:
    """A RIFF file whose header is wrong, or right by chance."""
    return _wav(
        rate=int(random.choice([0, 1, 8000, 16000, 44100, 2**31, 2**32 - 1, random.integers(2**32)])),
        channels=int(random.choice([0, 1, 2, 9, random.integers(2**16)])),
        bits=int(random.choice([0, 1, 8, 12, 16, 24, 32, 64, 65535])),
        code=int(random.choice([0, 1, 3, 6, 7, 17, 85, 0xFFFE, 0xFFFF])),
        n_claimed=int(random.choice([0, random.integers(4000), 2**31 - 1, 2**32 - 1])),
        data=random.bytes(random.integers(2000)),
    )


def damaged(random: np.random.Generator, clip: bytes) -> bytes:
    """A valid file with some bytes changed, half of them in its header; it may be truncated or go on with noise."""
    data = bytearray(clip)
    for _ in range(random.integers(9)):
        data[random.integers(random.choice([200, len(data)]))] = random.integers(256)
    return bytes(data[: random.choice([len(data), random.integers(len(data))])]) + random.bytes(random.integers(20))


@pytest.mark.parametrize("kind", ["damaged", "false header", "noise"])
def test_any_input_gives_a_wav_or_a_typed_error(kind: str, box: Sandbox, clips, tmp_path: Path) -> None:
    random, path, n_read = np.random.default_rng(0), tmp_path / "clip", 0
    for _ in range(100):
        content = {
            "damaged": lambda: damaged(random, clips[str(random.choice(sorted(clips)))]),
            "false header": lambda: false_header(random),
            "noise": lambda: random.bytes(random.integers(300)),
        }[kind]()
        path.write_bytes(content)
        with contextlib.suppress(SaicError):
            wav = box.load(path)
            assert wav.dtype == np.float32 and wav.ndim == 1
            assert 0 < len(wav) <= LIMITS.max_duration_s * RATE + RATE and np.isfinite(wav).all()
            assert np.abs(wav).max() <= 1
            n_read += 1
    assert n_read > 10 or kind != "damaged"  # most damage leaves something to decode
