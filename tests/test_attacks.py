"""The page under attack from its port: what others have open, names of elsewhere, malformed calls, and greed."""

import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import gradio as gr
import httpx
import numpy as np
import pytest
from starlette.responses import FileResponse, PlainTextResponse
from starlette.testclient import TestClient

from saic import audio, web
from saic.errors import UsageError
from saic.web import build_page, firewall, load_examples, logs, protection, serve, uploads
from saic.web.hosts import Hosts
from saic.web.jobs import Jobs
from saic.web.logs import PlainFormatter
from saic.web.recordings import Recordings
from saic.web.store import ClipStore
from saic.web.visitors import COOKIE, Rate, Visitor, network_of
from tests import attacks
from tests.attacks import NAME, browser, call, file_data, upload
from tests.conftest import voice
from tests.fakes import FakePipeline

ROOT = Path(__file__).parents[1]


class Gated(FakePipeline):
    """A pipeline whose conversions wait until they may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.began = threading.Event()

    def convert(self, source, targets, *, reconstruct=True, progress=None):
        self.began.set()
        for _ in range(600):
            if self.may_go_on.wait(0.05):
                break
            progress("Waiting", 0.0)
        return super().convert(source, targets, reconstruct=reconstruct, progress=progress)


@pytest.fixture(scope="module")
def served_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", "")  # build_page sets it: let it be undone
    patch.setattr(protection, "independent_judge", lambda: None)  # Resemblyzer takes long to load
    patch.setattr(serve, "warm_up", lambda page: None)
    store, pipeline = ClipStore(tmp_path_factory.mktemp("store")), Gated()
    page = build_page(pipeline, load_examples(ROOT / "assets" / "examples"), store=store)
    server = web.launch(page, port=0, block=False)
    page.local_url, page.pipeline = server.url.rstrip("/"), pipeline
    yield page
    server.close()
    patch.undo()


@pytest.fixture
def page(served_page: gr.Blocks) -> gr.Blocks:
    """The page, with nothing in its store."""
    store = served_page.recordings.store
    for session in list(store._sessions):
        store.delete(session)
    for folder in list(store._uploads):
        store.discard(folder / "recording")
    return served_page


def kept(page: gr.Blocks) -> list[Path]:
    """Everything in the store that is not bundled."""
    return [path for path in page.recordings.store.folder.glob("*/*") if path.parent != page.recordings.store.bundled]


def until(holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("attack", attacks.ATTACKS.values(), ids=attacks.ATTACKS.keys())
def test_an_attack_gets_nothing(attack, page: gr.Blocks, capfd) -> None:
    assert list(attack(page.local_url)) == []
    said = "".join(capfd.readouterr())
    assert not [word for word in (*NAME.split(), "Traceback") if word in said]


# --- whose a recording is ---------------------------------------------------------------------------------


def test_a_clip_is_given_to_the_browser_that_made_it_alone(page: gr.Blocks) -> None:
    with browser(page.local_url) as mine, browser(page.local_url) as other:
        assert mine.cookies[COOKIE] != other.cookies[COOKIE]
        sent = upload(mine)
        how, given = call(mine, "convert", file_data(sent), None)
        assert how == "complete"
        swapped = f"/gradio_api/file={given[2]['path']}"
        assert mine.get(swapped).status_code == 200 and other.get(swapped).status_code == 404
        assert httpx.get(page.local_url + swapped).status_code == 404
        assert call(other, "convert", file_data(given[0]["path"]), None)[0] == "refused"
        path = upload(mine)
        assert other.get(f"/gradio_api/file={path}").status_code == 404
        assert call(other, "convert", file_data(path), None)[0] == "refused" and Path(path).exists()
        mine.post("/gradio_api/call/delete", json={"data": []})


def test_the_cookie_is_the_browsers_own(page: gr.Blocks) -> None:
    answer = httpx.get(page.local_url)
    (cookie,) = answer.headers.get_list("set-cookie")
    assert re.fullmatch(rf"{COOKIE}=[\w-]{{22}}; Path=/; HttpOnly; SameSite=Lax", cookie)
    assert answer.headers["cache-control"] == "no-store"
    again = httpx.get(page.local_url, headers={"Cookie": cookie.partition(";")[0]})
    assert "set-cookie" not in again.headers
    assert "set-cookie" in httpx.get(page.local_url, headers={"Cookie": f"{COOKIE}=short"}).headers
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


# --- hosts ------------------------------------------------------------------------------------------------


def scope(host: str | None, origin: str | None = None, reached: str = "192.0.2.7") -> dict:
    headers = [(b"host", host.encode())] if host is not None else []
    headers += [(b"origin", origin.encode())] if origin is not None else []
    return {"type": "http", "scheme": "http", "headers": headers, "server": (reached, 7860)}


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:7860", None),
        ("LOCALHOST.:7860", "http://localhost.:7860"),
        ("127.0.0.1:7860", "http://127.0.0.1:7860"),
        ("127.8.8.8", "http://127.8.8.8:80"),
        ("[::1]:7860", "http://[::1]:7860"),
        ("192.0.2.7:7860", "http://192.0.2.7:7860"),
        ("saic.example.org", "https://saic.example.org"),
        ("saic.example.org:8443", "https://saic.example.org"),
        ("org-page.hf.space", "https://org-page.hf.space"),
    ],
)
def test_the_page_answers_under_its_own_names(host, origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "org-page.hf.space")
    assert Hosts("0.0.0.0", ["saic.example.org"]).refusal(scope(host, origin)) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (None, None),
        ("", None),
        ("evil.example", None),
        ("saic.example.org.evil.example", None),
        ("0.0.0.0:7860", None),
        ("192.0.2.8:7860", None),
        ("localhost:7860", "http://localhost:3000"),
        ("localhost:7860", "http://127.0.0.1:7860"),
        ("localhost:7860", "null"),
        ("localhost:7860", ""),
        ("localhost:7860", "https://saic.example.org"),
        ("saic.example.org", "https://evil.example"),
        ("localhost:port", None),
        ("user@localhost:7860", None),
    ],
)
def test_the_page_answers_under_no_other_name(host, origin) -> None:
    assert re.search("allow-host|another address", Hosts("0.0.0.0", ["saic.example.org"]).refusal(scope(host, origin)))


def test_a_host_that_is_served_is_allowed_and_a_name_must_be_a_name() -> None:
    assert Hosts("saic.lan").refusal(scope("saic.lan:7860", "http://saic.lan:7860")) is None
    assert Hosts("::").refusal(scope("saic.lan")) is not None
    for name in ("a:80", "http://a", "a/b", "*", "", "a b"):
        with pytest.raises(UsageError, match="a name alone"):
            Hosts(None, [name])


def test_an_address_counts_as_its_network() -> None:
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2::") != network_of("2001:db8:1:3::")
    assert network_of("testclient") == "unknown" and network_of("fe80::1%eth0") == "fe80::"


# --- delete now -------------------------------------------------------------------------------------------


def test_delete_works_beside_a_full_queue_and_leaves_no_file(page: gr.Blocks, monkeypatch) -> None:
    with browser(page.local_url) as mine, ThreadPoolExecutor(3) as pool:
        upload(mine)  # nobody has taken it
        how, _ = call(mine, "convert", file_data(upload(mine)), None)  # a result of a call without a session
        assert how == "complete" and len(kept(page)) == 5
        page.pipeline.may_go_on.clear()
        page.pipeline.began.clear()
        running = pool.submit(call, mine, "convert", file_data(upload(mine)), None)
        assert page.pipeline.began.wait(10)
        monkeypatch.setattr(page._queue, "max_size", 0)
        began = time.monotonic()
        answer = mine.post("/gradio_api/run/delete", json={"data": []})
        assert answer.status_code == 200 and answer.json()["data"] == ["Deleted."]
        assert time.monotonic() - began < 2 and kept(page) == []
        assert running.result(10)[0] == "error"  # it was stopped, and not by the event
        page.pipeline.may_go_on.set()
        assert kept(page) == []


def test_an_upload_that_is_being_decoded_is_deleted_with_the_rest(tmp_path: Path) -> None:
    recordings = Recordings(ClipStore(tmp_path), Jobs(1))
    decodes, may_go_on = threading.Event(), threading.Event()

    class Slow:
        def load(self, path: Path) -> np.ndarray:
            wav = audio.load(path)
            decodes.set()
            may_go_on.wait()
            return wav

        def close(self) -> None:
            pass

    recordings = Recordings(recordings.store, Jobs(1), Slow())
    visitor = Visitor("a" * 22, "192.0.2.1")
    recordings.store.claim("me", visitor)
    path = recordings.store.receive(".wav", visitor)
    audio.save(path, voice(150, 2.0))
    with ThreadPoolExecutor(2) as pool:
        taken = pool.submit(recordings.take_in, str(path), "me", "source")
        assert decodes.wait(10)
        recordings.delete("me")
        assert [p for p in recordings.store.folder.glob("*/*") if p.parent != recordings.store.bundled] == []
        may_go_on.set()
        with pytest.raises(UsageError, match="Stopped"):
            taken.result()
    assert [p for p in recordings.store.folder.glob("*") if p.name not in (".lock", "bundled")] == []
    recordings.close()


def test_convert_may_decode_an_upload_before_its_plain_copy_is_asked_for(tmp_path: Path) -> None:
    """The player then gets the copy that Convert made, and both read the same samples."""
    visitor = Visitor("a" * 22, "192.0.2.1")
    decodes, may_go_on = threading.Event(), threading.Event()

    class Slow:
        def load(self, path: Path) -> np.ndarray:
            decodes.set()
            may_go_on.wait()
            return audio.load(path)

        def close(self) -> None:
            pass

    recordings = Recordings(ClipStore(tmp_path), Jobs(2), Slow())
    recordings.store.claim("me", visitor)
    path = recordings.store.receive(".wav", visitor)
    audio.save(path, voice(150, 2.0))
    with ThreadPoolExecutor(2) as pool:
        converted = pool.submit(recordings.load, str(path), "me")
        assert decodes.wait(10)
        taken = pool.submit(recordings.take_in, str(path), "me", "source")
        time.sleep(0.5)  # it waits now for the other
        may_go_on.set()
        copy = taken.result(10)
        assert np.array_equal(converted.result(10), audio.load(copy))
    assert recordings.store.may_read("me", Path(copy)) and not path.exists()
    assert not recordings._kinds
    recordings.close()


def test_a_file_that_is_removed_while_it_is_asked_for_is_gone_and_no_failure(page: gr.Blocks, monkeypatch) -> None:
    """It was there when its visitor was checked, and is not when Starlette opens it."""
    clip = next(page.recordings.store.bundled.glob("*.wav"))

    async def removed(path: str) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(anyio.to_thread, "run_sync", lambda stat, path, *rest, **options: removed(path))
    app = firewall.Firewall(FileResponse(clip), page.recordings, Hosts("127.0.0.1"), None, 1, {})
    answer = TestClient(app, base_url="http://127.0.0.1").get(f"/gradio_api/file={clip}")
    assert answer.status_code == 404 and "no longer on the server" in answer.text


def test_a_call_that_cannot_be_told_apart_is_told_so(page: gr.Blocks) -> None:
    with httpx.Client(base_url=page.local_url) as http:
        assert "session_hash" in http.post("/gradio_api/run/delete", json={"data": []}).json()["error"]
        how, _ = call(http, "convert", file_data(upload(http)), None, session="mine")
        assert how == "complete" and len(kept(page)) == 4
        assert call(http, "delete", session="mine") == ("complete", ["Deleted."]) and kept(page) == []


def test_an_answer_can_be_fetched_though_others_delete_meanwhile(page: gr.Blocks) -> None:
    with browser(page.local_url) as mine, browser(page.local_url) as other:
        event = mine.post("/gradio_api/call/delete", json={"data": []}).json()["event_id"]
        assert call(other, "delete")[0] == call(other, "delete")[0] == "complete"
        assert "Deleted." in mine.get(f"/gradio_api/call/delete/{event}").text


def test_who_goes_away_in_the_middle_of_an_upload_leaves_nothing(page: gr.Blocks, capfd) -> None:
    head = "POST /gradio_api/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with connection(page) as gone:
        gone.sendall(f"{head}Host: localhost\r\nContent-Length: 1000\r\n\r\n--x\r\n".encode())
        until(lambda: page.recordings.store._uploads)
    until(lambda: not page.recordings.store._uploads)
    assert kept(page) == [] and "uvicorn" not in "".join(capfd.readouterr())


def test_calls_by_name_are_as_good_as_calls_by_position(page: gr.Blocks) -> None:
    """`/call/v2/NAME` is what "Use via API" shows for curl."""
    with browser(page.local_url) as http:
        answer = http.post("/gradio_api/call/v2/convert", json={"source": file_data(upload(http))})
        event = answer.json()["event_id"]
        said = http.get(f"/gradio_api/call/v2/convert/{event}").text
        assert "event: complete" in said
        assert http.post("/gradio_api/call/v2/convert", json={"sauce": 1}).status_code == 400
        assert http.post("/gradio_api/call/v2/delete", json={}).status_code == 200
        until(lambda: kept(page) == [])


@pytest.mark.parametrize("how", ["SIGHUP", "SIGKILL"])
def test_a_server_that_ends_leaves_no_recording(how: str) -> None:
    """By a signal at once; a killed one's folder goes, and that is said, when the next one starts."""
    if not hasattr(signal, how):
        pytest.skip("this system has no such signal")
    proxies = {"ALL_PROXY": "socks5://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}  # which nobody answers
    with attacks.served(**proxies) as (url, process, folder):
        with httpx.Client(base_url=url, trust_env=False) as http:
            Path(upload(http))
        assert len(list(folder.glob("saic-web-*/*/recording.flac"))) == 1
        process.send_signal(getattr(signal, how))
        process.wait(20)
        assert process.returncode == (-signal.SIGKILL if how == "SIGKILL" else 0)
        log = (folder / "log").read_text()
        assert "Traceback" not in log and "share" not in log
        if how == "SIGKILL":
            ClipStore(folder).close()
        assert list(folder.glob("saic-web-*")) == []


# --- logs -------------------------------------------------------------------------------------------------


def test_a_log_of_others_says_who_how_grave_and_where_and_no_word_more() -> None:
    try:
        raise ValueError(f"/data/{NAME}.wav")
    except ValueError as error:
        failed = (ValueError, error, error.__traceback__)
    foreign = logging.LogRecord("uvicorn.error", logging.ERROR, "x", 1, "cannot read %s", (NAME,), failed)
    own = logging.LogRecord("saic.web.jobs", logging.INFO, "x", 1, "job %s: done", ("1",), None)
    said = PlainFormatter().format(foreign)
    assert "Jane" not in said and "error of uvicorn.error: ValueError at test_attacks.py:" in said
    assert PlainFormatter().format(own).endswith("job 1: done")


def test_a_failure_outside_of_any_call_is_logged_by_its_place(monkeypatch, caplog) -> None:
    for name in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(logs.sys, name, None)
    monkeypatch.setattr(threading, "excepthook", None)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    monkeypatch.setattr(logging, "captureWarnings", lambda _: None)
    logs.keep_plain()

    def fail() -> None:
        raise ValueError(NAME)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert "ValueError at test_attacks.py" in caplog.text and "Jane" not in caplog.text


# --- limits -----------------------------------------------------------------------------------------------


def test_after_a_refused_call_memory_is_what_it_was(page: gr.Blocks) -> None:
    with browser(page.local_url) as http:
        calls = [("explore", [[file_data(upload(http))] * 20]), ("identify", [file_data(upload(http)), ["a"], []])]
        call(http, *calls[0][:1], *calls[0][1])
        before = memory_mb()
        for _ in range(10):
            for verb, data in calls:
                how, _ = call(http, verb, *data)
                assert how == "error"
        assert memory_mb() - before < 10
        call(http, "delete")


def test_what_gradio_keeps_of_sessions_goes_with_them(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saic.web.backlog.MAX_CALLS", 80)
    monkeypatch.setattr("saic.web.backlog._FETCHED_WITHIN_S", 0.0)
    queue, store, address = page._queue, page.recordings.store, "127.0.0.88"
    queue.pending_event_ids_session.clear()  # of other tests
    queue.pending_messages_per_session.clear()
    with httpx.Client(base_url=page.local_url, transport=httpx.HTTPTransport(local_address=address)) as greedy:
        asked = [greedy.post("/gradio_api/call/explore", json={"data": [[]]}).status_code for _ in range(40)]
    assert asked.count(200) == 20 and asked.count(503) == 20  # a quarter of the places, and fetched is nothing
    with browser(page.local_url) as other:  # everybody else
        assert "A map shows 1 to 4 recordings" in call(other, "explore", [])[1]["error"]
    until(lambda: not any(queue.active_jobs))
    assert len(page.app.state_holder.session_data) >= 20 and len(queue.pending_messages_per_session) >= 20
    store.sweep(now=time.time() + 100)
    assert not any(queue.pending_event_ids_session.values()) and len(queue.pending_messages_per_session) < 2
    assert not page.app.state_holder.session_data


def memory_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_a_call_holds_only_so_much_audio(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saic.web.recordings.MAX_CALL_S", 20.0)
    with browser(page.local_url) as http:
        clips = [file_data(upload(http)) for _ in range(4)]
        how, said = call(http, "explore", clips)
        assert how == "error" and "minutes together" in said["error"]
        call(http, "delete")


def test_the_store_holds_no_more_than_it_may_while_uploads_come_in(page: gr.Blocks, monkeypatch) -> None:
    store = page.recordings.store
    monkeypatch.setattr(store, "max_bytes", 20 * 2**20)
    most, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            most[0] = max(most[0], sum(path.stat().st_size for path in kept(page) if path.exists()))

    watcher = threading.Thread(target=watch)
    watcher.start()

    def send(_: int) -> int:
        files = {"files": ("x.wav", bytes(8 * 2**20))}
        return httpx.post(f"{page.local_url}/gradio_api/upload", files=files, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(16)))
    stop.set()
    watcher.join()
    assert set(answers) == {200, 507} and answers.count(200) == 1  # an address may have half
    assert most[0] <= 20 * 2**20


@pytest.mark.parametrize(
    "head",
    [
        "POST /gradio_api/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n",
        "POST /gradio_api/call/convert HTTP/1.1\r\nContent-Type: application/json\r\n",
    ],
)
def test_who_stops_sending_is_let_go(head: str, page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "IDLE_S", 0.3)
    before = kept(page)
    with connection(page) as stalled:
        stalled.sendall(f"{head}Host: localhost\r\nContent-Length: 1000\r\n\r\n--x\r\n".encode())
        answer = b""
        while chunk := stalled.recv(4096):  # the server closes: else this times out
            answer += chunk
        assert b" 408 " in answer
    assert kept(page) == before


def test_an_address_makes_only_so_many_requests() -> None:
    rate, now = Rate(burst=5, per_s=100.0), time.monotonic()
    allowed = sum(rate.allows("192.0.2.1") for _ in range(50))
    assert 5 <= allowed <= 5 + 100 * (time.monotonic() - now) + 1 and rate.allows("192.0.2.2")
    time.sleep(0.05)
    assert rate.allows("192.0.2.1")
    for k in range(3000):  # addresses that come no more are forgotten
        rate.allows(str(k))
    time.sleep(0.05)
    rate.allows("last")
    assert len(rate._left) < 1100


def test_who_sends_more_than_its_rate_is_read_more_slowly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "BURST_BYTES", 2**20)
    monkeypatch.setattr(uploads, "BYTES_PER_S", 2**20)
    store = ClipStore(tmp_path)
    behind = firewall.Firewall(PlainTextResponse("-"), Recordings(store), Hosts(None, ["testserver"]), None, 2**22, {})
    took_s = []
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        began = time.monotonic()
        files = {"files": ("x.wav", bytes(2**20))}
        answer = TestClient(behind, client=(address, 1)).post("/gradio_api/upload", files=files)
        took_s.append(time.monotonic() - began)
        assert answer.status_code == 200
    assert took_s[1] > 0.7 > max(took_s[0], took_s[2])
    store.close()


def test_a_flood_of_requests_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "BURST", 20)
    store = ClipStore(tmp_path)
    behind = firewall.Firewall(PlainTextResponse("-"), Recordings(store), Hosts(None, ["testserver"]), None, 100, {})
    flood, other = (TestClient(behind, client=(address, 1)) for address in ("192.0.2.1", "192.0.2.2"))
    answers = [flood.get("/config").status_code for _ in range(40)]
    assert answers[:20] == [200] * 20 and 429 in answers
    assert other.get("/config").status_code == 200 and flood.get("/static/a.css").status_code == 200
    store.close()


