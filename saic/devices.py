"""Which devices torch has on this machine."""

from saic.errors import UsageError


def require_device(device: str) -> str:
    """Return the device, "cpu" or "cuda[:N]"; raise :class:`UsageError` if torch does not have it."""
    if device == "cpu" or (device.partition(":")[0] == "cuda" and _has_cuda()):
        return device
    raise UsageError("There is no such device here. --device is cpu, or cuda where torch finds a GPU.")


def _has_cuda() -> bool:
    """Whether torch finds a GPU. None is opened: each of several processes would open the first one."""
    import torch  # here, since importing it takes seconds, and the command line needs it for "cuda" alone

    return torch.cuda.is_available()
