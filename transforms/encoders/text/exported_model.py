"""A text model as a graph, run by ONNX Runtime or OpenVINO: neither torch nor sentence-transformers is imported.

The graph has all of the model, from word pieces to the vector. Beside it, in the cache folder, are the tokenizer with
the settings of padding and truncation that sentence-transformers gave it, what else an encoder asks of a model, and the
vectors of a few texts in torch, with which the graph is compared each time that it is opened.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.onnx_graphs import open_graph
from tracktokens.transforms.encoders.text.text_model import TextModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FLOAT32, INT8 = "float32", "int8"

MIN_COSINE = {FLOAT32: 0.9999, INT8: 0.9}
"""Smallest cosine between the vectors of a graph and of torch: detects a wrong graph, or one of another model."""

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILE = "text_model.json"

_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""Inputs that a graph may have, and the attribute of an ``Encoding`` of each."""


@dataclass(frozen=True)
class Settings:
    """Properties of a model beside its tokenizer and its graph.

    Attributes:
        max_length: as in :class:`TextModel`.
        default_prompt: as in :class:`TextModel`.
        pads_with_end_token: as in :class:`TextModel`.
        check_texts: some texts.
        check_vectors: their unit vectors in torch.
    """

    max_length: int | None
    default_prompt: str
    pads_with_end_token: bool
    check_texts: list[str]
    check_vectors: list[list[float]]

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """Read settings that :meth:`write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Write the settings as JSON."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")


class ExportedModel(TextModel):
    """A model in a runtime of graphs."""

    in_torch = False

    def __init__(self, path: Path, backend: str, threads: int) -> None:
        """Open a graph, with the files beside it.

        Args:
            path: the graph.
            backend: ``ONNX`` or ``OPENVINO``.
            threads: forward passes at a time.
        """
        super().__init__()
        self.tokenizer = read_tokenizer(path.parent)
        settings = self._settings = Settings.read(path.parent / SETTINGS_FILE)
        self.max_length = settings.max_length
        self.default_prompt = settings.default_prompt
        self.pads_with_end_token = settings.pads_with_end_token
        self._padding_tokenizer = read_tokenizer(path.parent)  # the chunk rule changes the settings of the other one
        self._graph = open_graph(path, backend, threads)

    def encode(self, texts: list[str], prompt: str | None) -> npt.NDArray[np.float32]:
        """Encode a batch with the tokenizer and the graph."""
        prefix = self.default_prompt if prompt is None else prompt
        arrays = word_pieces(self._padding_tokenizer, [prefix + text for text in texts])
        return self._graph.run({name: arrays[name] for name in self._graph.inputs})

    def cosine_with_torch(self) -> float:
        """Return the smallest cosine between the vectors of a text here and in torch, on a few texts."""
        expected = np.array(self._settings.check_vectors, np.float32)
        return least_cosine(self.encode(self._settings.check_texts, prompt=None), expected)


def read_tokenizer(folder: Path) -> "Tokenizer":
    """Read the tokenizer beside a graph."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / TOKENIZER_FILE))


def word_pieces(tokenizer: "Tokenizer", texts: list[str]) -> Mapping[str, npt.NDArray[np.int64]]:
    """Return the inputs of a graph, int64 of shape (texts, word pieces), padded and cut by the tokenizer's settings."""
    encodings = tokenizer.encode_batch(texts)
    return {
        name: np.array([getattr(encoding, field) for encoding in encodings], np.int64)
        for name, field in _FIELDS.items()
    }


def least_cosine(vectors: npt.NDArray[np.float32], expected: npt.NDArray[np.float32]) -> float:
    """Return the smallest cosine of any row: float32 of shape (texts, dim), the expected ones of length 1."""
    with np.errstate(invalid="ignore"):  # NaN where a vector is not finite, or zero
        return float(((vectors * expected).sum(axis=1) / np.linalg.norm(vectors, axis=1)).min())


def check_cosine(cosine: float, least: float, path: Path, backend: str) -> None:
    """Raise :class:`UsageError` if the vectors of a graph differ from those of torch."""
    if not cosine >= least:
        raise UsageError(
            f"{path} in {backend}: its vectors differ from the text model's own (cosine {cosine:.3f}):"
            " give the graph of this model, or use --text-backend torch"
        )
