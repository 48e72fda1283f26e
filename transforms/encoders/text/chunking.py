"""The piece rule: how a text that is longer than a model's window is cut, so that all of it is read.

A text is counted in the model's own word pieces. One that fits into the window is encoded as it is. A longer one is
cut, from its start, into pieces that fill the window as far as whole lines go; where one line alone is longer than the
window it is cut between words, and a word longer than the window between word pieces. The text's vector is the mean of
the pieces' unit vectors, weighted by their word pieces and brought back to unit length.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from tokenizers import Encoding, Tokenizer

CHUNK_RULE = 1
"""Version of the rule above. Raise it when a change of the rule changes vectors."""

MAX_CHUNKS = 32
"""Pieces of one text that are encoded, from its start: some 8,000 word pieces at 256 a window, beyond any song."""

MAX_CHARACTERS = 1 << 17
"""Characters of one text that are read at all: what bounds the memory that a whole book as lyrics would take."""


@dataclass(frozen=True)
class TextChunk:
    """A part of a text that fits into the model's window.

    Attributes:
        text: The part, as it stands in the text.
        word_pieces: How many word pieces it has, at least 1: its weight in the mean.
    """

    text: str
    word_pieces: int


def rule_identity() -> Mapping[str, int]:
    """Return what the rule adds to the identity of an encoder."""
    return {"version": CHUNK_RULE, "max_pieces": MAX_CHUNKS, "max_characters": MAX_CHARACTERS}


class Chunker:
    """The rule for one model and prompt. Not for two threads at once: a fast tokenizer refuses that.

    Attributes:
        overhead: Word pieces that the model reads beside those of a piece: the special tokens' and the prompt's.
        window: Word pieces that a piece may have, at least 1.
    """

    def __init__(self, transformer: "SentenceTransformer", prompt: str) -> None:
        """Take the model's tokenizer.

        Args:
            transformer: The model.
            prompt: What is put before each piece.

        Raises:
            UsageError: The tokenizer cannot tell where its word pieces lie.
        """
        self._tokenizer = _fast_tokenizer(transformer)
        [prompt_pieces] = self._encode([prompt])
        self.overhead = self._tokenizer.num_special_tokens_to_add(is_pair=False) + len(prompt_pieces)
        length = transformer.max_seq_length
        longest = sys.maxsize if length is None else int(min(length, sys.maxsize))  # some say infinity, or 10^30
        self.window = max(1, longest - self.overhead)

    def cut(self, texts: Sequence[str]) -> list[list[TextChunk]]:
        """Cut each text into the pieces that are encoded for it, at least one."""
        shortened = [text[:MAX_CHARACTERS] for text in texts]
        encodings = self._encode(shortened)
        return [cut(text, encoding, self.window) for text, encoding in zip(shortened, encodings, strict=True)]

    def _encode(self, texts: list[str]) -> "list[Encoding]":
        """Encode texts to their word pieces alone, neither cut nor padded.

        A ``tokenizer.json`` brings its own settings for both (MiniLM's: always 128 pieces). Changing them here does no
        harm: sentence-transformers sets them anew on each of its own calls.
        """
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        encodings: list[Encoding] = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return encodings


def cut(text: str, encoding: "Encoding", window: int) -> list[TextChunk]:
    """Cut a text into pieces of at most ``window`` word pieces, by the rule in this module's docstring.

    Args:
        text: The text.
        encoding: Its word pieces without special tokens, with character offsets.
        window: Word pieces that fit into the model, at least 1.
    """
    if len(encoding) <= window:
        return [TextChunk(text, max(1, len(encoding)))]
    spans = np.array(encoding.offsets)
    newlines = np.flatnonzero(np.array(list(text)) == "\n")
    line_starts = _changes(np.searchsorted(newlines, spans[:, 1] - 1))
    word_starts = _changes(np.array([-1 if word is None else word for word in encoding.word_ids]))
    pieces: list[TextChunk] = []
    start = 0
    while start < len(spans) and len(pieces) < MAX_CHUNKS:
        stop = _stop(start, len(spans), window, (line_starts, word_starts))
        after = spans[stop, 0] if stop < len(spans) else len(text)
        unread = text[spans[stop - 1, 1] : after].rstrip()  # accents, say, of which a tokenizer makes nothing
        pieces.append(TextChunk(text[spans[start, 0] : spans[stop - 1, 1]] + unread, stop - start))
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


def mean_of_chunks(vectors: npt.NDArray[np.float32], cuts: Sequence[Sequence[TextChunk]]) -> npt.NDArray[np.float32]:
    """Average the pieces' unit vectors, weighted by their word pieces, to a unit vector a text.

    Args:
        vectors: float32 of shape (pieces of all texts, dim), in their order.
        cuts: Each text's pieces.

    Returns:
        float32 of shape (texts, dim); NaN where the mean is zero.
    """
    weights = np.array([piece.word_pieces for pieces in cuts for piece in pieces], np.float32)
    firsts = np.cumsum([0] + [len(pieces) for pieces in cuts[:-1]])
    sums = np.add.reduceat(vectors * weights[:, None], firsts, axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)


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
