"""The chunk rule: division of a text that is longer than a model's window, so that the model reads all of it.

Length is counted in the model's own word pieces. A text that fits into the window is one chunk. A longer text is
divided, from its start, into chunks of as many whole lines as fit into the window. A line longer than the window is
divided between words, and a word longer than the window between word pieces. The text's vector is the mean of the
chunks' unit vectors, weighted by their word pieces and scaled to unit length.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

CHUNK_RULE = 1
"""Version of the rule above. Raise it when a change of the rule changes vectors."""

MAX_CHUNKS = 32
"""Chunks of one text that are encoded, from its start: about 8,000 word pieces with a window of 256, more than any song
has."""

MAX_CHARACTERS = 1 << 17
"""Characters of one text that are read, from its start. Bounds the memory that a whole book as lyrics would take."""


@dataclass(frozen=True)
class TextChunk:
    """A part of a text that fits into the model's window.

    Attributes:
        text: Exact substring of the text.
        word_pieces: Number of its word pieces, at least 1: its weight in the mean.
    """

    text: str
    word_pieces: int


def rule_identity() -> Mapping[str, int]:
    """Return the rule's part of an encoder's identity."""
    return {"version": CHUNK_RULE, "max_pieces": MAX_CHUNKS, "max_characters": MAX_CHARACTERS}


class Chunker:
    """The chunk rule for one model and prompt. Not thread-safe, because fast tokenizers are not.

    Attributes:
        overhead: Word pieces that the model reads in addition to those of a chunk: special tokens and the prompt.
        window: Word pieces that a chunk may have, at least 1.
    """

    def __init__(self, tokenizer: "Tokenizer", max_length: float | None, prompt: str) -> None:
        """Take the tokenizer of a model.

        Args:
            tokenizer: The tokenizer.
            max_length: Word pieces that the model reads, special tokens included; None for any number.
            prompt: Text that precedes each chunk.
        """
        self._tokenizer = tokenizer
        [prompt_encoding] = self._encode([prompt])
        self.overhead = self._tokenizer.num_special_tokens_to_add(is_pair=False) + len(prompt_encoding)
        longest = sys.maxsize if max_length is None else int(min(max_length, sys.maxsize))  # infinity, or 10^30
        self.window = max(1, longest - self.overhead)

    def chunk(self, texts: Sequence[str]) -> list[list[TextChunk]]:
        """Divide each text into the chunks that are encoded for it, at least one."""
        truncated = [text[:MAX_CHARACTERS] for text in texts]
        encodings = self._encode(truncated)
        return [chunk_text(text, encoding, self.window) for text, encoding in zip(truncated, encodings, strict=True)]

    def _encode(self, texts: list[str]) -> "list[Encoding]":
        """Split texts into word pieces, without special tokens, truncation or padding.

        A ``tokenizer.json`` has its own settings for both (MiniLM's: always 128 word pieces). Changing them here is
        safe: sentence-transformers sets them again on each of its own calls.
        """
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        encodings: list[Encoding] = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return encodings


def chunk_text(text: str, encoding: "Encoding", window: int) -> list[TextChunk]:
    r"""Divide a text into chunks of at most ``window`` word pieces, by the rule in this module's docstring.

    Args:
        text: The text.
        encoding: Its word pieces without special tokens, with character offsets.
        window: Word pieces that fit into the model, at least 1.

    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> tokenizer = Tokenizer(models.WordLevel({"la": 0, "?": 1}, unk_token="?"))
    >>> tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    >>> text = "la la\nla la la\nla la la la la"
    >>> for chunk in chunk_text(text, tokenizer.encode(text), window=4):
    ...     print(chunk)
    TextChunk(text='la la', word_pieces=2)
    TextChunk(text='la la la', word_pieces=3)
    TextChunk(text='la la la la', word_pieces=4)
    TextChunk(text='la', word_pieces=1)
    """
    if len(encoding) <= window:
        return [TextChunk(text, max(1, len(encoding)))]
    spans = np.array(encoding.offsets)
    newlines = np.flatnonzero(np.array(list(text)) == "\n")
    line_starts = _change_positions(np.searchsorted(newlines, spans[:, 1] - 1))
    word_starts = _change_positions(np.array([-1 if word is None else word for word in encoding.word_ids]))
    chunks: list[TextChunk] = []
    start = 0
    while start < len(spans) and len(chunks) < MAX_CHUNKS:
        stop = _chunk_end(start, len(spans), window, (line_starts, word_starts))
        next_start = spans[stop, 0] if stop < len(spans) else len(text)
        unread = text[spans[stop - 1, 1] : next_start].rstrip()  # characters without a word piece, such as accents
        chunks.append(TextChunk(text[spans[start, 0] : spans[stop - 1, 1]] + unread, stop - start))
        start = stop
    return chunks


def _change_positions(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the positions at which a value differs from the previous one."""
    return np.flatnonzero(np.diff(values)) + 1


def _chunk_end(start: int, end: int, window: int, breaks: Sequence[npt.NDArray[np.int64]]) -> int:
    """Find the end of a chunk: the last break in the window, of the first kind that has one, or the window's end."""
    if start + window >= end:
        return end
    for kind in breaks:
        last = np.searchsorted(kind, start + window, side="right") - 1
        if last >= 0 and kind[last] > start:
            return int(kind[last])
    return start + window


def mean_of_chunks(
    vectors: npt.NDArray[np.float32], chunks_per_text: Sequence[Sequence[TextChunk]]
) -> npt.NDArray[np.float32]:
    """Average the chunks' unit vectors, weighted by their word pieces, to one unit vector per text.

    Args:
        vectors: float32 of shape (chunks of all texts, dim), in their order.
        chunks_per_text: Chunks of each text.

    Returns:
        float32 of shape (texts, dim); NaN where the mean is zero.

    >>> vectors = np.float32([[1, 0], [0, 1], [0, 1]])
    >>> mean_of_chunks(vectors, [[TextChunk("three", 3), TextChunk("four", 4)], [TextChunk("one", 1)]])
    array([[0.6, 0.8],
           [0. , 1. ]], dtype=float32)
    """
    weights = np.array([chunk.word_pieces for chunks in chunks_per_text for chunk in chunks], np.float32)
    starts = np.cumsum([0] + [len(chunks) for chunks in chunks_per_text[:-1]])
    sums = np.add.reduceat(vectors * weights[:, None], starts, axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), np.float32)
