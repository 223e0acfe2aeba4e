"""Where recordings come in and results go out: every file passes here, whoever sends it and whatever it is for."""

import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
import numpy as np

from saic import audio
from saic.audio import Limits
from saic.audio.sandbox import Sandbox
from saic.errors import TooLong, UsageError
from saic.signal.vad import require_speech
from saic.web.jobs import Job, Jobs
from saic.web.store import GONE, ClipStore

LIMITS = Limits(max_bytes=60 * 2**20, max_duration_s=300)
"""What a page takes: five minutes is a long dictation, and less than a minute of waiting."""

MAX_CALL_S = 600.0
"""Seconds of audio that one call may hold in all its recordings."""


def session_of(request: gr.Request | None) -> str:
    """Whose request it is: an open page, an API client, or for a bare request nobody else's."""
    return (request and request.session_hash) or secrets.token_hex(16)


@dataclass(frozen=True)
class Recordings:
    """The store, the workers that decode, and the jobs of one server."""

    store: ClipStore
    jobs: Jobs = field(default_factory=Jobs)
    sandbox: Sandbox = field(default_factory=lambda: Sandbox(LIMITS))
    # A click may be quicker than the copy of an upload: who comes second waits, and gets the copy.
    _taking: tuple = field(default_factory=lambda: tuple(threading.RLock() for _ in range(64)), repr=False)
    _kinds: dict[str, str] = field(default_factory=dict, repr=False)  # of uploads that wait for their plain copy

    def load(self, path: str | None, session: str) -> np.ndarray:
        """The wav (N,) of a file that a session may read. An upload is removed, whatever comes of it.

        Raises
        ------
        UsageError (it is not there, or somebody else's), AudioError
        """
        asked = Path(path or "")
        if not self.store.is_upload(asked) and not self.store.was_upload(asked):
            return self._load_own(asked, session)
        # The core comes before the lock, so that nobody holds the lock while waiting for a core.
        decoding = self.job("decode", session) if self.store.is_upload(asked) else contextlib.nullcontext()
        with decoding, self._lock_of(path):
            if not self.store.is_upload(asked):  # somebody was quicker
                return self._load_own(self.store.current(asked), session)
            if not self.store.may_read(session, asked):
                raise UsageError(GONE)
            try:
                wav = self.sandbox.load(asked)
            finally:
                self.store.discard(asked)
            if path in self._kinds:  # whoever decodes an upload makes the copy that its player waits for
                require_speech(wav)
                copy = self.save(self.new(session, self._kinds[path]), "recording", wav)
                self.store.replace(asked, Path(copy))
            return wav

    def _load_own(self, file: Path, session: str) -> np.ndarray:
        if not self.store.may_read(session, file):
            raise UsageError(GONE)
        return audio.load(file, limits=LIMITS)

    def load_all(self, paths: list[str | None], session: str) -> list[np.ndarray]:
        """The wavs of one call.

        Raises
        ------
        UsageError, AudioError (as `load`; TooLong where all together hold more than `MAX_CALL_S`)
        """
        wavs, left_s = [], MAX_CALL_S
        for path in paths:
            wav = self.load(path, session)
            left_s -= len(wav) / audio.SAMPLE_RATE
            if left_s < 0:
                raise TooLong(f"The recordings hold more than {MAX_CALL_S / 60:g} minutes together. Send fewer.")
            wavs.append(wav)
        return wavs

    def take_in(self, path: str | None, session: str, kind: str) -> str | dict | None:
        """Replace an upload by a plain 16 kHz copy with a neutral name; what is plain already stays as it is."""
        if path is None or not self.store.is_upload(Path(path)):
            return gr.skip()
        self._kinds[path] = kind
        try:
            with self.job("take in", session):
                self.load(path, session)
        finally:
            self._kinds.pop(path, None)
        return str(self.store.current(Path(path)))

    def new(self, session: str, kind: str) -> Path:
        """A fresh folder of a session, see `ClipStore.new`; UsageError if the job that asks for it was stopped."""
        with self.store.mutex:  # so that nothing is made once `delete` has begun to remove
            self.jobs.check_stopped()
            return self.store.new(session, kind)

    def save(self, folder: Path, name: str, wav: np.ndarray) -> str:
        """Write a wav (N,) as 16-bit PCM into a folder of `new`; returns its path."""
        path = folder / f"{name}.wav"
        self.store.reserve(folder, 2 * len(wav) + 100)
        audio.save(path, wav)
        return str(path)

    def write(self, folder: Path, name: str, data: bytes) -> str:
        """Write a file into a folder of `new`; returns its path."""
        self.store.reserve(folder, len(data))
        try:
            (folder / name).write_bytes(data)
        except OSError:  # the folder was deleted meanwhile
            raise UsageError(GONE) from None
        return str(folder / name)

    @contextlib.contextmanager
    def job(self, verb: str, session: str, waits: Callable[[int], None] = lambda before: None) -> Iterator[Job]:
        """See `Jobs.run`."""
        with self.store.working(session), self.jobs.run(verb, session, self.store.address_of(session), waits) as job:
            yield job

    @contextlib.contextmanager
    def open_page(self, session: str) -> Iterator[None]:
        """Keep a session's clips while its page is open; then nobody waits for its jobs any more."""
        with self.store.reading(session):
            yield
        if not self.store.is_read(session):
            self.jobs.stop(session)

    def withdraw(self, session: str, kind: str) -> None:
        """Remove what a session has of one kind, now."""
        self.store.withdraw(session, kind)

    def delete(self, session: str) -> list[str]:
        """Stop what a session's visitor runs and remove what it owns; returns the names of the visitor's sessions."""
        self.jobs.stop(*self.store.sessions_with(session))
        return self.store.delete(session)

    def close(self) -> None:
        """Stop all jobs, remove all files and end the workers."""
        self.jobs.stop_all()
        self.store.close()
        self.sandbox.close()

    def _lock_of(self, path: str | None) -> threading.RLock:
        return self._taking[hash(path) % len(self._taking)]
