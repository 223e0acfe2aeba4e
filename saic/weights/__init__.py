"""The one resolver of weights: a folder or the bundled set, checked against its hashes.

A weights folder holds ``config.json``, ``model.safetensors``, ``SHA256SUMS`` and, where there are any,
``vocoder.safetensors`` and ``voices.safetensors``.
"""

import hashlib
import json
import os
import tempfile
from importlib import resources
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from saic.config import Config, Vocoder
from saic.errors import ConfigError, WeightsError

CONFIG, MODEL, VOCODER = "config.json", "model.safetensors", "vocoder.safetensors"
VOICES, SUMS = "voices.safetensors", "SHA256SUMS"
FILES = (CONFIG, MODEL, VOCODER, VOICES)
MAX_FILE_BYTES = 2_000_000_000


def resolve(name: str | os.PathLike | None = None) -> Path:
    """Folder of the named weights, with every file's hash checked.

    Parameters
    ----------
    name
        A local folder, or None for the bundled set.

    Raises
    ------
    WeightsError
        The folder is missing or incomplete, or a file differs from its hash.
    """
    folder = Path(str(resources.files("saic") / "weights" / "default")) if name is None else Path(name)
    if not folder.is_dir():
        raise WeightsError("There is no such weights folder. Name one that holds config.json and model.safetensors.")
    verify(folder)
    return folder


def verify(folder: Path) -> None:
    """Check every file that ``SHA256SUMS`` lists; raise :class:`WeightsError` at the first that differs."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise WeightsError(f"The weights folder has no readable {SUMS}: its files cannot be trusted.") from None
    listed = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        if name not in FILES:
            raise WeightsError(f"{SUMS} lists a file that does not belong to a weights folder.")
        listed[name] = digest
    for name in (CONFIG, MODEL):
        if name not in listed:
            raise WeightsError(f"{SUMS} does not list {name}: the weights are incomplete.")
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES or sha256(path) != digest:
            raise WeightsError(f"{name} is missing or differs from its hash: get the weights again.")


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(folder: Path) -> str:
    """One hash of all that decides how a conversion sounds: config and tensors, not the gallery."""
    names = [name for name in (CONFIG, MODEL, VOCODER) if (folder / name).is_file()]
    return hashlib.sha256(b"".join(bytes.fromhex(sha256(folder / name)) for name in names)).hexdigest()


def load_vocoder(folder: Path) -> dict[str, Tensor]:
    """Tensors (float32) of the neural vocoder of a folder that :func:`resolve` returned."""
    try:
        tensors = load_file(folder / VOCODER)
    except (OSError, SafetensorError):
        raise WeightsError(
            f"These weights name a neural vocoder but hold no readable {VOCODER}. Make one with train.vocoder."
        ) from None
    return {name: tensor.float() for name, tensor in tensors.items()}


def load(folder: Path) -> tuple[Config, dict[str, Tensor]]:
    """Config and tensors (float32) of a folder that :func:`resolve` returned."""
    try:
        config = Config.from_dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        tensors = load_file(folder / MODEL)
    except (OSError, ValueError, ConfigError, SafetensorError) as error:
        raise WeightsError(f"The weights cannot be read: {error}") from None
    return config, {name: tensor.float() for name, tensor in tensors.items()}


def save(folder: Path, config: Config, tensors: dict[str, Tensor], *, half: bool = True) -> None:
    """Write ``config.json``, ``model.safetensors`` (float16 unless ``half`` is false) and the hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = {name: (t.half() if half else t).contiguous().cpu() for name, t in tensors.items()}
    write_tensors(folder / MODEL, stored)
    _write_config(folder, config)
    write_sums(folder)


def save_vocoder(folder: Path, vocoder: Vocoder, tensors: dict[str, Tensor]) -> None:
    """Put a neural vocoder (float16) into a folder of weights: its file, its config, the hashes."""
    verify(folder)
    config = Config.from_dict(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    config = config.model_copy(update={"vocoder": vocoder.model_copy(update={"kind": "neural"})})
    write_tensors(folder / VOCODER, {name: t.half().contiguous().cpu() for name, t in tensors.items()})
    _write_config(folder, config)
    write_sums(folder)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file atomically."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        save_file(tensors, Path(scratch) / path.name, metadata)
        _publish(Path(scratch) / path.name, path)


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` over the files that are there."""
    names = [name for name in FILES if (folder / name).is_file()]
    _replace(folder / SUMS, "".join(f"{sha256(folder / name)}  {name}\n" for name in names).encode())


def _write_config(folder: Path, config: Config) -> None:
    _replace(folder / CONFIG, (json.dumps(config.to_dict(), indent=2) + "\n").encode())


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    _publish(Path(file.name), path)


def _publish(made: Path, path: Path) -> None:
    """Move a finished file into place, readable by all: temporary files are their owner's alone."""
    made.chmod(0o644)
    os.replace(made, path)
