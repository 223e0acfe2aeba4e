"""The one resolver of weights: a folder, the bundled set or a repository on the Hub, checked against its hashes.

A weights folder holds ``config.json``, ``model.safetensors``, ``SHA256SUMS`` and, where there are any,
``vocoder.safetensors`` and ``voices.safetensors``.
A source that is named is the one that is loaded, or there is an error: nothing else ever stands in for it.
"""

import hashlib
import json
import os
import re
import tempfile
from importlib import resources
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from saic.config import FORMAT_VERSION, Config, Vocoder
from saic.errors import ConfigError, UsageError, WeightsError

CONFIG, MODEL, VOCODER = "config.json", "model.safetensors", "vocoder.safetensors"
VOICES, SUMS = "voices.safetensors", "SHA256SUMS"
FILES = (CONFIG, MODEL, VOCODER, VOICES)
MAX_FILE_BYTES = 2_000_000_000

_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_OTHER_FORMAT = "These weights are of format {found}, and this version reads format {read}: get weights made for it."
_COMMIT = re.compile(r"[0-9a-f]{40}")


def resolve(name: str | os.PathLike | None = None, revision: str | None = None) -> Path:
    """Folder of the named weights, with every file's hash checked.

    Parameters
    ----------
    name
        A local folder, a repository on the Hub as ``ORG/NAME@COMMIT`` (40 hexadecimal digits), or None for the
        bundled set. The Hub is contacted for such a name alone, and only for what its cache lacks.
    revision
        The commit, where the name is ``ORG/NAME`` alone.

    Raises
    ------
    UsageError
        A revision without a name on the Hub.
    WeightsError
        The folder is missing or incomplete, a file differs from its hash, or a repository is named without its commit.
    HubError
        The Hub does not give these weights.
    """
    if at := hub_commit(name, revision):
        from saic.weights import hub  # here, since nothing else needs the Hub's client

        return hub.fetch(*at)
    folder = Path(str(resources.files("saic") / "weights" / "default")) if name is None else Path(name)
    if not folder.is_dir():
        raise WeightsError("There is no such weights folder. Name one that holds config.json and model.safetensors.")
    verify(folder)
    return folder


def hub_commit(name: str | os.PathLike | None, revision: str | None = None) -> tuple[str, str] | None:
    """Repository and commit that a name means on the Hub; None where it means a folder or the bundled set.

    Raises
    ------
    UsageError, WeightsError
        As :func:`resolve`.
    """
    match = _HUB_NAME.fullmatch(name) if isinstance(name, str) else None
    if revision is not None and (match is None or match["revision"]):
        raise UsageError("A revision goes with a repository on the Hub: name it as ORG/NAME.")
    if match is None:
        return None
    repo, wanted = match["repo"], revision or match["revision"]
    if wanted and _COMMIT.fullmatch(wanted):
        return repo, wanted
    if revision is None and Path(name).is_dir():
        return None
    at = f", revision='{wanted}'" if wanted and _HUB_NAME.fullmatch(f"{repo}@{wanted}") else ""
    raise WeightsError(
        f"There is no folder of that name, and a repository on the Hub is named with its commit, as ORG/NAME@COMMIT."
        f" This command prints it:\n"
        f"python -c \"import huggingface_hub as hub; print('{repo}@' + hub.model_info('{repo}'{at}).sha)\""
    )


def listed(folder: Path) -> dict[str, str]:
    """Names and SHA-256 of the files that a folder's ``SHA256SUMS`` lists; :class:`WeightsError` if it cannot be so."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise WeightsError(f"The weights folder has no readable {SUMS}: its files cannot be trusted.") from None
    digests = {}
    for line in lines:
        digest, _, name = line.partition("  ")
        if name not in FILES:
            raise WeightsError(f"{SUMS} lists a file that does not belong to a weights folder.")
        digests[name] = digest
    for name in (CONFIG, MODEL):
        if name not in digests:
            raise WeightsError(f"{SUMS} does not list {name}: the weights are incomplete.")
    return digests


def verify(folder: Path) -> None:
    """Check every file that ``SHA256SUMS`` lists; raise :class:`WeightsError` at the first that differs."""
    for name, digest in listed(folder).items():
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
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config = Config.from_dict(_of_this_format(values))
        tensors = load_file(folder / MODEL)
    except (OSError, ValueError, ConfigError, SafetensorError) as error:
        raise WeightsError(f"The weights cannot be read: {error}") from None
    return config, {name: tensor.float() for name, tensor in tensors.items()}


def _of_this_format(values: object) -> object:
    if isinstance(values, dict) and (found := values.get("format_version")) != FORMAT_VERSION:
        raise WeightsError(_OTHER_FORMAT.format(found=found, read=FORMAT_VERSION))
    return values


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
