"""Weights folders: find, verify, read and write them.

A weights folder holds ``config.json``, ``model.safetensors``, ``SHA256SUMS`` and optionally
``vocoder.safetensors``, ``prosody.safetensors`` and ``voices.safetensors``. It is a local folder, a
repository on the Hub or the bundled weights. The named weights are loaded, or an error is raised:
there is no fallback. A folder is untrusted: any file in it is either loaded or rejected with a
:class:`WeightsError`.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
from importlib import resources
from pathlib import Path
from typing import BinaryIO

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from saic import files
from saic.config import Config
from saic.errors import ConfigError, UsageError, WeightsError
from saic.migration import FORMAT_VERSION, OLD_FORMAT_VERSION, migrate_tensors, other_format
from saic.weights.tensors import read_tensors

CONFIG, MODEL, VOCODER = "config.json", "model.safetensors", "vocoder.safetensors"
PROSODY, VOICES, SUMS = "prosody.safetensors", "voices.safetensors", "SHA256SUMS"
FILES = (CONFIG, MODEL, VOCODER, PROSODY, VOICES)
MAX_FILE_BYTES = 2_000_000_000
MAX_TEXT_BYTES = 100_000
"""Limit on ``config.json`` and ``SHA256SUMS``, which have a few thousand bytes."""

# The Hub's limit is 96 characters: a longer name must be a folder.
_HUB_NAME = re.compile(r"(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(?:@(?P<revision>[\w./-]{1,250}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve(name: str | os.PathLike | None = None, revision: str | None = None) -> Path:
    """Find the folder of weights by name, and check the hash of every file.

    Parameters
    ----------
    name
        A local folder, a repository on the Hub as ``ORG/NAME@COMMIT`` (40 hexadecimal digits), or
        None for the bundled weights. The Hub is contacted only for a repository, and only for files
        that are not in its cache.
    revision
        The commit, if the name is ``ORG/NAME`` without one.

    Raises
    ------
    UsageError
        A revision is given, but the name is no repository on the Hub or has a commit already.
    WeightsError
        The folder is missing or incomplete, a file differs from its hash or has none, or a
        repository is named without its commit.
    HubError
        The Hub does not provide these weights.
    """
    if at := hub_commit(name, revision):
        from saic.weights import download  # here, since nothing else needs the Hub's client

        return download.fetch(*at)
    folder = Path(str(resources.files("saic") / "weights" / "default")) if name is None else Path(name)
    if not os.path.isdir(folder):  # Path.is_dir raises an error if the name is too long
        raise WeightsError("There is no such weights folder. Name one that holds config.json and model.safetensors.")
    verify(folder)
    return folder


def hub_commit(name: str | os.PathLike | None, revision: str | None = None) -> tuple[str, str] | None:
    """Repository and commit of a name on the Hub; None for a folder or the bundled weights.

    Raises
    ------
    UsageError, WeightsError
        As :func:`resolve`.
    """
    match = _HUB_NAME.fullmatch(name) if isinstance(name, str) else None
    if revision is not None and (match is None or match["revision"]):
        raise UsageError("A revision needs a repository on the Hub, named as ORG/NAME without a commit.")
    if match is None:
        return None
    repo, wanted = match["repo"], revision or match["revision"]
    if wanted and _COMMIT.fullmatch(wanted):
        return repo, wanted
    if revision is None and os.path.isdir(name):
        return None
    at = f", revision='{wanted}'" if wanted and _HUB_NAME.fullmatch(f"{repo}@{wanted}") else ""
    raise WeightsError(
        f"There is no folder of that name, and a repository on the Hub is named with its commit, as ORG/NAME@COMMIT."
        f" This command prints it:\n"
        f"python -c \"import huggingface_hub as hub; print('{repo}@' + hub.model_info('{repo}'{at}).sha)\""
    )


def listed(folder: Path) -> dict[str, str]:
    """Read a folder's ``SHA256SUMS``: SHA-256 by file name; :class:`WeightsError` if invalid."""
    try:
        lines = _text(folder / SUMS).splitlines()
    except (OSError, ValueError) as error:
        raise WeightsError(f"The weights folder has no readable {SUMS}: its files cannot be trusted.") from error
    digests = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        if name not in FILES:
            raise WeightsError(f"{SUMS} lists a file that does not belong to a weights folder.")
        if name in digests:
            raise WeightsError(f"{SUMS} lists {name} twice: get the weights again.")
        digests[name] = digest
    for name in (CONFIG, MODEL):
        if name not in digests:
            raise WeightsError(f"{SUMS} does not list {name}: the weights are incomplete.")
    return digests


def verify(folder: Path) -> None:
    """Check every file of a weights folder.

    Raises
    ------
    WeightsError
        A file differs from its hash in ``SHA256SUMS``, is not listed, or cannot be read; the cause is then
        an OSError.
    """
    digests = listed(folder)
    for name in FILES:
        try:
            is_right = name not in digests or _digest(folder / name) == digests[name]
        except FileNotFoundError:
            is_right = False
        except OSError as error:
            raise WeightsError(f"{name} cannot be read: {error.strerror}.") from error
        if not is_right:
            raise WeightsError(f"{name} is missing or differs from its hash: get the weights again.")
        if name not in digests and os.path.lexists(folder / name):
            raise WeightsError(f"{SUMS} does not list {name}. Remove that file, or get the weights again.")


