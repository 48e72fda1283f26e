"""Run the transformer inside a sentence-transformers model as a graph.

sentence-transformers has backends for ONNX Runtime and OpenVINO by way of optimum, whose releases allow no transformers
as new as sentence-transformers itself asks for. So the transformer is exported here and exchanged for one that runs the
graph. All else, from tokenizing to pooling, stays sentence-transformers' own.

This module imports torch.
"""

import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from transformers.modeling_outputs import BaseModelOutput

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.encoders.text.onnx_graphs import OUTPUT, Graph, cached_graph, open_graph, round_to_int8

EXPORT = 1
"""Version of the way in which graphs are made: raise it, and they are made anew."""

OPSET = 17

LEAST_COSINE_FLOAT32 = 0.9999
LEAST_COSINE_ROUNDED = 0.9
"""How near the vectors of a graph must be to those of torch: they tell a graph that is wrong, or of another model."""

_TRACED = ["a song", "a song of rain, of another length"]
_CHECKED = ["la", "A longer text than those that the export saw. " * 4, "中文歌词", '"Dreams" by Fleetwood Mac (1977)']


def run_exported(transformer: SentenceTransformer, weights: str, backend: str, precision: str, threads: int) -> None:
    """Exchange a model's transformer, in place, for its graph: exported now, unless this machine has it already.

    Args:
        transformer: the model, on the CPU in float32.
        weights: hash of the model's files.
        backend: ``ONNX`` or ``OPENVINO``.
        precision: ``float32`` or ``int8``.
        threads: CPU threads to run on.

    Raises:
        UsageError: the model cannot be exported, or see :func:`run_given`.
    """
    path = cached_graph(_graph_name(weights, "float32"), partial(_export, transformer))
    least_cosine = LEAST_COSINE_FLOAT32
    if precision == "int8":
        path = cached_graph(_graph_name(weights, precision), partial(round_to_int8, path))
        least_cosine = LEAST_COSINE_ROUNDED
    run_given(transformer, path, backend, threads, least_cosine)


def _graph_name(weights: str, precision: str) -> str:
    versions = {package: version(package) for package in ("torch", "transformers", "onnx")}
    return identity_hash({"weights": weights, "precision": precision, "export": EXPORT, "versions": versions})


def run_given(
    transformer: SentenceTransformer,
    path: Path,
    backend: str,
    threads: int,
    least_cosine: float = LEAST_COSINE_ROUNDED,
) -> None:
    """Exchange a model's transformer, in place, for a graph of it.

    Args:
        transformer: the model, on the CPU in float32.
        path: the graph, an ONNX file or, for OpenVINO, an ``.xml``.
        backend: ``ONNX`` or ``OPENVINO``.
        threads: CPU threads to run on.
        least_cosine: how near its vectors must be to those of torch, on a few texts.

    Raises:
        UsageError: the graph does not run, or gives other vectors.
    """
    wanted = _unit_vectors(transformer)
    module, name = _network(transformer)
    try:
        graph = open_graph(path, backend, threads)
        setattr(module, name, _GraphNetwork(graph, getattr(module, name).config))
        cosine = float((_unit_vectors(transformer) * wanted).sum(axis=1).min())
    except Exception as error:  # what a runtime raises has no common type
        raise UsageError(f"{path} does not run in {backend} ({_brief(error)}): use the torch backend") from error
    if not cosine >= least_cosine:
        raise UsageError(
            f"{path} in {backend} gives vectors that are not the text model's own (cosine {cosine:.3f}):"
            " it may be another model's graph; else use the torch backend"
        )


class _GraphNetwork(torch.nn.Module):
    """Stands where a model's transformer stood."""

    def __init__(self, graph: Graph, config: Any) -> None:
        super().__init__()
        self.config = config
        self.device = torch.device("cpu")
        self._graph = graph

    def forward(self, **features: Any) -> BaseModelOutput:
        arrays = {name: features[name].numpy() for name in self._graph.inputs}
        return BaseModelOutput(last_hidden_state=torch.from_numpy(self._graph.run(arrays)))


class _Exported(torch.nn.Module):
    """A transformer with tensors for arguments and a tensor for a result, as an export needs them."""

    def __init__(self, network: torch.nn.Module, names: list[str]) -> None:
        super().__init__()
        self._network = network
        self._names = names

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        output = self._network(**dict(zip(self._names, tensors, strict=True)), return_dict=True)
        hidden: torch.Tensor = output[OUTPUT]
        return hidden


def _export(transformer: SentenceTransformer, target: Path) -> None:
    """Write the transformer's graph, for any number of texts of any length.

    torch calls this exporter the legacy one. It needs no package but onnx, exported all of 16 kinds of models but
    Gemma 3 (the new one all but T5), and its graph of MiniLM runs a tenth faster in ONNX Runtime.
    """
    module, name = _network(transformer)
    network = getattr(module, name)
    arguments = _arguments(transformer, network)
    names = list(arguments)
    axes = {name: {0: "texts", 1: "word_pieces"} for name in (*names, OUTPUT)}
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # meant for the authors of models
            torch.onnx.export(
                _Exported(network, names).eval(), tuple(arguments.values()), str(target), dynamo=False,
                input_names=names, output_names=[OUTPUT], dynamic_axes=axes, opset_version=OPSET,
            )  # fmt: skip
    except Exception as error:
        raise UsageError(f"the text model cannot be exported ({_brief(error)}): use the torch backend") from error


def _network(transformer: SentenceTransformer) -> tuple[torch.nn.Module, str]:
    """Find the transformer: the module that holds it, and under which name."""
    module = transformer[0]
    network = getattr(module, "auto_model", None)
    for name, child in module.named_children():
        if child is network:
            return module, name
    raise UsageError(f"the text model begins with a {type(module).__name__}, no transformer: use the torch backend")


def _arguments(transformer: SentenceTransformer, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """See with which tensors sentence-transformers calls the transformer."""
    seen: dict[str, Any] = {}
    forward = network.forward

    def watched(**arguments: Any) -> Any:
        seen.update(arguments)
        return forward(**arguments)

    network.forward = watched
    try:
        transformer.encode(_TRACED, show_progress_bar=False)
    finally:
        del network.forward  # and the class's own is there again
    return {name: value.clone() for name, value in seen.items() if isinstance(value, torch.Tensor)}


def _unit_vectors(transformer: SentenceTransformer) -> npt.NDArray[np.float32]:
    return np.asarray(transformer.encode(_CHECKED, normalize_embeddings=True, show_progress_bar=False), np.float32)


def _brief(error: Exception) -> str:
    """Type and last line: where OpenVINO, for one, says what is wrong."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[-1][:200]}"
