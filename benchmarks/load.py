"""Whether the page holds out: ``python -m benchmarks.load [--users 20] [--conversions 200] [--seconds 10]``.

Starts the page in a process of its own and talks to it as `gradio_client` does. First all users convert at once: each
must be served, or told that the queue is full. Then conversions follow one another, and memory, open files and
temporary files of the server must stay flat. Linux only: it reads /proc. Exit status 1 if either does not hold.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file

from saic import audio
from saic.mel import SAMPLE_RATE

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "assets" / "examples" / "voice_a.flac"
WARM_UP = 20  # conversions before the first measurement: caches fill
MAX_GROWTH_MB = 60.0
MAX_FILES_GROWTH = 10
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Usage:
    """What the server's process holds."""

    memory_mb: float
    open_files: int
    clips: int

    @classmethod
    def of(cls, pid: int, folder: Path) -> "Usage":
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        clips = sum(path.is_file() for store in folder.glob("saic-web-*") for path in store.glob("[!b]*/*"))
        return cls(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{pid}/fd")), clips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--conversions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each clip")
    parser.add_argument("--port", type=int, default=7871)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.wav"
        audio.save(clip, np.resize(audio.load(CLIP), int(arguments.seconds * SAMPLE_RATE)))
        server, address = start(arguments.port, Path(folder))
        try:
            good = rush(address, clip, arguments.users)
            good &= marathon(address, clip, arguments.conversions, server.pid, Path(folder))
        finally:
            server.terminate()
            server.wait()
        left = [path for store in Path(folder).glob("saic-web-*") for path in store.glob("*/*")]
        print(f"left after the end: {len(left)} files")
    sys.exit(0 if good and not left else 1)


def start(port: int, folder: Path) -> tuple[subprocess.Popen, str]:
    """The page in a process of its own, once it answers."""
    began = time.monotonic()
    environment = os.environ | {"TMPDIR": str(folder)}
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port)]
    server = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    while server.poll() is None:
        try:
            connect(address)
        except Exception:  # not up yet
            time.sleep(0.2)
        else:
            print(f"page up after {time.monotonic() - began:.1f} s")
            return server, address
    raise SystemExit("The page did not start.")


def connect(address: str) -> Client:
    """A client that waits: the server may be busy with all the others."""
    return Client(address, verbose=False, download_files=False, httpx_kwargs={"timeout": PATIENCE_S})


def convert(address: str, clip: Path) -> str:
    """Convert as a client of its own; returns "served", "told that the queue is full", or what went wrong."""
    client = connect(address)
    try:
        client.predict(handle_file(clip), api_name="/convert")
    except Exception as error:
        return "told that the queue is full" if "queue is full" in str(error).lower() else repr(error)
    finally:
        client.close()
    return "served"


def rush(address: str, clip: Path, users: int) -> bool:
    """All users at once."""
    print(f"one alone: {timed(lambda: convert(address, clip))}")
    with ThreadPoolExecutor(users) as pool:
        began = time.monotonic()
        answers = list(pool.map(lambda _: convert(address, clip), range(users)))
    print(f"{users} users at once, all answered after {time.monotonic() - began:.1f} s:")
    for answer in sorted(set(answers)):
        print(f"  {answers.count(answer):3} {answer}")
    return set(answers) <= {"served", "told that the queue is full"} and "served" in answers


def marathon(address: str, clip: Path, conversions: int, pid: int, folder: Path) -> bool:
    """One client, one conversion after another."""
    client = connect(address)
    first = None
    for done in range(1, conversions + 1):
        client.predict(handle_file(clip), api_name="/convert")
        if done in (min(WARM_UP, conversions // 2), conversions):
            client.predict(api_name="/delete")
            usage = Usage.of(pid, folder)
            print(f"after {done} conversions: {usage}")
            first = first or usage
    client.close()
    return (
        usage.memory_mb - first.memory_mb < MAX_GROWTH_MB
        and usage.open_files - first.open_files < MAX_FILES_GROWTH
        and usage.clips <= first.clips
    )


def timed(action) -> str:
    began = time.monotonic()
    answer = action()
    return f"{answer} after {time.monotonic() - began:.1f} s"


if __name__ == "__main__":
    main()
