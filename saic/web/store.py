"""Where recordings lie while the page is open, and when they go.

::

    saic-web-XXXX/            one per process, 0700; Gradio's own uploads land here too
        bundled/              the synthetic voices: nobody's recording, they stay
        clip-XXXX/            one result or one decoded input, neutral names, removed by age
        <hash>/<name>         an upload as Gradio wrote it: removed a minute or two after it was decoded
"""

import atexit
import contextlib
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

KEEP_S = 30 * 60
GRACE_S = 60  # an upload outlives its decoding by this much, for the browser may still be fetching it
_SWEEP_EVERY_S = 60
_PREFIX = "saic-web-"
_BUNDLED = "bundled"
_CLIP_PREFIX = "clip-"


class ClipStore:
    """A private temporary folder that forgets.

    Parameters
    ----------
    parent : where to make the folder; None is the system's temporary folder
    keep_s : seconds after which a clip goes
    """

    def __init__(self, parent: str | Path | None = None, *, keep_s: float = KEEP_S) -> None:
        self.keep_s = keep_s
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve()  # mkdtemp: 0700
        (self.folder / _BUNDLED).mkdir()
        self._closed = threading.Event()
        self.sweep()
        threading.Thread(target=self._sweep_until_closed, name="saic-sweep", daemon=True).start()
        atexit.register(self.close)

    @property
    def bundled(self) -> Path:
        """The folder of clips that stay."""
        return self.folder / _BUNDLED

    def new(self) -> Path:
        """Make a fresh folder, with a name that cannot be guessed, for one input or one result."""
        return Path(tempfile.mkdtemp(prefix=_CLIP_PREFIX, dir=self.folder))

    def expire_upload(self, path: str | Path) -> None:
        """Let a file that Gradio put here go with a coming sweep; clips and all that lies elsewhere stay.

        Removing it now would race the player that shows it: Gradio logs that with the file's name.
        """
        path = Path(path).resolve()
        if path.is_relative_to(self.folder) and path.is_file() and not self._is_ours(path):
            soon = time.time() - self.keep_s + GRACE_S
            os.utime(self.folder / path.relative_to(self.folder).parts[0], (soon, soon))

    def sweep(self, now: float | None = None) -> None:
        """Remove what is older than `keep_s`, here and in folders that a killed process left behind."""
        now = time.time() if now is None else now
        # The sign of life that the sweeps of other processes, and the system's cleaner of /tmp, look at.
        for path in (self.folder, self.bundled, *self.bundled.glob("*")):
            path.touch()
        for entry in self.folder.glob("*"):
            if entry.name != _BUNDLED:
                _remove_if_older(entry, now - self.keep_s)
        for other in self.folder.parent.glob(f"{_PREFIX}*"):
            if other != self.folder and _owner(other) == _owner(self.folder):
                _remove_if_older(other, now - self.keep_s)

    def close(self) -> None:
        """Remove the folder and stop sweeping."""
        self._closed.set()
        atexit.unregister(self.close)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ours(self, path: Path) -> bool:
        top = path.relative_to(self.folder).parts[0]
        return top == _BUNDLED or top.startswith(_CLIP_PREFIX)

    def _sweep_until_closed(self) -> None:
        while not self._closed.wait(_SWEEP_EVERY_S):
            with contextlib.suppress(OSError):  # closing while it runs, or somebody else's cleaning
                self.sweep()


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
