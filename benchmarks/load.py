"""Whether the page holds out: ``python -m benchmarks.load [--users 20] [--conversions 200] [--seconds 10]``.

Starts the page in a process of its own, and talks to it over HTTP as programs do, each user from an address of its own
(127.0.1.k; Linux gives all of 127.0.0.0/8). Three parts:

1. All users convert at once: each must be served, or told that the server is busy.
2. They do so again while one hostile visitor, from one address and in as many sessions as it likes, asks for long
   conversions, maps and identifications, stalls uploads and holds connections: the users' median wait may not double.
3. Conversions follow one another: memory, open files and temporary files of the server must stay flat.

Linux only: it reads /proc. Exit status 1 if one part does not hold.
"""

import argparse
import contextlib
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from saic import audio
from saic.signal.mel import SAMPLE_RATE

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "assets" / "examples" / "voice_a.flac"
WARM_UP = 20  # conversions before the first measurement: caches fill
MAX_GROWTH_MB = 60.0
MAX_FILES_GROWTH = 10
PATIENCE_S = 300.0
SETTLES_S = 20.0  # until what the hostile visitor left is done
HOSTILE_THREADS, HOSTILE_CONNECTIONS = 30, 200
HOSTILE_ADDRESS = "127.0.2.1"


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


class User:
    """A program that calls the page from an address of this computer, as one session."""

    def __init__(self, url: str, address: str, session: str) -> None:
        transport = httpx.HTTPTransport(local_address=address)
        self.http = httpx.Client(base_url=url, transport=transport, timeout=PATIENCE_S)
        self.session = session

    def upload(self, data: bytes) -> dict:
        """Send a recording; returns how calls name it."""
        answer = self.http.post("/gradio_api/upload", files={"files": ("clip.wav", data)})
        answer.raise_for_status()
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, verb: str, *arguments: object) -> str:
        """ "served", "told that the server is busy", or what went wrong."""
        body = {"data": list(arguments), "session_hash": self.session}
        answer = self.http.post(f"/gradio_api/call/{verb}", json=body)
        said = answer.text
        if answer.status_code == 200:
            said = self.http.get(f"/gradio_api/call/{verb}/{answer.json()['event_id']}").text
        if "event: complete" in said:
            return "served"
        return (
            "told that the server is busy" if re.search("queue is full|is busy", said, re.IGNORECASE) else said[-300:]
        )

    def convert(self, data: bytes) -> tuple[str, float]:
        """Convert a recording: how it ended, and after how many seconds."""
        began = time.monotonic()
        return self.call("convert", self.upload(data), None), time.monotonic() - began

    def close(self) -> None:
        self.call("delete")
        self.http.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--conversions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each clip")
    parser.add_argument("--port", type=int, default=7871)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip, long_clip = (clip_of(seconds, Path(folder)) for seconds in (arguments.seconds, 300))
        server, url = start(arguments.port, Path(folder))
        try:
            print(f"one alone: {describe([User(url, '127.0.1.1', 'first').convert(clip)])}")
            served, quiet_s = rush(url, clip, arguments.users)
            with hostile(url, long_clip):
                time.sleep(SETTLES_S / 4)  # until it holds all it can get
                also_served, besieged_s = rush(url, clip, arguments.users)
            print(f"median wait beside a hostile visitor: {besieged_s / quiet_s:.2f} times that without")
            good = served and also_served and besieged_s < 2 * quiet_s
            time.sleep(SETTLES_S)
            good &= marathon(url, clip, arguments.conversions, server.pid, Path(folder))
        finally:
            server.terminate()
            server.wait()
        left = [path for store in Path(folder).glob("saic-web-*") for path in store.glob("*/*")]
        print(f"left after the end: {len(left)} files")
    sys.exit(0 if good and not left else 1)


def clip_of(seconds: float, folder: Path) -> bytes:
    """A WAV file of a bundled voice that says its sentence again and again."""
    path = folder / f"{seconds:g}.wav"
    audio.save(path, np.resize(audio.load(CLIP), int(seconds * SAMPLE_RATE)))
    return path.read_bytes()


