"""Load test of the page.

``python -m benchmarks.load [--users 20] [--conversions 200] [--seconds 10]`` starts the page in a
process and calls it over HTTP. Each user has an address of its own (127.0.1.k; Linux gives all of
127.0.0.0/8 to this computer). Three parts:

1. Burst: all users convert at once. Each must be served, or refused because the server is busy; at
   least one must be served.
2. Burst under attack: the same while a hostile client, from one address and in any number of
   sessions, asks for long conversions, maps and identifications, stalls uploads and holds
   connections. The users' median wait must be less than twice that of part 1.
3. Soak: conversions one after another. Memory, open files and temporary files of the server must
   not grow (`MAX_GROWTH_MB`, `MAX_FILES_GROWTH`).

Exit status 1 if one part fails or recordings are left after the end.
"""

import argparse
import contextlib
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.examples import EXAMPLES, write_repeated
from benchmarks.server import serve
from saic import audio

WARM_UP = 20  # conversions before the first measurement of the soak: caches fill
MAX_GROWTH_MB = 60.0
MAX_FILES_GROWTH = 10
TIMEOUT_S = 300.0
SETTLE_S = 20.0  # for the jobs and connections that the hostile client left
HOSTILE_THREADS, HOSTILE_CONNECTIONS = 30, 200
HOSTILE_ADDRESS = "127.0.2.1"
SERVED, BUSY = "served", "refused as busy"


@dataclass(frozen=True)
class Usage:
    """Resources of the server's process."""

    memory_mb: float
    open_files: int
    clips: int

    @classmethod
    def of(cls, pid: int, folder: Path) -> "Usage":
        """Measure a process whose store is in a folder."""
        process = psutil.Process(pid)
        found = (path for store in folder.glob("saic-web-*") for path in store.glob("*/*"))
        clips = sum(path.is_file() and path.parent.name != "bundled" for path in found)
        return cls(process.memory_info().rss / 2**20, process.num_fds(), clips)


class User:
    """An API client with an address of this computer and one session."""

    def __init__(self, url: str, address: str, session: str) -> None:
        transport = httpx.HTTPTransport(local_address=address)
        self.http = httpx.Client(base_url=url, transport=transport, timeout=TIMEOUT_S)
        self.session = session

    def upload(self, data: bytes) -> dict:
        """Upload a recording; returns its JSON for calls."""
        answer = self.http.post("/gradio_api/upload", files={"files": ("clip.wav", data)})
        answer.raise_for_status()
        return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}

    def call(self, endpoint: str, *arguments: object) -> str:
        """Call an endpoint; returns `SERVED`, `BUSY`, or the end of the error's text."""
        body = {"data": list(arguments), "session_hash": self.session}
        answer = self.http.post(f"/gradio_api/call/{endpoint}", json=body)
        text = answer.text
        if answer.status_code == 200:
            text = self.http.get(f"/gradio_api/call/{endpoint}/{answer.json()['event_id']}").text
        if "event: complete" in text:
            return SERVED
        return BUSY if re.search("queue is full|is busy", text, re.IGNORECASE) else text[-300:]

    def convert(self, data: bytes) -> tuple[str, float]:
        """Convert a recording; returns the outcome of `call` and the seconds that it took."""
        began = time.monotonic()
        return self.call("convert", self.upload(data), None), time.monotonic() - began

    def close(self) -> None:
        """Delete the user's recordings and disconnect."""
        self.call("delete")
        self.http.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--conversions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each clip")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip, long_clip = (make_clip(seconds, Path(folder)) for seconds in (arguments.seconds, 300))
        began = time.monotonic()
        server, url = serve(environment={"TMPDIR": folder})
        print(f"page up after {time.monotonic() - began:.1f} s")
        try:
            print(f"one user: {describe([User(url, '127.0.1.1', 'first').convert(clip)])}")
            passed, median_s = burst(url, clip, arguments.users)
            with hostile_client(url, long_clip):
                time.sleep(SETTLE_S / 4)  # until it holds all places and connections that it can get
                passed_under_attack, attacked_s = burst(url, clip, arguments.users)
            print(f"median wait with a hostile client: {attacked_s / median_s:.2f} times that without")
            passed = passed and passed_under_attack and attacked_s < 2 * median_s
            time.sleep(SETTLE_S)
            passed &= soak(url, clip, arguments.conversions, server.pid, Path(folder))
        finally:
            server.terminate()
            server.wait()
        left = [path for store in Path(folder).glob("saic-web-*") for path in store.glob("*/*")]
        print(f"left after the end: {len(left)} files")
    sys.exit(0 if passed and not left else 1)


