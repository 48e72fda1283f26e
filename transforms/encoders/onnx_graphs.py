"""ONNX graphs: run by ONNX Runtime or OpenVINO on a CPU, quantized to 8 bits, and cached in a folder of this machine.

In ``int8`` the weights of matrix products are rounded to 8 bits, in blocks of 32 with one scale each, and the runtime
rounds their other operand row by row. So the vector of a text does not depend on the rest of its batch. (With ONNX
Runtime's dynamic quantization it does, because that uses one scale for the whole batch.)
"""

import functools
import importlib
import importlib.util
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.devices import CPU

AUTO = "auto"
TORCH = "torch"
ONNX = "onnx"
OPENVINO = "openvino"

BLOCK = 32
"""Weights that share a scale. With 128, OpenVINO was not faster, ONNX Runtime was a fifth faster, and the difference
from float32 doubled in both."""

OUTPUT = "last_hidden_state"
"""Name of the output of a text model's graph, float32 of shape (texts, word pieces, dim)."""

CACHE_VARIABLE = "TRACKTOKENS_CACHE"
GRAPH_FILE = "model.onnx"

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Graph:
    """A graph in memory.

    Attributes:
        inputs: names of its input arrays: of a text model, int64 of shape (texts, word pieces).
        run: computes the output on one CPU thread; thread-safe.
    """

    inputs: frozenset[str]
    run: Callable[[Arrays], npt.NDArray[np.float32]]


def check_backend(backend: str, device: str | None) -> None:
    """Check that a backend runs on the device that is named, and that its packages are installed.

    Raises:
        UsageError: it is a graph's and the device is not the CPU, or a package is missing.
    """
    if backend in (ONNX, OPENVINO) and device not in (None, CPU):
        raise UsageError(f"--device {device}: the {backend} backend runs on the CPU only; torch is as fast on a GPU")
    require_packages(backend)


def require_packages(backend: str) -> None:
    """Check that the packages of a backend are installed.

    Raises:
        UsageError: a package is missing.
    """
    for name in {ONNX: ("onnx", "onnxruntime"), OPENVINO: ("onnx", "openvino")}.get(backend, ()):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"the {backend} backend needs the package {name}: pip install {name}")


def open_graph(path: Path, backend: str, threads: int) -> Graph:
    """Load a graph into the runtime of a backend, ``ONNX`` or ``OPENVINO``, to run ``threads`` times at once.

    Raises:
        Exception: any error of a runtime that cannot read the graph.
    """
    return _open_in_onnxruntime(path) if backend == ONNX else _open_in_openvino(path, threads)


def _open_in_onnxruntime(path: Path) -> Graph:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    output_name = OUTPUT if OUTPUT in outputs else outputs[0]
    inputs = frozenset(argument.name for argument in session.get_inputs())
    return Graph(inputs, lambda arrays: session.run([output_name], dict(arrays))[0])


_LOADING_CORE = threading.Lock()


