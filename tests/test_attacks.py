"""Security of the served page: access to recordings, hosts and origins, deletion, logs, limits."""

import contextlib
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
from saic.audio import Limits
from saic.errors import UsageError
from saic.evaluation import protection
from saic.web import build_page, load_examples
from saic.web.server import firewall, logs, serve, uploads
from saic.web.server.hosts import Hosts
from saic.web.server.jobs import Jobs
from saic.web.server.logs import RedactingFormatter
from saic.web.server.recordings import Recordings
from saic.web.server.store import ClipStore
from saic.web.server.visitors import COOKIE, RateLimiter, Visitor, network_of
from tests import attacks
from tests.attacks import PATIENT_NAME, browser, call, file_data, upload
from tests.conftest import voice
from tests.fakes import FakePipeline

ROOT = Path(__file__).parents[1]


class BlockingPipeline(FakePipeline):
    """A fake pipeline whose conversions wait until `may_go_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.began = threading.Event()

    def convert_spooled(self, source, targets, *, progress=None, **options):
        self.began.set()
        for _ in range(600):
            if self.may_go_on.wait(0.05):
                break
            progress("Waiting", 0.0)
        return super().convert_spooled(source, targets, progress=progress, **options)


@pytest.fixture(scope="module")
def served_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    patch = pytest.MonkeyPatch()
    patch.setenv("GRADIO_TEMP_DIR", "")  # build_page sets it: `undo` restores it
    patch.setattr(protection, "independent_verifier", lambda: None)  # Resemblyzer takes long to load
    patch.setattr(serve, "warm_up", lambda page: None)
    store, pipeline = ClipStore(tmp_path_factory.mktemp("store")), BlockingPipeline()
    page = build_page(pipeline, load_examples(ROOT / "assets" / "examples"), store=store, max_minutes=5)
    server = web.launch(page, port=0, block=False)
    page.local_url, page.pipeline = server.url.rstrip("/"), pipeline
    yield page
    server.close()
    patch.undo()


@pytest.fixture
def page(served_page: gr.Blocks) -> gr.Blocks:
    """The served page with an empty store."""
    store = served_page.recordings.store
    for session in list(store._sessions):
        store.delete(session)
    for folder in list(store._uploads):
        store.discard(folder / "recording")
    return served_page


def stored(page: gr.Blocks) -> list[Path]:
    """All files in the store except the bundled voices."""
    store = page.recordings.store
    folders = (name for name in os.scandir(store.folder) if name.is_dir() and Path(name) != store.bundled)
    files = []
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):  # a folder is being deleted
            files += Path(folder).iterdir()
    return files


def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for a condition; AssertionError if it does not hold in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("attack", attacks.ATTACKS.values(), ids=attacks.ATTACKS.keys())
def test_attack_achieves_nothing_and_no_name_is_printed(attack, page: gr.Blocks, capfd) -> None:
    assert list(attack(page.local_url)) == []
    printed = "".join(capfd.readouterr())
    assert not [word for word in (*PATIENT_NAME.split(), "Traceback") if word in printed]


# --- access to recordings ---------------------------------------------------------------------------------


def test_clip_can_be_downloaded_only_by_the_browser_that_made_it(page: gr.Blocks) -> None:
    with browser(page.local_url) as mine, browser(page.local_url) as other:
        assert mine.cookies[COOKIE] != other.cookies[COOKIE]
        outcome, result = call(mine, "convert", file_data(upload(mine)), None)
        assert outcome == "complete"
        swapped = f"/gradio_api/file={result[2]['path']}"
        assert mine.get(swapped).status_code == 200 and other.get(swapped).status_code == 404
        assert httpx.get(page.local_url + swapped).status_code == 404
        assert call(other, "convert", file_data(result[0]["path"]), None)[0] == "refused"
        path = upload(mine)
        assert other.get(f"/gradio_api/file={path}").status_code == 404
        assert call(other, "convert", file_data(path), None)[0] == "refused" and Path(path).exists()
        mine.post("/gradio_api/call/delete", json={"data": []})


@pytest.mark.parametrize("other", ['prefs={"a": 1}', "a@b=1", "flag", "name=\xe9"])
def test_visitor_is_known_beside_cookies_of_other_programs_on_the_same_host(other: str) -> None:
    """Cookies belong to a host, not to a port: a browser sends those of all servers on localhost."""
    header = f"{other}; {COOKIE}={'a' * 22}; {other}".encode("latin-1")
    scope = {"type": "http", "headers": [(b"cookie", header)], "client": ("127.0.0.1", 1)}
    assert Visitor.of(scope) == Visitor("a" * 22, "127.0.0.1")


def test_new_visitor_gets_a_cookie_that_is_not_cached(page: gr.Blocks) -> None:
    answer = httpx.get(page.local_url)
    (cookie,) = answer.headers.get_list("set-cookie")
    assert re.fullmatch(rf"{COOKIE}=[\w-]{{22}}; Path=/; HttpOnly; SameSite=Lax", cookie)
    assert answer.headers["cache-control"] == "no-store"
    again = httpx.get(page.local_url, headers={"Cookie": cookie.partition(";")[0]})
    assert "set-cookie" not in again.headers
    assert "set-cookie" in httpx.get(page.local_url, headers={"Cookie": f"{COOKIE}=short"}).headers
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]


# --- hosts ------------------------------------------------------------------------------------------------


def scope(host: str | None, origin: str | None = None, server_address: str = "192.0.2.7") -> dict:
    """The ASGI scope of a request."""
    headers = [(b"host", host.encode())] if host is not None else []
    headers += [(b"origin", origin.encode())] if origin is not None else []
    return {"type": "http", "scheme": "http", "headers": headers, "server": (server_address, 7860)}


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
def test_allowed_host_and_origin_are_accepted(host, origin, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_foreign_host_or_origin_is_refused(host, origin) -> None:
    assert re.search("allow-host|another address", Hosts("0.0.0.0", ["saic.example.org"]).refusal(scope(host, origin)))


def test_listen_host_is_allowed_and_invalid_names_raise() -> None:
    assert Hosts("saic.lan").refusal(scope("saic.lan:7860", "http://saic.lan:7860")) is None
    assert Hosts("::").refusal(scope("saic.lan")) is not None
    for name in ("a:80", "http://a", "a/b", "*", "", "a b"):
        with pytest.raises(UsageError, match="a name alone"):
            Hosts(None, [name])


def test_network_of_ipv6_is_its_64_bit_prefix() -> None:
    assert network_of("192.0.2.1") == network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2::") != network_of("2001:db8:1:3::")
    assert network_of("testclient") == "unknown" and network_of("fe80::1%eth0") == "fe80::"


# --- delete now -------------------------------------------------------------------------------------------


def test_delete_with_a_full_queue_stops_the_job_and_leaves_no_file(page: gr.Blocks, monkeypatch) -> None:
    with browser(page.local_url) as mine, ThreadPoolExecutor(3) as pool:
        upload(mine)  # stays an upload
        outcome, _ = call(mine, "convert", file_data(upload(mine)), None)  # a result of a call without a session
        assert outcome == "complete" and len(stored(page)) == 7
        page.pipeline.may_go_on.clear()
        page.pipeline.began.clear()
        running = pool.submit(call, mine, "convert", file_data(upload(mine)), None)
        assert page.pipeline.began.wait(10)
        monkeypatch.setattr(page._queue, "max_size", 0)
        began = time.monotonic()
        answer = mine.post("/gradio_api/run/delete", json={"data": []})
        assert answer.status_code == 200 and answer.json()["data"] == ["Deleted."]
        assert time.monotonic() - began < 2 and stored(page) == []
        assert running.result(10)[0] == "error"  # stopped by the deletion: `may_go_on` is not set yet
        page.pipeline.may_go_on.set()
        assert stored(page) == []


def test_delete_during_decoding_removes_the_upload_and_stops_the_job(tmp_path: Path) -> None:
    decoding, may_go_on = threading.Event(), threading.Event()

    class BlockingSandbox:
        def read(self, path: Path) -> audio.Recording:
            recording = audio.read(path)
            decoding.set()
            may_go_on.wait()
            return recording

        def close(self) -> None:
            pass

    recordings = Recordings(ClipStore(tmp_path), Jobs(1), BlockingSandbox())
    visitor = Visitor("a" * 22, "192.0.2.1")
    recordings.store.claim("me", visitor)
    path = recordings.store.receive(".wav", visitor)
    audio.save(path, voice(150, 2.0))
    with ThreadPoolExecutor(2) as pool:
        taking_in = pool.submit(recordings.take_in, str(path), "me", "source")
        assert decoding.wait(10)
        recordings.delete("me")
        assert [p for p in recordings.store.folder.glob("*/*") if p.parent != recordings.store.bundled] == []
        may_go_on.set()
        with pytest.raises(UsageError, match="Stopped"):
            taking_in.result()
    assert [p for p in recordings.store.folder.glob("*") if p.name not in (".lock", "bundled")] == []
    recordings.close()


def test_take_in_returns_the_copy_that_a_concurrent_convert_decoded(tmp_path: Path) -> None:
    """Convert decodes the upload first; the copy for the player has the same samples."""
    visitor = Visitor("a" * 22, "192.0.2.1")
    decoding, may_go_on = threading.Event(), threading.Event()

    class BlockingSandbox:
        limits = Limits()

        def read(self, path: Path) -> audio.Recording:
            decoding.set()
            may_go_on.wait()
            return audio.read(path)

        def close(self) -> None:
            pass

    recordings = Recordings(ClipStore(tmp_path), Jobs(2), BlockingSandbox())
    recordings.store.claim("me", visitor)
    path = recordings.store.receive(".wav", visitor)
    audio.save(path, voice(150, 2.0))
    with ThreadPoolExecutor(2) as pool:
        converted = pool.submit(recordings.load, str(path), "me")
        assert decoding.wait(10)
        taking_in = pool.submit(recordings.take_in, str(path), "me", "source")
        until(lambda: recordings.jobs.waiting or len(recordings.jobs.running) == 2)
        time.sleep(0.1)  # `take_in` now waits, for a core or for the lock
        may_go_on.set()
        copy = taking_in.result(10)
        assert np.array_equal(converted.result(10), audio.load(copy))
    assert recordings.store.may_read("me", Path(copy)) and not path.exists()
    assert not recordings._wanted_copies
    recordings.close()


def test_file_deleted_between_check_and_opening_gives_404(page: gr.Blocks, monkeypatch) -> None:
    clip = next(page.recordings.store.bundled.glob("*.wav"))

    async def removed(path: str) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr(anyio.to_thread, "run_sync", lambda stat, path, *rest, **options: removed(path))
    app = firewall.Firewall(FileResponse(clip), page.recordings, Hosts("127.0.0.1"), None, 1, {})
    answer = TestClient(app, base_url="http://127.0.0.1").get(f"/gradio_api/file={clip}")
    assert answer.status_code == 404 and "no longer on the server" in answer.text


def test_delete_without_cookie_needs_a_session_hash(page: gr.Blocks) -> None:
    with httpx.Client(base_url=page.local_url) as http:
        assert "session_hash" in http.post("/gradio_api/run/delete", json={"data": []}).json()["error"]
        outcome, _ = call(http, "convert", file_data(upload(http)), None, session="mine")
        assert outcome == "complete" and len(stored(page)) == 6
        assert call(http, "delete", session="mine") == ("complete", ["Deleted."]) and stored(page) == []


def test_result_of_delete_can_be_fetched_after_others_delete(page: gr.Blocks) -> None:
    with browser(page.local_url) as mine, browser(page.local_url) as other:
        event = mine.post("/gradio_api/call/delete", json={"data": []}).json()["event_id"]
        assert call(other, "delete")[0] == call(other, "delete")[0] == "complete"
        assert "Deleted." in mine.get(f"/gradio_api/call/delete/{event}").text


def test_connection_closed_during_an_upload_leaves_no_file(page: gr.Blocks, capfd) -> None:
    head = "POST /gradio_api/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with connection(page) as sender:
        sender.sendall(f"{head}Host: localhost\r\nContent-Length: 1000\r\n\r\n--x\r\n".encode())
        until(lambda: page.recordings.store._uploads)
    until(lambda: not page.recordings.store._uploads)
    assert stored(page) == [] and "uvicorn" not in "".join(capfd.readouterr())


def test_v2_calls_take_arguments_by_name(page: gr.Blocks) -> None:
    """`/call/v2/NAME` is what "Use via API" shows for curl."""
    with browser(page.local_url) as http:
        answer = http.post("/gradio_api/call/v2/convert", json={"source": file_data(upload(http))})
        event = answer.json()["event_id"]
        stream = http.get(f"/gradio_api/call/v2/convert/{event}").text
        assert "event: complete" in stream
        assert http.post("/gradio_api/call/v2/convert", json={"sauce": 1}).status_code == 400
        event = http.post("/gradio_api/call/v2/anonymize", json={"source": file_data(upload(http))}).json()["event_id"]
        stream = http.get(f"/gradio_api/call/v2/anonymize/{event}").text
        assert '"register": "any"' in stream  # the default of an argument that is left out
        assert http.post("/gradio_api/call/v2/delete", json={}).status_code == 200
        until(lambda: stored(page) == [])


@pytest.mark.proof
def test_next_server_deletes_the_recording_of_one_ended_by_sigkill() -> None:
    """As test_web_store.py tests of the store alone. After SIGHUP: test_stranger.py."""
    with attacks.app_process() as (url, process, folder):
        with httpx.Client(base_url=url) as http:
            upload(http)
        process.kill()
        process.wait(20)
        assert len(list(folder.glob("saic-web-*/*/recording.flac"))) == 1
        ClipStore(folder).close()
        assert list(folder.glob("saic-web-*")) == []


# --- logs -------------------------------------------------------------------------------------------------


def test_library_log_record_is_reduced_to_level_logger_and_place() -> None:
    try:
        raise ValueError(f"/data/{PATIENT_NAME}.wav")
    except ValueError as error:
        failed = (ValueError, error, error.__traceback__)
    foreign = logging.LogRecord("uvicorn.error", logging.ERROR, "x", 1, "cannot read %s", (PATIENT_NAME,), failed)
    own = logging.LogRecord("saic.web.server.jobs", logging.INFO, "x", 1, "job %s: done", ("1",), None)
    line = RedactingFormatter().format(foreign)
    assert "Jane" not in line and "error of uvicorn.error: ValueError at test_attacks.py:" in line
    assert RedactingFormatter().format(own).endswith("job 1: done")


def test_uncaught_exception_in_a_thread_is_logged_without_its_message(monkeypatch, caplog) -> None:
    for name in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(logs.sys, name, None)
    monkeypatch.setattr(threading, "excepthook", None)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    monkeypatch.setattr(logging, "captureWarnings", lambda _: None)
    logs.keep_plain()

    def fail() -> None:
        raise ValueError(PATIENT_NAME)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert "ValueError at test_attacks.py" in caplog.text and "Jane" not in caplog.text


# --- limits -----------------------------------------------------------------------------------------------


def test_refused_calls_do_not_grow_memory(page: gr.Blocks) -> None:
    with browser(page.local_url) as http:
        calls = [("explore", [[file_data(upload(http))] * 20]), ("identify", [file_data(upload(http)), ["a"], []])]
        call(http, *calls[0][:1], *calls[0][1])
        before = memory_mb()
        for _ in range(10):
            for endpoint, data in calls:
                outcome, _ = call(http, endpoint, *data)
                assert outcome == "error"
        assert memory_mb() - before < 10
        call(http, "delete")


def test_page_whose_connection_broke_keeps_its_state(page: gr.Blocks) -> None:
    state = next(block for block in page.blocks.values() if isinstance(block, gr.State))
    session = page.app.state_holder["session"]
    session[state._id] = "enrolled"
    session.is_closed, session.STATE_TTL_WHEN_CLOSED = True, 0  # as if it were set an hour ago
    time.sleep(1.5)  # Gradio deletes once a second
    assert session.state_data == {state._id: "enrolled"}
    page.app.state_holder.session_data.clear()


def test_unfetched_results_are_limited_and_gradio_state_is_deleted_with_sessions(
    page: gr.Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saic.web.server.backlog.MAX_CALLS", 80)
    monkeypatch.setattr("saic.web.server.backlog._RESULT_KEEP_S", 0.0)
    queue, store, address = page._queue, page.recordings.store, "127.0.0.88"
    queue.pending_event_ids_session.clear()  # of other tests
    queue.pending_messages_per_session.clear()
    with httpx.Client(base_url=page.local_url, transport=httpx.HTTPTransport(local_address=address)) as client:
        statuses = [client.post("/gradio_api/call/explore", json={"data": [[]]}).status_code for _ in range(40)]
    assert statuses.count(200) == 20 and statuses.count(503) == 20  # a quarter of 80: nothing was fetched
    with browser(page.local_url) as other:  # other addresses are not limited by it
        assert "A map shows 1 to 4 recordings" in call(other, "explore", [])[1]["error"]
    until(lambda: not any(queue.active_jobs))
    assert len(page.app.state_holder.session_data) >= 20 and len(queue.pending_messages_per_session) >= 20
    store.sweep(ahead_s=100)
    assert not any(queue.pending_event_ids_session.values()) and len(queue.pending_messages_per_session) < 2
    assert not page.app.state_holder.session_data


def memory_mb() -> float:
    """Resident memory of this process, which is also the server."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_call_with_too_much_audio_is_refused(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page.recordings.sandbox, "limits", Limits(max_duration_s=10.0))
    with browser(page.local_url) as http:
        clips = [file_data(upload(http)) for _ in range(4)]
        outcome, result = call(http, "explore", clips)
        assert outcome == "error" and "minutes together" in result["error"]
        call(http, "delete")


