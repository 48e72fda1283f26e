"""Text encoder: any sentence-transformers model. Long texts are encoded in pieces and averaged, not cut off.

How texts are cut is told in :mod:`tracktokens.transforms.encoders.text.chunking`.

A text's vector depends on the model, the piece rule and the prompt, and on bfloat16 or int8 where that was asked for:
they make the encoder id. It does not depend on where the model ran. On a CPU or a GPU, in any backend's float32 or
torch's float16, vectors differ by no more than what is lost anyway when they are stored in float16.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables.rejects import NOT_FINITE
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder, encoded
from tracktokens.transforms.encoders.bisect import with_smaller_batches
from tracktokens.transforms.encoders.devices import CPU, CUDA, check_device_name, find_device
from tracktokens.transforms.encoders.text.chunking import Chunker, TextChunk, mean_of_chunks, rule_identity
from tracktokens.transforms.encoders.text.model_files import choose_prompt, graph_hash, model_folder, model_hash
from tracktokens.transforms.encoders.text.onnx_graphs import ONNX, OPENVINO, require_packages
from tracktokens.transforms.encoders.weights import SharedModels

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

TORCH = "torch"
FLOAT32, FLOAT16, BFLOAT16, INT8 = "float32", "float16", "bfloat16", "int8"

PRECISIONS = {TORCH: (FLOAT32, FLOAT16, BFLOAT16), ONNX: (FLOAT32, INT8), OPENVINO: (FLOAT32, INT8)}
"""The backends, and what each can compute in."""

CPU_BATCH, GPU_BATCH = 1_024, 16_384
"""Word pieces in one forward pass, padding included. More makes a CPU slower."""

_PROBE = "a song"
_SMALLEST = np.float32(1e-12)
"""What a vector's length is at least taken for, as torch does it: a vector of zeros stays one."""


@dataclass(frozen=True)
class SentenceEncoder(Encoder):
    """A sentence-transformers model by name or folder; make one with :func:`sentence_encoder`.

    Attributes:
        model: Folder, or name in the local Hugging Face cache; None for the packaged all-MiniLM-L6-v2.
        weights: Hash of the model's files, by :func:`model_hash`.
        prompt: Text before every piece; None for what the model puts there by itself, mostly nothing.
        backend: ``TORCH``, ``ONNX`` or ``OPENVINO``.
        precision: One of the backend's ``PRECISIONS``; None for float16 on CUDA, else float32.
        graph: Graph that the model's folder brings, as a path below it; None for one that is made of the model.
        graph_weights: Hash of that graph; None without one.
        device: Torch device, such as ``cpu`` or ``cuda:1``; None for a GPU where there is one, else the CPU.
        batch: Word pieces in one forward pass; None for ``CPU_BATCH`` or ``GPU_BATCH``.
    """

    model: str | None
    weights: str
    prompt: str | None = None
    backend: str = TORCH
    precision: str | None = None
    graph: str | None = None
    graph_weights: str | None = None
    device: str | None = None
    batch: int | None = None

    def identity(self) -> Mapping[str, object]:
        """Name the method, the model's files by their hash, the piece rule, and what else changes vectors.

        The versions of torch and sentence-transformers are left out: they change vectors by rounding only.
        """
        rest = {
            "prompt": self.prompt,
            "precision": self.precision if self.precision in (BFLOAT16, INT8) else None,
            "graph": self.graph_weights,
        }
        asked_for = {name: value for name, value in rest.items() if value is not None}
        return {"encoder": "sentence", "weights": self.weights, "pieces": rule_identity(), **asked_for}

    def load(self, threads: int) -> "LoadedSentenceEncoder":
        """Load the model, or share the one that this process has loaded already.

        Raises:
            UsageError: The model or the device is not on this machine, or one does not go with the other.
            InvalidDataError: The model on this machine is not the one that the job was started with.
        """
        import torch

        torch.set_num_threads(threads)
        device = find_device(self.device if self.backend == TORCH else CPU)
        precision = self.precision or (FLOAT16 if device.type == CUDA else FLOAT32)
        if precision == FLOAT16 and device.type == CPU:
            raise UsageError("float16 is for GPUs, and many times slower on a CPU: take float32 or bfloat16 there")
        key = (self.weights, self.backend, precision, self.graph_weights, str(device))
        model = _models.get(key, lambda: _load_model(self, precision, device, threads))
        return LoadedSentenceEncoder(model, self.prompt, self.batch or (CPU_BATCH if device.type == CPU else GPU_BATCH))


