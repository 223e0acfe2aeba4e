"""Atomic writes: in a process that is killed, by concurrent writers, on a full disk."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from saic import files
from saic.errors import UsageError

ROOT = Path(__file__).parents[1]

# Forks and kills the child at the first bytecode of a save, then at the second, and so on until a save finishes.
# Forks of one process, since a fork takes a hundredth of the time that starting a new process takes.
KILLED_ANYWHERE = """
import json, os, signal, sys
from pathlib import Path
import saic

folder, force, way = Path(sys.argv[1]), sys.argv[2] == "force", sys.argv[3]
path, old, new = folder / "a.wav", b"precious", bytes(10_000)
library = Path(saic.__file__).parent
if way == "audio":
    import numpy as np
    from saic import audio
    from saic.audio.output import encode

    wav = np.linspace(-1, 1, 5_000)
    new = encode(wav, "wav", 16_000)
else:
    from saic import files

    if hasattr(os, "O_TMPFILE"):
        del os.O_TMPFILE


def refuse(*_, **__):
    raise OSError(1, "Operation not permitted")


if way == "no links":
    os.link = refuse


def save():
    audio.save(path, wav, force=force) if way == "audio" else files.write(path, new, force=force)


def traced(code):
    file = Path(code.co_filename)
    return file == library / "files.py" or file == library / "audio" / "output.py" and code.co_name in ("save", "write")


def save_and_die(left):
    def trace(frame, event, _):
        nonlocal left
        if not traced(frame.f_code):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    sys.settrace(trace)
    save()
    sys.settrace(None)
    os._exit(0)


n_killed, found = 0, {"old": 0, "new": 0, "nothing": 0, "a part": 0, "leftovers": 0}
while True:
    if force:
        path.write_bytes(old)
    if not (child := os.fork()):
        save_and_die(n_killed)
    status = os.waitpid(child, 0)[1]
    content = path.read_bytes() if path.exists() else None
    found[{None: "nothing", old: "old", new: "new"}.get(content, "a part")] += 1
    path.unlink(missing_ok=True)
    for leftover in folder.iterdir():
        found["leftovers"] += 1
        leftover.unlink()
    if not os.WIFSIGNALED(status):
        break
    n_killed += 1
print(json.dumps(found | {"killed": n_killed, "status": status, "torch": "torch" in sys.modules}))
"""


def has_nameless_files(folder: Path) -> bool:
    """Whether the file system of a folder has O_TMPFILE."""
    try:
        os.close(os.open(folder, os.O_TMPFILE | os.O_WRONLY))
    except (AttributeError, OSError):
        return False
    return True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a process that copies itself")
@pytest.mark.parametrize(("way", "force"), [("audio", False), ("audio", True), ("named", False), ("no links", False)])
def test_save_killed_at_any_bytecode_leaves_the_old_or_the_new_file(tmp_path: Path, way: str, force: bool) -> None:
    command = [sys.executable, "-c", KILLED_ANYWHERE, str(tmp_path), "force" if force else "", way]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == 0 and found["killed"] > 50 and found["new"] >= 1 and not found["torch"]
    assert found["a part"] == 0 and found["nothing" if force else "old"] == 0
    if way == "audio" and not force and has_nameless_files(tmp_path):
        assert found["leftovers"] == 0


@pytest.fixture(params=["nameless", "named", "no links"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The ways of writing without ``force``: on Linux, on other systems, and on FAT."""
    if request.param != "nameless":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    if request.param == "no links":

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
    return request.param


def test_existing_file_is_replaced_only_with_force(way: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    files.write(path, b"first")
    with pytest.raises(FileExistsError):
        files.write(path, b"second")
    assert path.read_bytes() == b"first"
    files.write(path, b"third", force=True)
    assert path.read_bytes() == b"third"
    (tmp_path / "b").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        files.write(tmp_path / "b", b"-")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_written_file_has_the_default_permissions(way: str, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    for force in (False, True):
        files.write(tmp_path / "a", b"-", force=force)
        assert (tmp_path / "a").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("way", ["nameless", "named"], indirect=True)
def test_of_concurrent_writers_exactly_one_succeeds(way: str, tmp_path: Path) -> None:
    n_writers = 4
    for round_ in range(20):
        path, winners, start = tmp_path / f"{round_}", [], threading.Barrier(n_writers)

        def write(content: bytes, path=path, winners=winners, start=start) -> None:
            start.wait()
            try:
                files.write(path, content)
                winners.append(content)
            except FileExistsError:
                pass

        threads = [threading.Thread(target=write, args=(bytes([i]) * 100_000,)) for i in range(n_writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert winners == [path.read_bytes()]
    assert len(os.listdir(tmp_path)) == 20


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("step", ["fsync", "link and rename"])
def test_full_disk_raises_an_error_and_leaves_no_file(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, force: bool
) -> None:
    if force:
        (tmp_path / "a").write_bytes(b"precious")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("fsync",) if step == "fsync" else ("link", "rename", "replace"):
        monkeypatch.setattr(os, name, disk_full)
    with pytest.raises(OSError, match="No space left"):
        files.write(tmp_path / "a", b"new", force=force)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_interrupted_write_leaves_no_file(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    for force in (False, True):
        with pytest.raises(KeyboardInterrupt):
            files.write(tmp_path / "a", b"-", force=force)
    assert os.listdir(tmp_path) == []


def test_writable_places_are_accepted_and_left_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.wav").write_bytes(b"precious")
    files.require_writable([Path("a.wav"), Path("old.wav"), Path("new/deep/b.wav"), Path("new/c.wav")])
    assert os.listdir(tmp_path) == ["old.wav"] and Path("old.wav").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("old.wav/a.wav", "folder cannot be made"),
        ("/proc/none/a.wav", "folder cannot be made"),
        ("new/" + "n" * 300 + "/a.wav", "cannot be"),
        ("n" * 300, "File name too long"),
        ("nul\0.wav", "not a valid path"),
        ("folder", "is a folder or a device"),
        ("/dev/null", "is a folder or a device"),
    ],
)
def test_place_that_cannot_be_written_is_refused_and_nothing_is_left(
    path: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.wav").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=reason):
        files.require_writable([Path("fine.wav"), Path(path)])
    assert sorted(os.listdir(tmp_path)) == ["folder", "old.wav"]


def test_folder_on_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("saic.files.tempfile.TemporaryFile", disk_full)
    with pytest.raises(files.DiskError, match="No space left"):
        files.require_writable([tmp_path / "new" / "a.wav"])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EROFS", "EIO"])
def test_only_errors_of_the_disk_are_disk_errors(name: str) -> None:
    code = getattr(errno, name)
    assert type(files.as_usage_error(OSError(code, os.strerror(code)), "-")) is files.DiskError
    for other in (PermissionError(errno.EACCES, "Permission denied"), OSError("without a code"), ValueError("null")):
        assert type(files.as_usage_error(other, "-")) is UsageError
