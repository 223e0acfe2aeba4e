"""Attacks on a served page over HTTP: ``python -m tests.attacks``.

Starts ``app.py`` with the bundled weights on a free port of this computer, runs every attack of
`ATTACKS`, and prints what each one achieved. Exit status 1 if one achieved anything, or if a name
or a traceback is in the log. ``tests/test_attacks.py`` runs the same attacks against a page with a
fake pipeline.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

ROOT = Path(__file__).parents[1]
CLIP = ROOT / "assets" / "examples" / "voice_a.flac"
PATIENT_NAME = "Jane Doe 1960"
"""Sent in file names and request bodies; must not appear in any answer or log."""

_META = {"_type": "gradio.FileData"}
_START_TIMEOUT_S = 120


def upload(http: httpx.Client, data: bytes | None = None, name: str = f"{PATIENT_NAME}.flac") -> str:
    """Upload a recording as a page does; returns its path on the server."""
    answer = http.post("/gradio_api/upload", files={"files": (name, CLIP.read_bytes() if data is None else data)})
    answer.raise_for_status()
    return answer.json()[0]


def file_data(path: str) -> dict:
    """The JSON of an uploaded file in a call."""
    return {"path": path, "orig_name": f"{PATIENT_NAME}.flac", "meta": _META}


def call(http: httpx.Client, endpoint: str, *data, session: str | None = None) -> tuple[str, object]:
    """Call an API endpoint with plain HTTP.

    Returns
    -------
    outcome : "refused", "complete" or "error"
    result : text of the refusal, or the outputs or error as JSON values
    """
    body = {"data": list(data)} | ({"session_hash": session} if session else {})
    answer = http.post(f"/gradio_api/call/{endpoint}", json=body)
    if answer.status_code != 200:
        return "refused", answer.text
    stream = http.get(f"/gradio_api/call/{endpoint}/{answer.json()['event_id']}", timeout=120).text
    event, data = re.findall(r"event: (complete|error)\ndata: (.*)\n", stream)[-1]
    return event, json.loads(data)


# Each attack yields one line for everything that it achieved; nothing if the page withstood it.


def read_files_of_others(url: str) -> Iterator[str]:
    """While a victim plays its clip, others request it through /proc, /dev/fd and its own path."""
    with browser(url) as victim, browser(url) as other, httpx.Client(base_url=url) as program:
        outcome, result = call(victim, "convert", file_data(upload(victim)), None)
        assert outcome == "complete", result
        clip = result[0]["path"]
        content, done = victim.get(f"/gradio_api/file={clip}").content, threading.Event()
        assert content.startswith(b"RIFF")

        def play() -> None:
            with httpx.Client(base_url=url, cookies=victim.cookies) as player:
                while not done.wait(0.05):
                    player.get(f"/gradio_api/file={clip}")

        players = [threading.Thread(target=play) for _ in range(2)]
        for player in players:
            player.start()
        try:
            for attacker, descriptors in ((other, "/proc/self/fd"), (program, "/dev/fd")):
                paths = [f"{descriptors}/{n}" for n in range(3, 60)]
                paths += [
                    clip,
                    f"/proc/self/root{clip}",
                    f"/proc/self/cwd/../../../../..{clip}",
                    f"{clip}/../original.wav",
                ]
                for path in paths:
                    try:
                        answer = attacker.get(f"/gradio_api/file={path}")
                    except httpx.RemoteProtocolError:
                        yield f"GET file={re.sub('[0-9]+', 'N', path[:16])}: it began to send"
                        continue
                    if answer.status_code not in (404, 429) or content[:4] in answer.content:
                        yield f"GET file={re.sub('[0-9]+', 'N', path[:16])}: {answer.status_code}"
                for path in paths[:5] + paths[-4:]:
                    outcome, result = call(attacker, "convert", {"path": path, "meta": _META}, None)
                    if outcome != "refused":
                        yield f"/convert of {path[:16]}: {outcome}"
        finally:
            done.set()
            for player in players:
                player.join()


def use_sessions_of_others(url: str) -> Iterator[str]:
    """An attacker who knows a victim's session name reads, makes calls and deletes in it."""
    with ExitStack() as stack:
        victim, other, program = map(stack.enter_context, (browser(url), browser(url), httpx.Client(base_url=url)))
        with victim.stream("GET", "/gradio_api/heartbeat/victims-session"):
            path = upload(victim)
            outcome, result = call(victim, "convert", file_data(path), None, session="victims-session")
            assert outcome == "complete", result
            for attacker in (other, program):
                for method, route, body in [
                    ("GET", "heartbeat/victims-session", None),
                    ("GET", "queue/data?session_hash=victims-session", None),
                    ("POST", "call/delete", {"data": [], "session_hash": "victims-session"}),
                    ("POST", "run/delete", {"data": [], "session_hash": "victims-session"}),
                    ("POST", "queue/join", {"data": [], "fn_index": 0, "session_hash": "victims-session"}),
                    ("POST", "cancel", {"session_hash": "victims-session", "fn_index": 0, "event_id": "x"}),
                ]:
                    with attacker.stream(method, f"/gradio_api/{route}", json=body) as answer:
                        if answer.status_code != 403:
                            yield f"{method} {route}: {answer.status_code}"
            if victim.get(f"/gradio_api/file={result[0]['path']}").status_code != 200:
                yield "the victim's clip is gone"


