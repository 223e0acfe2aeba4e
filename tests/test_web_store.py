"""Where the page keeps recordings: private, whose they are, when they go, and that a killed server leaves none."""

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
from pathlib import Path

import pytest

from saic.errors import UsageError
from saic.web.jobs import MAX_JOBS, MAX_JOBS_A_SESSION, SHARE, Jobs
from saic.web.store import GRACE_S, KEEP_S, UNNAMED_KEEP_S, UPLOAD_KEEP_S, ClipStore, StoreFull
from saic.web.visitors import NOBODY, Visitor


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClipStore]:
    store = ClipStore(tmp_path)
    yield store
    store.close()


def file_in(folder: Path) -> Path:
    path = folder / "original.wav"
    path.write_bytes(b"-")
    return path


def after(seconds: float) -> float:
    return time.time() + seconds + 1


def test_the_store_is_private_and_its_names_cannot_be_guessed(store: ClipStore) -> None:
    folders = {store.new("a", "result") for _ in range(20)}
    assert len({folder.name for folder in folders}) == 20 and all(len(folder.name) >= 22 for folder in folders)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (store.folder, *folders)} == {0o700}


def test_a_session_reads_its_own_and_what_is_bundled_and_no_other(store: ClipStore) -> None:
    own = file_in(store.new("a", "result"))
    assert store.may_read("a", own) and not store.may_read("b", own)
    assert store.may_read("b", file_in(store.bundled))
    assert not store.may_read("a", store.folder / ".lock") and not store.may_read("a", Path("/etc/hostname"))
    assert not store.may_read("a", own.parent / ".." / own.parent.name / "gone.wav")


def test_clips_stay_while_their_page_is_open_and_go_after_it_is_closed(store: ClipStore) -> None:
    own = file_in(store.new("a", "result"))
    with store.reading("a"):
        store.sweep(now=after(100 * KEEP_S))
        assert own.exists()
    store.sweep(now=after(KEEP_S / 2))
    assert own.exists()
    store.sweep(now=after(KEEP_S))
    assert not own.parent.exists() and store.bundled.exists()


def test_a_result_goes_soon_after_its_successor_came(store: ClipStore) -> None:
    source, first = file_in(store.new("a", "source")), file_in(store.new("a", "result"))
    other = file_in(store.new("b", "result"))
    second = file_in(store.new("a", "result"))
    with store.reading("a"), store.reading("b"):
        store.sweep(now=after(GRACE_S))
    assert not first.parent.exists()
    assert source.exists() and second.exists() and other.exists()


def test_an_upload_is_for_who_knows_it_until_it_is_read(store: ClipStore) -> None:
    upload = store.receive(".ogg")
    upload.write_bytes(b"-")
    assert upload.name == "recording.ogg" and store.is_upload(upload) and store.may_read("a", upload)
    store.discard(upload)
    assert not upload.parent.exists() and store.was_upload(upload) and not store.is_upload(upload)


def test_only_uploads_are_discarded_and_forgotten_ones_go(store: ClipStore) -> None:
    own, forgotten = file_in(store.new("a", "result")), store.receive("")
    store.discard(own)
    assert own.exists()
    with store.reading("a"):
        store.sweep(now=after(UPLOAD_KEEP_S))
    assert own.exists() and not forgotten.parent.exists()


def test_delete_removes_what_is_ones_own_at_once(store: ClipStore) -> None:
    own, other = file_in(store.new("a", "result")), file_in(store.new("b", "result"))
    store.delete("a")
    assert not own.parent.exists() and other.exists()
    store.delete("nobody")


def test_bytes_are_counted_before_they_are_written(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, max_bytes=1000)
    here, there = Visitor(None, "10.0.0.1"), Visitor(None, "10.0.0.2")
    upload = store.receive("", here).parent
    store.reserve(upload, 500)
    with pytest.raises(StoreFull):  # half of what the others leave
        store.reserve(upload, 1)
    other = store.receive("", there).parent
    store.reserve(other, 250)
    with pytest.raises(StoreFull):
        store.reserve(other, 1)
    store.discard(upload / "recording")
    store.reserve(other, 250)  # what is removed no longer counts
    with pytest.raises(UsageError, match="no longer on the server"):
        store.reserve(upload, 1)
    store.close()


