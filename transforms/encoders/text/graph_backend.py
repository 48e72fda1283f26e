"""Run the transformer inside a sentence-transformers model as a graph.

sentence-transformers has backends for ONNX Runtime and OpenVINO through optimum, but optimum does not support the
version of transformers that sentence-transformers requires. So the transformer is exported here and replaced by a
module that runs the graph. Everything else, from tokenization to pooling, remains sentence-transformers' own.

This module imports torch.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from transformers.modeling_outputs import BaseModelOutput

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.encoders.graph_export import export_graph, exporter_versions
from tracktokens.transforms.encoders.onnx_graphs import (
    OUTPUT,
    Graph,
    brief,
    cached_graph,
    open_graph,
    quantize_to_int8,
)

EXPORT = 1
"""Version of the export. Raise it to export all graphs again."""

MIN_COSINE_FLOAT32 = 0.9999
MIN_COSINE_INT8 = 0.9
"""Smallest cosine between the vectors of a graph and of torch: detects a wrong graph, or one of another model."""

_EXPORT_TEXTS = ["a song", "a song of rain, of another length"]
_CHECK_TEXTS = [
    "la",
    "A longer text than those that the export saw. " * 4,
    "中文歌词",
    '"Dreams" by Fleetwood Mac (1977)',
]


def use_exported_graph(
    transformer: SentenceTransformer, *, weights: str, backend: str, precision: str, threads: int
) -> None:
    """Replace a model's transformer, in place, by its graph, which is exported unless this machine has it already.

    Args:
        transformer: the model, on the CPU in float32.
        weights: hash of the model's files.
        backend: ``ONNX`` or ``OPENVINO``.
        precision: ``float32`` or ``int8``.
        threads: forward passes at a time.

    Raises:
        UsageError: the model cannot be exported; or the errors of :func:`use_graph`.
    """
    path = cached_graph(_graph_name(weights, "float32"), partial(_export, transformer))
    min_cosine = MIN_COSINE_FLOAT32
    if precision == "int8":
        path = cached_graph(_graph_name(weights, precision), partial(quantize_to_int8, path))
        min_cosine = MIN_COSINE_INT8
    use_graph(transformer, path, backend=backend, threads=threads, min_cosine=min_cosine)


def _graph_name(weights: str, precision: str) -> str:
    content = {"weights": weights, "precision": precision, "export": EXPORT, "versions": exporter_versions()}
    return identity_hash(content)


def use_graph(
    transformer: SentenceTransformer,
    path: Path,
    *,
    backend: str,
    threads: int,
    min_cosine: float = MIN_COSINE_INT8,
) -> None:
    """Replace a model's transformer, in place, by a graph of it. Where that fails, the model is as it was.

    Args:
        transformer: the model, on the CPU in float32.
        path: the graph, an ONNX file or, for OpenVINO, an ``.xml``.
        backend: ``ONNX`` or ``OPENVINO``.
        threads: forward passes at a time.
        min_cosine: smallest cosine between its vectors and those of torch, on a few texts.

    Raises:
        UsageError: the graph does not run, or its vectors differ from those of torch.
    """
    expected = _unit_vectors(transformer)
    module, name = find_network(transformer)
    network = getattr(module, name)
    try:
        graph = open_graph(path, backend, threads)
        setattr(module, name, _GraphNetwork(graph, network.config))
        cosine = float((_unit_vectors(transformer) * expected).sum(axis=1).min())
    except Exception as error:  # the runtimes' errors have no common type
        setattr(module, name, network)
        raise UsageError(f"{path} does not run in {backend} ({brief(error)}): use --text-backend torch") from error
    if not cosine >= min_cosine:
        setattr(module, name, network)
        raise UsageError(
            f"{path} in {backend}: its vectors differ from the text model's own (cosine {cosine:.3f}):"
            " give the graph of this model, or use --text-backend torch"
        )


class _GraphNetwork(torch.nn.Module):
    """Replacement of a model's transformer that runs a graph."""

    def __init__(self, graph: Graph, config: Any) -> None:
        super().__init__()
        self.config = config
        self.device = torch.device("cpu")
        self._graph = graph

    def forward(self, **features: Any) -> BaseModelOutput:
        arrays = {name: features[name].numpy() for name in self._graph.inputs}
        return BaseModelOutput(last_hidden_state=torch.from_numpy(self._graph.run(arrays)))


class _ExportableNetwork(torch.nn.Module):
    """A transformer with tensors as arguments and one tensor as result, as an export requires."""

    def __init__(self, network: torch.nn.Module, names: list[str]) -> None:
        super().__init__()
        self._network = network
        self._names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        output = self._network(**dict(zip(self._names, tensors, strict=True)), return_dict=True)
        hidden: torch.Tensor = output[OUTPUT]
        return hidden


def _export(transformer: SentenceTransformer, target: Path) -> None:
    """Write the transformer's graph, for any number of texts of any length."""
    module, name = find_network(transformer)
    network = getattr(module, name)
    arguments = _record_arguments(transformer, network)
    exportable = _ExportableNetwork(network, list(arguments))
    try:
        export_graph(exportable, arguments, target, output=OUTPUT, axes={0: "texts", 1: "word_pieces"})
    except Exception as error:
        raise UsageError(f"the text model cannot be exported ({brief(error)}): use --text-backend torch") from error


def has_network(transformer: SentenceTransformer) -> bool:
    """Return whether the model begins with a transformer, which a graph can replace."""
    try:
        find_network(transformer)
    except UsageError:
        return False
    return True


def find_network(transformer: SentenceTransformer) -> tuple[torch.nn.Module, str]:
    """Find the transformer: the module that holds it, and its name in that module.

    Raises:
        UsageError: the model begins with another module.
    """
    module = transformer[0]
    network = getattr(module, "auto_model", None)
    for name, child in module.named_children():
        if child is network:
            return module, name
    raise UsageError(
        f"the text model begins with a {type(module).__name__}, not a transformer: use --text-backend torch"
    )


def _record_arguments(transformer: SentenceTransformer, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Record the tensors with which sentence-transformers calls the transformer."""
    recorded: dict[str, Any] = {}
    forward = network.forward

    def record(**arguments: Any) -> Any:
        recorded.update(arguments)
        return forward(**arguments)

    network.forward = record
    try:
        transformer.encode(_EXPORT_TEXTS, show_progress_bar=False)
    finally:
        del network.forward  # restores the method of the class
    return {name: value.clone() for name, value in recorded.items() if isinstance(value, torch.Tensor)}


def _unit_vectors(transformer: SentenceTransformer) -> npt.NDArray[np.float32]:
    return np.asarray(transformer.encode(_CHECK_TEXTS, normalize_embeddings=True, show_progress_bar=False), np.float32)
