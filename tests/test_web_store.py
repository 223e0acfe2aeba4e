"""The store of recordings (access, lifetime, limits, killed servers) and the job scheduler."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from saic import web
from saic.errors import UsageError
from saic.web.server.jobs import MAX_ADDRESS_SHARE, MAX_JOBS, MAX_JOBS_PER_SESSION, Jobs, Unfinished
from saic.web.server.store import GRACE_S, KEEP_S, UNNAMED_KEEP_S, UPLOAD_KEEP_S, ClipStore, StoreFull
from saic.web.server.visitors import UNKNOWN_VISITOR, Visitor, new_token


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClipStore]:
    store = ClipStore(tmp_path)
    yield store
    store.close()


def file_in(folder: Path) -> Path:
    path = folder / "original.wav"
    path.write_bytes(b"-")
    return path


def test_store_folders_have_mode_0700_and_random_names(store: ClipStore) -> None:
    folders = {store.new("a", "result") for _ in range(20)}
    assert len({folder.name for folder in folders}) == 20 and all(len(folder.name) >= 22 for folder in folders)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (store.folder, *folders)} == {0o700}


def test_session_may_read_only_its_own_and_bundled_clips(store: ClipStore) -> None:
    own = file_in(store.new("a", "result"))
    assert store.may_read("a", own) and not store.may_read("b", own)
    assert store.may_read("b", file_in(store.bundled))
    assert not store.may_read("a", store.folder / ".lock") and not store.may_read("a", Path("/etc/hostname"))
    assert not store.may_read("a", own.parent / ".." / own.parent.name / "gone.wav")


def test_clips_are_kept_while_the_page_is_open_and_deleted_after_it_is_closed(store: ClipStore) -> None:
    own = file_in(store.new("a", "result"))
    with store.page_open("a"):
        store.sweep(ahead_s=100 * KEEP_S + 1)
        assert own.exists()
    store.sweep(ahead_s=KEEP_S / 2 + 1)
    assert own.exists()
    store.sweep(ahead_s=KEEP_S + 1)
    assert not own.parent.exists() and store.bundled.exists()


def test_replaced_result_is_deleted_after_the_grace_period(store: ClipStore) -> None:
    source, first = file_in(store.new("a", "source")), file_in(store.new("a", "result"))
    other = file_in(store.new("b", "result"))
    second = file_in(store.new("a", "result"))
    with store.page_open("a"), store.page_open("b"):
        store.sweep(ahead_s=GRACE_S + 1)
    assert not first.parent.exists()
    assert source.exists() and second.exists() and other.exists()


def test_upload_without_cookie_is_readable_by_path_until_it_is_discarded(store: ClipStore) -> None:
    upload = store.receive(".ogg")
    upload.write_bytes(b"-")
    assert upload.name == "recording.ogg" and store.is_upload(upload) and store.may_read("a", upload)
    store.discard(upload)
    assert not upload.parent.exists() and store.was_upload(upload) and not store.is_upload(upload)


def test_discard_deletes_only_uploads_and_sweep_deletes_unused_uploads(store: ClipStore) -> None:
    own, unused = file_in(store.new("a", "result")), store.receive("")
    store.discard(own)
    assert own.exists()
    with store.page_open("a"):
        store.sweep(ahead_s=UPLOAD_KEEP_S + 1)
    assert own.exists() and not unused.parent.exists()


def test_upload_stays_while_its_browser_has_an_open_page_and_expires_afterwards(store: ClipStore) -> None:
    """A form may wait for a name, or for the other recordings of a batch."""
    mine, other = (Visitor(new_token(), "10.0.0.1") for _ in range(2))
    store.claim("a", mine)
    elsewhere = Visitor(mine.token, "10.0.0.2")  # the same browser, from a mobile network
    uploads = [store.receive("", visitor) for visitor in (mine, elsewhere, other)]
    store._uploads = {
        folder: replace(upload, received_at=upload.received_at - UPLOAD_KEEP_S - 1)
        for folder, upload in store._uploads.items()
    }
    with store.page_open("a"):
        store.sweep()
        assert [upload.parent.exists() for upload in uploads] == [True, True, False]
    store.sweep(ahead_s=30)  # the page may be loaded anew
    assert uploads[0].parent.exists()
    store.sweep(ahead_s=61)  # after which a session without clips is forgotten
    store.sweep()
    assert not uploads[0].parent.exists()


def test_delete_removes_only_the_sessions_clips(store: ClipStore) -> None:
    own, other = file_in(store.new("a", "result")), file_in(store.new("b", "result"))
    store.delete("a")
    assert not own.parent.exists() and other.exists()
    store.delete("unknown session")


def test_reserve_over_the_address_share_raises_store_full(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, max_bytes=1000)
    first, second = Visitor(None, "10.0.0.1"), Visitor(None, "10.0.0.2")
    upload = store.receive("", first).parent
    store.reserve(upload, 500)
    with pytest.raises(StoreFull):  # half of what the others leave
        store.reserve(upload, 1)
    other = store.receive("", second).parent
    store.reserve(other, 250)
    with pytest.raises(StoreFull):
        store.reserve(other, 1)
    store.discard(upload / "recording")
    store.reserve(other, 250)  # deleted bytes no longer count
    with pytest.raises(UsageError, match="no longer on the server"):
        store.reserve(upload, 1)
    store.close()


def test_session_belongs_to_the_visitor_who_used_it_first(store: ClipStore) -> None:
    anna, ben, program = Visitor("a" * 22, "10.0.0.1"), Visitor("b" * 22, "10.0.0.1"), Visitor(None, "10.0.0.1")
    assert store.claim("s", anna) and store.claim("s", anna)
    assert not store.claim("s", ben) and not store.claim("s", program)
    assert store.claim("p", program) and not store.claim("p", anna)
    own = file_in(store.new("s", "result"))
    assert store.may_download(anna, own) and not store.may_download(ben, own) and not store.may_download(program, own)
    sent = file_in(store.receive(".wav", ben).parent)
    assert store.may_download(ben, sent) and not store.may_download(anna, sent) and not store.may_read("s", sent)


def test_sessions_over_the_address_share_raise_store_full(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saic.web.server.store.MAX_SESSIONS", 10)
    for k in range(5):
        assert store.claim(f"s{k}", Visitor(None, "10.0.0.1"))
    with pytest.raises(StoreFull):
        store.claim("s5", Visitor(None, "10.0.0.1"))
    assert store.claim("other", Visitor(None, "10.0.0.2"))
    store.sweep(ahead_s=60 + 1)  # deletes sessions without clips and pages
    assert store.claim("s5", Visitor(None, "10.0.0.1"))


def test_page_with_enrolled_voices_and_no_clips_is_kept_as_long_as_one_with_clips(store: ClipStore) -> None:
    assert store.claim("s", Visitor("token", "10.0.0.1"))
    store.keep_state("s")
    store.sweep(ahead_s=KEEP_S - 60)
    assert "s" in store._sessions
    store.sweep(ahead_s=KEEP_S + 1)
    assert "s" not in store._sessions


def test_links_pipes_and_paths_outside_the_store_are_refused(store: ClipStore, tmp_path: Path) -> None:
    """Such a path may lead to a file that the server has open for another visitor."""
    own = file_in(store.new("a", "result"))
    assert store.may_read("a", own)
    (own.parent / "link.wav").symlink_to(own)
    (store.folder / "linked").symlink_to(own.parent)
    os.mkfifo(own.parent / "pipe.wav")
    with open(own, "rb") as file:
        for path in (
            f"/proc/self/fd/{file.fileno()}",
            f"/dev/fd/{file.fileno()}",
            f"/proc/self/root{own}",
            own.parent / "link.wav",
            own.parent / "pipe.wav",
            own.parent,
            own.parent / ".." / own.parent.name / own.name,
            store.folder / "linked" / own.name,
            f"/{own}",
            f"{own}\0",
            store.folder / ".lock",
        ):
            path = Path(path)
            assert not store.may_read("a", path) and not store.may_download(UNKNOWN_VISITOR, path), path


def test_delete_removes_all_sessions_and_uploads_of_a_browser_and_no_others(store: ClipStore) -> None:
    anna, ben, program = Visitor("a" * 22, "10.0.0.1"), Visitor("b" * 22, "10.0.0.1"), Visitor(None, "10.0.0.1")
    for session, visitor in {"tab 1": anna, "tab 2": anna, "ben": ben, "program": program}.items():
        store.claim(session, visitor)
    own = [file_in(store.new(session, "result")) for session in ("tab 1", "tab 2")]
    own.append(file_in(store.receive(".wav", anna).parent))
    others = [file_in(store.new(session, "result")) for session in ("ben", "program")]
    others.append(file_in(store.receive(".wav", ben).parent))
    assert set(store.delete("tab 1")) == {"tab 1", "tab 2"}
    assert not any(path.parent.exists() for path in own) and all(path.exists() for path in others)
    with pytest.raises(UsageError):
        store.reserve(own[0].parent, 1)


def test_results_of_an_unnamed_session_are_deleted_sooner(store: ClipStore) -> None:
    store.claim("x", UNKNOWN_VISITOR, named=False)
    store.claim("y", UNKNOWN_VISITOR)
    unnamed, named = file_in(store.new("x", "result")), file_in(store.new("y", "result"))
    store.sweep(ahead_s=UNNAMED_KEEP_S + 1)
    assert not unnamed.parent.exists() and named.exists()


def test_delete_while_a_thread_writes_leaves_no_file(store: ClipStore) -> None:
    """rmtree lists a folder first, so a file that is written after that would stay."""
    stop, written = threading.Event(), []

    def write(folder: Path) -> None:
        while not stop.is_set():
            try:
                (folder / f"{len(written)}.wav").write_bytes(b"-")
            except OSError:
                return
            written.append(1)

    for _ in range(20):
        folder = store.new("a", "result")
        thread = threading.Thread(target=write, args=[folder])
        thread.start()
        time.sleep(0.002)
        store.delete("a")
        thread.join()
    stop.set()
    assert written and not [path for path in store.folder.iterdir() if path.name not in (".lock", "bundled")]


def test_close_deletes_the_folder(store: ClipStore) -> None:
    store.new("a", "result")
    store.close()
    assert not store.folder.exists()


def test_next_start_deletes_the_clips_of_a_killed_server(tmp_path: Path, caplog) -> None:
    serve = (
        "import sys, time, types; web = sys.modules['saic.web'] = types.ModuleType('saic.web');"
        "web.__path__ = [sys.argv[2]];"  # the page's modules without the page, which takes long to import
        "from saic.web.server.store import ClipStore; store = ClipStore(sys.argv[1]);"
        "(store.new('a', 'result') / 'swapped.wav').write_bytes(b'-'); store.receive('.wav').write_bytes(b'-');"
        "print(store.folder, flush=True); time.sleep(60)"
    )
    running = ClipStore(tmp_path)
    killed = subprocess.Popen(
        [sys.executable, "-c", serve, str(tmp_path), *web.__path__], stdout=subprocess.PIPE, text=True
    )
    folder = Path(killed.stdout.readline().strip())
    assert len(list(folder.glob("*/*.wav"))) == 2
    running.sweep()
    assert folder.exists()  # its process still runs
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    with caplog.at_level("WARNING", logger="saic.web"):
        restarted = ClipStore(tmp_path)
    assert not folder.exists() and running.folder.exists()
    (record,) = caplog.records
    assert "deleted 2 files" in record.getMessage() and str(folder) not in record.getMessage()
    for store in (running, restarted):
        store.close()
    killed.stdout.close()


# --- jobs --------------------------------------------------------------------------------------------------


def test_running_jobs_stay_within_the_slots_and_one_address_never_has_all() -> None:
    jobs, running, n_running, n_of_address = Jobs(3), [], [], []

    def work(address: str, session: str) -> None:
        with jobs.run("work", session, address):
            running.append(address)
            n_running.append(len(running))
            n_of_address.append(running.count(address))
            time.sleep(0.02)
            running.remove(address)

    owners = [(f"10.0.0.{k % 2}", f"session {k}") for k in range(12)]
    in_threads(*(lambda owner=owner: work(*owner) for owner in owners))
    assert len(n_running) == 12 and max(n_running) == 3 and max(n_of_address) <= 2
    assert not jobs.running and not jobs.waiting


def test_jobs_over_the_session_or_address_limit_are_refused_and_others_admitted() -> None:
    jobs, done = Jobs(1), threading.Event()

    def start_job(session: str, address: str) -> threading.Thread:
        def work() -> None:
            with jobs.run("work", session, address):
                done.wait()

        before = len(jobs.running) + len(jobs.waiting)
        thread = threading.Thread(target=work)
        thread.start()
        while len(jobs.running) + len(jobs.waiting) == before:
            time.sleep(0.001)
        return thread

    threads = [start_job("a", "10.0.0.1") for _ in range(MAX_JOBS_PER_SESSION)]
    with pytest.raises(Unfinished, match="busy"), jobs.run("work", "a", "10.0.0.1"):
        pass
    n_places = int(MAX_ADDRESS_SHARE * MAX_JOBS)
    threads += [start_job(f"s{k}", "10.0.0.1") for k in range(n_places - MAX_JOBS_PER_SESSION)]
    with pytest.raises(Unfinished, match="busy"), jobs.run("work", "new", "10.0.0.1"):
        pass
    threads += [
        start_job(f"other {k}", f"10.0.1.{k}") for k in range(20)
    ]  # all are admitted: `start_job` waits for that
    done.set()
    for thread in threads:
        thread.join()


def test_free_core_goes_to_the_address_with_the_least_recent_core_time() -> None:
    jobs, order = Jobs(1), []
    has_core, release = threading.Event(), threading.Event()

    def long(session: str) -> None:
        with jobs.run("work", session, "10.0.0.1"):
            has_core.set()
            release.wait()
            order.append(session)

    def short(address: str) -> None:
        with jobs.run("work", address, address):
            order.append(address)

    threads = [threading.Thread(target=long, args=["first"])]
    threads[0].start()
    has_core.wait()
    threads += [threading.Thread(target=long, args=[name]) for name in ("second", "third")]
    threads += [threading.Thread(target=short, args=[f"10.0.1.{k}"]) for k in range(3)]
    for thread in threads[1:]:
        thread.start()
    while len(jobs.waiting) < 5:
        time.sleep(0.001)
    time.sleep(0.01)
    release.set()
    for thread in threads:
        thread.join()
    assert order[0] == "first" and set(order[1:4]) == {"10.0.1.0", "10.0.1.1", "10.0.1.2"}


def test_long_job_gives_way_to_a_short_one_between_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saic.web.server.jobs._TIME_SLICE_S", 0.01)
    jobs, steps, has_core = Jobs(1), [], threading.Event()

    def long() -> None:
        with jobs.run("work", "a", "10.0.0.1") as job:
            has_core.set()
            for _ in range(20):
                time.sleep(0.02)
                job.check()
                steps.append("long")

    def short() -> None:
        has_core.wait()
        with jobs.run("work", "b", "10.0.0.2"):
            steps.append("short")

    in_threads(long, short)
    assert steps.count("long") == 20 and steps.index("short") < 5


def test_jobs_that_have_begun_are_limited_and_one_address_has_half_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds its recording in memory, also while it gives way to others."""
    monkeypatch.setattr("saic.web.server.jobs._TIME_SLICE_S", 0.0)
    monkeypatch.setattr("saic.web.server.jobs.MAX_ADDRESS_SHARE", 1.0)
    jobs, begun, most, done = Jobs(1, max_started=4), set(), [], []

    def work(session: str, address: str) -> None:
        with jobs.run("work", session, address) as job:
            begun.add((session, address))
            for _ in range(10):
                most.append((len(begun), max(sum(a == one for _, a in begun) for _, one in begun)))
                time.sleep(0.002)
                job.check()
            begun.remove((session, address))
            done.append(session)

    in_threads(*(partial(work, f"{k}", f"10.0.0.{k % 3}") for k in range(12)))
    assert len(done) == 12
    assert 1 < max(total for total, _ in most) <= 4 and max(own for _, own in most) <= 2


