"""The folder of recordings: who may read a file, how many bytes fit, and when a file is deleted.

::

    saic-web-XXXX/            one per process, mode 0700; locked while the process runs
        bundled/              the synthetic voices; readable by all, never deleted
        <token>/recording.ogg an upload; readable by its sender, deleted when it is decoded
        <token>/original.wav  a decoded upload or a result; it belongs to one session

A token is 128 random bits, so paths cannot be guessed. A session is one open page, or one API
client with its ``session_hash``; it belongs to the visitor who used its name first. The sessions of
a browser share a cookie; programs have no cookie.

Bytes are counted before they are written, so the store never holds more than `max_bytes`.
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
from saic.web.server.visitors import UNKNOWN_VISITOR, Visitor, within_fair_share

try:
    import fcntl
except ImportError:  # Windows: the folder of a killed process is recognized by its age
    fcntl = None

KEEP_S = 30 * 60
"""Seconds that clips are kept after their page was closed. While it is open, they are kept."""

MAX_BYTES = 4 * 2**30
"""Limit on the size of all recordings together."""

UPLOAD_KEEP_S = 10 * 60
"""Seconds that an upload is kept if no session loads it, and its sender has no open page or no cookie."""

UNNAMED_KEEP_S = 5 * 60
"""Seconds that results of calls without session and cookie are kept: nobody can delete them."""

GRACE_S = 60
"""Seconds that a result is kept after a newer one replaced it: a download may be under way."""

MAX_SESSIONS = 2000
"""Sessions that are kept at once."""

MAX_ADDRESS_SHARE = 0.5
"""Fraction of the free bytes and sessions that one address may hold, see `within_fair_share`."""

_IDLE_SESSION_S = 60  # seconds that a session without clips is kept
_SWEEP_EVERY_S = 30
_MAX_REMOVED_UPLOADS = 1000  # removed uploads that are remembered
_PREFIX = "saic-web-"
_BUNDLED = "bundled"
_LOCK = ".lock"
GONE = "This recording is no longer on the server. Add it again."
FULL = "The server is full. Delete what you no longer need, or try again in half an hour."

_log = logging.getLogger(__name__)


class StoreFull(UsageError):
    """There is no space for more recordings or sessions, or this address has used its share."""


@dataclass
class _Folder:
    """A folder of a session: what kind of clip it holds, and when it expires."""

    kind: str
    expires_at: float = math.inf


@dataclass
class _Session:
    """The folders of one page or API client. It is kept while a page is open or a job is active.

    ``holds_state``: whether the page has something to lose beside its folders, such as enrolled voices.
    """

    visitor: Visitor
    named: bool = True
    folders: dict[Path, _Folder] = field(default_factory=dict)
    holds_state: bool = False
    open_pages: int = 0
    active_jobs: int = 0
    last_seen: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class _Upload:
    """Sender and time of an upload."""

    visitor: Visitor
    received_at: float


class ClipStore:
    """A private temporary folder of recordings.

    Protects a visitor's recordings from other visitors (`may_read`, `may_download`), keeps none
    longer than promised (`sweep`), and protects the disk from one address that sends too much
    (`reserve`). Visitors without a cookie cannot be distinguished: only the random paths protect
    their recordings.

    Parameters
    ----------
    parent : where to make the folder; None: the system's temporary folder
    max_bytes : limit on the size of all recordings together
    """

    def __init__(self, parent: str | Path | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes, self.upload_keep_s = max_bytes, UPLOAD_KEEP_S
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve()  # mkdtemp: mode 0700
        self._lock_file = open(self.folder / _LOCK, "wb")  # noqa: SIM115 - open as long as the process runs
        if fcntl:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        (self.folder / _BUNDLED).mkdir()
        self._sessions: dict[str, _Session] = {}
        self._uploads: dict[Path, _Upload] = {}  # by folder
        self._removed_uploads: dict[Path, Path | None] = {}  # folder of an upload -> its decoded copy, if any
        self._bytes: dict[Path, tuple[str, int]] = {}  # folder -> address that it counts for, size in bytes
        self.mutex = threading.RLock()
        self.on_forget: Callable[[str], None] = lambda session: None
        self._closed = threading.Event()
        self.sweep()
        threading.Thread(target=self._sweep_until_closed, name="saic-sweep", daemon=True).start()
        atexit.register(self.close)

    @property
    def bundled(self) -> Path:
        """The folder of the bundled voices."""
        return self.folder / _BUNDLED

    # --- sessions and their visitors ---

    def claim(self, session: str, visitor: Visitor, *, named: bool = True) -> bool:
        """Whether a session is a visitor's: its name is new, or the same visitor used it first.

        Parameters
        ----------
        session : name that the page or client chose
        visitor : sender of the request
        named : whether the sender chose the name, and so can use it to delete the session's clips

        Raises
        ------
        StoreFull (too many sessions)
        """
        with self.mutex:
            if entry := self._sessions.get(session):
                entry.last_seen = time.monotonic()
                return entry.visitor.token == visitor.token
            counts = Counter(other.visitor.address for other in self._sessions.values())
            own = counts[visitor.address]
            if not within_fair_share(own + 1, counts.total() - own, MAX_SESSIONS, MAX_ADDRESS_SHARE):
                raise StoreFull("The server has too many visitors. Try again in half an hour.")
            self._sessions[session] = _Session(visitor, named or visitor.token is not None)
            return True

    def is_named(self, session: str) -> bool:
        """Whether the visitor can ask to delete the session's clips: by its name or a cookie."""
        with self.mutex:
            return session in self._sessions and self._sessions[session].named

    def address_of(self, session: str) -> str:
        """The address that a session's jobs and bytes count for."""
        with self.mutex:
            entry = self._sessions.get(session)
            return entry.visitor.address if entry else "unknown"

    # --- writing ---

    def receive(self, suffix: str, visitor: Visitor = UNKNOWN_VISITOR) -> Path:
        """Make a folder for an upload; returns the path to write to, ``recording`` + suffix."""
        with self.mutex:
            folder = self._new_folder(visitor.address)
            self._uploads[folder] = _Upload(visitor, time.monotonic())
        return folder / f"recording{suffix}"

    def new(self, session: str, kind: str) -> Path:
        """Make a folder for a session.

        A page shows one clip of each kind, so earlier folders of the kind expire after `GRACE_S`.
        """
        with self.mutex:
            entry = self._get_or_add(session)
            folder = self._new_folder(entry.visitor.address)
            for earlier in entry.folders.values():
                if earlier.kind == kind:
                    earlier.expires_at = min(earlier.expires_at, time.monotonic() + GRACE_S)
            entry.folders[folder] = _Folder(kind)
        return folder

    def reserve(self, folder: Path, n_bytes: int) -> None:
        """Count bytes that are about to be written into a folder of `receive` or `new`.

        Raises
        ------
        StoreFull, UsageError (the folder has been deleted)
        """
        with self.mutex:
            if folder not in self._bytes:
                raise UsageError(GONE)
            address, size = self._bytes[folder]
            total = sum(size for _, size in self._bytes.values())
            own = sum(size for other, size in self._bytes.values() if other == address)
            if not within_fair_share(own + n_bytes, total - own, self.max_bytes, MAX_ADDRESS_SHARE):
                raise StoreFull(FULL)
            self._bytes[folder] = address, size + n_bytes

    @contextlib.contextmanager
    def reserved(self, folder: Path, n_bytes: int) -> Iterator[None]:
        """`reserve` bytes that the block writes. If it raises, they were not written and no longer count."""
        self.reserve(folder, n_bytes)
        try:
            yield
        except BaseException:
            with self.mutex:
                if folder in self._bytes:
                    address, size = self._bytes[folder]
                    self._bytes[folder] = address, size - n_bytes
            raise

    # --- reading ---

    def may_read(self, session: str, path: Path) -> bool:
        """Whether a session may load a file: its own, a bundled one, or its visitor's upload."""
        with self.mutex:
            entry = self._sessions.get(session)
            own = entry is not None and path.parent in entry.folders
            upload = self._uploads.get(path.parent)
            sent = upload is not None and upload.visitor.token == (entry.visitor.token if entry else None)
            return (own or sent or path.parent == self.bundled) and self._is_regular_file(path)

    def may_download(self, visitor: Visitor, path: Path) -> bool:
        """Whether a visitor may download a file: bundled, its upload, or its sessions' clip."""
        with self.mutex:
            owners = [entry.visitor for entry in self._sessions.values() if path.parent in entry.folders]
            if upload := self._uploads.get(path.parent):
                owners.append(upload.visitor)
            own = any(owner.token == visitor.token for owner in owners)
            return (own or path.parent == self.bundled) and self._is_regular_file(path)

    def _is_regular_file(self, path: Path) -> bool:
        """Whether a path, as it is written, is a regular file two levels below the store's folder.

        Symbolic links are refused: of the file, of its folder, and those in /proc, which may lead
        to a file that the server has open for another visitor.
        """
        try:
            is_file = stat.S_ISREG(os.lstat(path).st_mode)
        except (OSError, ValueError):
            return False
        return is_file and path.parent.parent == self.folder and path.resolve() == path and path.name[0] != "."

    def is_upload(self, path: Path) -> bool:
        """Whether a file is an upload that has not been decoded."""
        return path.parent in self._uploads

    def was_upload(self, path: Path) -> bool:
        """Whether a file was one of the last `_MAX_REMOVED_UPLOADS` uploads that were deleted."""
        return path.parent in self._removed_uploads

    def set_copy(self, upload: Path, copy: Path) -> None:
        """Note the decoded copy of a removed upload.

        The page may name the upload once more before it gets the path of the copy.
        """
        with self.mutex:
            if upload.parent in self._removed_uploads:
                self._removed_uploads[upload.parent] = copy

    def current(self, path: Path) -> Path:
        """The decoded copy of an upload if there is one, else the path itself."""
        return self._removed_uploads.get(path.parent) or path

    def has_clips(self, session: str) -> bool:
        """Whether there is any file of a session's visitor, which `delete` would delete."""
        with self.mutex:
            sessions = [self._sessions[name] for name in self.sessions_of_browser(session) if name in self._sessions]
            visitor = self._sessions[session].visitor if session in self._sessions else None
            uploaded = any(visitor and sent.visitor.may_be_same(visitor) for sent in self._uploads.values())
            return uploaded or any(entry.folders for entry in sessions)

    # --- deleting ---

    def discard(self, path: Path) -> None:
        """Delete an upload; does nothing with any other file."""
        with self.mutex:
            if self._uploads.pop(path.parent, None) is not None:
                self._removed_uploads[path.parent] = None
                self._remove(path.parent)

    def withdraw(self, session: str, kind: str) -> None:
        """Delete a session's folders of one kind now."""
        with self.mutex:
            entry = self._sessions.get(session)
            for folder in [path for path, about in entry.folders.items() if about.kind == kind] if entry else ():
                del entry.folders[folder]
                self._remove(folder)

    def delete(self, session: str) -> list[str]:
        """Delete all files of a session's visitor now; returns the visitor's sessions."""
        with self.mutex:
            sessions = self.sessions_of_browser(session)
            visitor = self._sessions[session].visitor if session in self._sessions else None
            for name in sessions:
                self._forget(name)
                self.on_forget(name)
            for folder, upload in list(self._uploads.items()):
                if visitor and upload.visitor.may_be_same(visitor):
                    self.discard(folder / "recording")
        return sessions

    def sessions_of_browser(self, session: str) -> list[str]:
        """A session and the other sessions with the same cookie."""
        with self.mutex:
            entry = self._sessions.get(session)
            if entry is None or entry.visitor.token is None:
                return [session]
            return [name for name, other in self._sessions.items() if other.visitor.token == entry.visitor.token]

    def page_open(self, session: str) -> contextlib.AbstractContextManager[None]:
        """Keep a session's clips while its page is open; `KEEP_S` starts when it is closed."""
        return self._counting(session, "open_pages")

    def job_active(self, session: str) -> contextlib.AbstractContextManager[None]:
        """Keep a session while one of its jobs runs or waits."""
        return self._counting(session, "active_jobs")

    def keep_state(self, session: str) -> None:
        """Keep a session as one that has clips: its page has something to lose."""
        with self.mutex:
            self._get_or_add(session).holds_state = True

    @contextlib.contextmanager
    def _counting(self, session: str, counter: str) -> Iterator[None]:
        with self.mutex:
            entry = self._get_or_add(session)
            setattr(entry, counter, getattr(entry, counter) + 1)
        try:
            yield
        finally:
            with self.mutex:
                setattr(entry, counter, getattr(entry, counter) - 1)
                entry.last_seen = time.monotonic()

    def has_open_page(self, session: str) -> bool:
        """Whether a page of a session is open."""
        with self.mutex:
            return session in self._sessions and self._sessions[session].open_pages > 0

    def sweep(self, ahead_s: float = 0.0) -> None:
        """Delete what has expired, or will have in ``ahead_s`` seconds, here and in folders of killed processes."""
        now = time.monotonic() + ahead_s  # the wall clock may be set back
        file_now = time.time() + ahead_s
        with self.mutex:
            for session, entry in list(self._sessions.items()):
                if entry.open_pages == entry.active_jobs == 0 and entry.last_seen < now - self._lifetime_s(entry):
                    self._forget(session)
                    self.on_forget(session)
                for folder in [path for path, about in entry.folders.items() if about.expires_at < now]:
                    del entry.folders[folder]
                    self._remove(folder)
            for folder in [path for path, sent in self._uploads.items() if self._expires_at(sent, now) < now]:
                self.discard(folder / "recording")
            self._removed_uploads = dict(list(self._removed_uploads.items())[-_MAX_REMOVED_UPLOADS:])
            known = {self.bundled, *self._uploads, *(f for entry in self._sessions.values() for f in entry.folders)}
            for path in self.folder.iterdir():
                if path.name != _LOCK and path not in known:
                    _remove_if_older(path, file_now - GRACE_S)
        # The system's cleaner of /tmp deletes what has not been touched for days.
        for path in (self.folder, self.bundled, *self.bundled.glob("*")):
            path.touch()
        self._sweep_killed_servers(file_now)

    def _sweep_killed_servers(self, now: float) -> None:
        for other in self.folder.parent.glob(f"{_PREFIX}*"):
            if other != self.folder and _user_id(other) == _user_id(self.folder) and not _is_in_use(other):
                n_files = sum(path.parent.name != _BUNDLED for path in other.glob("*/*"))
                if _remove_if_older(other, now - KEEP_S if fcntl is None else now + 1):
                    _log.warning("deleted %d files of visitors that a killed server had left", n_files)

    def close(self) -> None:
        """Delete the folder and stop sweeping. Writes that are under way fail."""
        self._closed.set()
        atexit.unregister(self.close)
        with self.mutex:
            self._bytes.clear()
            _rename_and_remove(self.folder, self.folder.with_name(f"{self.folder.name}-closed"))
            self._lock_file.close()

    def _new_folder(self, address: str) -> Path:
        folder = self.folder / secrets.token_urlsafe(16)
        try:
            folder.mkdir(mode=0o700)
        except OSError:  # the store is closed, or the disk is full
            raise StoreFull("The server cannot keep recordings now. Try again later.") from None
        self._bytes[folder] = address, 0
        return folder

    def _get_or_add(self, session: str) -> _Session:
        entry = self._sessions.setdefault(session, _Session(UNKNOWN_VISITOR))
        entry.last_seen = time.monotonic()
        return entry

    def _lifetime_s(self, entry: _Session) -> float:
        """Seconds that an inactive session is kept."""
        if not entry.folders and not entry.holds_state:
            return _IDLE_SESSION_S
        return KEEP_S if entry.named else UNNAMED_KEEP_S

    def _expires_at(self, upload: _Upload, now: float) -> float:
        """When an upload expires; while its sender has an open page, it may still be added to something there."""
        known = upload.visitor.token is not None
        pages = (entry for entry in self._sessions.values() if known and entry.visitor.may_be_same(upload.visitor))
        seen = [now if entry.open_pages else entry.last_seen for entry in pages]  # the page may be loaded anew
        return max([upload.received_at, *seen]) + self.upload_keep_s

    def _forget(self, session: str) -> None:
        entry = self._sessions.get(session)
        for folder in list(entry.folders) if entry else ():
            self._remove(folder)
        if entry and (entry.open_pages or entry.active_jobs):  # its name still belongs to the visitor
            entry.folders.clear()
            entry.holds_state = False
        else:
            self._sessions.pop(session, None)

    def _remove(self, folder: Path) -> None:
        self._bytes.pop(folder, None)
        _rename_and_remove(folder, self.folder / f"gone-{secrets.token_hex(8)}")

    def _sweep_until_closed(self) -> None:
        while not self._closed.wait(_SWEEP_EVERY_S):
            with contextlib.suppress(OSError):  # the store is being closed, or another process deletes files too
                self.sweep()


def _rename_and_remove(folder: Path, new_name: Path) -> None:
    """Delete a folder that another thread may write into; renaming it first keeps new files out."""
    try:
        folder.rename(new_name)
    except OSError:  # it no longer exists, or a file in it is open on Windows
        new_name = folder
    shutil.rmtree(new_name, ignore_errors=True)


def _is_in_use(folder: Path) -> bool:
    """Whether a process holds the lock of a store's folder.

    The system releases the lock however the process ends.
    """
    if fcntl is None:
        return False
    try:
        with open(folder / _LOCK, "rb") as lock_file:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock file: a store that is being made, or a folder of something else
        return time.time() - folder.stat().st_mtime < GRACE_S if folder.exists() else False
    return False


def _user_id(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _remove_if_older(path: Path, limit: float) -> bool:
    """Delete a file or folder last changed before `limit` (a time); returns whether it is gone.

    Another process may be deleting it at the same time.
    """
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
