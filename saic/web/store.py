"""Where recordings lie while the page is open, whose they are, and when they go.

::

    saic-web-XXXX/            one per process, 0700; locked while the process lives
        bundled/              the synthetic voices: nobody's recording, they stay
        <token>/recording.ogg an upload, until it is decoded; nobody's until a session takes it
        <token>/original.wav  a decoded input or a result; it belongs to one session

A token is 128 random bits: who does not know a path cannot ask for it. A session is an open page, or an API client.
"""

import atexit
import contextlib
import math
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: folders of killed processes go by age alone
    fcntl = None

KEEP_S = 30 * 60
"""Seconds after which the clips of a closed page go. While it is open they stay: somebody may be listening."""

UPLOAD_KEEP_S = 10 * 60
"""Seconds after which an upload that nobody took goes."""

GRACE_S = 60
"""Seconds that a result outlives its successor: a download may be under way."""

_SWEEP_EVERY_S = 30
_REMEMBERED = 1000  # uploads that are gone
_PREFIX = "saic-web-"
_BUNDLED = "bundled"
_LOCK = ".lock"


@dataclass
class _Session:
    """What one page or client owns."""

    folders: dict[Path, "_Folder"] = field(default_factory=dict)
    pages: int = 0
    seen: float = 0.0


@dataclass
class _Folder:
    """What a folder is for, and from when on it may go."""

    kind: str
    goes: float = math.inf


