"""Selection of the torch device that runs an encoder's model."""

import os
import re
import sys
from pathlib import Path

from tracktokens.schemas.errors import UsageError

CPU = "cpu"
CUDA = "cuda"
MPS = "mps"

_NAMES = re.compile(rf"{CPU}|{MPS}|{CUDA}(:\d+)?")
_DRIVER_FILES = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/kfd", "/dev/dxg")
"""On Linux, the drivers of NVIDIA, of its Jetson, of AMD, and of Windows: without one, torch finds no GPU."""

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


def find_device(name: str | None) -> str:
    """Select the device of this process, by its name in torch: ``cpu``, ``cuda:1`` or ``mps``.

    Torch, which takes seconds to import, is imported only where a GPU may be found.

    Args:
        name: name of the device. None selects a GPU if there is one, else the CPU. None and ``cuda`` distribute the
            GPUs of a machine over its worker processes; if there are more workers than GPUs, workers share GPUs.

    Raises:
        UsageError: this machine does not have the device.
    """
    if name == CPU or (name is None and not _has_gpu_driver()):
        return CPU
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    available = [*([CUDA] if gpus else []), *([MPS] if torch.backends.mps.is_available() else []), CPU]
    device = available[0] if name is None else name
    if device == CUDA and gpus:
        device = f"{CUDA}:{_worker_number() % gpus}"
    available += [f"{CUDA}:{number}" for number in range(gpus)]
    if device not in available:
        raise UsageError(f"--device {device}: this machine has {', '.join(available)}")
    return device


def _has_gpu_driver() -> bool:
    """Return False if this machine has no device that torch could use beside the CPU."""
    return not sys.platform.startswith("linux") or any(Path(file).exists() for file in _DRIVER_FILES)


def device_kind(device: str) -> str:
    """Return ``CPU``, ``CUDA`` or ``MPS``.

    >>> device_kind("cuda:1")
    'cuda'
    """
    return device.partition(":")[0]


def find_exact_device(name: str | None) -> str:
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
