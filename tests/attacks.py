"""Attacks on the page from its port: ``python -m tests.attacks``.

Starts ``app.py`` with the bundled weights on a free port of this computer, attacks it in every way of `ATTACKS`, and
prints what each one got. Exit status 1 if one got anything. ``tests/test_attacks.py`` runs the same against a page
without weights.
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
NAME = "Jane Doe 1960"
"""A patient's name, which may show up nowhere."""

_META = {"_type": "gradio.FileData"}
_STARTS_WITHIN_S = 120


def upload(http: httpx.Client, data: bytes | None = None, name: str = f"{NAME}.flac") -> str:
    """Send a recording as a page does; returns its path on the server."""
    answer = http.post("/gradio_api/upload", files={"files": (name, CLIP.read_bytes() if data is None else data)})
    answer.raise_for_status()
    return answer.json()[0]


def file_data(path: str) -> dict:
    return {"path": path, "orig_name": f"{NAME}.flac", "meta": _META}


def call(http: httpx.Client, verb: str, *data, session: str | None = None) -> tuple[str, object]:
    """Call a verb as a program without Gradio's client does; returns how it ended and what it gave."""
    body = {"data": list(data)} | ({"session_hash": session} if session else {})
    answer = http.post(f"/gradio_api/call/{verb}", json=body)
    if answer.status_code != 200:
        return "refused", answer.text
    said = http.get(f"/gradio_api/call/{verb}/{answer.json()['event_id']}", timeout=120).text
    event, data = re.findall(r"event: (complete|error)\ndata: (.*)\n", said)[-1]
    return event, json.loads(data)


def recordings_that_others_have_open(url: str) -> Iterator[str]:
    """A victim plays its clip; others ask for the server's open files, and for the clip by its own address."""
    with browser(url) as victim, browser(url) as other, httpx.Client(base_url=url) as program:
        how, given = call(victim, "convert", file_data(upload(victim)), None)
        assert how == "complete", given
        clip = given[0]["path"]
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
            for thief in (other, program):
                ways = [f"/proc/self/fd/{n}" for n in range(3, 60)] + [f"/dev/fd/{n}" for n in range(3, 60)]
                ways += [
                    clip,
                    f"/proc/self/root{clip}",
                    f"/proc/self/cwd/../../../../..{clip}",
                    f"{clip}/../original.wav",
                ]
                for way in ways:
                    try:
                        answer = thief.get(f"/gradio_api/file={way}")
                    except httpx.RemoteProtocolError:
                        yield f"GET file={re.sub('[0-9]+', 'N', way[:16])}: it began to send"
                        continue
                    if answer.status_code not in (404, 429) or content[:4] in answer.content:
                        yield f"GET file={re.sub('[0-9]+', 'N', way[:16])}: {answer.status_code}"
                for way in ways[:5] + ways[-4:]:
                    how, given = call(thief, "convert", {"path": way, "meta": _META}, None)
                    if how != "refused":
                        yield f"/convert of {way[:16]}: {how}"
        finally:
            done.set()
            for player in players:
                player.join()


def sessions_of_others(url: str) -> Iterator[str]:
    """Somebody knows the name of another's session, and listens to it, works in it and deletes it."""
    with ExitStack() as stack:
        victim, other, program = map(stack.enter_context, (browser(url), browser(url), httpx.Client(base_url=url)))
        with victim.stream("GET", "/gradio_api/heartbeat/victims-session"):
            path = upload(victim)
            how, given = call(victim, "convert", file_data(path), None, session="victims-session")
            assert how == "complete", given
            for thief in (other, program):
                for method, way, body in [
                    ("GET", "heartbeat/victims-session", None),
                    ("GET", "queue/data?session_hash=victims-session", None),
                    ("POST", "call/delete", {"data": [], "session_hash": "victims-session"}),
                    ("POST", "run/delete", {"data": [], "session_hash": "victims-session"}),
                    ("POST", "queue/join", {"data": [], "fn_index": 0, "session_hash": "victims-session"}),
                    ("POST", "cancel", {"session_hash": "victims-session", "fn_index": 0, "event_id": "x"}),
                ]:
                    with thief.stream(method, f"/gradio_api/{way}", json=body) as answer:
                        if answer.status_code != 403:
                            yield f"{method} {way}: {answer.status_code}"
            if victim.get(f"/gradio_api/file={given[0]['path']}").status_code != 200:
                yield "the victim's clip is gone"


def names_of_others(url: str) -> Iterator[str]:
    """A web page elsewhere has a name of its own point here, or asks from its own origin."""
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
    mine = f"localhost:{port}"
    for origin in (
        "http://evil.example",
        f"http://evil.example:{port}",
        "null",
        f"http://localhost:{port + 1}",
        f"http://localhost:{port}.evil.example",
        f"http://{mine}@evil.example",
    ):
        for method, path in (("GET", "/config"), ("POST", "/gradio_api/call/delete"), ("OPTIONS", "/config")):
            asked = f"{method} {path} HTTP/1.1\r\nHost: {mine}\r\nOrigin: {origin}\r\nContent-Length: 0\r\n"
            status, head = raw(url, asked + "Access-Control-Request-Method: POST\r\n")
            if status != 403 or "access-control-allow" in head.lower():
                yield f"{method} {path} from origin {origin}: {status}"
    _, head = raw(url, f"GET /config HTTP/1.1\r\nHost: {mine}\r\nX-Forwarded-Host: evil.example\r\n")
    if "evil.example" in head:
        yield "addresses of a forwarded host"