class ClipStore:
    """A private temporary folder that forgets.

    Parameters
    ----------
    parent : where to make the folder; None is the system's temporary folder
    keep_s : seconds after which the clips of a closed page go
    max_bytes : what all recordings together may take
    """

    def __init__(self, parent: str | Path | None = None, *, keep_s: float = KEEP_S, max_bytes: int = 4 * 2**30) -> None:
        self.keep_s, self.max_bytes = keep_s, max_bytes
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve()  # mkdtemp: 0700
        self._lock_file = open(self.folder / _LOCK, "wb")  # noqa: SIM115 - open as long as the process lives
        if fcntl:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        (self.folder / _BUNDLED).mkdir()
        self._sessions: dict[str, _Session] = {}
        self._uploads: dict[Path, float] = {}
        self._spent: dict[Path, Path | None] = {}
        self._mutex = threading.RLock()
        self._closed = threading.Event()
        self.sweep()
        threading.Thread(target=self._sweep_until_closed, name="saic-sweep", daemon=True).start()
        atexit.register(self.close)

    @property
    def bundled(self) -> Path:
        """The folder of clips that stay."""
        return self.folder / _BUNDLED

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another upload."""
        return sum(path.stat().st_size for path in self.folder.glob("*/*")) > self.max_bytes

    def receive(self, suffix: str) -> Path:
        """Make a place for an upload: a neutral name in a fresh folder."""
        folder = self._fresh()
        with self._mutex:
            self._uploads[folder] = time.time()
        return folder / f"recording{suffix}"

    def new(self, session: str, kind: str) -> Path:
        """Make a fresh folder for a session. Of each kind a page shows one: the earlier ones go soon."""
        folder = self._fresh()
        with self._mutex:
            folders = self._session(session).folders
            for earlier in folders.values():
                if earlier.kind == kind:
                    earlier.goes = min(earlier.goes, time.time() + GRACE_S)
            folders[folder] = _Folder(kind)
        return folder

    def may_read(self, session: str, path: Path) -> bool:
        """Whether a file is there for a session: its own, bundled, or an upload that nobody has taken."""
        with self._mutex:
            own = path.parent in self._session(session).folders
            return (own or path.parent == self.bundled or path.parent in self._uploads) and path.is_file()

    def is_upload(self, path: Path) -> bool:
        """Whether a file is as its sender sent it, and not yet decoded."""
        return path.parent in self._uploads

    def was_upload(self, path: Path) -> bool:
        """Whether a file was an upload of the last minutes that has been decoded and removed."""
        return path.parent in self._spent

    def discard(self, path: Path) -> None:
        """Remove an upload; anything else stays."""
        with self._mutex:
            if self._uploads.pop(path.parent, None) is not None:
                self._spent[path.parent] = None
                shutil.rmtree(path.parent, ignore_errors=True)

    def replace(self, upload: Path, copy: Path) -> None:
        """Note what has taken an upload's place: a page may name the upload once more before it learns of that."""
        with self._mutex:
            if upload.parent in self._spent:
                self._spent[upload.parent] = copy

    def current(self, path: Path) -> Path:
        """What has taken a file's place, or the file."""
        return self._spent.get(path.parent) or path

    def delete(self, session: str) -> None:
        """Remove all that a session owns, now."""
        with self._mutex:
            for folder in self._sessions.pop(session, _Session()).folders:
                shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def reading(self, session: str) -> Iterator[None]:
        """Keep a session's clips while its page is open, and `keep_s` from then on."""
        with self._mutex:
            self._session(session).pages += 1
        try:
            yield
        finally:
            with self._mutex:
                self._session(session).pages -= 1

    def is_read(self, session: str) -> bool:
        """Whether a page of a session is open."""
        return session in self._sessions and self._sessions[session].pages > 0

    def sweep(self, now: float | None = None) -> None:
        """Remove what has had its time, here and in folders that a killed process left behind."""
        now = time.time() if now is None else now
        with self._mutex:
            for session, its in list(self._sessions.items()):
                if its.pages == 0 and its.seen < now - self.keep_s:
                    self.delete(session)
                for folder in [folder for folder, its_own in its.folders.items() if its_own.goes < now]:
                    del its.folders[folder]
                    shutil.rmtree(folder, ignore_errors=True)
            for folder in [folder for folder, came in self._uploads.items() if came < now - UPLOAD_KEEP_S]:
                self.discard(folder / "recording")
            self._spent = dict(list(self._spent.items())[-_REMEMBERED:])
            known = {self.bundled, *self._uploads, *(f for its in self._sessions.values() for f in its.folders)}
            for entry in self.folder.iterdir():
                if entry.name != _LOCK and entry not in known:
                    _remove_if_older(entry, now - self.keep_s)
        # The sign of life that the system's cleaner of /tmp looks at.
        for path in (self.folder, self.bundled, *self.bundled.glob("*")):
            path.touch()
        for other in self.folder.parent.glob(f"{_PREFIX}*"):
            if other != self.folder and _owner(other) == _owner(self.folder) and not _is_living(other):
                _remove_if_older(other, now - self.keep_s if fcntl is None else now + 1)

    def close(self) -> None:
        """Remove the folder and stop sweeping."""
        self._closed.set()
        atexit.unregister(self.close)
        self._lock_file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _fresh(self) -> Path:
        folder = self.folder / secrets.token_urlsafe(16)
        folder.mkdir(mode=0o700)
        return folder

    def _session(self, session: str) -> _Session:
        its = self._sessions.setdefault(session, _Session())
        its.seen = time.time()
        return its

    def _sweep_until_closed(self) -> None:
        while not self._closed.wait(_SWEEP_EVERY_S):
            with contextlib.suppress(OSError):  # closing while it runs, or somebody else's cleaning
                self.sweep()


def _is_living(folder: Path) -> bool:
    """Whether a process holds the lock of a store's folder; the system lets go of it however a process ends."""
    if fcntl is None:
        return False
    try:
        with open(folder / _LOCK, "rb") as lock_file:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock: just being made, or nothing of ours
        return time.time() - folder.stat().st_mtime < GRACE_S if folder.exists() else False
    return False


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _remove_if_older(path: Path, limit: float) -> None:
    """Remove a file or folder that was last changed before `limit`; another process may be doing the same."""
    try:
        if path.lstat().st_mtime >= limit:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    except OSError:
        return
