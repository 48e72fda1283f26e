"""Initial rows of the tokens of a release, by one of several methods; see ``codebooks.tokens.embedding_init``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tracktokens.codebooks.numerics.arrays import Floats, RowIndices
from tracktokens.codebooks.tokens.embedding_init import RowStatistics, centroid_rows, mean_rows, text_rows
from tracktokens.codebooks.tokens.rendering import escape_tokens
from tracktokens.codebooks.tokens.vocabulary import Entry

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MEAN, CENTROID, TEXT = "mean", "centroid", "text"
INITS = (MEAN, CENTROID, TEXT)

WORDS_PER_CODE = 8
"""Most words whose rows make the row of a code."""

CodeWords = Mapping[str, Sequence[Sequence[str]]]
"""Column of the token table to the words of each of its codes, the most distinctive first."""

_BEFORE = "the"
"""A word before a word, so that the word is written as in running text: with a space before it."""


@dataclass(frozen=True)
class InitialRows:
    """A method to make the rows of new tokens, for each of a model's matrices.

    Attributes:
        entries: the new tokens, in order.
        init: one of ``INITS``.
        centroids: column to float32 (codes, components), for ``CENTROID``.
        word_ids: position of a code's token to the ids of each of its words, for ``TEXT``; see :func:`find_word_ids`.
        seed: seed of the noise, or of the rotation.
    """

    entries: Sequence[Entry]
    init: str = MEAN
    centroids: Mapping[str, Floats] = field(default_factory=dict, repr=False)
    word_ids: Mapping[int, Sequence[Sequence[int]]] = field(default_factory=dict, repr=False)
    seed: int = 0

    def make(self, old_ids: RowIndices, old_rows: Floats) -> tuple[RowStatistics, Floats]:
        """Make float32 (tokens, dim) rows for a matrix, and the statistics of its old rows.

        Args:
            old_ids: int64 (n,), the ids of the tokenizer, ascending.
            old_rows: float32 (n, dim), their rows.
        """
        old = RowStatistics(old_rows)
        rows = mean_rows(old, len(self.entries), self.seed)
        if self.init == CENTROID:
            made = centroid_rows(old, self.centroids, self.seed)
            for position, (column, code) in known_codes(self.entries, made).items():
                rows[position] = made[column][code]
        elif self.word_ids:
            positions = list(self.word_ids)
            words = [np.stack([_row_of(ids, old_ids, old_rows) for ids in self.word_ids[p]]) for p in positions]
            rows[positions] = text_rows(old, words, rows[positions])
        return old, rows


def known_codes(entries: Sequence[Entry], known: Mapping[str, Sized]) -> dict[int, tuple[str, int]]:
    """Map the position of a code's token to its column and code, as far as something is known of the code.

    Args:
        entries: tokens, in order.
        known: column to values of its first codes.
    """
    return {
        position: (entry.modality, entry.code)
        for position, entry in enumerate(entries)
        if entry.modality is not None
        and entry.modality in known
        and entry.code is not None
        and entry.code < len(known[entry.modality])
    }


def find_word_ids(
    tokenizer: PreTrainedTokenizerBase, entries: Sequence[Entry], words: CodeWords
) -> dict[int, list[list[int]]]:
    """Split the words of codes by a tokenizer without the new tokens, with the space that a word has in running text.

    Returns:
        Position of a code's token to the ids of each of its words; codes without a word that the tokenizer knows are
        left out.
    """
    special = set(tokenizer.all_special_ids)
    before = tokenizer.encode(_BEFORE, add_special_tokens=False)
    known: dict[str, list[int]] = {}

    def ids_of(word: str) -> list[int]:
        if word not in known:
            ids = tokenizer.encode(f"{_BEFORE} {escape_tokens(word)}", add_special_tokens=False)
            ids = ids[len(before) :] if ids[: len(before)] == before else ids
            known[word] = [number for number in ids if number not in special]
        return known[word]

    found = {
        position: [ids for ids in map(ids_of, words[column][code][:WORDS_PER_CODE]) if ids]
        for position, (column, code) in known_codes(entries, words).items()
    }
    return {position: ids for position, ids in found.items() if ids}


def _row_of(ids: Sequence[int], old_ids: RowIndices, old_rows: Floats) -> Floats:
    """Mean of the rows of a word's ids."""
    mean: Floats = old_rows[np.searchsorted(old_ids, ids)].mean(axis=0)
    return mean
