"""Cache on disk of what is computed once for each clip, for all trainings on this machine.

The folder is ``SAIC_CACHE``, or the platform's cache folder. A file is named by a hash of the clip's
content, of the modules that decode and measure clips (:data:`MODULES` and those of the measurement),
and of what is kept in it. So a changed clip or a changed mel is measured again, and the folder may be
copied to another machine. Only its owner can read it. Nothing is ever removed from it.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from saic.audio import decode, headers, limits, mix
from saic.audio import files as audio_files
from saic.errors import UsageError
from saic.files import sha256
from saic.signal import f0, filters, masking, mel, vad
from saic.weights import write_tensors

MODULES = (audio_files, decode, headers, limits, mix, f0, filters, masking, mel, vad)
"""Modules that every cached measurement depends on."""


def cached(
    clip: Path, what: str, measure: Callable[[], dict[str, Tensor]], *, modules: tuple[ModuleType, ...] = ()
) -> dict[str, Tensor]:
    """Read the tensors of a clip, or measure and keep them.

    A damaged file is made again. If the folder cannot be written, the tensors are only returned.

    Parameters
    ----------
    clip
        Audio file.
    what
        Name of the measurement, with everything that it depends on besides the clip and the modules.
    measure
        Makes the tensors; its errors are not caught and nothing is kept then.
    modules
        Modules that it depends on besides :data:`MODULES`.
    """
    try:
        name = hashlib.sha256(f"{sha256(clip)}|{_code(MODULES + modules)}|{what}".encode()).hexdigest()[:32]
    except OSError:  # the clip cannot be read, which measuring reports
        return measure()
    path = cache_folder() / "clips" / f"{name}.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError):  # there is none, or it is damaged
        tensors = measure()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # speech can be made from mels
        write_tensors(path, tensors)
    except (OSError, UsageError):  # a read-only home or a full disk
        pass
    return tensors


@cache
def _code(modules: tuple[ModuleType, ...]) -> str:
    """Hash of the source files of modules."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(module.__name__.encode() + b"\0" + Path(module.__file__).read_bytes() + b"\0")
    return digest.hexdigest()


def cache_folder() -> Path:
    """``SAIC_CACHE``, or the platform's cache folder."""
    return Path(os.environ.get("SAIC_CACHE") or user_cache_path("saic"))
