"""Where other libraries keep their files on a machine whose home folder cannot be written, such as some containers."""

import atexit
import os
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

_CACHES = {"HF_HOME": "huggingface", "MPLCONFIGDIR": "matplotlib", "NUMBA_CACHE_DIR": "numba"}


def leave_home(environment: MutableMapping[str, str] = os.environ) -> None:
    """Point the caches of the Hub's client, matplotlib and numba to a temporary folder if the home folder is read-only.

    To be called before these are imported. What is set already stays; the folder goes when the process ends.
    """
    try:
        with tempfile.TemporaryFile(dir=Path.home()):
            return
    except (OSError, RuntimeError):  # the latter: there is no home folder at all
        folder = Path(tempfile.mkdtemp(prefix="saic-cache-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for variable, name in _CACHES.items():
        environment.setdefault(variable, str(folder / name))