def test_concurrent_uploads_stay_within_max_bytes(page: gr.Blocks, monkeypatch) -> None:
    store = page.recordings.store
    monkeypatch.setattr(store, "max_bytes", 20 * 2**20)
    peak_bytes, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.005):
            with contextlib.suppress(FileNotFoundError):  # a refused upload is deleted during the listing
                peak_bytes[0] = max(peak_bytes[0], sum(path.stat().st_size for path in stored(page)))

    watcher = threading.Thread(target=watch)
    watcher.start()

    def send(_: int) -> int:
        files = {"files": ("x.wav", bytes(8 * 2**20))}
        return httpx.post(f"{page.local_url}/gradio_api/upload", files=files, timeout=60).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(16)))
    stop.set()
    watcher.join()
    # One address may hold half, which is one of these files. None fits if all arrive at one pace.
    assert set(answers) <= {200, 507} and answers.count(200) <= 1
    assert send(0) == (507 if 200 in answers else 200)
    assert peak_bytes[0] <= 20 * 2**20


@pytest.mark.parametrize(
    "head",
    [
        "POST /gradio_api/upload HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n",
        "POST /gradio_api/call/convert HTTP/1.1\r\nContent-Type: application/json\r\n",
    ],
)
def test_stalled_request_body_gets_408_and_is_disconnected(
    head: str, page: gr.Blocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_IDLE_S", 0.3)
    before = stored(page)
    with connection(page) as stalled:
        stalled.sendall(f"{head}Host: localhost\r\nContent-Length: 1000\r\n\r\n--x\r\n".encode())
        answer = b""
        while chunk := stalled.recv(4096):  # ends when the server closes, else TimeoutError
            answer += chunk
        assert b" 408 " in answer
    assert stored(page) == before


def test_rate_limiter_allows_the_burst_then_the_rate_and_forgets_full_buckets() -> None:
    rate, now = RateLimiter(burst=5, per_s=100.0), time.monotonic()
    allowed = sum(rate.allows("192.0.2.1") for _ in range(50))
    assert 5 <= allowed <= 5 + 100 * (time.monotonic() - now) + 1 and rate.allows("192.0.2.2")
    time.sleep(0.05)
    assert rate.allows("192.0.2.1")
    for k in range(3000):  # their buckets fill again, and are deleted
        rate.allows(str(k))
    time.sleep(0.05)
    rate.allows("last")
    assert len(rate._levels) < 1100


def test_upload_over_the_byte_rate_is_slowed_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "BURST_BYTES", 2**20)
    monkeypatch.setattr(uploads, "BYTES_PER_S", 2**20)
    store = ClipStore(tmp_path)
    app = firewall.Firewall(PlainTextResponse("-"), Recordings(store), Hosts(None, ["testserver"]), None, 2**22, {})
    took_s = []
    for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2"):
        began = time.monotonic()
        files = {"files": ("x.wav", bytes(2**20))}
        answer = TestClient(app, client=(address, 1)).post("/gradio_api/upload", files=files)
        took_s.append(time.monotonic() - began)
        assert answer.status_code == 200
    assert took_s[1] > 0.7 > max(took_s[0], took_s[2])
    store.close()