def start(port: int, folder: Path) -> tuple[subprocess.Popen, str]:
    """The page in a process of its own, once it answers and is warm."""
    began = time.monotonic()
    environment = os.environ | {"TMPDIR": str(folder)}
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port)]
    server = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    while server.poll() is None:
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:  # not up yet
            time.sleep(0.2)
        else:
            print(f"page up after {time.monotonic() - began:.1f} s")
            return server, url
    raise SystemExit("The page did not start.")


def rush(url: str, clip: bytes, n_users: int) -> tuple[bool, float]:
    """All users at once: whether each was served or told, and their median wait in seconds."""
    users = [User(url, f"127.0.1.{k + 1}", f"user-{k}-{time.monotonic_ns()}") for k in range(n_users)]
    with ThreadPoolExecutor(n_users) as pool:
        ended = list(pool.map(lambda user: user.convert(clip), users))
    for user in users:
        user.close()
    print(f"{n_users} users at once: {describe(ended)}")
    answers = {answer for answer, _ in ended}
    good = answers <= {"served", "told that the server is busy"} and "served" in answers
    return good, statistics.median(waited_s for answer, waited_s in ended if answer == "served") if good else np.inf


def describe(ended: list[tuple[str, float]]) -> str:
    waits = [waited_s for _, waited_s in ended]
    answers = [answer for answer, _ in ended]
    counted = ", ".join(f"{answers.count(answer)} {answer}" for answer in sorted(set(answers)))
    return f"{counted}, median after {statistics.median(waits):.1f} s, last after {max(waits):.1f} s"


@contextlib.contextmanager
def hostile(url: str, long_clip: bytes):
    """One address that asks for all it can think of, again and again, in sessions without number."""
    stop, answers = threading.Event(), []
    host, port = url.removeprefix("http://").split(":")

    def ask(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            with contextlib.suppress(httpx.HTTPError, OSError):
                user = User(url, HOSTILE_ADDRESS, f"hostile-{number}-{count}")
                file = user.upload(long_clip)
                verb, data = [
                    ("convert", [file, file]),
                    ("identify", [file, ["a"] * 20, [file] * 20]),
                    ("explore", [[file] * 1500]),
                ][(number + count) % 3]
                user.http.post("/gradio_api/run/convert", json={"data": [file, file]})
                answers.append(user.call(verb, *data))
                user.http.close()

    def hold() -> None:
        held = []
        upload = b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n"
        upload += b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        while not stop.is_set():
            with contextlib.suppress(OSError):
                held.append(socket.create_connection((host, int(port)), 5, source_address=(HOSTILE_ADDRESS, 0)))
                held[-1].sendall(upload if len(held) % 2 else b"GET / HTTP/1.1\r\n")
            if len(held) > HOSTILE_CONNECTIONS:
                held.pop(0).close()
            stop.wait(0.02)
        for connection in held:
            connection.close()

    threads = [threading.Thread(target=ask, args=[k], daemon=True) for k in range(HOSTILE_THREADS)]
    threads.append(threading.Thread(target=hold, daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        print(f"the hostile visitor: {answers.count('served')} of {len(answers)} calls served")


def marathon(url: str, clip: bytes, conversions: int, pid: int, folder: Path) -> bool:
    """One user, one conversion after another."""
    user = User(url, "127.0.1.1", "marathon")
    first = None
    for done in range(1, conversions + 1):
        if (ended := user.convert(clip)[0]) != "served":
            print(ended)
            return False
        if done in (min(WARM_UP, conversions // 2), conversions):
            user.call("delete")
            usage = Usage.of(pid, folder)
            print(f"after {done} conversions: {usage}")
            first = first or usage
    return (
        usage.memory_mb - first.memory_mb < MAX_GROWTH_MB
        and usage.open_files - first.open_files < MAX_FILES_GROWTH
        and usage.clips <= first.clips
    )


if __name__ == "__main__":
    main()
