"""Which devices torch has on this machine."""

import re

from saic.errors import UsageError

_CUDA = re.compile(r"cuda(?::(\d+))?", re.ASCII)


def require_device(device: str) -> str:
    """Return the device, "cpu" or "cuda[:N]"; raise :class:`UsageError` if torch does not have it."""
    cuda = _CUDA.fullmatch(device)
    if device == "cpu" or (cuda and int(cuda[1] or 0) < _n_gpus()):
        return device
    raise UsageError("There is no such device here. --device is cpu, or cuda where torch finds a GPU.")


def _n_gpus() -> int:
    """How many GPUs torch finds. None is opened: each of several processes would open the first one."""
    import torch  # here, since importing it takes seconds, and the command line needs it for "cuda" alone

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
