"""Cache on disk of what is computed once for each clip, for all trainings on this machine.

The folder is ``SAIC_CACHE``, or the platform's cache folder. A file is named by a hash of the clip's
content, of the code that decodes and measures clips, and of what is kept in it. So a changed clip or
a changed mel is measured again, and the folder may be copied to another machine.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from saic import audio, signal
from saic.weights import sha256, write_tensors


def cached(clip: Path, what: str, measure: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Read the tensors of a clip, or measure and keep them.

    A damaged file is made again. If the folder cannot be written, the tensors are only returned.

    Parameters
    ----------
    clip
        Audio file.
    what
        Name of the measurement, with everything that it depends on besides the clip and the code of
        ``saic.audio`` and ``saic.signal``.
    measure
        Makes the tensors; its errors are not caught and nothing is kept then.
    """
    try:
        name = hashlib.sha256(f"{sha256(clip)}|{_code()}|{what}".encode()).hexdigest()[:32]
    except OSError:  # the clip cannot be read, which measuring reports
        return measure()
    path = cache_folder() / "clips" / f"{name}.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError):  # there is none, or it is damaged
        tensors = measure()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors)
    except (OSError, SafetensorError):  # a read-only home or a full disk
        pass
    return tensors


@cache
def _code() -> str:
    """Hash of the source files of ``saic.audio`` and ``saic.signal``."""
    digest = hashlib.sha256()
    for package in (audio, signal):
        for file in sorted(Path(package.__file__).parent.glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def cache_folder() -> Path:
    """``SAIC_CACHE``, or the platform's cache folder."""
    return Path(os.environ.get("SAIC_CACHE") or user_cache_path("saic"))
