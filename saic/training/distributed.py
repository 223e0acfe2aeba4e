"""One step taken by several processes together, each on its rows of the batch (``torchrun``).

Every process draws the same whole batch, since all randomness is seeded by (seed, step). It runs the networks on its
own rows and gathers what everybody's gave::

    inputs (B, ...) -- share --> (B / N, ...) -- networks --> (B / N, ...) -- gather --> (B, ...) -- losses

Losses are thus of the whole batch, the same number in every process: a mean over a mask, over counts that differ or
over anything else that mixes clips is what one process would have. What follows :func:`gather` is done by everybody, so
a network there is not shared out; :func:`rows` and :func:`total` do that where it matters.

Gradients: the backward pass of :func:`gather` and :func:`total` adds up what the N processes ask for. They all ask for
the same, so it is N times the gradient, and the mean over processes is it; parameters that are used after
:func:`gather` have the gradient itself, and the mean of N equal ones is it as well. Hence one rule:
:func:`average_gradients` of all parameters, and N processes take the step of one.

With one process all this does nothing.
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

# The others wait while the first one computes mels or validates: a process that died is torchrun's to notice.
_PATIENCE = timedelta(days=2)


def asked_for() -> int:
    """How many processes ``torchrun`` was asked to run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def start(device: str) -> None:
    """Join the other processes of ``torchrun``, if there are any; on GPUs, "cuda" is then a process' own one."""
    if asked_for() > 1 and not dist.is_initialized():
        on_gpu = torch.device(device).type == "cuda"
        if on_gpu:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)


def stop() -> None:
    """Leave the others."""
    if dist.is_initialized():
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this process logs, validates and saves."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def first_before_others() -> Iterator[None]:
    """The first process goes through the block alone, for instance to fill a cache; then the others do."""
    if not is_first():
        dist.barrier()
    yield
    if is_first() and dist.is_initialized():
        dist.barrier()


def share(batch: Tensor) -> Tensor:
    """(B, ...) to this process' rows of it, B / N of them.

    Raises
    ------
    UsageError
        N doesn't divide B.
    """
    n = _n_processes()
    if len(batch) % n:
        raise UsageError(
            f"training.batch_size must be a multiple of the number of processes: {len(batch)} is not of {n}."
        )
    return batch[rows(len(batch))]


def rows(count: int) -> slice:
    """Which of ``count`` rows are this process' to work on; some may get one more than others, or none."""
    n, rank = _n_processes(), dist.get_rank() if dist.is_initialized() else 0
    return slice(count * rank // n, count * (rank + 1) // n)


def gather(own: Tensor) -> Tensor:
    """(B / N, ...) of each process to the whole (B, ...), in the order of :func:`share`."""
    return _Gather.apply(own) if dist.is_initialized() else own


def total(own: Tensor) -> Tensor:
    """Sum over processes, element by element."""
    return _Total.apply(own) if dist.is_initialized() else own


def replicated(whole: Tensor) -> Tensor:
    """A tensor that every process has whole: the same forwards, its gradient averaged backwards.

    For rows of a table: only the gradient of these rows travels, and the table's own is the same everywhere.
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
        return share(_sum(gradient))


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
