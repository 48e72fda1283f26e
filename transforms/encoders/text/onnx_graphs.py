"""ONNX graphs: run by ONNX Runtime or OpenVINO on a CPU, rounded to 8 bits, and kept in a folder of this machine.

In ``int8`` the weights of matrix products are rounded to 8 bits, in blocks of 32 with a scale each, and the runtime
rounds what they are multiplied with row by row. So what becomes of a text depends on nothing else in its batch. (With
ONNX Runtime's dynamic quantization it does: that takes one scale from the whole batch.)
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from tracktokens.schemas.errors import UsageError

ONNX = "onnx"
OPENVINO = "openvino"

BLOCK = 32
"""Weights that share a scale. With 128, OpenVINO was no faster, ONNX Runtime was by a fifth, and both strayed twice as
far from float32."""

OUTPUT = "last_hidden_state"
"""Name of a graph's output, float32 of shape (texts, word pieces, dim)."""

CACHE_VARIABLE = "TRACKTOKENS_CACHE"
GRAPH_FILE = "model.onnx"

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Graph:
    """A graph in memory.

    Attributes:
        inputs: names of the arrays that it takes, int64 of shape (texts, word pieces).
        run: computes the output; not for two threads at once.
    """

    inputs: frozenset[str]
    run: Callable[[Arrays], npt.NDArray[np.float32]]


def require_packages(backend: str) -> None:
    """Check that the packages of a backend are installed.

    Raises:
        UsageError: one is not.
    """
    for name in {ONNX: ("onnx", "onnxruntime"), OPENVINO: ("onnx", "openvino")}.get(backend, ()):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"the {backend} backend needs the package {name}: install tracktokens[{backend}]")


def open_graph(path: Path, backend: str, threads: int) -> Graph:
    """Load a graph into the runtime of a backend, ``ONNX`` or ``OPENVINO``, to run on so many CPU threads.

    Raises:
        Exception: what the runtime raises when it cannot read the graph.
    """
    return _open_in_onnxruntime(path, threads) if backend == ONNX else _open_in_openvino(path, threads)


def _open_in_onnxruntime(path: Path, threads: int) -> Graph:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other workers need the core
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    wanted = OUTPUT if OUTPUT in outputs else outputs[0]
    inputs = frozenset(argument.name for argument in session.get_inputs())
    return Graph(inputs, lambda arrays: session.run([wanted], dict(arrays))[0])


def _open_in_openvino(path: Path, threads: int) -> Graph:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it reports each import to its makers
    openvino: Any = importlib.import_module("openvino")
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # several workers would be pinned to the same cores
        "INFERENCE_PRECISION_HINT": "f32",  # else it depends on the CPU
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": BLOCK,
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    outputs = [output for output in compiled.outputs if OUTPUT in output.get_names()]
    wanted = outputs[0] if outputs else compiled.outputs[0]
    request = compiled.create_infer_request()
    inputs = frozenset(argument.get_any_name() for argument in compiled.inputs)
    return Graph(inputs, lambda arrays: request.infer(dict(arrays), share_inputs=True)[wanted])


def round_to_int8(source: Path, target: Path) -> None:
    """Write a graph again with the weights of its matrix products in 8 bits.

    Each ``MatMul`` with a constant matrix becomes a ``MatMulNBits``, an operator of ONNX Runtime that OpenVINO reads,
    too: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
    """
    onnx: Any = importlib.import_module("onnx")
    model = onnx.load(str(source))
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "MatMul" and len(getattr(constants.get(node.input[1]), "dims", ())) == 2:
            weights = onnx.numpy_helper.to_array(constants[node.input[1]])
            model.graph.initializer.extend(_exchange(onnx, node, weights))
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, str(target), save_as_external_data=True, location=f"{target.name}.data")  # one file ends at 2 GiB


def _exchange(onnx: Any, node: Any, weights: npt.NDArray[np.float32]) -> list[Any]:
    """Turn a ``MatMul`` into a ``MatMulNBits`` in place, and return its constants."""
    rounded, scales = blockwise_int8(weights)
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


def blockwise_int8(weights: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Round a matrix to 8 bits, column by column in blocks of ``BLOCK`` values.

    Args:
        weights: float32 of shape (inner, outer).

    Returns:
        uint8 of shape (outer, blocks, ``BLOCK``), 128 for zero, and float32 scales of shape (outer, blocks). A weight
        is ``(rounded - 128) * scale``, up to half a scale. The last block is filled up with zeros.
    """
    inner, outer = weights.shape
    blocks = -(-inner // BLOCK)
    padded = np.zeros((outer, blocks * BLOCK), np.float32)
    padded[:, :inner] = weights.T
    split = padded.reshape(outer, blocks, BLOCK)
    scales = np.abs(split).max(axis=2) / 127
    steps = np.rint(split / np.where(scales, scales, 1)[..., None])
    return (steps + 128).astype(np.uint8), scales.astype(np.float32)


def cached_graph(name: str, write: Callable[[Path], None]) -> Path:
    """Find a graph in the cache by its name; where it is not there yet, have it written.

    Several processes may write it at the same time; the first that is done counts. No one sees half of it.

    Args:
        name: all that the graph depends on, hashed.
        write: writes the graph to a path, and what belongs to it beside it.

    Raises:
        UsageError: the cache cannot be written.
    """
    folder = cache_folder() / "graphs" / name
    if (folder / GRAPH_FILE).is_file():
        return folder / GRAPH_FILE
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="partial-", dir=folder.parent) as scratch:
            made = Path(scratch) / name
            made.mkdir()  # with everyone's permissions, which a temporary folder lacks
            write(made / GRAPH_FILE)
            _put(made, folder)
    except OSError as error:
        raise UsageError(f"graphs cannot be kept in {folder.parent} ({error}): set {CACHE_VARIABLE}") from error
    return folder / GRAPH_FILE


def _put(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not (folder / GRAPH_FILE).is_file():  # else another process was quicker
            raise


def cache_folder() -> Path:
    """Folder of what need not be computed again: ``TRACKTOKENS_CACHE``, or ``tracktokens`` in the user's own cache."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracktokens"
