"""The library that runs a CLAP network: torch, or on a CPU a graph in ONNX Runtime or OpenVINO."""

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.audio.clap_base import ClapNetwork
from tracktokens.transforms.encoders.devices import CPU, find_exact_device
from tracktokens.transforms.encoders.onnx_graphs import AUTO, ONNX, OPENVINO, TORCH, check_backend


def check_clap_backend(backend: str, device: str | None) -> None:
    """Check a backend: ``auto``, ``torch``, ``onnx`` or ``openvino``.

    Raises:
        UsageError: it lacks a package, or does not run on the device.
    """
    if backend not in (AUTO, TORCH, ONNX, OPENVINO):
        raise UsageError(f"--clap-backend {backend}: use one of {AUTO}, {TORCH}, {ONNX}, {OPENVINO}")
    check_backend(backend, device)


def find_clap_device(device: str | None, backend: str) -> str:
    """Find the device of a network: the CPU for a graph, else as :func:`find_exact_device` does."""
    return find_exact_device(CPU if backend in (ONNX, OPENVINO) else device)


def run_in_backend(network: ClapNetwork, backend: str, *, weights: str, device: str, threads: int) -> None:
    """Run a network in a backend. ``auto`` is torch on a GPU, and the fastest on a CPU.

    Raises:
        UsageError: a backend that is named cannot run the network.
    """
    if backend == TORCH or device != CPU:
        return
    from tracktokens.transforms.encoders.audio.clap_graphs import use_backend

    use_backend(network, weights=weights, backend=backend, threads=threads)