def test_requests_over_the_rate_get_429(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "BURST", 20)
    monkeypatch.setattr(firewall, "REQUESTS_PER_S", 0.01)  # however slow this machine is
    store = ClipStore(tmp_path)
    app = firewall.Firewall(PlainTextResponse("-"), Recordings(store), Hosts(None, ["testserver"]), None, 100, {})
    flood, other = (TestClient(app, client=(address, 1)) for address in ("192.0.2.1", "192.0.2.2"))
    answers = [flood.get("/config").status_code for _ in range(40)]
    assert answers[:20] == [200] * 20 and 429 in answers
    assert other.get("/config").status_code == 200 and flood.get("/static/a.css").status_code == 200
    store.close()


def test_incomplete_request_head_is_disconnected(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "HEADER_TIMEOUT_S", 0.3)
    for sent in (b"", b"GET / HTTP/1.1\r\nX: "):
        with connection(page) as idle:
            idle.sendall(sent)
            assert closed(idle)
    with connection(page) as idle:  # also after a complete request
        idle.sendall(b"GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)
        idle.sendall(b"GET /config HTTP/1.1\r\nX: ")
        assert closed(idle)


def test_connections_over_the_address_share_are_closed(page: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "MAX_CONNECTIONS", 40)
    until(lambda: serve._LimitedProtocol._by_address.total() == 0)
    held = [connection(page) for _ in range(25)]
    until(lambda: serve._LimitedProtocol._by_address["127.0.0.1"] == 20)
    with socket.create_connection(held[0].getpeername(), 5, source_address=("127.0.0.99", 0)) as other:
        other.sendall(b"GET /config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 200")
    for one in held:
        one.close()
    until(lambda: serve._LimitedProtocol._by_address.total() == 0)


def connection(page: gr.Blocks) -> socket.socket:
    url = httpx.URL(page.local_url)
    return socket.create_connection((url.host, url.port), timeout=10)


def closed(connection: socket.socket) -> bool:
    """True once the other side closes the connection; TimeoutError if it does not."""
    try:
        while connection.recv(2**16):
            pass
    except ConnectionResetError:
        pass
    return True


# --- start and end ----------------------------------------------------------------------------------------


@pytest.fixture
def empty_page(monkeypatch: pytest.MonkeyPatch) -> gr.Blocks:
    """A page without components."""
    for name in ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with gr.Blocks() as page:
        pass
    return page


def test_unusable_port_or_host_raises_a_message_of_one_line(empty_page: gr.Blocks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as in_use:
        for options, message in [
            ({"port": in_use.getsockname()[1]}, "is in use"),
            ({"port": 99999}, "from 1 to 65535"),
            ({"port": -1}, "from 1 to 65535"),
            ({"host": "no.such.host.invalid"}, "does not know that host"),
            ({"host": "203.0.113.9"}, "no such address"),
            ({"host": "\udcff"}, "."),
            ({"host": "a" * 300}, "."),
        ]:
            with pytest.raises(UsageError, match=message) as caught:
                web.launch(empty_page, block=False, **options)
            assert "\n" not in str(caught.value)


def test_first_free_port_is_used_and_an_invalid_port_variable_raises(empty_page: gr.Blocks, monkeypatch) -> None:
    first = serve._open_socket("127.0.0.1", None)
    second = serve._open_socket("127.0.0.1", None)
    monkeypatch.setenv("GRADIO_SERVER_PORT", "many")
    with pytest.raises(UsageError, match="65535"):
        serve._open_socket("127.0.0.1", None)
    assert 7860 <= first.getsockname()[1] < second.getsockname()[1] <= 7959
    for one in (first, second):
        one.close()


def test_ignored_sighup_stays_ignored_and_sigterm_raises_system_exit() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with serve.ended_by_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(SystemExit):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