def in_threads(*actions) -> None:
    """Run functions at the same time, and wait for all."""
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_waiting_job_reports_its_place_in_line_and_stops_at_once() -> None:
    jobs, release, places, refused = Jobs(1), threading.Event(), [], []

    def hold() -> None:
        with jobs.run("work", "a", "10.0.0.1"):
            release.wait()

    def wait() -> None:
        try:
            with jobs.run("work", "b", "10.0.0.2", places.append):
                pass
        except UsageError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=target) for target in (hold, wait)]
    threads[0].start()
    while not jobs.running:
        time.sleep(0.001)
    threads[1].start()
    while not places:
        time.sleep(0.01)
    jobs.stop("b")
    threads[1].join(1)
    assert places[0] == 0 and "Stopped" in refused[0]
    release.set()
    threads[0].join()


def test_stopped_job_raises_at_its_next_check_and_frees_its_core() -> None:
    jobs = Jobs(1)
    with jobs.run("work", "a") as job:
        jobs.stop("b")
        job.check()
        jobs.stop("a")
        with pytest.raises(UsageError, match="Stopped"):
            job.check()
    with jobs.run("work", "a") as job:
        job.check()


def test_jobs_of_one_group_are_stopped_and_those_of_others_go_on() -> None:
    jobs = Jobs(1)
    with jobs.run("work", "a", group="batch") as job:
        jobs.stop("a", group="")
        job.check()
        jobs.stop("a", group="batch")
        with pytest.raises(UsageError, match="Stopped"):
            job.check()


def test_clips_are_deleted_in_time_though_the_clock_is_set_back(
    store: ClipStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, before = file_in(store.new("a", "result")), time.time()
    monkeypatch.setattr(time, "time", lambda: before - 7200)
    store.sweep(ahead_s=KEEP_S + 1)
    assert not own.exists()


def test_running_and_waiting_jobs_past_the_deadline_raise() -> None:
    jobs = Jobs(1, deadline_s=0.05)
    with jobs.run("work", "a") as job:
        with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="too long"):
            pool.submit(lambda: contextlib.ExitStack().enter_context(jobs.run("work", "b"))).result()
        with pytest.raises(UsageError, match="too long"):
            job.check()


def test_job_log_holds_its_name_and_outcome_but_no_session(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="saic.web"), Jobs(1).run("convert", "session-of-jane"):
        pass
    (record,) = caplog.records
    assert "convert done" in record.getMessage() and "jane" not in record.getMessage()