def sentence_encoder(
    model: str | None = None,
    *,
    prompt: str | None = None,
    backend: str = TORCH,
    precision: str | None = None,
    graph: str | None = None,
    device: str | None = None,
) -> SentenceEncoder:
    """Describe the encoder of a model on this machine, its files hashed. Nothing is downloaded.

    Args:
        model: A folder, or a name in the Hugging Face cache; None for the packaged all-MiniLM-L6-v2.
        prompt: A text before every piece, such as ``"query: "``, or the name of one of the model's own prompts; see
            :func:`choose_prompt`. Its word pieces count against the window.
        backend: ``torch``, or ``onnx`` or ``openvino``, which are faster on a CPU. They run a graph of the model,
            exported on first use.
        precision: What it computes in. None takes float16 on CUDA, which is about as exact as the vectors are stored,
            and float32 elsewhere. ``bfloat16`` and ``int8`` stray further and make another encoder id; on real titles
            2 tokens of 1,000 were others then.
        graph: A graph that the model's folder brings, such as ``onnx/model_qint8_avx512.onnx``, in place of one that
            is exported from it.
        device: A torch device; None takes a GPU where there is one. Looked for when the model is loaded, since that may
            be another machine. The onnx and openvino backends run on the CPU.

    Raises:
        UsageError: There is no such model, prompt or graph on this machine, or the choice makes no sense.
        InvalidDataError: The packaged model is damaged.
    """
    _check_choice(backend, precision, graph, device)
    folder = model_folder(model)
    if model is not None and Path(model).is_dir():
        model = str(folder)
    graph_weights = None if graph is None else graph_hash(folder, graph)
    text = choose_prompt(folder, prompt)
    return SentenceEncoder(model, model_hash(folder), text, backend, precision, graph, graph_weights, device)


def _check_choice(backend: str, precision: str | None, graph: str | None, device: str | None) -> None:
    if backend not in PRECISIONS:
        raise UsageError(f"--text-backend {backend}: there are {', '.join(PRECISIONS)}")
    if precision is not None and precision not in PRECISIONS[backend]:
        raise UsageError(f"--text-precision {precision}: {backend} computes in {', '.join(PRECISIONS[backend])}")
    if graph is not None and (backend == TORCH or precision is not None):
        raise UsageError("--text-graph goes with --text-backend onnx or openvino, and has a precision of its own")
    check_device_name(device)
    if backend != TORCH and device not in (None, CPU):
        raise UsageError(f"--device {device}: the {backend} backend runs on the CPU; on a GPU torch is as fast")
    require_packages(backend)


class _SharedModel:
    """One model in memory, for every encoder of this process that names it.

    The lock is there because a fast tokenizer refuses two threads at once ("Already borrowed").
    """

    def __init__(self, transformer: "SentenceTransformer") -> None:
        self.transformer = transformer
        self.lock = threading.Lock()


_models: SharedModels[_SharedModel] = SharedModels()


def _load_model(encoder: SentenceEncoder, precision: str, device: "torch.device", threads: int) -> _SharedModel:
    folder = model_folder(encoder.model)
    if (found := model_hash(folder)) != encoder.weights:
        raise InvalidDataError(
            f"text model {folder}: its files hash to {found}, and the job was started with {encoder.weights}."
            " Give every worker the same model, and do not change it while a job runs"
        )
    transformer = _load_transformer(folder, FLOAT32 if precision == INT8 else precision, device)
    if encoder.backend != TORCH:
        _use_graph(transformer, encoder, folder, precision, threads)
    return _SharedModel(transformer)


def _load_transformer(folder: Path, precision: str, device: "torch.device") -> "SentenceTransformer":
    import torch
    from sentence_transformers import SentenceTransformer

    weights = {"dtype": getattr(torch, precision)}
    with _no_progress_bar():
        try:
            return SentenceTransformer(str(folder), device=str(device), local_files_only=True, model_kwargs=weights)
        except (OSError, ValueError, ImportError) as error:
            first_line = (str(error).splitlines() or [repr(error)])[0]
            raise UsageError(f"text model {folder} cannot be loaded: {first_line}") from error


