"""Text encoder: any sentence-transformers model. Long texts are encoded in pieces and averaged, not cut off.

The piece rule: a text is counted in the model's own word pieces. One that fits into the model's window is encoded as it
is. A longer one is cut, from its start, into pieces that fill the window as far as whole lines go; where one line alone
is longer than the window it is cut between words, and a word longer than the window between word pieces. The vector
is the mean of the pieces' unit vectors, weighted by their word pieces and brought back to unit length.
"""

import hashlib
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.errors import DataRefusedError, UsageError
from tracktokens.schemas.rejects import NOT_FINITE
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder, encoded
from tracktokens.transforms.encoders.packaged import packaged_minilm
from tracktokens.transforms.encoders.weights import SharedModels, feed_file

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Encoding, Tokenizer

PIECE_RULE = 1
"""Version of the rule above. Raise it when a change of the rule changes vectors."""

MAX_PIECES = 32
"""Pieces of one text that are encoded, from its start: some 8,000 word pieces at 256 a window, beyond any song."""

MAX_CHARACTERS = 1 << 17
"""Characters of one text that are read at all: what bounds the memory that a whole book as lyrics would take."""

BATCH_SIZE = 32
"""Pieces in one forward pass: more does not pay on a CPU."""

_UNREAD_SUFFIXES = {".md", ".onnx", ".h5", ".msgpack", ".ot", ".png", ".jpg", ".pyc"}
_UNREAD_FOLDERS = {"onnx", "openvino", "coreml"}
_PROBE = "a song"


@dataclass(frozen=True)
class SentenceEncoder(Encoder):
    """A sentence-transformers model by name or folder; make one with :func:`sentence_encoder`.

    Attributes:
        model: Folder, or name in the local Hugging Face cache; None for the packaged all-MiniLM-L6-v2.
        weights: Hash of the model's files, by :func:`model_hash`.
        batch_size: Pieces in one forward pass. Changes vectors by rounding only.
        device: Torch device, such as ``cpu`` or ``cuda:1``; None for a GPU where there is one, else the CPU.
    """

    model: str | None
    weights: str
    batch_size: int = BATCH_SIZE
    device: str | None = None

    def identity(self) -> Mapping[str, object]:
        """Name the method, the model's files by their hash, and the piece rule.

        The versions of torch and sentence-transformers are left out: they change vectors by rounding only.
        """
        rule = {"version": PIECE_RULE, "max_pieces": MAX_PIECES, "max_characters": MAX_CHARACTERS}
        return {"encoder": "sentence", "weights": self.weights, "pieces": rule}

    def load(self, threads: int) -> "LoadedSentenceEncoder":
        """Load the model, or share the one that this process has loaded already.

        Raises:
            UsageError: The model is not on this machine, or cannot tell where its word pieces lie.
            DataRefusedError: The model on this machine is not the one that the job was started with.
        """
        import torch

        torch.set_num_threads(threads)
        model = _models.get((self.weights, self.device), lambda: _load_model(self))
        return LoadedSentenceEncoder(model, self.batch_size)


def sentence_encoder(model: str | None = None) -> SentenceEncoder:
    """Describe the encoder of a model on this machine, its files hashed. Nothing is downloaded.

    Args:
        model: A folder, or a name in the Hugging Face cache; None for the packaged all-MiniLM-L6-v2.

    Raises:
        UsageError: There is no such model on this machine.
        DataRefusedError: The packaged model is damaged.
    """
    folder = model_folder(model)
    if model is not None and Path(model).is_dir():
        model = str(folder)
    return SentenceEncoder(model, model_hash(folder))


def model_folder(model: str | None) -> Path:
    """Find a model's folder on this machine: the packaged one, a folder, or a snapshot in the Hugging Face cache.

    Raises:
        UsageError: There is none, or it holds no sentence-transformers model.
    """
    if model is None:
        return Path(packaged_minilm())
    folder = Path(model).resolve() if Path(model).is_dir() else _hub_snapshot(model)
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise UsageError(f"text model {folder}: no modules.json or config.json, so not a sentence-transformers model")
    return folder


