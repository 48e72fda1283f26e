"""Selection of the torch device that runs an encoder's model."""

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
"""Environment variable in which Beam numbers worker processes: ``worker_3`` locally, ``sdk-0-3`` in a container."""


def check_device_name(name: str | None) -> None:
    """Check the syntax of a device name; the device may be on another machine.

    >>> check_device_name("cuda:1")
    >>> check_device_name("gpu")
    Traceback (most recent call last):
    tracktokens.schemas.errors.UsageError: --device gpu: use cpu, cuda, cuda:0, cuda:1 ... or mps

    Raises:
        UsageError: the name is not that of a device.
    """
    if name is not None and not _NAMES.fullmatch(name):
        raise UsageError(f"--device {name}: use cpu, cuda, cuda:0, cuda:1 ... or mps")


def find_device(name: str | None) -> "torch.device":
    """Select the device of this process.

    Args:
        name: name of the device. None selects a GPU if there is one, else the CPU. None and ``cuda`` distribute the
            GPUs of a machine over its worker processes; if there are more workers than GPUs, workers share GPUs.

    Raises:
        UsageError: this machine does not have the device.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    available = [*([CUDA] if gpus else []), *([MPS] if torch.backends.mps.is_available() else []), CPU]
    device = available[0] if name is None else name
    if device == CUDA and gpus:
        device = f"{CUDA}:{_worker_number() % gpus}"
    available += [f"{CUDA}:{number}" for number in range(gpus)]
    if device not in available:
        raise UsageError(f"--device {device}: this machine has {', '.join(available)}")
    return torch.device(device)


def find_exact_device(name: str | None) -> "torch.device":
    """Select a device like :func:`find_device`, and disable computation with fewer bits than float32.

    By default cuDNN computes convolutions in TF32, which keeps 10 of 23 mantissa bits: vectors computed on a GPU would
    differ from those computed on a CPU.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    return find_device(name)


def _worker_number() -> int:
    number = re.search(r"\d+$", os.environ.get(_WORKER_ID, ""))
    return int(number[0]) if number else 0