def _use_graph(
    transformer: "SentenceTransformer", encoder: SentenceEncoder, folder: Path, precision: str, threads: int
) -> None:
    """Let a model run as the graph that the encoder names, or one that is made of it."""
    from tracktokens.transforms.encoders.text import graph_backend as graphs

    require_packages(encoder.backend)
    if encoder.graph is None:
        graphs.run_exported(transformer, encoder.weights, encoder.backend, precision, threads)
    elif graph_hash(folder, encoder.graph) == encoder.graph_weights:
        graphs.run_given(transformer, folder / encoder.graph, encoder.backend, threads)
    else:
        raise InvalidDataError(f"{folder / encoder.graph} is another graph than the one that the job was started with")


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keep transformers from drawing its bar ("Loading weights") over a job's own output."""
    from transformers.utils import logging as transformers_logging

    if not transformers_logging.is_progress_bar_enabled():
        yield
        return
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


class LoadedSentenceEncoder(LoadedEncoder):
    """A model in memory, and the piece rule around it."""

    def __init__(self, model: _SharedModel, prompt: str | None, batch: int) -> None:
        self._model = model
        self._prompt = prompt
        self._batch = batch
        transformer = model.transformer
        own_prompt = transformer.prompts.get(transformer.default_prompt_name or "") or ""
        with model.lock:
            self._cutter = Chunker(transformer, own_prompt if prompt is None else prompt)
        [probe] = self._probe()
        if not np.isfinite(probe).all():
            raise UsageError("the text model gives no finite numbers in this precision: give --text-precision float32")
        self._dim = len(probe)

    @property
    def transformer(self) -> "SentenceTransformer":
        """The model itself, shared by the encoders of this process that name it."""
        return self._model.transformer

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode texts to unit vectors, float32 of shape (texts, dim).

        Equal batches give equal vectors. The same text in another batch may differ by rounding (about 1e-7), because it
        is padded to another length.
        """
        return encoded([_checked(vector) for vector in self._vectors(inputs.to_pylist())], self._dim)

    def probe(self) -> bool:
        """Encode a text that every model can."""
        self._probe()
        return True

    def pieces(self, texts: Sequence[str]) -> list[list[TextChunk]]:
        """Cut each text into the pieces that are encoded for it, at least one."""
        with self._model.lock:
            return self._cutter.cut(texts)

    def _probe(self) -> npt.NDArray[np.float32]:
        return self._forward([TextChunk(_PROBE, 1)])

    def _vectors(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Encode texts, all their pieces in one go: the more there are, the better they are sorted by length."""
        if not texts:
            return np.zeros((0, self._dim), np.float32)
        cuts = self.pieces(texts)
        return mean_of_chunks(self._forward([piece for pieces in cuts for piece in pieces]), cuts)

    def _forward(self, pieces: list[TextChunk]) -> npt.NDArray[np.float32]:
        """Run the model, in smaller batches where memory runs out: one unit vector a piece, shape (pieces, dim)."""
        word_pieces = np.array([piece.word_pieces for piece in pieces]) + self._cutter.overhead
        with self._model.lock:
            return with_smaller_batches(lambda batch: self._run(pieces, word_pieces, batch), self._batch)

    def _run(self, pieces: list[TextChunk], word_pieces: npt.NDArray[np.int64], batch: int) -> npt.NDArray[np.float32]:
        order: list[int] = []
        parts: list[npt.NDArray[np.float32]] = []
        for rows in even_batches(word_pieces, batch):
            texts = [pieces[row].text for row in rows]
            part = self._model.transformer.encode(
                texts, prompt=self._prompt, batch_size=len(texts), show_progress_bar=False
            )
            order.extend(rows)
            parts.append(np.asarray(part, np.float32))
        vectors = np.concatenate(parts)[np.argsort(order)]
        with np.errstate(invalid="ignore"):  # what is not finite is a failure later
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            return np.asarray(vectors / np.maximum(lengths, _SMALLEST), np.float32)


def even_batches(lengths: npt.NDArray[np.int64], most: int) -> Iterator[npt.NDArray[np.int64]]:
    """Divide texts into batches of like lengths, the longest first: if memory does not suffice, that shows at once.

    sentence-transformers by itself sorts by characters and takes 32 texts at a time: on titles of all scripts, a third
    of what it computes is padding.

    Args:
        lengths: Word pieces of each text.
        most: Word pieces in a batch, padding included; a longer text is a batch of its own.

    Yields:
        Row numbers.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, most // int(lengths[order[start]]))
        yield order[start:stop]
        start = stop


def _checked(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | Failure:
    if np.isfinite(vector).all():
        return vector
    return Failure(NOT_FINITE, "the model gave values that are not finite, or only zeros")