def model_hash(folder: Path) -> str:
    """Hash the names and contents of a model's files (32 hex digits of BLAKE2b).

    Files that do not change its vectors are left out: hidden files, model cards, and copies of the weights for
    other frameworks.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        if not _changes_vectors(name):
            continue
        digest.update(f"{name.as_posix()}\0{path.stat().st_size}\0".encode())
        feed_file(digest, path)
    return digest.hexdigest()


def _changes_vectors(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return not (hidden or name.suffix in _UNREAD_SUFFIXES or _UNREAD_FOLDERS.intersection(name.parts))


def _hub_snapshot(name: str) -> Path:
    """Find the newest snapshot in the local cache; a bare name may be one of sentence-transformers' own models."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    for repository in (name,) if "/" in name else (name, f"sentence-transformers/{name}"):
        try:
            return Path(snapshot_download(repository, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError):
            continue
    raise UsageError(
        f"text model {name}: neither a folder nor in the local Hugging Face cache."
        f" Download it first (hf download {name}), or give --text-model a folder"
    )


class _SharedModel:
    """One model in memory, for every encoder of this process that names it.

    The lock is there because a fast tokenizer refuses two threads at once ("Already borrowed").
    """

    def __init__(self, transformer: "SentenceTransformer") -> None:
        self.transformer = transformer
        self.lock = threading.Lock()


_models: SharedModels[_SharedModel] = SharedModels()


def _load_model(encoder: SentenceEncoder) -> _SharedModel:
    folder = model_folder(encoder.model)
    if (found := model_hash(folder)) != encoder.weights:
        raise DataRefusedError(
            f"text model {folder}: its files hash to {found}, and the job was started with {encoder.weights}."
            " Give every worker the same model, and do not change it while a job runs"
        )
    from sentence_transformers import SentenceTransformer

    with _no_progress_bar():
        transformer = SentenceTransformer(str(folder), device=encoder.device, local_files_only=True)
    return _SharedModel(transformer)


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

    def __init__(self, model: _SharedModel, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self._tokenizer = _fast_tokenizer(model.transformer)
        with model.lock:
            self._window = _window(model.transformer, self._tokenizer)
        self._dim = self._forward([_PROBE]).shape[1]

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
        self._forward([_PROBE])
        return True

    def pieces(self, texts: Sequence[str]) -> list[list["Piece"]]:
        """Cut each text into the pieces that are encoded for it, at least one."""
        shortened = [text[:MAX_CHARACTERS] for text in texts]
        with self._model.lock:
            encodings = _encode_whole(self._tokenizer, shortened)
        return [cut(text, encoding, self._window) for text, encoding in zip(shortened, encodings, strict=True)]

    def _vectors(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Encode texts, all their pieces in one call: it sorts them by length, so that little is padded."""
        if not texts:
            return np.zeros((0, self._dim), np.float32)
        cuts = self.pieces(texts)
        vectors = self._forward([piece.text for pieces in cuts for piece in pieces])
        weights = np.array([piece.word_pieces for pieces in cuts for piece in pieces], np.float32)
        firsts = np.cumsum([0] + [len(pieces) for pieces in cuts[:-1]])
        sums = np.add.reduceat(vectors * weights[:, None], firsts, axis=0)
        with np.errstate(invalid="ignore"):  # a zero vector becomes NaN, and so a failure
            return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)

    def _forward(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Run the model: one unit vector a text, shape (texts, dim)."""
        with self._model.lock:
            vectors = self._model.transformer.encode(
                texts, batch_size=self._batch_size, normalize_embeddings=True, show_progress_bar=False
            )
        return np.asarray(vectors, np.float32)


@dataclass(frozen=True)
class Piece:
    """A part of a text that fits into the model's window.

    Attributes:
        text: The part, as it stands in the text.
        word_pieces: How many word pieces it has, at least 1: its weight in the mean.
    """

    text: str
    word_pieces: int


def cut(text: str, encoding: "Encoding", window: int) -> list[Piece]:
    """Cut a text into pieces of at most ``window`` word pieces, by the rule in this module's docstring.

    Args:
        text: The text.
        encoding: Its word pieces without special tokens, with character offsets.
        window: Word pieces that fit into the model, at least 1.
    """
    if len(encoding) <= window:
        return [Piece(text, max(1, len(encoding)))]
    spans = np.array(encoding.offsets)
    newlines = np.flatnonzero(np.array(list(text)) == "\n")
    line_starts = _changes(np.searchsorted(newlines, spans[:, 1] - 1))
    word_starts = _changes(np.array([-1 if word is None else word for word in encoding.word_ids]))
    pieces: list[Piece] = []
    start = 0
    while start < len(spans) and len(pieces) < MAX_PIECES:
        stop = _stop(start, len(spans), window, (line_starts, word_starts))
        pieces.append(Piece(text[spans[start, 0] : spans[stop - 1, 1]], stop - start))
        start = stop
    return pieces


def _changes(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the positions at which a value differs from the one before."""
    return np.flatnonzero(np.diff(values)) + 1


def _stop(start: int, end: int, window: int, breaks: Sequence[npt.NDArray[np.int64]]) -> int:
    """Find where a piece ends: at the last break of the first kind that the window holds, or where that is full."""
    if start + window >= end:
        return end
    for kind in breaks:
        last = np.searchsorted(kind, start + window, side="right") - 1
        if last >= 0 and kind[last] > start:
            return int(kind[last])
    return start + window


def _fast_tokenizer(transformer: "SentenceTransformer") -> "Tokenizer":
    """Return the model's tokenizer of the ``tokenizers`` library, the kind that gives character offsets."""
    from tokenizers import Tokenizer

    tokenizer = getattr(transformer.tokenizer, "backend_tokenizer", transformer.tokenizer)
    if not isinstance(tokenizer, Tokenizer):
        raise UsageError(
            f"the text model's tokenizer ({type(tokenizer).__name__}) does not tell where its word pieces lie:"
            " give --text-model a model with a tokenizer.json"
        )
    return tokenizer


def _encode_whole(tokenizer: "Tokenizer", texts: list[str]) -> list["Encoding"]:
    """Encode texts to their word pieces alone, neither cut nor padded.

    A ``tokenizer.json`` brings its own settings for both (MiniLM's: always 128 pieces). Changing them here does no
    harm: sentence-transformers sets them anew on each of its own calls.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encodings: list[Encoding] = tokenizer.encode_batch(texts, add_special_tokens=False)
    return encodings


def _window(transformer: "SentenceTransformer", tokenizer: "Tokenizer") -> int:
    """Count the word pieces of a text that fit, beside the special tokens and the model's own prompt."""
    length = transformer.max_seq_length
    if length is None or length > sys.maxsize:
        return sys.maxsize
    prompt = transformer.prompts.get(transformer.default_prompt_name or "") or ""
    [prompt_pieces] = _encode_whole(tokenizer, [prompt])
    special: int = tokenizer.num_special_tokens_to_add(is_pair=False)
    return max(1, int(length) - special - len(prompt_pieces))


def _checked(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | Failure:
    if np.isfinite(vector).all():
        return vector
    return Failure(NOT_FINITE, "the model gave values that are not finite, or only zeros")
