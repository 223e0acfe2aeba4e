"""Data-parallel training (``torchrun``): every process works on its rows of one batch.

All randomness is seeded by (seed, step), so every process draws the same batch of B. It runs the
networks on its own rows and gathers the outputs of all N processes::

    inputs (B, ...) -- shard --> (B / N, ...) -- networks --> (B / N, ...) -- gather --> (B, ...)

Every process then computes the losses on the whole batch, with equal results, even where a mean is
over clips of several processes. To divide the work of a network that is used in a loss, give it
only the rows of :func:`rows`, and add up its loss by :func:`total`.

Gradients: the backward passes of :func:`gather` and :func:`total` sum over the N processes. Since
every process has the same loss, each gets N times the gradient of its own rows. The mean over
processes is therefore the gradient of the whole batch. For parameters used after :func:`gather`,
every process has the gradient of the whole batch already, and the mean does not change it. So
:func:`average_gradients` is right for all parameters, and N processes make the same update as one.

With one process these functions change nothing.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from saic.errors import UsageError

# So long, because the others wait while the first process computes mels or validates. If a process
# dies, torchrun stops the others.
_TIMEOUT = timedelta(days=2)


def requested_processes() -> int:
    """Number of processes that ``torchrun`` starts; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def start(device: str) -> None:
    """Join the process group of ``torchrun``, if any; "cuda" is then the process's own GPU.

    Raises
    ------
    UsageError
        Of several processes, the device is a single GPU, or there is no GPU for this one.
    """
    if requested_processes() > 1 and not dist.is_initialized():
        on_gpu = device != "cpu"
        if on_gpu:
            rank, n_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
            if device != "cuda":
                raise UsageError("Several processes have a GPU each. Give --device cuda, without a number.")
            if rank >= n_gpus:
                raise UsageError(f"This machine has {n_gpus} GPUs, and torchrun starts more processes. Start fewer.")
            torch.cuda.set_device(rank)
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_TIMEOUT)


def stop() -> None:
    """Leave the process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this is the process that logs, validates and saves."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def first_before_others() -> Iterator[None]:
    """Run a block in the first process, for instance to fill a cache, and then in the others."""
    if not is_first():
        dist.barrier()
    yield
    if is_first() and dist.is_initialized():
        dist.barrier()


def shard(batch: Tensor) -> Tensor:
    """This process's B / N rows of a batch (B, ...).

    Raises
    ------
    UsageError
        N does not divide B.
    """
    n = _n_processes()
    if len(batch) % n:
        raise UsageError(
            f"training.batch_size must be a multiple of the number of processes: {len(batch)} is not of {n}."
        )
    return batch[rows(len(batch))]


def rows(count: int) -> slice:
    """This process's part of ``count`` rows; parts differ by at most one row, and may be empty."""
    n, rank = _n_processes(), dist.get_rank() if dist.is_initialized() else 0
    return slice(count * rank // n, count * (rank + 1) // n)


def gather(own: Tensor) -> Tensor:
    """Join the (B / N, ...) of every process to (B, ...), in the order of :func:`shard`."""
    return _Gather.apply(own) if dist.is_initialized() else own


def total(own: Tensor) -> Tensor:
    """Sum over processes, element by element."""
    return _Total.apply(own) if dist.is_initialized() else own


def replicated(whole: Tensor) -> Tensor:
    """The identity, with a backward pass that averages the gradient over processes.

    For rows of an embedding table: only the gradients of these rows are exchanged, and the table
    gets the same gradient in all processes.
    """
    return _Replicated.apply(whole) if dist.is_initialized() else whole


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over processes. Call it before gradients are clipped."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not dist.is_initialized() or not gradients:
        return
    joined = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(joined)
    joined /= _n_processes()
    for gradient, mean in zip(gradients, joined.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(_n_processes())]
        dist.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return shard(_sum(gradient))


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        return _sum(own)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


class _Replicated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor) -> Tensor:
        return whole.view_as(whole)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient) / _n_processes()


def _sum(tensor: Tensor) -> Tensor:
    summed = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(summed)
    return summed


def _n_processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1
