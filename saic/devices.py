"""Which devices there are."""

import torch

from saic.errors import UsageError


def present(device: str) -> str:
    """A device that torch has here, "cpu" or "cuda[:N]"; raise :class:`UsageError` for another."""
    # Asked without touching it: of several processes each would open the first GPU.
    if device == "cpu" or (device.partition(":")[0] == "cuda" and torch.cuda.is_available()):
        return device
    raise UsageError("There is no such device here. --device is cpu, or cuda where torch finds a GPU.")