@functools.cache
def _openvino_core() -> Any:
    """Make the core of OpenVINO, which keeps its plugin for CPUs, once per process: call it with ``_LOADING_CORE``.

    The plugin gives the thread that loads it a stack for signals, and unmaps this stack when it is unloaded. If another
    thread unloads it, the address stays with the first one, and Ctrl-C then ends the process with a segmentation fault:
    https://github.com/openvinotoolkit/openvino/blob/master/src/plugins/intel_cpu/src/plugin.cpp
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # disables telemetry, which is sent at import
    return importlib.import_module("openvino").Core()


def _open_in_openvino(path: Path, threads: int) -> Graph:
    with _LOADING_CORE:
        core = _openvino_core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": threads,
        "ENABLE_CPU_PINNING": False,  # several workers would be pinned to the same cores
        "INFERENCE_PRECISION_HINT": "f32",  # the default depends on the CPU
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": BLOCK,
    }
    compiled = core.compile_model(str(path), "CPU", settings)
    outputs = [candidate for candidate in compiled.outputs if OUTPUT in candidate.get_names()]
    output = outputs[0] if outputs else compiled.outputs[0]
    inputs = frozenset(argument.get_any_name() for argument in compiled.inputs)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()  # a request runs in one thread at a time
    for _ in range(threads):
        requests.put(compiled.create_infer_request())

    def run(arrays: Arrays) -> npt.NDArray[np.float32]:
        request = requests.get()
        try:
            result: npt.NDArray[np.float32] = request.infer(dict(arrays), share_inputs=True)[output]
        finally:
            requests.put(request)
        return result

    return Graph(inputs, run)


def quantize_to_int8(source: Path, target: Path, network: str) -> None:
    """Write a copy of a graph with the weights of a network's matrix products in 8 bits.

    Each ``MatMul`` with a constant matrix becomes a ``MatMulNBits``, an operator of ONNX Runtime that OpenVINO supports
    too: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits

    Args:
        source: the graph.
        target: the copy.
        network: what the names of the network's nodes begin with.
    """
    onnx: Any = importlib.import_module("onnx")
    model = onnx.load(str(source))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        has_weights = node.op_type == "MatMul" and len(getattr(constants.get(node.input[1]), "dims", ())) == 2
        if has_weights and node.name.startswith(network):
            weights = onnx.numpy_helper.to_array(constants[node.input[1]])
            model.graph.initializer.extend(_replace_matmul(onnx, node, weights))
    used = {name for node in model.graph.node for name in node.input}
    remaining = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(remaining)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(
        model, str(target), save_as_external_data=True, location=f"{target.name}.data"
    )  # a single file is limited to 2 GiB


def _replace_matmul(onnx: Any, node: Any, weights: npt.NDArray[np.float32]) -> list[Any]:
    """Replace a ``MatMul`` by a ``MatMulNBits`` in place, and return its constants."""
    rounded, scales = quantize_blockwise(weights)
    names = [f"{node.input[1]}_int8", f"{node.input[1]}_scales"]
    inner, outer = weights.shape
    settings = {"K": inner, "N": outer, "bits": 8, "block_size": BLOCK, "accuracy_level": 4}
    node.CopyFrom(
        onnx.helper.make_node(
            "MatMulNBits", [node.input[0], *names], list(node.output), node.name, domain="com.microsoft", **settings
        )
    )
    arrays = zip((rounded, scales.reshape(-1)), names, strict=True)
    return [onnx.numpy_helper.from_array(array, name) for array, name in arrays]


def quantize_blockwise(weights: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Round a matrix to 8 bits, column by column in blocks of ``BLOCK`` values.

    Args:
        weights: float32 of shape (inner, outer).

    Returns:
        uint8 of shape (outer, blocks, ``BLOCK``), 128 for zero, and float32 scales of shape (outer, blocks). A weight
        is ``(rounded - 128) * scale``, up to half a scale. The last block is padded with zeros.

    >>> rounded, scales = quantize_blockwise(np.float32([[127], [-64], [0]]))
    >>> rounded[0, 0, :4], scales
    (array([255,  64, 128, 128], dtype=uint8), array([[1.]], dtype=float32))
    """
    inner, outer = weights.shape
    blocks = -(-inner // BLOCK)
    padded = np.zeros((outer, blocks * BLOCK), np.float32)
    padded[:, :inner] = weights.T
    split = padded.reshape(outer, blocks, BLOCK)
    scales = np.abs(split).max(axis=2) / 127
    steps = np.rint(split / np.where(scales, scales, 1)[..., None])
    return (steps + 128).astype(np.uint8), scales.astype(np.float32)


def exporter_versions() -> dict[str, str]:
    """Return the versions of the packages on which an exported graph depends, for its name in the cache."""
    return {package: version(package) for package in ("torch", "transformers", "onnx")}


def cached_graph(name: str, write: Callable[[Path], None]) -> Path:
    """Find a graph in the cache by its name; write it if it is missing.

    Several processes may write it at the same time; the first to finish wins. Partial graphs are never visible.

    Args:
        name: hash of everything that the graph depends on.
        write: writes the graph to a path, and its other files beside it.

    Raises:
        UsageError: the cache folder is not writable.
    """
    folder = cache_folder() / "graphs" / name
    if (folder / GRAPH_FILE).is_file():
        return folder / GRAPH_FILE
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="partial-", dir=folder.parent) as scratch:
            new = Path(scratch) / name
            new.mkdir()  # with default permissions, unlike the temporary folder
            write(new / GRAPH_FILE)
            _publish(new, folder)
    except OSError as error:
        raise UsageError(
            f"graphs cannot be cached in {folder.parent} ({error}): set {CACHE_VARIABLE} to a writable folder"
        ) from error
    return folder / GRAPH_FILE


def _publish(new: Path, folder: Path) -> None:
    try:
        new.rename(folder)
    except OSError:
        if not (folder / GRAPH_FILE).is_file():  # otherwise another process finished first
            raise


def cache_folder() -> Path:
    """Return the cache folder: ``TRACKTOKENS_CACHE``, or ``tracktokens`` in the user's own cache."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracktokens"


def brief(error: Exception) -> str:
    """Describe an error of a runtime in a line: its type and its last line, which has the cause in OpenVINO's."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1][:200]}"