def use_foreign_hosts_and_origins(url: str) -> Iterator[str]:
    """A web page elsewhere points its host name here, or sends requests across origins."""
    port = urlsplit(url).port
    for host in (
        "evil.example",
        f"evil.example:{port}",
        f"localhost.evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"localhost@evil.example:{port}",
        f"192.0.2.1:{port}",
        "",
    ):
        for method, path in (("GET", "/"), ("GET", "/config"), ("POST", "/gradio_api/upload"), ("OPTIONS", "/config")):
            status, _ = raw(url, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n")
            if status not in (400, 403):
                yield f"{method} {path} for host {host or 'none'}: {status}"
    own = f"localhost:{port}"
    for origin in (
        "http://evil.example",
        f"http://evil.example:{port}",
        "null",
        f"http://localhost:{port + 1}",
        f"http://localhost:{port}.evil.example",
        f"http://{own}@evil.example",
    ):
        for method, path in (("GET", "/config"), ("POST", "/gradio_api/call/delete"), ("OPTIONS", "/config")):
            request = f"{method} {path} HTTP/1.1\r\nHost: {own}\r\nOrigin: {origin}\r\nContent-Length: 0\r\n"
            status, answer = raw(url, request + "Access-Control-Request-Method: POST\r\n")
            if status != 403 or "access-control-allow" in answer.lower():
                yield f"{method} {path} from origin {origin}: {status}"
    _, answer = raw(url, f"GET /config HTTP/1.1\r\nHost: {own}\r\nX-Forwarded-Host: evil.example\r\n")
    if "evil.example" in answer:
        yield "URLs of a forwarded host"


def send_malformed_calls(url: str) -> Iterator[str]:
    """Calls that Gradio cannot read, with a patient's name: no answer may hold a traceback."""
    with httpx.Client(base_url=url, timeout=60) as http:
        own = f"{upload(http)}"
        name = PATIENT_NAME
        for route in ("call/convert", "call/identify", "call/explore", "call/v2/convert", "run/convert", "queue/join"):
            for body in (
                b"",
                b"[]",
                b"null",
                name.encode(),
                b"[" * 100_000,
                b'{"a":' * 50_000,
                json.dumps({"data": name}).encode(),
                json.dumps({"data": [name]}).encode(),
                json.dumps({"data": [{"path": name, "meta": _META}]}).encode(),
                json.dumps({"data": [{"path": own, "meta": _META, "size": name}, 5], "fn_index": name}).encode(),
                json.dumps({"data": [{"path": own, "meta": _META, "is_stream": name}, 5]}).encode(),
                json.dumps({"data": [{"meta": name}, [name], {name: [name]}]}).encode(),
                json.dumps({"data": [name], "session_hash": name}).encode(),
                json.dumps({"data": [name] * 9, "session_hash": "x", "fn_index": 3}).encode(),
                json.dumps({"data": [[name], {"path": name}], "session_hash": "x", "fn_index": 10**9}).encode(),
                json.dumps({"data": [5, name, [1]], "session_hash": "x", "event_data": name, "fn_index": 0}).encode(),
                json.dumps({name: name}).encode(),
            ):
                headers = {"Content-Type": "application/json"}
                try:
                    answer = http.post(f"/gradio_api/{route}", content=body, headers=headers)
                except httpx.TransportError:  # refused before the whole body was sent
                    continue
                if "Traceback" in answer.text or "/site-packages/" in answer.text:
                    yield f"POST {route}: a traceback"
                if answer.status_code == 200 and (event := answer.json().get("event_id")):
                    http.get(f"/gradio_api/call/convert/{event}")
        for file_name in (f"{name}.wav\r\nX: y", "../../../etc/passwd", name * 1000):
            http.post("/gradio_api/upload", files={"files": (file_name, b"x")})
        http.post(
            "/gradio_api/upload", content=name.encode(), headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        http.post("/gradio_api/upload", content=name.encode())
        http.get(f"/{name}")
        http.get("/gradio_api/queue/data", params={"session_hash": name})


def send_oversized_calls(url: str) -> Iterator[str]:
    """Calls with more recordings than allowed, and calls through routes that bypass the queue."""
    with httpx.Client(base_url=url, timeout=120) as http:
        clip = file_data(upload(http))
        for endpoint, data in {
            "explore": [[clip] * 1500],
            "identify": [clip, ["x"] * 1000, [clip] * 1000],
        }.items():
            if (outcome := call(http, endpoint, *data)[0]) != "refused":
                yield f"/{endpoint} with over 1000 recordings: {outcome}"
        for endpoint, data in {
            "explore": [[clip] * 5],
            "identify": [clip, [f"{k}" for k in range(25)], [clip] * 25],
        }.items():
            outcome, _ = call(http, endpoint, *data)
            if outcome == "complete":
                yield f"/{endpoint} with more recordings than it takes: {outcome}"
        for route in ("run/convert", "api/convert", "run/identify", "run/explore"):
            status = http.post(f"/gradio_api/{route}", json={"data": [clip, None]}).status_code
            if status == 200:
                yield f"{route} bypasses the queue"


ATTACKS: dict[str, Callable[[str], Iterator[str]]] = {
    attack.__name__: attack
    for attack in (
        read_files_of_others,
        use_sessions_of_others,
        use_foreign_hosts_and_origins,
        send_malformed_calls,
        send_oversized_calls,
    )
}


@contextmanager
def browser(url: str) -> Iterator[httpx.Client]:
    """A visitor with a cookie."""
    with httpx.Client(base_url=url, timeout=60) as http:
        http.get("/")
        yield http


def raw(url: str, head: str) -> tuple[int, str]:
    """Send a request head as it is written; returns the status and the answer with its headers."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(2**16):
            answer += chunk
    text = answer.decode("utf-8", errors="replace")
    return int(text.split(" ", 2)[1]), text


@contextmanager
def app_process(*arguments: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen, Path]]:
    """Run ``app.py`` in a process; gives its URL, the process, and its temporary folder."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w+") as log:
        command = [sys.executable, "-u", str(ROOT / "app.py"), *arguments]
        env = os.environ | {"TMPDIR": folder, "GRADIO_SERVER_PORT": "0", **environment}
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            yield wait_for_url(Path(folder) / "log", process), process, Path(folder)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(30)


def wait_for_url(log: Path, process: subprocess.Popen) -> str:
    """Wait until the page prints its URL; RuntimeError if it does not start."""
    for _ in range(10 * _START_TIMEOUT_S):
        if found := re.search(r"open on (http://\S+)", log.read_text()):
            return found[1].rstrip("/")
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"The page did not start:\n{log.read_text()}")


def main() -> None:
    achieved = {}
    with app_process() as (url, _, folder):
        for name, attack in ATTACKS.items():
            began = time.monotonic()
            achieved[name] = sorted(set(attack(url)))
            print(f"{name}: {'; '.join(achieved[name]) or 'nothing'} ({time.monotonic() - began:.1f} s)", flush=True)
        log = (folder / "log").read_text()
    leaked = [word for word in (*PATIENT_NAME.split(), "Traceback") if word in log]
    print(f"leaked into the log: {', '.join(leaked) or 'nothing'}")
    sys.exit(1 if leaked or any(achieved.values()) else 0)


if __name__ == "__main__":
    main()
