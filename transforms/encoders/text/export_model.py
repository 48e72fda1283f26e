"""Export a text model as one graph, from word pieces to the vector, with its tokenizer beside it.

sentence-transformers has backends for ONNX Runtime and OpenVINO through optimum, but optimum does not support the
version of transformers that sentence-transformers requires, and they import torch to encode.

This module imports torch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.graph_export import export_graph
from tracktokens.transforms.encoders.onnx_graphs import brief
from tracktokens.transforms.encoders.text.exported_model import (
    SETTINGS_FILE,
    TOKENIZER_FILE,
    Settings,
    read_tokenizer,
    word_pieces,
)
from tracktokens.transforms.encoders.text.given_graph import CHECK_TEXTS, find_network, unit_vectors
from tracktokens.transforms.encoders.text.model_check import probe_texts
from tracktokens.transforms.encoders.text.torch_model import TorchModel, fast_tokenizer

OUTPUT = "sentence_embedding"

_EXPORT_TEXTS = ["a song", "a song of rain, of another length"]
_PROMPTS = ("", "genre: ")


class _NotExportableError(Exception):
    """A model does more than its graph and its tokenizer can."""


def export_model(model: TorchModel, target: Path) -> None:
    """Write the graph of a model, for any number of texts of any length, and the files that belong to it.

    Args:
        model: the model, on the CPU in float32.
        target: file of the graph; the others get places beside it.

    Raises:
        UsageError: the model cannot be exported.
    """
    find_network(model.transformer)
    try:
        _write_tokenizer(model, target.parent / TOKENIZER_FILE)
        _check_word_pieces(model, target.parent)
        _write_graph(model.transformer, target)
    except _NotExportableError as error:
        raise UsageError(f"the text model cannot be exported ({error}): use --text-backend torch") from error
    except Exception as error:  # third-party code: any type
        raise UsageError(f"the text model cannot be exported ({brief(error)}): use --text-backend torch") from error
    vectors = unit_vectors(model.transformer).tolist()
    Settings(_finite(model.max_length), model.default_prompt, model.pads_with_end_token, CHECK_TEXTS, vectors).write(
        target.parent / SETTINGS_FILE
    )


def _finite(length: float | None) -> int | None:
    """Convert a length to an integer, None if it is infinite."""
    return None if length is None or length == float("inf") else int(length)


def _write_tokenizer(model: TorchModel, target: Path) -> None:
    """Write the tokenizer with the settings that sentence-transformers gives it on each call."""
    model.transformer.preprocess(_EXPORT_TEXTS)
    target.write_text(fast_tokenizer(model.transformer).to_str(), encoding="utf-8")


def _check_word_pieces(model: TorchModel, folder: Path) -> None:
    """Check that the tokenizer alone gives a model's inputs: some models have templates of chats around each text."""
    tokenizer = read_tokenizer(folder)
    texts = [*CHECK_TEXTS, *probe_texts(_finite(model.max_length) or 0)]
    for prompt in _PROMPTS:
        arrays = word_pieces(tokenizer, [prompt + text for text in texts])
        for name, tensor in _tensors(model.transformer.preprocess(texts, prompt=prompt)).items():
            if not np.array_equal(arrays.get(name, np.zeros(0)), tensor.numpy()):
                raise _NotExportableError(f"its {name} do not come from the tokenizer alone")


def _tensors(features: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}


class _Exportable(torch.nn.Module):
    """A model with tensors as arguments and one tensor as result, as an export requires."""

    def __init__(self, transformer: SentenceTransformer, features: Mapping[str, Any]) -> None:
        super().__init__()
        self.transformer = transformer
        self._names = list(_tensors(features))
        self._constants = {name: value for name, value in features.items() if name not in self._names}

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        features = self.transformer({**self._constants, **dict(zip(self._names, tensors, strict=True))})
        vectors: torch.Tensor = features[OUTPUT]
        return vectors[:, : self.transformer.truncate_dim]


def _write_graph(transformer: SentenceTransformer, target: Path) -> None:
    if any(getattr(module, "include_prompt", True) is False for module in transformer):
        raise _NotExportableError("its vectors leave out the prompt")
    features = transformer.preprocess(_EXPORT_TEXTS)
    arguments = _tensors(features)
    axes = {name: {0: "texts", 1: "word_pieces"} for name in arguments}
    axes[OUTPUT] = {0: "texts"}
    export_graph(_Exportable(transformer, features), arguments, target, output=OUTPUT, axes=axes)
