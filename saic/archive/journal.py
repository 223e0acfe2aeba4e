"""The journal of an archive: what became of each of its files, in an SQLite file.

The table ``files`` has a row for each output, the table ``run`` the settings. A row is "queued",
"writing" (its output has this hash, and is written now), "done", or "failed" with a reason. Each
change is on the disk before the run goes on, so a killed run can be resumed: an output is either
known by its hash, or not the journal's. The file is locked while a run uses it.

A journal lies in the output folder and may be passed on with it. So it holds no path of a
recording, unless the outputs have new names: then it is private, and lies beside the mapping. The
hashes of recordings and subjects are keyed, by the key of the study or by random bits of the
journal; only the latter can be compared with recordings by whoever has the journal alone.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from saic.errors import SaicError, UsageError
from saic.files import DiskError, as_usage_error

NAME = ".saic-journal.sqlite"
"""Name of a journal in the output folder."""

SCHEMA = 1
QUEUED, WRITING, DONE, FAILED = "queued", "writing", "done", "failed"

_TABLES = """
CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE files (
    output BLOB PRIMARY KEY,  -- path in the output folder, in the bytes of the file system
    source BLOB,              -- path in IN; only where outputs have new names
    state TEXT NOT NULL,
    subject TEXT,             -- keyed hash of who speaks
    input TEXT,               -- keyed hash of the recording
    sha256 TEXT,              -- of the output
    before TEXT,              -- of the output that is being replaced
    duration_s REAL,
    seconds REAL,             -- that the conversion took
    error TEXT,
    reason TEXT
) WITHOUT ROWID;
"""
_COLUMNS = "output, source, state, subject, input, sha256, before"
_NO_JOURNAL = "The file at the place of the journal is none, or is damaged. Move it away, or name another folder."
_LOCKED = (
    "Another run uses this journal: wait for its end. If there is none, the drive may lack file locks, as network"
    " drives do: name a folder on a local drive."
)
_DISK_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}


class JournalError(UsageError):
    """A journal is missing, is there already, is in use, or cannot be read."""


class OtherSettings(JournalError):
    """A run is resumed with other settings than it began with."""


@dataclass(frozen=True)
class Row:
    """What a journal knows of a file; columns as in the table ``files``."""

    output: str
    source: str | None = None
    state: str = QUEUED
    subject: str | None = None
    input: str | None = None
    sha256: str | None = None
    before: str | None = None


class Journal:
    """A journal that is open, and locked for other processes.

    Parameters
    ----------
    path
        Its file, which is made if there is none.

    Raises
    ------
    JournalError
        Another run uses it, its drive has no file locks, or it is no journal.
    DiskError
        The disk is full or cannot be written. All methods raise it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        is_new = False
        with _typed_errors(), contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            is_new = True
        with _typed_errors():
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            with _typed_errors():
                # The lock lasts as long as the connection. It also lets WAL do without shared
                # memory, which network file systems do not have.
                self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.execute("BEGIN EXCLUSIVE")
                found = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
                if not found:
                    for statement in _TABLES.split(";\n"):
                        self._db.execute(statement)
                    self._put({"schema": SCHEMA, "salt": secrets.token_hex(32)})
                elif not {"run", "files"} <= found:
                    raise JournalError(_NO_JOURNAL)
                self._db.execute("COMMIT")
                if self._run().get("schema") != SCHEMA:
                    raise JournalError("The journal is of another version of saic. Use that version, or start anew.")
        except BaseException:
            self._db.close()
            with contextlib.suppress(OSError):
                if is_new and os.path.getsize(path) == 0:  # else another run has begun it
                    os.remove(path)
            raise

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def salt(self) -> str:
        """Random bits of this journal, 64 hex digits."""
        return self._run()["salt"]

    @property
    def settings(self) -> dict[str, object] | None:
        """The settings of the run; None if none has begun."""
        return self._run().get("settings")

    @property
    def replaces(self) -> bool:
        """Whether the run may replace outputs that are not its own (--force)."""
        return bool(self._run().get("replaces"))

    def require(self, settings: dict[str, object]) -> None:
        """Raise :class:`OtherSettings` unless the run began with these settings."""
        kept = self.settings or {}
        differing = [name for name in {**kept, **settings} if kept.get(name) != settings.get(name)]
        if "key" in differing and "study" in differing:
            differing.remove("study")  # it is hashed with the key: nothing is known of it
        if differing:
            raise OtherSettings(
                f"The run that this journal is of had another {', another '.join(differing)}. Repeat the options of"
                " that run beside --resume, or name another output folder."
            )

    def begin(self, settings: dict[str, object], rows: Iterable[Row], *, anew: bool = False) -> None:
        """Write the settings of a run, and queue its files, in one step.

        If the run has begun already, only the files are queued that the journal does not know.

        Parameters
        ----------
        anew
            Start over (--force): forget the files of earlier runs, and note that this one may replace
            outputs that are not its own.
        """
        with self._change():
            if anew:
                self._db.execute("DELETE FROM files")
            if anew or self.settings is None:
                self._put({"settings": settings, "replaces": anew})
            self._db.executemany(
                "INSERT OR IGNORE INTO files (output, source, state) VALUES (?, ?, ?)",
                [(os.fsencode(row.output), row.source and os.fsencode(row.source), QUEUED) for row in rows],
            )

    def rows(self) -> dict[str, Row]:
        """The rows by output."""
        with _typed_errors():
            found = self._db.execute(f"SELECT {_COLUMNS} FROM files").fetchall()
        rows = [Row(os.fsdecode(output), source and os.fsdecode(source), *rest) for output, source, *rest in found]
        return {row.output: row for row in rows}

    def writing(self, row: Row, duration_s: float, seconds: float) -> None:
        """Note the hash of an output before it is written: from then on the output is the journal's own."""
        self._set(
            row.output,
            "state = ?, subject = ?, input = ?, before = coalesce(before, sha256), sha256 = ?, duration_s = ?,"
            " seconds = ?, error = NULL, reason = NULL",
            (WRITING, row.subject, row.input, row.sha256, duration_s, seconds),
        )

    def done(self, output: str) -> None:
        """Note that an output is written."""
        self._set(output, "state = ?, before = NULL", (DONE,))

    def failed(self, output: str, error: SaicError) -> None:
        """Note why there is no output."""
        self._set(output, "state = ?, error = ?, reason = ?", (FAILED, type(error).__name__, str(error)))

    def _set(self, output: str, columns: str, values: tuple[object, ...]) -> None:
        with self._change():
            self._db.execute(f"UPDATE files SET {columns} WHERE output = ?", (*values, os.fsencode(output)))

    def _run(self) -> dict[str, object]:
        with _typed_errors():
            found = self._db.execute("SELECT name, value FROM run").fetchall()
        try:
            return {name: json.loads(value) for name, value in found}
        except ValueError:
            raise JournalError(_NO_JOURNAL) from None

    def _put(self, values: dict[str, object]) -> None:
        pairs = [(name, json.dumps(value)) for name, value in values.items()]
        self._db.executemany("INSERT OR REPLACE INTO run VALUES (?, ?)", pairs)

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        """A transaction: all of it is on the disk, or nothing."""
        with _typed_errors():
            self._db.execute("BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise


@contextlib.contextmanager
def _typed_errors() -> Iterator[None]:
    """Give errors of the disk as a :class:`~saic.files.DiskError`, those of the file as a :class:`JournalError`."""
    try:
        yield
    except OSError as error:
        raise as_usage_error(error, "The journal cannot be written") from None
    except sqlite3.DatabaseError as error:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
        if code in _DISK_CODES:
            raise DiskError(f"The journal cannot be written: {error}.") from None
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise JournalError(_LOCKED) from None
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise JournalError(_NO_JOURNAL) from None
        raise


def keyed(secret: bytes, content: str) -> str:
    """HMAC-SHA-256 in hex digits."""
    return hmac.digest(secret, content.encode(), hashlib.sha256).hex()
