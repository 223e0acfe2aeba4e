"""Loading of recordings and writing of results, for the page and the API.

All access to the files of the store goes through here.
"""

import contextlib
import json
import secrets
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import gradio as gr
import numpy as np

from saic import audio, files
from saic.audio import SAMPLE_RATE, Limits, Recording
from saic.audio.sandbox import Sandbox
from saic.errors import TooLong, UsageError
from saic.signal.vad import require_speech
from saic.spool import Spool
from saic.web.server.jobs import DEADLINE_S, MAX_JOBS, Job, Jobs, Unfinished, cores
from saic.web.server.store import FULL, GONE, ClipStore, StoreFull

MAX_MINUTES = 60.0
"""Minutes of one recording on a page that only this computer can open."""

PUBLIC_MAX_MINUTES = 5.0
"""Minutes of one recording on a server for others. It converts them in less than a minute."""

VOICE_S = 300
"""Seconds of a recording from which a voice is measured: more take longer and add little."""

_BYTES_PER_MINUTE = 12 * 2**20  # 16-bit WAV of two channels at 48 kHz, and a twentieth more
_BLOCK_SAMPLES = 60 * SAMPLE_RATE
_WAV_HEADER_BYTES = 44
_ZIP_ENTRY_BYTES = 100  # of a file in a ZIP, besides its content and twice its name
_NOTES = "notes.json"  # beside the copy of an upload, and deleted with it


def limits_of(max_minutes: float) -> Limits:
    """The limits on one recording of so many minutes."""
    return Limits(max_bytes=int(_BYTES_PER_MINUTE * max_minutes), max_duration_s=60 * max_minutes)


def _refusal(error: OSError) -> UsageError:
    """Why a file was not written: its folder has been deleted, or else the disk takes no more."""
    return UsageError(GONE) if isinstance(error, FileNotFoundError) else StoreFull(FULL)


def _write(path: Path, data: bytes | BinaryIO) -> None:
    try:
        files.write(path, data, force=True)
    except OSError as error:
        raise _refusal(error) from None


def session_of(request: gr.Request | None) -> str:
    """The session name of a request (of a page or an API client); a random one if it has none."""
    return (request and request.session_hash) or secrets.token_hex(16)


