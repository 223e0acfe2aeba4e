"""Tensors of a file that may be malformed, and networks that take no more memory than their file fills."""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saic.errors import WeightsError

Network = TypeVar("Network", bound=nn.Module)

_STORED = (torch.float16, torch.bfloat16, torch.float32)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file of a weights folder.

    Returns
    -------
    tensors: by name, float32 on the CPU. metadata: texts by name, often none.

    Raises
    ------
    WeightsError
        It is not a regular file or not a safetensors file, or holds a tensor that is not of 16-bit or 32-bit floats, or
        NaN or infinity.
    """
    if not os.path.isfile(path):  # a pipe would block
        raise WeightsError(f"{path.name} is missing or is not a file: get the weights again.")
    try:
        with safe_open(path, "pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            metadata = file.metadata() or {}
    except (OSError, SafetensorError, RuntimeError, ValueError):
        raise WeightsError(f"{path.name} is not a readable safetensors file: get the weights again.") from None
    if any(tensor.dtype not in _STORED for tensor in stored.values()):
        raise WeightsError(f"{path.name} holds tensors that are not 16-bit or 32-bit floats: get the weights again.")
    if not all(tensor.isfinite().all() for tensor in stored.values()):
        raise WeightsError(f"{path.name} holds NaN or infinity: get the weights again.")
    return {name: tensor.float() for name, tensor in stored.items()}, metadata


def make_network(make: Callable[[], Network], tensors: Mapping[str, Tensor], name: str) -> Network:
    """Make a network and give it its tensors.

    Parameters
    ----------
    make
        Makes the network from the config, which may ask for any size.
    tensors
        All that the network has, by the names of its ``state_dict``.
    name
        Of the file that holds them, for the message.

    Raises
    ------
    WeightsError
        The network has other tensors. One with more tensors or elements is never finished: no memory is taken for them.
    """
    try:
        with _Budget(len(tensors), sum(tensor.numel() for tensor in tensors.values())):
            made = make()
        made.load_state_dict(tensors)
    except (_TooLarge, RuntimeError):
        raise WeightsError(f"The tensors of {name} do not fit the config beside them: get the weights again.") from None
    return made


class _TooLarge(Exception):
    """A network asks for more than there is."""


class _Budget(TorchFunctionMode):
    """Counts the parameters that a network makes, and their elements; stops it where there are too many of either.

    Every layer of torch makes its parameters by ``torch.empty``.
    """

    def __init__(self, n_tensors: int, n_elements: int):
        super().__init__()
        self.n_tensors, self.n_elements = n_tensors, n_elements

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is torch.empty:
            self.n_tensors -= 1
            self.n_elements -= math.prod(args[0] if args and isinstance(args[0], (tuple, list)) else args)
            if self.n_tensors < 0 or self.n_elements < 0:
                raise _TooLarge
        return func(*args, **(kwargs or {}))
