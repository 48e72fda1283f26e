"""Run the transformer inside a sentence-transformers model as a graph that the user gives.

Such a graph ends before the pooling. Everything else, from tokenization to pooling, remains sentence-transformers' own.

This module imports torch.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from transformers.modeling_outputs import BaseModelOutput

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.onnx_graphs import Graph, brief, open_graph
from tracktokens.transforms.encoders.text.exported_model import INT8, MIN_COSINE, check_cosine, least_cosine

CHECK_TEXTS = [
    "la",
    "A longer text than those that the export saw. " * 4,
    "中文歌词",
    '"Dreams" by Fleetwood Mac (1977)',
    "  Spaces,\ttabs and\nlines  ",
]
"""Texts whose vectors in a graph are compared with those in torch."""


def use_graph(transformer: SentenceTransformer, path: Path, *, backend: str, threads: int) -> None:
    """Replace a model's transformer, in place, by a graph of it. Where that fails, the model is as it was.

    Args:
        transformer: the model, on the CPU in float32.
        path: the graph, an ONNX file or, for OpenVINO, an ``.xml``.
        backend: ``ONNX`` or ``OPENVINO``.
        threads: forward passes at a time.

    Raises:
        UsageError: the graph does not run, or its vectors differ from those of torch.
    """
    expected = unit_vectors(transformer)
    module, name = find_network(transformer)
    network = getattr(module, name)
    try:
        try:
            graph = open_graph(path, backend, threads)
            setattr(module, name, _GraphNetwork(graph, network.config))
            vectors = unit_vectors(transformer)
        except Exception as error:  # the runtimes' errors have no common type
            raise UsageError(f"{path} does not run in {backend} ({brief(error)}): use --text-backend torch") from error
        check_cosine(least_cosine(vectors, expected), MIN_COSINE[INT8], path, backend)
    except UsageError:
        setattr(module, name, network)
        raise


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


def unit_vectors(transformer: SentenceTransformer) -> npt.NDArray[np.float32]:
    """Encode ``CHECK_TEXTS``: float32 of shape (texts, dim)."""
    return np.asarray(transformer.encode(CHECK_TEXTS, normalize_embeddings=True, show_progress_bar=False), np.float32)