@dataclass(frozen=True)
class Recordings:
    """The recordings of one server: the store, the processes that decode, and the jobs.

    Protects the server from malformed files (uploads are decoded in a sandbox), and a session's
    recordings from other sessions.
    """

    store: ClipStore
    jobs: Jobs = field(default_factory=Jobs)
    sandbox: Sandbox = field(default_factory=lambda: Sandbox(limits_of(PUBLIC_MAX_MINUTES)))
    # Two calls may need the same upload, for example `take_in` and Convert. One decodes it; the
    # other waits for the lock and loads the copy.
    _upload_locks: tuple = field(default_factory=lambda: tuple(threading.RLock() for _ in range(64)), repr=False)
    # Path of an upload whose copy the page waits for -> kind of the copy's folder.
    _wanted_copies: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of_minutes(cls, store: ClipStore, max_minutes: float) -> "Recordings":
        """Recordings of at most so many minutes each, and jobs with time for them."""
        limits = limits_of(max_minutes)
        longer = max(1.0, max_minutes / PUBLIC_MAX_MINUTES)
        slots = cores()
        jobs = Jobs(slots, deadline_s=DEADLINE_S * longer, max_started=max(2 * slots + 2, round(MAX_JOBS / longer)))
        return cls(store, jobs, Sandbox(limits, workers=slots))

    @property
    def limits(self) -> Limits:
        """The limits on one recording. All recordings of one call may last twice as long."""
        return self.sandbox.limits

    def load(self, path: str | None, session: str) -> np.ndarray:
        """Load a file as `read` does, and return the wav (N,) alone."""
        return self.read(path, session).wav

    def read(self, path: str | None, session: str) -> Recording:
        """Load a file that a session may read.

        An upload is deleted, whether it can be decoded or not, but if the job is `Unfinished`. The notes on it
        stay with its copy.

        Raises
        ------
        UsageError (the file does not exist or belongs to another session), AudioError
        """
        file = Path(path or "")
        if not self.store.is_upload(file) and not self.store.was_upload(file):
            return self._read_clip(file, session)
        # Wait for a core before taking the lock: nobody may hold the lock while waiting for a core.
        decoding = self.job("decode", session) if self.store.is_upload(file) else contextlib.nullcontext()
        with decoding, self._upload_lock(path):
            if not self.store.is_upload(file):  # another call has decoded it meanwhile
                return self._read_clip(self.store.current(file), session)
            if not self.store.may_read(session, file):
                raise UsageError(GONE)
            copy = None
            try:
                recording = self.sandbox.read(file)
                if path in self._wanted_copies:  # `take_in` waits for the copy, in this thread or another
                    copy = self._write_copy(recording, session, self._wanted_copies[path])
            except Unfinished:  # a later call may read it
                raise
            except BaseException:
                self.store.discard(file)
                raise
            self.store.discard(file)
            if copy:
                self.store.set_copy(file, Path(copy))
            return recording

    def _write_copy(self, recording: Recording, session: str, kind: str) -> str:
        require_speech(recording.wav)
        folder = self.new(session, kind)
        if recording.notes:
            self.write(folder, _NOTES, json.dumps(recording.notes).encode())
        return self.save(folder, "recording", recording.wav)

    def _read_clip(self, file: Path, session: str) -> Recording:
        if not self.store.may_read(session, file):
            raise UsageError(GONE)
        wav = audio.load(file, limits=audio.LONG)  # a result may be longer than its source
        try:
            return Recording(wav, tuple(json.loads((file.parent / _NOTES).read_bytes())))
        except OSError:  # there are none
            return Recording(wav)

    def read_all(self, paths: list[str | None], session: str) -> list[Recording]:
        """Load the recordings of one call, as `read` does.

        Raises
        ------
        UsageError, AudioError (TooLong if they hold more than twice what one may hold)
        """
        max_s = 2 * self.limits.max_duration_s
        recordings, left_s = [], max_s
        for path in paths:
            recording = self.read(path, session)
            left_s -= len(recording.wav) / SAMPLE_RATE
            if left_s < 0:
                raise TooLong(f"The recordings hold more than {max_s / 60:g} minutes together. Send fewer.")
            recordings.append(recording)
        return recordings

    def take_in(self, path: str | None, session: str, kind: str, group: str = "") -> str | dict | None:
        """Replace an upload by a 16 kHz WAV of the session; returns its path.

        If that fails, the upload is deleted all the same, unless the job was `Unfinished`: then a later call may
        take it in. Returns `gr.skip()` if the path is not of an upload, or if another call takes it in.
        """
        if path is None or path in self._wanted_copies or not self.store.is_upload(Path(path)):
            return gr.skip()
        self._wanted_copies[path] = kind
        try:
            with self.job("take in", session, group=group):
                self.load(path, session)
        except Unfinished:
            raise
        except BaseException:
            self.store.discard(Path(path))
            raise
        finally:
            self._wanted_copies.pop(path, None)
        return self.current_path(path)

    def read_of_page(self, path: str | None, session: str, kind: str) -> Recording:
        """`read` a recording that a page shows: an upload that no job has taken in yet gets a copy, which stays."""
        self.take_in(path, session, kind)
        return self.read(path, session)

    def current_path(self, path: str | None) -> str | None:
        """Path of a recording now: that of the decoded copy, once an upload has one."""
        return path and str(self.store.current(Path(path)))

    def length_s(self, path: str) -> float:
        """Seconds of a WAV of `save`; 0 if it is gone."""
        with contextlib.suppress(OSError):
            return (Path(path).stat().st_size - _WAV_HEADER_BYTES) / (2 * SAMPLE_RATE)
        return 0.0

    def copy_of(self, path: str | None, request: gr.Request = None) -> tuple[str, str | None] | dict:
        """Path of an upload that was taken in, and of its copy, which the player then shows.

        The copy is None if the upload could not be taken in. Returns `gr.skip()` if `path` is not of an
        upload, or if the upload is still being taken in or may be so later.
        """
        if path is None or path in self._wanted_copies:
            return gr.skip()
        current = self.current_path(path)
        if not self.store.may_read(session_of(request), Path(current)):
            return path, None
        return gr.skip() if current == path else (path, current)

    def read_bytes(self, path: str, session: str) -> bytes:
        """Content of a file of `write`; UsageError if it is gone or belongs to another session."""
        if not self.store.may_read(session, Path(path)):
            raise UsageError(GONE)
        try:
            return Path(path).read_bytes()
        except OSError:
            raise UsageError(GONE) from None

    def new(self, session: str, kind: str) -> Path:
        """Make a folder (`ClipStore.new`); UsageError if the calling job was stopped."""
        with self.store.mutex:  # `delete` stops the jobs first: no folder is made after it
            self.jobs.check_stopped()
            return self.store.new(session, kind)

    def save(self, folder: Path, name: str, wav: np.ndarray | Spool) -> str:
        """Write a wav (N,) as 16-bit PCM into a folder of `new`; returns its path."""
        path = folder / f"{name}.wav"
        blocks = (wav[start : start + _BLOCK_SAMPLES] for start in range(0, len(wav), _BLOCK_SAMPLES))
        with (
            self.store.reserved(folder, 2 * len(wav) + 100),
            audio.encode_blocks(blocks, "wav", SAMPLE_RATE) as file,
        ):
            _write(path, file)
        return str(path)

    def write(self, folder: Path, name: str, data: bytes) -> str:
        """Write a file into a folder of `new`; returns its path, which never names an incomplete file."""
        with self.store.reserved(folder, len(data)):
            _write(folder / name, data)
        return str(folder / name)

    def write_zip(self, folder: Path, name: str, contents: Mapping[str, str], session: str) -> str:
        """Write files of a session as a ZIP into a folder of `new`, one after the other; returns its path.

        Parameters
        ----------
        contents : name in the ZIP to the path of a file
        """
        path = folder / name
        try:
            # Stored, not compressed: speech hardly shrinks.
            with contextlib.ExitStack() as counted, zipfile.ZipFile(path, "w") as archive:
                for inside, file in contents.items():
                    data = self.read_bytes(file, session)
                    size = len(data) + _ZIP_ENTRY_BYTES + 2 * len(inside.encode())
                    counted.enter_context(self.store.reserved(folder, size))
                    archive.writestr(inside, data)
        except (OSError, UsageError) as error:
            path.unlink(missing_ok=True)
            raise (_refusal(error) if isinstance(error, OSError) else error) from None
        return str(path)

    @contextlib.contextmanager
    def job(
        self,
        name: str,
        session: str,
        on_wait: Callable[[int], None] = lambda n_ahead: None,
        group: str = "",
    ) -> Iterator[Job]:
        """Run a job of a session, see `Jobs.run`."""
        with (
            self.store.job_active(session),
            self.jobs.run(name, session, self.store.address_of(session), on_wait, group) as job,
        ):
            yield job

    @contextlib.contextmanager
    def open_page(self, session: str) -> Iterator[None]:
        """Keep a session's clips while its page is open; stop its jobs when it closes."""
        try:
            with self.store.page_open(session):
                yield
        finally:  # also if the connection broke
            if not self.store.has_open_page(session):
                self.jobs.stop(session)

    def withdraw(self, session: str, kind: str) -> None:
        """Delete a session's clips of one kind now."""
        self.store.withdraw(session, kind)

    def delete(self, session: str) -> list[str]:
        """Stop the jobs and delete the files of a session's visitor.

        Returns the names of the visitor's sessions.
        """
        self.jobs.stop(*self.store.sessions_of_browser(session))
        return self.store.delete(session)

    def close(self) -> None:
        """Stop all jobs, delete all files and end the decoding processes."""
        self.jobs.stop_all()
        self.store.close()
        self.sandbox.close()

    def _upload_lock(self, path: str | None) -> threading.RLock:
        return self._upload_locks[hash(path) % len(self._upload_locks)]
