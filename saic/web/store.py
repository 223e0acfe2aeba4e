"""Where recordings lie while the page is open, whose they are, and when they go.

::

    saic-web-XXXX/            one per process, 0700; locked while the process lives
        bundled/              the synthetic voices: nobody's recording, they stay
        <token>/recording.ogg an upload, until it is decoded; its sender's until a session takes it
        <token>/original.wav  a decoded input or a result; it belongs to one session

A token is 128 random bits: who does not know a path cannot ask for it. A session is an open page, or an API client;
it belongs to the visitor who used its name first. A browser's sessions share a cookie, a program's have none.

Bytes are counted before they are written, so the store never holds more than it may.
"""

import atexit
import contextlib
import logging
import math
import os
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from saic.errors import UsageError
from saic.web.visitors import NOBODY, Visitor, has_room

try:
    import fcntl
except ImportError:  # Windows: folders of killed processes go by age alone
    fcntl = None

KEEP_S = 30 * 60
"""Seconds after which the clips of a closed page go. While it is open they stay: somebody may be listening."""

UPLOAD_KEEP_S = 10 * 60
"""Seconds after which an upload that nobody took goes."""

UNNAMED_KEEP_S = 5 * 60
"""Seconds after which the results of a call without session and cookie go: nobody can ask to delete them."""

GRACE_S = 60
"""Seconds that a result outlives its successor: a download may be under way."""

MAX_SESSIONS = 2000
"""Sessions that are remembered at once."""

SHARE = 0.5
"""Of the free bytes and sessions, what one address may hold."""

_IDLE_SESSION_S = 60
_SWEEP_EVERY_S = 30
_REMEMBERED = 1000  # uploads that are gone
_PREFIX = "saic-web-"
_BUNDLED = "bundled"
_LOCK = ".lock"
GONE = "This recording is no longer on the server. Add it again."

_log = logging.getLogger(__name__)


class StoreFull(UsageError):
    """There is no room for more recordings, or this visitor has had its share."""


@dataclass
class _Session:
    """What one page or client owns."""

    visitor: Visitor
    named: bool = True
    folders: dict[Path, "_Folder"] = field(default_factory=dict)
    pages: int = 0
    jobs: int = 0
    seen: float = field(default_factory=time.time)


@dataclass
class _Folder:
    """What a folder is for, and from when on it may go."""

    kind: str
    goes: float = math.inf