def malformed_calls(url: str) -> Iterator[str]:
    """Calls that Gradio cannot read, with a patient's name in all of them: none may end as the server's own fault."""
    with httpx.Client(base_url=url, timeout=60) as http:
        own = f"{upload(http)}"
        for route in ("call/convert", "call/identify", "call/explore", "call/v2/convert", "run/convert", "queue/join"):
            for body in (
                b"",
                b"[]",
                b"null",
                NAME.encode(),
                b"[" * 100_000,
                b'{"a":' * 50_000,
                json.dumps({"data": NAME}).encode(),
                json.dumps({"data": [NAME]}).encode(),
                json.dumps({"data": [{"path": NAME, "meta": _META}]}).encode(),
                json.dumps({"data": [{"path": own, "meta": _META, "size": NAME}, 5], "fn_index": NAME}).encode(),
                json.dumps({"data": [{"path": own, "meta": _META, "is_stream": NAME}, 5]}).encode(),
                json.dumps({"data": [{"meta": NAME}, [NAME], {NAME: [NAME]}]}).encode(),
                json.dumps({"data": [NAME], "session_hash": NAME}).encode(),
                json.dumps({"data": [NAME] * 9, "session_hash": "x", "fn_index": 3}).encode(),
                json.dumps({"data": [[NAME], {"path": NAME}], "session_hash": "x", "fn_index": 10**9}).encode(),
                json.dumps({"data": [5, NAME, [1]], "session_hash": "x", "event_data": NAME, "fn_index": 0}).encode(),
                json.dumps({NAME: NAME}).encode(),
            ):
                headers = {"Content-Type": "application/json"}
                try:
                    answer = http.post(f"/gradio_api/{route}", content=body, headers=headers)
                except httpx.TransportError:  # refused before the body was sent
                    continue
                if "Traceback" in answer.text or "/site-packages/" in answer.text:
                    yield f"POST {route}: a traceback"
                if answer.status_code == 200 and (event := answer.json().get("event_id")):
                    http.get(f"/gradio_api/call/convert/{event}")
        for name in (f"{NAME}.wav\r\nX: y", "../../../etc/passwd", NAME * 1000):
            http.post("/gradio_api/upload", files={"files": (name, b"x")})
        http.post(
            "/gradio_api/upload", content=NAME.encode(), headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        http.post("/gradio_api/upload", content=NAME.encode())
        http.get(f"/{NAME}")
        http.get("/gradio_api/queue/data", params={"session_hash": NAME})


def calls_without_limits(url: str) -> Iterator[str]:
    """More recordings than a call may have, and ways around the queue."""
    with httpx.Client(base_url=url, timeout=120) as http:
        clip = file_data(upload(http))
        for verb, data in {
            "explore": [[clip] * 1500],
            "identify": [clip, ["x"] * 1000, [clip] * 1000],
        }.items():
            if (how := call(http, verb, *data)[0]) != "refused":
                yield f"/{verb} with so many recordings: {how}"
        for verb, data in {
            "explore": [[clip] * 5],
            "identify": [clip, [f"{k}" for k in range(25)], [clip] * 25],
        }.items():
            how, _ = call(http, verb, *data)
            if how == "complete":
                yield f"/{verb} with more recordings than it takes: {how}"
        for route in ("run/convert", "api/convert", "run/identify", "run/explore"):
            status = http.post(f"/gradio_api/{route}", json={"data": [clip, None]}).status_code
            if status == 200:
                yield f"{route} passes by the queue"


ATTACKS: dict[str, Callable[[str], Iterator[str]]] = {
    attack.__name__: attack
    for attack in (
        recordings_that_others_have_open,
        sessions_of_others,
        names_of_others,
        malformed_calls,
        calls_without_limits,
    )
}


@contextmanager
def browser(url: str) -> Iterator[httpx.Client]:
    """A visitor with a cookie."""
    with httpx.Client(base_url=url, timeout=60) as http:
        http.get("/")
        yield http


def raw(url: str, head: str) -> tuple[int, str]:
    """Status and the whole answer to a request whose head is written by hand."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(2**16):
            answer += chunk
    text = answer.decode("utf-8", errors="replace")
    return int(text.split(" ", 2)[1]), text


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen, Path]]:
    """``app.py`` in a process of its own: its address, the process, and the folder that it keeps clips in."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log", "w+") as log:
        command = [sys.executable, "-u", str(ROOT / "app.py"), *arguments]
        env = os.environ | {"TMPDIR": folder, "GRADIO_SERVER_PORT": "0", **environment}
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            yield address_in(Path(folder) / "log", process), process, Path(folder)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(30)


def address_in(log: Path, process: subprocess.Popen) -> str:
    """The address that the page says it is open on."""
    for _ in range(10 * _STARTS_WITHIN_S):
        if found := re.search(r"open on (http://\S+)", log.read_text()):
            return found[1].rstrip("/")
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"The page did not start:\n{log.read_text()}")


def main() -> None:
    got = {}
    with served() as (url, _, folder):
        for name, attack in ATTACKS.items():
            began = time.monotonic()
            got[name] = sorted(set(attack(url)))
            print(f"{name}: {'; '.join(got[name]) or 'nothing'} ({time.monotonic() - began:.1f} s)", flush=True)
        log = (folder / "log").read_text()
    told = [word for word in (*NAME.split(), "Traceback") if word in log]
    print(f"the log: {', '.join(told) or 'nothing'}")
    sys.exit(1 if told or any(got.values()) else 0)


if __name__ == "__main__":
    main()