def test_a_session_is_its_first_visitors(store: ClipStore) -> None:
    anna, ben, program = Visitor("a" * 22, "10.0.0.1"), Visitor("b" * 22, "10.0.0.1"), Visitor(None, "10.0.0.1")
    assert store.claim("s", anna) and store.claim("s", anna)
    assert not store.claim("s", ben) and not store.claim("s", program)
    assert store.claim("p", program) and not store.claim("p", anna)
    own = file_in(store.new("s", "result"))
    assert store.may_give(anna, own) and not store.may_give(ben, own) and not store.may_give(program, own)
    sent = file_in(store.receive(".wav", ben).parent)
    assert store.may_give(ben, sent) and not store.may_give(anna, sent) and not store.may_read("s", sent)


def test_an_address_leaves_sessions_for_others(store: ClipStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saic.web.store.MAX_SESSIONS", 10)
    for k in range(5):
        assert store.claim(f"s{k}", Visitor(None, "10.0.0.1"))
    with pytest.raises(StoreFull):
        store.claim("s5", Visitor(None, "10.0.0.1"))
    assert store.claim("other", Visitor(None, "10.0.0.2"))
    store.sweep(now=after(60))  # with nothing and no page
    assert store.claim("s5", Visitor(None, "10.0.0.1"))


def test_only_a_plain_file_of_the_store_is_given(store: ClipStore, tmp_path: Path) -> None:
    """What is written as a path elsewhere may lead to what another visitor has open."""
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
            assert not store.may_read("a", Path(path)) and not store.may_give(NOBODY, Path(path)), path


def test_delete_removes_all_of_a_browser_and_of_nobody_else(store: ClipStore) -> None:
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


def test_results_that_nobody_can_ask_to_delete_go_soon(store: ClipStore) -> None:
    store.claim("x", NOBODY, named=False)
    store.claim("y", NOBODY)
    own, named = file_in(store.new("x", "result")), file_in(store.new("y", "result"))
    store.sweep(now=after(UNNAMED_KEEP_S))
    assert not own.parent.exists() and named.exists()


def test_what_is_written_while_its_folder_is_removed_goes_too(store: ClipStore) -> None:
    """Removing a folder lists it first: what is written after that would stay."""
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


def test_closing_removes_everything(store: ClipStore) -> None:
    store.new("a", "result")
    store.close()
    assert not store.folder.exists()


def test_a_server_that_is_killed_in_the_middle_leaves_no_audio_after_the_restart(tmp_path: Path, caplog) -> None:
    serve = (
        "import sys, time; from saic.web.store import ClipStore; store = ClipStore(sys.argv[1]);"
        "(store.new('a', 'result') / 'swapped.wav').write_bytes(b'-'); store.receive('.wav').write_bytes(b'-');"
        "print(store.folder, flush=True); time.sleep(60)"
    )
    living = ClipStore(tmp_path)
    killed = subprocess.Popen([sys.executable, "-c", serve, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    folder = Path(killed.stdout.readline().strip())
    assert len(list(folder.glob("*/*.wav"))) == 2
    living.sweep()
    assert folder.exists()  # it lives
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    with caplog.at_level("WARNING", logger="saic.web"):
        restarted = ClipStore(tmp_path)
    assert not folder.exists() and living.folder.exists()
    (record,) = caplog.records
    assert "had left: 2 files" in record.getMessage() and str(folder) not in record.getMessage()
    for store in (living, restarted):
        store.close()
    killed.stdout.close()


# --- jobs --------------------------------------------------------------------------------------------------


def test_no_more_jobs_run_than_there_are_slots_and_one_is_left_for_other_addresses() -> None:
    jobs, running, most, of_one = Jobs(3), [], [], []

    def work(address: str, session: str) -> None:
        with jobs.run("work", session, address):
            running.append(address)
            most.append(len(running))
            of_one.append(running.count(address))
            time.sleep(0.02)
            running.remove(address)

    owners = [(f"10.0.0.{k % 2}", f"session {k}") for k in range(12)]
    in_threads(*(lambda owner=owner: work(*owner) for owner in owners))
    assert len(most) == 12 and max(most) == 3 and max(of_one) <= 2 and not jobs.running and not jobs.waiting


def test_a_session_and_an_address_have_a_limit_and_leave_places_for_others() -> None:
    jobs, done = Jobs(1), threading.Event()

    def hold(session: str, address: str) -> threading.Thread:
        def work() -> None:
            with jobs.run("work", session, address):
                done.wait()

        before = len(jobs.running) + len(jobs.waiting)
        thread = threading.Thread(target=work)
        thread.start()
        while len(jobs.running) + len(jobs.waiting) == before:
            time.sleep(0.001)
        return thread

    threads = [hold("a", "10.0.0.1") for _ in range(MAX_JOBS_A_SESSION)]
    with pytest.raises(UsageError, match="busy"), jobs.run("work", "a", "10.0.0.1"):
        pass
    n_places = int(SHARE * MAX_JOBS)
    threads += [hold(f"s{k}", "10.0.0.1") for k in range(n_places - MAX_JOBS_A_SESSION)]
    with pytest.raises(UsageError, match="busy"), jobs.run("work", "new", "10.0.0.1"):
        pass
    threads += [hold(f"other {k}", f"10.0.1.{k}") for k in range(20)]  # everybody else still finds a place
    done.set()
    for thread in threads:
        thread.join()


def test_who_had_less_of_the_cores_comes_first() -> None:
    jobs, order = Jobs(1), []
    hog, free = threading.Event(), threading.Event()

    def long(session: str) -> None:
        with jobs.run("work", session, "10.0.0.1"):
            hog.set()
            free.wait()
            order.append(session)

    def short(address: str) -> None:
        with jobs.run("work", address, address):
            order.append(address)

    threads = [threading.Thread(target=long, args=["first"])]
    threads[0].start()
    hog.wait()
    threads += [threading.Thread(target=long, args=[name]) for name in ("second", "third")]
    threads += [threading.Thread(target=short, args=[f"10.0.1.{k}"]) for k in range(3)]
    for thread in threads[1:]:
        thread.start()
    while len(jobs.waiting) < 5:
        time.sleep(0.001)
    time.sleep(0.01)
    free.set()
    for thread in threads:
        thread.join()
    assert order[0] == "first" and set(order[1:4]) == {"10.0.1.0", "10.0.1.1", "10.0.1.2"}


def test_a_long_job_lets_others_go_first_between_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saic.web.jobs._SLICE_S", 0.01)
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


def in_threads(*actions) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_who_waits_is_told_how_many_come_first_and_can_stop_at_once() -> None:
    jobs, free, told, refused = Jobs(1), threading.Event(), [], []

    def hold() -> None:
        with jobs.run("work", "a", "10.0.0.1"):
            free.wait()

    def wait() -> None:
        try:
            with jobs.run("work", "b", "10.0.0.2", told.append):
                pass
        except UsageError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=target) for target in (hold, wait)]
    threads[0].start()
    while not jobs.running:
        time.sleep(0.001)
    threads[1].start()
    while not told:
        time.sleep(0.01)
    jobs.stop("b")
    threads[1].join(1)
    assert told[0] == 0 and "Stopped" in refused[0]
    free.set()
    threads[0].join()


def test_a_job_that_is_stopped_ends_at_its_next_stage_and_frees_its_core() -> None:
    jobs = Jobs(1)
    with pytest.raises(UsageError, match="Stopped"), jobs.run("work", "a") as job:
        jobs.stop("b")
        job.check()
        jobs.stop("a")
        job.check()
    with jobs.run("work", "a") as job:
        job.check()


def test_a_job_has_a_deadline_and_so_has_its_wait() -> None:
    jobs = Jobs(1, deadline_s=0.05)
    with jobs.run("work", "a") as job:
        with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="too long"):
            pool.submit(lambda: contextlib.ExitStack().enter_context(jobs.run("work", "b"))).result()
        with pytest.raises(UsageError, match="too long"):
            job.check()


def test_the_log_says_what_and_how_long_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="saic.web"), Jobs(1).run("convert", "session-of-jane"):
        pass
    (record,) = caplog.records
    assert "convert done" in record.getMessage() and "jane" not in record.getMessage()