@dataclass(frozen=True)
class _Upload:
    """Who sent a file, and when."""

    visitor: Visitor
    came: float


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
        self._uploads: dict[Path, _Upload] = {}
        self._spent: dict[Path, Path | None] = {}
        self._bytes: dict[Path, tuple[str, int]] = {}  # folder to the address that it counts for, and its size
        self.mutex = threading.RLock()
        self.on_forget: Callable[[str], None] = lambda session: None
        self._closed = threading.Event()
        self.sweep()
        threading.Thread(target=self._sweep_until_closed, name="saic-sweep", daemon=True).start()
        atexit.register(self.close)

    @property
    def bundled(self) -> Path:
        """The folder of clips that stay."""
        return self.folder / _BUNDLED

    # --- whose a session is ---

    def claim(self, session: str, visitor: Visitor, *, named: bool = True) -> bool:
        """Whether a session is a visitor's: nobody used its name before, or the same visitor did.

        Parameters
        ----------
        session : name that the page or client chose
        visitor : who uses it
        named : whether the sender knows the name, and so can ask to delete what the session owns

        Raises
        ------
        StoreFull (too many sessions)
        """
        with self.mutex:
            if its := self._sessions.get(session):
                its.seen = time.time()
                return its.visitor.token == visitor.token
            held = Counter(other.visitor.address for other in self._sessions.values())
            mine = held[visitor.address]
            if not has_room(mine + 1, held.total() - mine, MAX_SESSIONS, SHARE):
                raise StoreFull("The server has too many visitors. Try again in half an hour.")
            self._sessions[session] = _Session(visitor, named or visitor.token is not None)
            return True

    def is_named(self, session: str) -> bool:
        """Whether a session's owner can ask for what it owns: by its name, or by a cookie."""
        with self.mutex:
            return session in self._sessions and self._sessions[session].named

    def address_of(self, session: str) -> str:
        """The address that a session's work and bytes count for."""
        with self.mutex:
            its = self._sessions.get(session)
            return its.visitor.address if its else "unknown"

    # --- writing ---

    def receive(self, suffix: str, visitor: Visitor = NOBODY) -> Path:
        """Make a place for an upload: a neutral name in a fresh folder."""
        with self.mutex:
            folder = self._fresh(visitor.address)
            self._uploads[folder] = _Upload(visitor, time.time())
        return folder / f"recording{suffix}"

    def new(self, session: str, kind: str) -> Path:
        """Make a fresh folder for a session. Of each kind a page shows one: the earlier ones go soon."""
        with self.mutex:
            its = self._session(session)
            folder = self._fresh(its.visitor.address)
            for earlier in its.folders.values():
                if earlier.kind == kind:
                    earlier.goes = min(earlier.goes, time.time() + GRACE_S)
            its.folders[folder] = _Folder(kind)
        return folder

    def reserve(self, folder: Path, n_bytes: int) -> None:
        """Count bytes that are about to be written into a folder of `receive` or `new`.

        Raises
        ------
        StoreFull, UsageError (the folder was deleted meanwhile)
        """
        with self.mutex:
            if folder not in self._bytes:
                raise UsageError(GONE)
            address, size = self._bytes[folder]
            total = sum(size for _, size in self._bytes.values())
            mine = sum(size for its, size in self._bytes.values() if its == address)
            if not has_room(mine + n_bytes, total - mine, self.max_bytes, SHARE):
                raise StoreFull("The server is full. Delete what you no longer need, or try again in half an hour.")
            self._bytes[folder] = address, size + n_bytes

    # --- reading ---

    def may_read(self, session: str, path: Path) -> bool:
        """Whether a file is there for a session: its own, bundled, or an upload of its visitor, as it was sent."""
        with self.mutex:
            its = self._sessions.get(session)
            own = its is not None and path.parent in its.folders
            upload = self._uploads.get(path.parent)
            sent = upload is not None and upload.visitor.token == (its.visitor.token if its else None)
            return (own or sent or path.parent == self.bundled) and self._is_plain(path)

    def may_give(self, visitor: Visitor, path: Path) -> bool:
        """Whether a file may be sent to a visitor: bundled, its own upload, or of one of its sessions."""
        with self.mutex:
            owners = [its.visitor for its in self._sessions.values() if path.parent in its.folders]
            if upload := self._uploads.get(path.parent):
                owners.append(upload.visitor)
            own = any(owner.token == visitor.token for owner in owners)
            return (own or path.parent == self.bundled) and self._is_plain(path)

    def _is_plain(self, path: Path) -> bool:
        """Whether a path is, as it is written, that of a regular file two levels below the store's folder.

        A link is none, be it the file itself, its folder, or one of /proc: what is written there may lead to what
        another visitor has open.
        """
        try:
            is_file = stat.S_ISREG(os.lstat(path).st_mode)
        except (OSError, ValueError):
            return False
        return is_file and path.parent.parent == self.folder and path.resolve() == path and path.name[0] != "."

    def is_upload(self, path: Path) -> bool:
        """Whether a file is as its sender sent it, and not yet decoded."""
        return path.parent in self._uploads

    def was_upload(self, path: Path) -> bool:
        """Whether a file was an upload of the last minutes that has been decoded and removed."""
        return path.parent in self._spent

    def replace(self, upload: Path, copy: Path) -> None:
        """Note what has taken an upload's place: a page may name the upload once more before it learns of that."""
        with self.mutex:
            if upload.parent in self._spent:
                self._spent[upload.parent] = copy

    def current(self, path: Path) -> Path:
        """What has taken a file's place, or the file."""
        return self._spent.get(path.parent) or path

    # --- forgetting ---

    def discard(self, path: Path) -> None:
        """Remove an upload; anything else stays."""
        with self.mutex:
            if self._uploads.pop(path.parent, None) is not None:
                self._spent[path.parent] = None
                self._remove(path.parent)

    def withdraw(self, session: str, kind: str) -> None:
        """Remove a session's folders of one kind, now."""
        with self.mutex:
            its = self._sessions.get(session)
            for folder in [f for f, about in its.folders.items() if about.kind == kind] if its else ():
                del its.folders[folder]
                self._remove(folder)

    def delete(self, session: str) -> list[str]:
        """Remove all that a session's visitor owns, now; returns the names of the visitor's sessions."""
        with self.mutex:
            sessions = self.sessions_with(session)
            visitor = self._sessions[session].visitor if session in self._sessions else None
            for one in sessions:
                self._forget(one)
                self.on_forget(one)
            for folder in [f for f, its in self._uploads.items() if visitor and its.visitor.may_be(visitor)]:
                del self._uploads[folder]
                self._remove(folder)
        return sessions

    def sessions_with(self, session: str) -> list[str]:
        """A session, and the others of the same browser."""
        with self.mutex:
            its = self._sessions.get(session)
            if its is None or its.visitor.token is None:
                return [session]
            return [name for name, other in self._sessions.items() if other.visitor.token == its.visitor.token]

    @contextlib.contextmanager
    def reading(self, session: str) -> Iterator[None]:
        """Keep a session's clips while its page is open, and `keep_s` from then on."""
        with self._counted(session, "pages"):
            yield

    @contextlib.contextmanager
    def working(self, session: str) -> Iterator[None]:
        """Keep a session while a job of it runs or waits."""
        with self._counted(session, "jobs"):
            yield

    @contextlib.contextmanager
    def _counted(self, session: str, what: str) -> Iterator[None]:
        with self.mutex:
            its = self._session(session)
            setattr(its, what, getattr(its, what) + 1)
        try:
            yield
        finally:
            with self.mutex:
                setattr(its, what, getattr(its, what) - 1)
                its.seen = time.time()

    def is_read(self, session: str) -> bool:
        """Whether a page of a session is open."""
        with self.mutex:
            return session in self._sessions and self._sessions[session].pages > 0

    def sweep(self, now: float | None = None) -> None:
        """Remove what has had its time, here and in folders that a killed process left behind."""
        now = time.time() if now is None else now
        with self.mutex:
            for session, its in list(self._sessions.items()):
                if its.pages == its.jobs == 0 and its.seen < now - self._keeps_s(its):
                    self._forget(session)
                    self.on_forget(session)
                for folder in [folder for folder, its_own in its.folders.items() if its_own.goes < now]:
                    del its.folders[folder]
                    self._remove(folder)
            for folder in [folder for folder, its in self._uploads.items() if its.came < now - UPLOAD_KEEP_S]:
                self.discard(folder / "recording")
            self._spent = dict(list(self._spent.items())[-_REMEMBERED:])
            known = {self.bundled, *self._uploads, *(f for its in self._sessions.values() for f in its.folders)}
            for entry in self.folder.iterdir():
                if entry.name != _LOCK and entry not in known:
                    _remove_if_older(entry, now - GRACE_S)
        # The sign of life that the system's cleaner of /tmp looks at.
        for path in (self.folder, self.bundled, *self.bundled.glob("*")):
            path.touch()
        self._sweep_others(now)

    def _sweep_others(self, now: float) -> None:
        for other in self.folder.parent.glob(f"{_PREFIX}*"):
            if other != self.folder and _owner(other) == _owner(self.folder) and not _is_living(other):
                n_files = sum(path.parent.name != _BUNDLED for path in other.glob("*/*"))
                if _remove_if_older(other, now - self.keep_s if fcntl is None else now + 1):
                    _log.warning("removed what a server that was killed had left: %d files of visitors", n_files)

    def close(self) -> None:
        """Remove the folder and stop sweeping. What is still being written finds no folder, and fails."""
        self._closed.set()
        atexit.unregister(self.close)
        with self.mutex:
            self._bytes.clear()
            _rename_and_remove(self.folder, self.folder.with_name(f"{self.folder.name}-closed"))
            self._lock_file.close()

    def _fresh(self, address: str) -> Path:
        folder = self.folder / secrets.token_urlsafe(16)
        try:
            folder.mkdir(mode=0o700)
        except OSError:  # closed, or the disk is full
            raise StoreFull("The server cannot keep recordings now. Try again later.") from None
        self._bytes[folder] = address, 0
        return folder

    def _session(self, session: str) -> _Session:
        its = self._sessions.setdefault(session, _Session(NOBODY))
        its.seen = time.time()
        return its

    def _keeps_s(self, its: _Session) -> float:
        if not its.folders:
            return _IDLE_SESSION_S
        return self.keep_s if its.named else UNNAMED_KEEP_S

    def _forget(self, session: str) -> None:
        its = self._sessions.get(session)
        for folder in list(its.folders) if its else ():
            self._remove(folder)
        if its and (its.pages or its.jobs):  # the session stays its visitor's
            its.folders.clear()
        else:
            self._sessions.pop(session, None)

    def _remove(self, folder: Path) -> None:
        self._bytes.pop(folder, None)
        _rename_and_remove(folder, self.folder / f"gone-{secrets.token_hex(8)}")

    def _sweep_until_closed(self) -> None:
        while not self._closed.wait(_SWEEP_EVERY_S):
            with contextlib.suppress(OSError):  # closing while it runs, or somebody else's cleaning
                self.sweep()


def _rename_and_remove(folder: Path, aside: Path) -> None:
    """Remove a folder that somebody may be writing into: under another name first, so that nothing new gets in."""
    try:
        folder.rename(aside)
    except OSError:  # it is gone, or Windows holds a file of it open
        aside = folder
    shutil.rmtree(aside, ignore_errors=True)


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


def _remove_if_older(path: Path, limit: float) -> bool:
    """Remove a file or folder that was last changed before `limit`; another process may be doing the same."""
    try:
        if path.lstat().st_mtime >= limit:
            return False
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    except OSError:
        return False
    return not path.exists()
