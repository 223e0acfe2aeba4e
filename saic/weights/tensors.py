"""Read tensors of an untrusted file, and build networks no larger than the file."""

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

_STORED_TYPES = (torch.float16, torch.bfloat16, torch.float32)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file of a weights folder.

    Returns
    -------
    tensors: by name, float32 on the CPU. metadata: strings by name, often empty.

    Raises
    ------
    WeightsError
        The path is not a regular file or not a safetensors file, or a tensor has another type than
        16-bit or 32-bit floats, or contains NaN or infinity.
    """
    if not os.path.isfile(path):  # a pipe would block
        raise WeightsError(f"{path.name} is missing or is not a file: get the weights again.")
    try:
        with safe_open(path, "pt") as file:
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            metadata = file.metadata() or {}
    except (OSError, SafetensorError, RuntimeError, ValueError):
        raise WeightsError(f"{path.name} is not a readable safetensors file: get the weights again.") from None
    if any(tensor.dtype not in _STORED_TYPES for tensor in stored.values()):
        raise WeightsError(f"{path.name} holds tensors that are not 16-bit or 32-bit floats: get the weights again.")
    if not all(tensor.isfinite().all() for tensor in stored.values()):
        raise WeightsError(f"{path.name} holds NaN or infinity: get the weights again.")
    return {name: tensor.float() for name, tensor in stored.items()}, metadata


def make_network(make: Callable[[], Network], tensors: Mapping[str, Tensor], name: str) -> Network:
    """Build a network and load its tensors.

    Parameters
    ----------
    make
        Builds the network from the config, which may ask for any size.
    tensors
        All tensors of the network, by the names of its ``state_dict``.
    name
        File of the tensors, for the message.

    Raises
    ------
    WeightsError
        The network has other tensors. If it has more tensors or elements than the file, building
        stops before memory is allocated for them.
    """
    try:
        with _ParameterLimit(len(tensors), sum(tensor.numel() for tensor in tensors.values())):
            made = make()
        made.load_state_dict(tensors)
    except (_TooLarge, RuntimeError):
        raise WeightsError(f"The tensors of {name} do not fit the config beside them: get the weights again.") from None
    return made


class _TooLarge(Exception):
    """A network has more tensors or elements than its file."""


class _ParameterLimit(TorchFunctionMode):
    """Count the tensors and elements that a network allocates.

    Raises :class:`_TooLarge` beyond the limits. Every layer of torch allocates its parameters with
    ``torch.empty``.
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
