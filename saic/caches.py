"""Cache folders where the home folder cannot be written, as in some containers."""

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

_CACHES = {
    "HF_HOME": "huggingface",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba",
    "SAIC_CACHE": "saic",  # training sets
}


def move_if_home_is_read_only(environment: MutableMapping[str, str] = os.environ) -> None:
    """Move the caches of the Hub's client, matplotlib, numba and SAIC to a temporary folder if the home is read-only.

    Call it before these libraries are imported. Variables that are set stay as they are, and so does a cache that is
    there: an image may hold weights, or mount it. The temporary folder is deleted when the process ends. Where none can
    be made, nothing changes: most commands need no cache.
    """
    try:
        with tempfile.TemporaryFile(dir=Path.home()):
            return
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        try:
            folder = Path(tempfile.mkdtemp(prefix="saic-cache-"))
        except OSError:
            return
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for variable, name in _CACHES.items():
        if not _has_own(name, environment):
            environment.setdefault(variable, str(folder / name))


def _has_own(name: str, environment: MutableMapping[str, str]) -> bool:
    """Whether a cache is in its usual place, or the user has chosen a folder for all of them."""
    chosen = environment.get("XDG_CACHE_HOME")
    with contextlib.suppress(OSError, RuntimeError):
        folder = Path(chosen) if chosen else Path.home() / ".cache"
        return (folder / name).is_dir() or bool(chosen and os.access(chosen, os.W_OK))
    return False