def make_clip(seconds: float, folder: Path) -> bytes:
    """A WAV file of a bundled voice, repeated to the given length."""
    path = folder / f"{seconds:g}.wav"
    write_repeated(path, [audio.load(EXAMPLES[0])], seconds)
    return path.read_bytes()


def burst(url: str, clip: bytes, n_users: int) -> tuple[bool, float]:
    """Let all users convert at once.

    Returns
    -------
    passed : whether each user was served or refused as busy, and at least one was served
    median_s : median wait in seconds of those served; infinite if not passed
    """
    users = [User(url, f"127.0.1.{k + 1}", f"user-{k}-{time.monotonic_ns()}") for k in range(n_users)]
    with ThreadPoolExecutor(n_users) as pool:
        results = list(pool.map(lambda user: user.convert(clip), users))
    for user in users:
        user.close()
    print(f"{n_users} users at once: {describe(results)}")
    outcomes = {outcome for outcome, _ in results}
    passed = outcomes <= {SERVED, BUSY} and SERVED in outcomes
    return passed, statistics.median(wait_s for outcome, wait_s in results if outcome == SERVED) if passed else np.inf


def describe(results: list[tuple[str, float]]) -> str:
    """Counts of the outcomes, and the median and longest wait."""
    waits_s = [wait_s for _, wait_s in results]
    outcomes = [outcome for outcome, _ in results]
    counts = ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in sorted(set(outcomes)))
    return f"{counts}, median after {statistics.median(waits_s):.1f} s, last after {max(waits_s):.1f} s"


@contextlib.contextmanager
def hostile_client(url: str, long_clip: bytes):
    """Attack the server from `HOSTILE_ADDRESS` while the block runs.

    Threads make long calls, each in a new session; one more holds connections and stalls uploads.
    """
    stop, outcomes = threading.Event(), []
    host, port = url.removeprefix("http://").split(":")

    def make_calls(number: int) -> None:
        count = 0
        while not stop.is_set():
            count += 1
            with contextlib.suppress(httpx.HTTPError, OSError):
                user = User(url, HOSTILE_ADDRESS, f"hostile-{number}-{count}")
                file = user.upload(long_clip)
                endpoint, data = [
                    ("convert", [file, file]),
                    ("identify", [file, ["a"] * 20, [file] * 20]),
                    ("explore", [[file] * 1500]),
                ][(number + count) % 3]
                user.http.post("/gradio_api/run/convert", json={"data": [file, file]})
                outcomes.append(user.call(endpoint, *data))
                user.http.close()

    def hold_connections() -> None:
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

    threads = [threading.Thread(target=make_calls, args=[k], daemon=True) for k in range(HOSTILE_THREADS)]
    threads.append(threading.Thread(target=hold_connections, daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        print(f"the hostile client: {outcomes.count(SERVED)} of {len(outcomes)} calls served")


def soak(url: str, clip: bytes, conversions: int, pid: int, folder: Path) -> bool:
    """Convert again and again as one user; returns whether the server's usage stayed in bounds."""
    user = User(url, "127.0.1.1", "soak")
    first = None
    for done in range(1, conversions + 1):
        if (outcome := user.convert(clip)[0]) != SERVED:
            print(outcome)
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