def test_who_sends_no_request_is_let_go(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "HEADER_S", 0.3)
    for sent in (b"", b"GET / HTTP/1.1\r\nX: "):
        with connection(page) as idle:
            idle.sendall(sent)
            assert closed(idle)
    with connection(page) as idle:  # after a whole request, too
        idle.sendall(b"GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)
        idle.sendall(b"GET /config HTTP/1.1\r\nX: ")
        assert closed(idle)


def test_one_address_leaves_connections_for_others(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MAX_CONNECTIONS", 40)
    until(lambda: serve._Impatient._by_address.total() == 0)
    held = [connection(page) for _ in range(25)]
    until(lambda: serve._Impatient._by_address["127.0.0.1"] == 20)
    with socket.create_connection(held[0].getpeername(), 5, source_address=("127.0.0.99", 0)) as other:
        other.sendall(b"GET /config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 200")
    for one in held:
        one.close()
    until(lambda: serve._Impatient._by_address.total() == 0)


def connection(page: gr.Blocks) -> socket.socket:
    url = httpx.URL(page.local_url)
    return socket.create_connection((url.host, url.port), timeout=10)


def closed(connection: socket.socket) -> bool:
    """Whether the other side closes; TimeoutError if it does not."""
    try:
        while connection.recv(2**16):
            pass
    except ConnectionResetError:
        pass
    return True


# --- starting ---------------------------------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> gr.Blocks:
    """A page that is never really served."""
    for name in ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with gr.Blocks() as page:
        pass
    return page


def test_a_port_or_host_that_cannot_be_used_is_one_sentence(bare: gr.Blocks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for options, said in [
            ({"port": taken.getsockname()[1]}, "is in use"),
            ({"port": 99999}, "from 1 to 65535"),
            ({"port": -1}, "from 1 to 65535"),
            ({"host": "no.such.host.invalid"}, "does not know that host"),
            ({"host": "203.0.113.9"}, "no such address"),
            ({"host": "\udcff"}, "."),
            ({"host": "a" * 300}, "."),
        ]:
            with pytest.raises(UsageError, match=said) as caught:
                web.launch(bare, block=False, **options)
            assert "\n" not in str(caught.value)


def test_the_first_free_port_is_taken_unless_one_is_named(bare: gr.Blocks, monkeypatch) -> None:
    first = serve._listen("127.0.0.1", None)
    second = serve._listen("127.0.0.1", None)
    monkeypatch.setenv("GRADIO_SERVER_PORT", "many")
    with pytest.raises(UsageError, match="65535"):
        serve._listen("127.0.0.1", None)
    assert 7860 <= first.getsockname()[1] < second.getsockname()[1] <= 7959
    for one in (first, second):
        one.close()


def test_a_hangup_that_the_user_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with serve.ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(SystemExit):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