def fingerprint(folder: Path) -> str:
    """SHA-256 over the hashes of config, model, vocoder and prosody, which determine conversions.

    The gallery is not included.
    """
    names = [name for name in (CONFIG, MODEL, VOCODER, PROSODY) if (folder / name).is_file()]
    return hashlib.sha256(b"".join(bytes.fromhex(files.sha256(folder / name)) for name in names)).hexdigest()


def load_vocoder(folder: Path) -> dict[str, Tensor]:
    """Tensors (float32) of the neural vocoder of a folder that :func:`resolve` returned."""
    if not os.path.lexists(folder / VOCODER):
        raise WeightsError(f"These weights name a neural vocoder but hold no {VOCODER}. Make one with train.vocoder.")
    return read_tensors(folder / VOCODER)[0]


def load(folder: Path) -> tuple[Config, dict[str, Tensor]]:
    """Config and tensors (float32) of a folder that :func:`resolve` returned."""
    return _config(folder), migrate_tensors(read_tensors(folder / MODEL)[0])


def _config(folder: Path) -> Config:
    """Read ``config.json``; :class:`WeightsError` if it is not a config of a known format."""
    try:
        values = json.loads(_text(folder / CONFIG))
    except (OSError, ValueError, RecursionError):
        raise WeightsError(f"{CONFIG} cannot be read as JSON: get the weights again.") from None
    if isinstance(values, dict) and (found := values.get("format_version")) not in (FORMAT_VERSION, OLD_FORMAT_VERSION):
        raise WeightsError(other_format(found))
    try:
        return Config.from_dict(values)
    except ConfigError as error:
        first, *_ = str(error).splitlines()
        raise WeightsError(f"{CONFIG} is not valid. {first}") from None


def _opened(path: Path) -> BinaryIO:
    """Open a regular file; :class:`OSError` for a pipe or a device, which may block or not end."""
    if not os.path.isfile(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    # Windows has only the first flag, other systems only the second.
    flags = getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.fdopen(os.open(path, os.O_RDONLY | flags), "rb")


def _text(path: Path) -> str:
    """Read a short UTF-8 file; :class:`OSError` or :class:`ValueError` if it is not one."""
    with _opened(path) as file:
        content = file.read(MAX_TEXT_BYTES + 1) or b""  # None if reading would block
    if len(content) > MAX_TEXT_BYTES:
        raise ValueError("too long")
    return content.decode("utf-8")


def _digest(path: Path) -> str | None:
    """SHA-256 in hex digits; None if a file is larger than the limit. OSError if it cannot be read."""
    with _opened(path) as file:
        left = os.fstat(file.fileno()).st_size
        if left > MAX_FILE_BYTES:
            return None
        digest = hashlib.sha256()
        while left > 0 and (chunk := file.read(min(left, 2**20))):  # up to its size: some files in /proc have no end
            digest.update(chunk)
            left -= len(chunk)
        return digest.hexdigest()


def save(folder: Path, config: Config, tensors: dict[str, Tensor], *, half: bool = True) -> None:
    """Write config, model tensors (float16 unless ``half`` is false) and hashes to a folder.

    A prosody predictor and a gallery of other tensors in that folder are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = {name: (t.half() if half else t).contiguous().cpu() for name, t in tensors.items()}
    before = None
    with contextlib.suppress(WeightsError):  # of the list, not of the file: a save before may have been killed
        before = listed(folder)[MODEL]
    write_tensors(folder / MODEL, stored)
    if before not in (None, files.sha256(folder / MODEL)):
        for name in (PROSODY, VOICES):
            (folder / name).unlink(missing_ok=True)
    _write_config(folder, config)
    write_sums(folder)


def save_vocoder(folder: Path, trained_with: Config, tensors: dict[str, Tensor]) -> None:
    """Add a neural vocoder (float16) and its sections of the config to a weights folder."""
    verify(folder)
    sections = {
        "vocoder": trained_with.vocoder.model_copy(update={"kind": "neural"}),
        "vocoder_training": trained_with.vocoder_training,
    }
    config = _config(folder).model_copy(update=sections)
    write_tensors(folder / VOCODER, {name: t.half().contiguous().cpu() for name, t in tensors.items()})
    _write_config(folder, config)
    write_sums(folder)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file atomically.

    Raises
    ------
    UsageError
        It cannot be written; a :class:`~saic.files.DiskError` if the disk is the reason.
    """
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            save_file(tensors, Path(scratch) / path.name, metadata)
            (Path(scratch) / path.name).chmod(0o644)  # a temporary file is readable only by its owner
            os.replace(Path(scratch) / path.name, path)
    except OSError as error:
        raise files.as_usage_error(error, f"{path.name} cannot be written") from None
    except SafetensorError:
        raise files.DiskError(f"{path.name} cannot be written. Free space on the disk.") from None


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` for the files of a folder."""
    lines = [f"{files.sha256(folder / name)}  {name}\n" for name in FILES if (folder / name).is_file()]
    files.write(folder / SUMS, "".join(lines).encode(), force=True)


def _write_config(folder: Path, config: Config) -> None:
    files.write(folder / CONFIG, (json.dumps(config.to_dict(), indent=2) + "\n").encode(), force=True)
