"""Where the page keeps recordings: private, whose they are, when they go, and that a killed server leaves none."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from saic.errors import UsageError
from saic.web.jobs import Jobs
from saic.web.store import GRACE_S, KEEP_S, UPLOAD_KEEP_S, ClipStore

HERE = Path(__file__).parents[1] / "saic" / "web"  # the module alone starts in no time


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


def test_a_full_store_says_so(tmp_path: Path) -> None:
    store = ClipStore(tmp_path, max_bytes=10)
    assert not store.is_full
    store.receive("").write_bytes(bytes(11))
    assert store.is_full
    store.close()


def test_closing_removes_everything(store: ClipStore) -> None:
    store.new("a", "result")
    store.close()
    assert not store.folder.exists()


def test_a_server_that_is_killed_in_the_middle_leaves_no_audio_after_the_restart(tmp_path: Path) -> None:
    serve = (
        "import sys, time; from store import ClipStore; store = ClipStore(sys.argv[1]);"
        "(store.new('a', 'result') / 'swapped.wav').write_bytes(b'-'); store.receive('').write_bytes(b'-');"
        "print(store.folder, flush=True); time.sleep(60)"
    )
    living = ClipStore(tmp_path)
    killed = subprocess.Popen([sys.executable, "-c", serve, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=HERE)
    folder = Path(killed.stdout.readline().strip())
    assert len(list(folder.glob("*/*.wav"))) == 1
    living.sweep()
    assert folder.exists()  # it lives
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    restarted = ClipStore(tmp_path)
    assert not folder.exists() and living.folder.exists()
    for store in (living, restarted):
        store.close()
    killed.stdout.close()


# --- jobs --------------------------------------------------------------------------------------------------


def test_no_more_jobs_run_than_there_are_slots() -> None:
    jobs, running, most = Jobs(2), [], []

    def work() -> None:
        with jobs.run("work", "a"):
            running.append(1)
            most.append(len(running))
            time.sleep(0.02)
            running.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 8 and max(most) == 2


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
        with pytest.raises(UsageError, match="too long"), jobs.run("work", "b"):
            pass
        with pytest.raises(UsageError, match="too long"):
            job.check()


def test_the_log_says_what_and_how_long_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="saic.web"), Jobs(1).run("convert", "session-of-jane"):
        pass
    (record,) = caplog.records
    assert "convert done" in record.getMessage() and "jane" not in record.getMessage()
