"""Text encoder: any sentence-transformers model. Long texts are encoded in chunks and averaged, not truncated.

:mod:`tracktokens.transforms.encoders.text.chunking` defines the chunks.

A text's vector depends on the model, the chunk rule and the prompt, and on bfloat16 or int8 if selected: they determine
the encoder id. It does not depend on the device or the backend. In any backend's float32 and in torch's float16, on CPU
and GPU, vectors differ by no more than the rounding to float16 in which they are stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables.rejects import NOT_FINITE
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder, encoded
from tracktokens.transforms.encoders.bisect import with_smaller_batches
from tracktokens.transforms.encoders.devices import CPU, CUDA, check_device_name, device_kind, find_device
from tracktokens.transforms.encoders.forward_passes import map_passes
from tracktokens.transforms.encoders.onnx_graphs import AUTO, ONNX, OPENVINO, TORCH, check_backend, require_packages
from tracktokens.transforms.encoders.text.chunking import Chunker, TextChunk, mean_of_chunks, rule_identity
from tracktokens.transforms.encoders.text.exported_model import FLOAT32, INT8
from tracktokens.transforms.encoders.text.fastest_backend import fastest_model
from tracktokens.transforms.encoders.text.model_cache import exported_model
from tracktokens.transforms.encoders.text.model_check import check_padding, check_vectors, model_errors, probe_texts
from tracktokens.transforms.encoders.text.model_files import choose_prompt, graph_hash, model_folder, model_hash
from tracktokens.transforms.encoders.text.text_model import TextModel
from tracktokens.transforms.encoders.weights import SharedModels, check_hash

if TYPE_CHECKING:
    from tracktokens.transforms.encoders.text.torch_model import TorchModel

FLOAT16, BFLOAT16 = "float16", "bfloat16"

PRECISIONS = {
    AUTO: (FLOAT32, FLOAT16, BFLOAT16),
    TORCH: (FLOAT32, FLOAT16, BFLOAT16),
    ONNX: (FLOAT32, INT8),
    OPENVINO: (FLOAT32, INT8),
}
"""Precisions of each backend."""

CPU_BATCH, GPU_BATCH = 1_024, 16_384
"""Word pieces per forward pass, including padding. Larger batches are slower on a CPU."""

_PROBE_TEXT = "a song"
_MIN_LENGTH = np.float32(1e-12)
"""Lower bound of the length that a vector is divided by, as in torch: a vector of zeros stays zero."""


@dataclass(frozen=True, kw_only=True)
class SentenceEncoder(Encoder):
    """A sentence-transformers model by name or folder; create it with :func:`sentence_encoder`.

    Attributes:
        model: Folder, or name in the local Hugging Face cache; None for the packaged all-MiniLM-L6-v2.
        weights: Hash of the model's files, by :func:`model_hash`.
        prompt: Text that precedes every chunk; None for the model's default, in most models none.
        backend: ``TORCH``, ``ONNX`` or ``OPENVINO``; ``AUTO`` for the fastest with torch's vectors on a CPU in float32,
            and torch elsewhere.
        precision: One of the backend's ``PRECISIONS``; None for float16 on CUDA, else float32.
        graph: Path of a graph, relative to the model's folder; None to export one from the model.
        graph_weights: Hash of that graph; None without ``graph``.
        device: Torch device, such as ``cpu`` or ``cuda:1``; None for a GPU if there is one, else the CPU.
        batch: Word pieces per forward pass; None for ``CPU_BATCH`` or ``GPU_BATCH``.
    """

    model: str | None
    weights: str
    prompt: str | None = None
    backend: str = AUTO
    precision: str | None = None
    graph: str | None = None
    graph_weights: str | None = None
    device: str | None = None
    batch: int | None = None

    def identity(self) -> Mapping[str, object]:
        """Return the method, the hash of the model's files, the chunk rule, and the options that change vectors.

        The versions of torch and sentence-transformers are excluded: they change vectors by rounding only.
        """
        options = {
            "prompt": self.prompt,
            "precision": self.precision if self.precision in (BFLOAT16, INT8) else None,
            "graph": self.graph_weights,
        }
        chosen = {name: value for name, value in options.items() if value is not None}
        return {"encoder": "sentence", "weights": self.weights, "pieces": rule_identity(), **chosen}

    def check(self) -> None:
        """Load the model and encode a few texts; the packaged one is known to work."""
        if self.model is not None or self.backend in (ONNX, OPENVINO):
            self.load(threads=1)

    def load(self, threads: int) -> "LoadedSentenceEncoder":
        """Load the model, or share the copy that this process has loaded already.

        Raises:
            UsageError: The model or the device is not on this machine, or the device does not support the precision.
            InvalidDataError: The model on this machine is not the one that the job was started with.
        """
        device = find_device(CPU if self.backend in (ONNX, OPENVINO) else self.device)
        precision = self.precision or (FLOAT16 if device_kind(device) == CUDA else FLOAT32)
        if precision == FLOAT16 and device == CPU:
            raise UsageError(
                "--text-precision float16 is many times slower on a CPU: use float32 or bfloat16, or a GPU"
            )
        key = (self.weights, self.backend, precision, self.graph_weights, device)
        model = _models.get(key, lambda: _load_model(self, precision, device, threads))
        default_batch = CPU_BATCH if device == CPU else GPU_BATCH
        return LoadedSentenceEncoder(model, self.prompt, self.batch or default_batch, threads if device == CPU else 1)


def sentence_encoder(
    model: str | None = None,
    *,
    prompt: str | None = None,
    backend: str = AUTO,
    precision: str | None = None,
    graph: str | None = None,
    device: str | None = None,
) -> SentenceEncoder:
    """Describe the encoder of a model on this machine, its files hashed. Nothing is downloaded.

    Args:
        model: A folder, or a name in the Hugging Face cache; None for the packaged all-MiniLM-L6-v2.
        prompt: A text that precedes every chunk, such as ``"query: "``, or the name of one of the model's own prompts;
            see :func:`choose_prompt`. Its word pieces count against the window.
        backend: ``torch``; ``onnx`` or ``openvino``, which run a graph of the model, exported on first use; or
            ``auto``: torch on a GPU, and on a CPU in float32 the fastest of those installed, measured on first use.
        precision: Number format of the computation. None selects float16 on CUDA, which is about as exact as the
            stored vectors, and float32 elsewhere. ``bfloat16`` and ``int8`` are less exact and change the encoder id;
            on real titles they changed 2 tokens of 1,000.
        graph: A graph in the model's folder, such as ``onnx/model_qint8_avx512.onnx``, to use instead of an exported
            one.
        device: A torch device; None selects a GPU if there is one. It is looked up when the model is loaded, which may
            be on another machine. The onnx and openvino backends run on the CPU.

    Raises:
        UsageError: The model, prompt or graph is not on this machine, or the options contradict each other.
        InvalidDataError: The packaged model is damaged.
    """
    _check_options(backend, precision, graph, device)
    folder = model_folder(model)
    if model is not None and Path(model).is_dir():
        model = str(folder)
    graph_weights = None if graph is None else graph_hash(folder, graph)
    return SentenceEncoder(
        model=model,
        weights=model_hash(folder),
        prompt=choose_prompt(folder, prompt),
        backend=backend,
        precision=precision,
        graph=graph,
        graph_weights=graph_weights,
        device=device,
    )


def _check_options(backend: str, precision: str | None, graph: str | None, device: str | None) -> None:
    if backend not in PRECISIONS:
        raise UsageError(f"--text-backend {backend}: use one of {', '.join(PRECISIONS)}")
    if precision is not None and precision not in PRECISIONS[backend]:
        raise UsageError(f"--text-precision {precision}: {backend} supports {', '.join(PRECISIONS[backend])}")
    if graph is not None and backend not in (ONNX, OPENVINO):
        raise UsageError("--text-graph requires --text-backend onnx or openvino")
    if graph is not None and precision is not None:
        raise UsageError("--text-graph has its own precision: omit --text-precision")
    check_device_name(device)
    check_backend(backend, device)


_models: SharedModels[TextModel] = SharedModels()


def _load_model(encoder: SentenceEncoder, precision: str, device: str, threads: int) -> TextModel:
    folder = model_folder(encoder.model)
    check_hash(model_hash(folder), encoder.weights, f"text model {folder}")

    def load() -> "TorchModel":
        from tracktokens.transforms.encoders.text.torch_model import TorchModel, load_transformer

        transformer = load_transformer(folder, FLOAT32 if precision == INT8 else precision, device)
        with model_errors():
            return TorchModel(transformer)

    if encoder.graph is not None:
        return _with_given_graph(load(), encoder, folder, encoder.graph, threads)
    if encoder.backend in (ONNX, OPENVINO):
        return exported_model(
            load, weights=encoder.weights, backend=encoder.backend, precision=precision, threads=threads
        )
    if encoder.backend == AUTO and device == CPU and precision == FLOAT32:
        with model_errors():
            return fastest_model(load, weights=encoder.weights, threads=threads)
    return load()


def _with_given_graph(
    model: "TorchModel", encoder: SentenceEncoder, folder: Path, graph: str, threads: int
) -> "TorchModel":
    from tracktokens.transforms.encoders.text.given_graph import use_graph

    require_packages(encoder.backend)
    check_hash(graph_hash(folder, graph), encoder.graph_weights, f"the graph {folder / graph}")
    use_graph(model.transformer, folder / graph, backend=encoder.backend, threads=threads)
    return model


class LoadedSentenceEncoder(LoadedEncoder):
    """A model in memory, with the chunk rule.

    Attributes:
        model: the model, shared by the encoders of this process that use it.
    """

    def __init__(self, model: TextModel, prompt: str | None, batch: int, threads: int) -> None:
        self.model = model
        self._prompt = prompt
        self._batch = batch
        self._threads = threads
        with model.lock, model_errors():
            self._chunker = Chunker(
                model.tokenizer, model.max_length, model.default_prompt if prompt is None else prompt
            )
        with model_errors():
            self._dim = self._check_model()

    def _check_model(self) -> int:
        """Encode a few texts; return the number of values of a vector."""
        chunks = [chunk for [chunk, *_] in self.chunks(probe_texts(self._chunker.window))]
        vectors = self._forward(chunks)
        check_vectors(vectors[:-1])
        if self.model.pads_with_end_token:
            check_padding(vectors, np.concatenate([self._forward([chunk]) for chunk in chunks]))
        return vectors.shape[1]

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode texts to unit vectors, float32 of shape (texts, dim).

        Equal batches have equal vectors, on any number of threads. In a different batch the vector of a text may differ
        by rounding (about 1e-7), because the text is padded to a different length.
        """
        return encoded([_check_finite(vector) for vector in self._encode_texts(inputs.to_pylist())], self._dim)

    def probe(self) -> bool:
        """Encode a text that every model can encode."""
        self._encode_probe()
        return True

    def chunks(self, texts: Sequence[str]) -> list[list[TextChunk]]:
        """Divide each text into the chunks that are encoded for it, at least one."""
        with self.model.lock:
            return self._chunker.chunk(texts)

    def _encode_probe(self) -> npt.NDArray[np.float32]:
        return self._forward([TextChunk(_PROBE_TEXT, 1)])

    def _encode_texts(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Encode texts, all their chunks together: more chunks can be sorted into batches with less padding."""
        if not texts:
            return np.zeros((0, self._dim), np.float32)
        chunks_per_text = self.chunks(texts)
        vectors = self._forward([chunk for chunks in chunks_per_text for chunk in chunks])
        return mean_of_chunks(vectors, chunks_per_text)

    def _forward(self, chunks: list[TextChunk]) -> npt.NDArray[np.float32]:
        """Run the model, in smaller batches if memory runs out: one unit vector per chunk, shape (chunks, dim)."""
        lengths = np.array([chunk.word_pieces for chunk in chunks]) + self._chunker.overhead
        with self.model.lock:
            return with_smaller_batches(lambda batch: self._run_batches(chunks, lengths, batch), self._batch)

    def _run_batches(
        self, chunks: list[TextChunk], lengths: npt.NDArray[np.int64], batch: int
    ) -> npt.NDArray[np.float32]:
        def run(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
            return self.model.encode([chunks[row].text for row in rows], self._prompt)

        batches = list(even_batches(lengths, batch))
        parts = map_passes(run, batches, self._threads, in_torch=self.model.in_torch)
        vectors = np.concatenate(parts)[np.argsort(np.concatenate(batches))]
        with np.errstate(invalid="ignore"):  # values that are not finite become failures later
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            return np.asarray(vectors / np.maximum(norms, _MIN_LENGTH), np.float32)


def even_batches(lengths: npt.NDArray[np.int64], max_word_pieces: int) -> Iterator[npt.NDArray[np.int64]]:
    """Divide texts into batches of similar length, the longest first, so that memory runs out at once if at all.

    sentence-transformers itself sorts by characters and batches 32 texts: on titles in all scripts, a third of its
    computation is padding.

    Args:
        lengths: Word pieces of each text.
        max_word_pieces: Word pieces per batch, including padding; a longer text is a batch by itself.

    Yields:
        Row numbers of one batch.

    >>> [rows.tolist() for rows in even_batches(np.array([3, 9, 3, 2, 4]), max_word_pieces=10)]
    [[1], [4, 0], [2, 3]]
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, max_word_pieces // int(lengths[order[start]]))
        yield order[start:stop]
        start = stop


def _check_finite(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | Failure:
    if np.isfinite(vector).all():
        return vector
    return Failure(NOT_FINITE, "the model returned values that are not finite, or only zeros")
