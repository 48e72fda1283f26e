"""Where torch runs an encoder's model."""

import os
import re
from typing import TYPE_CHECKING

from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    import torch

CPU = "cpu"
CUDA = "cuda"
MPS = "mps"

_NAMES = re.compile(rf"{CPU}|{MPS}|{CUDA}(:\d+)?")
_WORKER_ID = "WORKER_ID"
"""Beam's variable for the number of a worker process: ``worker_3`` on this machine, ``sdk-0-3`` in a container."""


def check_device_name(name: str | None) -> None:
    """Check the name of a device that may be on another machine.

    Raises:
        UsageError: no device has such a name.
    """
    if name is not None and not _NAMES.fullmatch(name):
        raise UsageError(f"--device {name}: devices are named cpu, cuda, cuda:0, cuda:1 ... and mps")


def find_device(name: str | None) -> "torch.device":
    """Find the device that this process uses.

    Args:
        name: its name. None takes a GPU where there is one, else the CPU. None and ``cuda`` give the worker processes
            of a machine its GPUs in turn; where there are more workers than GPUs, some share one.

    Raises:
        UsageError: this machine has no such device.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    here = [*([CUDA] if gpus else []), *([MPS] if torch.backends.mps.is_available() else []), CPU]
    device = here[0] if name is None else name
    if device == CUDA and gpus:
        device = f"{CUDA}:{_worker_number() % gpus}"
    here += [f"{CUDA}:{number}" for number in range(gpus)]
    if device not in here:
        raise UsageError(f"--device {device}: this machine has {', '.join(here)}")
    return torch.device(device)


def exact_device(name: str | None) -> "torch.device":
    """Find a device, as :func:`find_device` does, and let none compute with fewer bits than float32.

    cuDNN's convolutions take TF32 unasked, which keeps 10 bits of 23: vectors of a GPU would not be those of a CPU.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    return find_device(name)


def _worker_number() -> int:
    number = re.search(r"\d+$", os.environ.get(_WORKER_ID, ""))
    return int(number[0]) if number else 0
