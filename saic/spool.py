"""An array that is written in order and read in parts, in a temporary file if it is long.

A recording of an hour has 0.2 GB of samples, and every layer of the decoder as much again. Up to
32 MiB stay in memory; what is longer is in a file of the system's folder for temporary files
(``TMPDIR``). The file has no name on POSIX systems and mode 0600 anywhere, so that nobody else can
open it, and it is gone when the process ends, in whatever way.
"""

import bisect
import ctypes
import functools
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from saic import files
from saic.files import MEMORY_BYTES

_M_ARENA_MAX = -8  # parameter of mallopt, glibc's malloc.h

if TYPE_CHECKING:  # not when it runs: the processes that decode untrusted files have no torch
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")


class Spool(Generic[Array]):
    """An array or tensor (..., T) that grows along its last axis.

    >>> spool = Spool.of(np.arange(6.0))
    >>> spool[2:4]
    array([2., 3.])

    Parameters
    ----------
    memory_bytes
        Size from which on it is in a file; None keeps all of it in memory.
    """

    def __init__(self, memory_bytes: int | None = MEMORY_BYTES) -> None:
        self._limit = np.inf if memory_bytes is None else memory_bytes
        self._parts: list[Array] = []
        self._ends: list[int] = []  # of the parts
        self._length, self._bytes = 0, 0
        self._file = None

    @classmethod
    def of(cls, *parts: Array) -> "Spool":
        """A spool of parts, one after the other."""
        return cls().extend(parts)

    def extend(self, parts: Iterable[Array]) -> "Spool":
        """Append parts, and return the spool."""
        for part in parts:
            self.append(part)
        return self

    def append(self, part: Array) -> None:
        """Append a part (..., n); all are of one kind, with the same dtype, device and other sizes.

        Raises
        ------
        DiskError
            The temporary file cannot be written.
        """
        if part.shape[-1] == 0 and self._length:
            return
        self._bytes += part.nbytes
        self._length += part.shape[-1]
        if self._file is None:
            self._parts.append(part)
            self._ends.append(self._length)
            if self._bytes > self._limit:
                self._move_to_file()
        else:
            self._write(part)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, frames: slice) -> Array:
        """The frames of a slice without a step, (..., stop - start)."""
        start, stop, _ = frames.indices(self._length)
        stop = max(start, stop)
        if self._file is not None:
            return self._read(start, stop)
        if len(self._parts) == 1:
            return self._parts[0][..., start:stop]
        k = min(bisect.bisect_right(self._ends, start), len(self._parts) - 1)
        found = []
        while True:
            first = self._ends[k] - self._parts[k].shape[-1]
            found.append(self._parts[k][..., max(start - first, 0) : max(stop - first, 0)])
            if k + 1 == len(self._parts) or self._ends[k] >= stop:
                return found[0] if len(found) == 1 else _joined(found)
            k += 1

    def blocks(self, size: int) -> Iterator[Array]:
        """The parts (..., n) of at most ``size`` frames."""
        for start in range(0, self._length, size):
            yield self[start : start + size]

    def _move_to_file(self) -> None:
        parts, self._parts, self._ends = self._parts, [], []
        self._like = parts[0][..., :0]
        self._frame_shape = tuple(parts[0].shape[:-1])
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        except OSError as error:  # on a full disk too, tempfile says that there is no usable folder
            raise _failure(error) from None
        for part in parts:
            self._write(part)

    def _write(self, part: Array) -> None:
        # Frame by frame, so that what is read together lies together.
        data = np.ascontiguousarray(np.moveaxis(_as_numpy(part), -1, 0))
        try:
            self._file.seek(0, 2)
            self._file.write(data)
        except OSError as error:
            raise _failure(error) from None

    def _read(self, start: int, stop: int) -> Array:
        data = np.empty((stop - start, *self._frame_shape), dtype=_as_numpy(self._like).dtype)
        try:
            if stop > start:
                self._file.seek(start * (data.nbytes // (stop - start)))
                self._file.readinto(data)
        except OSError as error:
            raise _failure(error) from None
        data = np.ascontiguousarray(np.moveaxis(data, 0, -1))
        if isinstance(self._like, np.ndarray):
            return data
        import torch

        return torch.from_numpy(data).to(self._like.device)


def return_free_memory() -> None:
    """Give pages that the process does not use back to the system.

    The C library of Linux keeps the space of freed arrays for later ones. Over an hour of recording,
    small arrays that stay between large ones that go left a gigabyte of gaps.
    """
    if trim := _malloc_trim():
        trim(0)


def share_heaps() -> None:
    """Let all threads of this process share two heaps, where its C library is glibc.

    By default, each of a server's many threads gets a heap of its own, whose free space the others
    cannot use.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_ARENA_MAX, 2)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """The function of glibc; None elsewhere."""
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def _failure(error: OSError) -> files.DiskError:
    return files.DiskError(f"A temporary file cannot be written or read: {error.strerror}.")


def _as_numpy(part: Array) -> np.ndarray:
    return part if isinstance(part, np.ndarray) else part.cpu().numpy()


def _joined(parts: list[Array]) -> Array:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=-1)
    import torch

    return torch.cat(parts, dim=-1)
