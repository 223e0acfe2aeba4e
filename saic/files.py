"""Atomic writes: a file is complete or not there, even if the process is killed. Names that UTF-8 lacks."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from saic.errors import UsageError

_DISK_ERRORS = {"ENOSPC", "EDQUOT", "EROFS", "EIO", "ENODEV", "ENXIO", "ESTALE"}

MEMORY_BYTES = 32 * 2**20
"""What is longer than this goes to a temporary file."""

_BLOCK_BYTES = 2**20


class DiskError(UsageError):
    """The disk of outputs or of temporary files is full, read-only or gone. Later outputs would fail too."""


def as_usage_error(error: OSError | ValueError, what: str) -> UsageError:
    """Return "``what``: reason." without the file name, a :class:`DiskError` if the disk is the reason.

    A ValueError means a null character in the path.
    """
    kind = DiskError if errno.errorcode.get(getattr(error, "errno", None)) in _DISK_ERRORS else UsageError
    return kind(f"{what}: {getattr(error, 'strerror', None) or 'not a valid path'}.")


def real_path(path: str | os.PathLike) -> Path:
    """The absolute path without symbolic links; a link to itself stays, where ``Path.resolve`` raises."""
    return Path(os.path.realpath(path))


def identity(path: str | os.PathLike) -> object:
    """What a file or folder has in common under all of its names: device and inode, or the real path if there is none.

    Names of one file may differ in case or Unicode form, or be hard links or paths through mounts.
    """
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        if status.st_ino:  # 0 on drives that have none
            return status.st_dev, status.st_ino
    return real_path(path)


def is_within(path: str | os.PathLike, folder: str | os.PathLike) -> bool:
    """Whether a path, which need not exist, is a folder or lies in it, see :func:`identity`."""
    path = real_path(path)
    return identity(folder) in map(identity, (path, *path.parents))


def require_writable(paths: Iterable[Path]) -> None:
    """Check that files can be written at these paths; missing folders are made and removed again.

    Raises
    ------
    UsageError
        A folder cannot be made or written, or a path is no valid name or names no file.
    """
    folders = set()
    for path in paths:
        try:
            os.lstat(path)  # refuses a name that is too long
            if os.path.exists(path) and not os.path.isfile(path):
                raise UsageError("An output is a folder or a device. Name a file.")
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError) as error:
            raise as_usage_error(error, "The output file cannot be written") from None
        folders.add(path.parent)
    for folder in sorted(folders):
        _try_folder(folder)


def make_folder(folder: Path) -> None:
    """Make a folder if there is none; :class:`UsageError` if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise as_usage_error(error, "The output folder cannot be made") from None


def _try_folder(folder: Path) -> None:
    """Make a folder, write a file without a name in it, and remove what was made."""
    made = []
    try:
        try:
            for parent in (*reversed(folder.parents), folder):
                if not os.path.isdir(parent):
                    parent.mkdir()
                    made.append(parent)
        except OSError as error:
            raise as_usage_error(error, "The output folder cannot be made") from None
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"-")
        except OSError as error:
            raise as_usage_error(error, "The output folder cannot be written") from None
    finally:
        for parent in reversed(made):
            with contextlib.suppress(OSError):
                parent.rmdir()


def write(path: Path, data: bytes | BinaryIO, *, force: bool = False, mode: int = 0o666) -> None:
    """Write a file atomically: ``path`` never names an incomplete file.

    The bytes go to a temporary file first. When all of them are on the disk, one system call gives that file its name.
    On Linux the temporary file has no name (``O_TMPFILE``), so nothing is left of it when the process is killed. With
    ``force``, on another system, or on a file system without such files, it is a hidden file beside ``path``, and a
    killed process leaves it there.

    A file system without hard links, such as FAT, has no call that takes a name only if it is free. There the name is
    looked up before the file is moved, so a file that another program makes in between is replaced. On Windows that
    move fails instead.

    Parameters
    ----------
    path
        The file to write, in a folder that exists.
    data
        The content, or an open file, which is copied from its start.
    force
        Replace the file if there is one.
    mode
        Permissions of the file, less those that the process's umask removes. It has them from its first byte.

    Raises
    ------
    FileExistsError
        The name is taken, and ``force`` is not set.
    OSError
        The file cannot be written. ``path`` is then as it was.
    """
    if not force and _write_nameless(path, data, mode):
        return
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            _fill(file, data)
        if force:
            os.replace(part, path)
        else:
            _take_name(part, path)
    finally:
        part.unlink(missing_ok=True)


def _write_nameless(path: Path, data: bytes | BinaryIO, mode: int) -> bool:
    """Write a file that has no name until it is complete; False where the system cannot do that."""
    if not hasattr(os, "O_TMPFILE"):
        return False
    try:
        with os.fdopen(os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, mode), "wb") as file:
            _fill(file, data)
            # Python follows the symbolic link in /proc only if src_dir_fd is given, which the system ignores.
            os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno())
    except FileExistsError:
        raise
    except OSError:  # a file system without O_TMPFILE; any other error occurs again with the named file
        return False
    return True


def temporary_file() -> BinaryIO:
    """An empty file in memory, and from 32 MiB on in the folder for temporary files, with mode 0600.

    It has no name on POSIX systems, and is gone when it is closed or the process ends.
    """
    return tempfile.SpooledTemporaryFile(MEMORY_BYTES)


def blocks_of(data: bytes | BinaryIO) -> Iterator[bytes]:
    """Blocks of the bytes, or of an open file from its start."""
    if isinstance(data, bytes):
        yield data
        return
    data.seek(0)
    while block := data.read(_BLOCK_BYTES):
        yield block


def sha256(data: str | os.PathLike | bytes | BinaryIO) -> str:
    """SHA-256 of the file at a path, of bytes, or of an open file from its start, in hex digits."""
    if isinstance(data, (str, os.PathLike)):
        with open(data, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for block in blocks_of(data):
        digest.update(block)
    return digest.hexdigest()


def _fill(file: BinaryIO, data: bytes | BinaryIO) -> None:
    for block in blocks_of(data):
        file.write(block)
    file.flush()
    os.fsync(file.fileno())  # some file systems report only now that they are full


def _take_name(part: Path, path: Path) -> None:
    """Give a file its name; raise :class:`FileExistsError` if the name is taken."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # no hard links here
        if os.path.lexists(path):
            raise FileExistsError from None
        os.rename(part, path)


def without_surrogates(value: Any) -> Any:
    """A JSON value whose strings UTF-8 can encode.

    A byte of a file name that is not UTF-8, which Python gives as a surrogate, becomes its
    hexadecimal code: "\\xe9".
    """
    if isinstance(value, str):
        value = re.sub("[\udc80-\udcff]", lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", value)
        return value.encode(errors="backslashreplace").decode()  # other surrogates, of Windows
    if isinstance(value, dict):
        return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_surrogates(item) for item in value]
    return value
