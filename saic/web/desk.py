"""Where recordings come in and results go out: every file passes here, whoever sends it and whatever it is for."""

import contextlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import gradio as gr
import numpy as np

from saic import audio
from saic.activity import require_speech
from saic.audio import Limits
from saic.errors import UsageError
from saic.sandbox import Sandbox
from saic.web.jobs import Job, Jobs
from saic.web.store import ClipStore

LIMITS = Limits(max_bytes=60 * 2**20, max_duration_s=300)
"""What a page takes: five minutes is a long dictation, and less than a minute of waiting."""

_GONE = "This recording is no longer on the server. Add it again."


def session_of(request: gr.Request | None) -> str:
    """Whose request it is: an open page, an API client, or for a bare request nobody else's."""
    return (request and request.session_hash) or secrets.token_hex(16)


@dataclass(frozen=True)
class Desk:
    """The store, the workers that decode, and the jobs of one server."""

    store: ClipStore
    jobs: Jobs = field(default_factory=Jobs)
    sandbox: Sandbox = field(default_factory=lambda: Sandbox(LIMITS))
    # A click may be quicker than the copy of an upload: who comes second waits, and gets the copy.
    _taking: tuple = field(default_factory=lambda: tuple(threading.RLock() for _ in range(64)), repr=False)

    def load(self, path: str | None, session: str) -> np.ndarray:
        """The wav (N,) of a file that a session may read. An upload is removed, whatever comes of it.

        Raises
        ------
        UsageError (it is not there, or somebody else's), AudioError
        """
        with self._lock_of(path):
            file = self.store.current(Path(path or ""))
            if not self.store.may_read(session, file):
                raise UsageError(_GONE)
            if self.store.is_upload(file):
                try:
                    return self.sandbox.load(file)
                finally:
                    self.store.discard(file)
        return audio.load(file, limits=LIMITS)  # of our own writing

    def take_in(self, path: str | None, session: str, kind: str) -> str | dict | None:
        """Replace an upload by a plain 16 kHz copy with a neutral name; what is plain already stays as it is."""
        if path is None or not self.store.is_upload(Path(path)):
            return gr.skip()
        with self._lock_of(path):
            wav = self.load(path, session)
            require_speech(wav)
            copy = self.save(self.store.new(session, kind), "recording", wav)
            self.store.replace(Path(path), Path(copy))
        return copy

    @staticmethod
    def save(folder: Path, name: str, wav: np.ndarray) -> str:
        """Write a wav (N,) as 16-bit PCM; returns its path."""
        path = folder / f"{name}.wav"
        audio.save(path, wav)
        return str(path)

    def job(self, verb: str, session: str) -> AbstractContextManager[Job]:
        """See `Jobs.run`."""
        return self.jobs.run(verb, session)

    @contextlib.contextmanager
    def open_page(self, session: str) -> Iterator[None]:
        """Keep a session's clips while its page is open; then nobody waits for its jobs any more."""
        with self.store.reading(session):
            yield
        if not self.store.is_read(session):
            self.jobs.stop(session)

    def _lock_of(self, path: str | None) -> threading.RLock:
        return self._taking[hash(path) % len(self._taking)]

    def delete(self, session: str) -> None:
        """Stop what a session runs and remove what it owns."""
        self.jobs.stop(session)
        self.store.delete(session)
