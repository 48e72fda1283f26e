"""Systems that read the texts of a conversation: BM25, and the text model of the release."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.codebook import Codebook, Preprocessing
from tracktokens.codebooks.matching.token_index import Matching, TokenIndex
from tracktokens.codebooks.metrics.turn_ranking import DEPTH
from tracktokens.codebooks.numerics.arrays import Codes, Floats, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import WILDCARD
from tracktokens.pipelines.analysis.conversations.queries import Query
from tracktokens.pipelines.analysis.conversations.systems import Answer, Taste, best_rows, fill_up
from tracktokens.transforms.catalog.texts import fold_case

if TYPE_CHECKING:
    from tracktokens.transforms.encoders.base import LoadedEncoder

CANDIDATES = 200
"""Tracks per text modality that the first stage of the dense system keeps."""

BATCH = 64
"""Queries that are encoded and compared at once."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts that write no spaces between words: Thai, Lao, Burmese, Khmer, kana and Chinese characters."""

_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")

Words = Callable[[Query], str]
"""Chooses the words of a query that a system reads."""


def split_words(text: str) -> list[str]:
    """Split a text into words, without case, and scripts without spaces into characters; nothing is stemmed.

    Example:
        >>> split_words("Sad SONGS, 静夜思")
        ['sad', 'songs', '静', '夜', '思']
    """
    return _WORD.findall(fold_case(pa.array([text])).to_pylist()[0])


class Bm25System:
    """Ranks tracks by BM25 (Robertson and others, 1994; Lucene's variant, k1 1.5, b 0.75, by ``bm25s``)."""

    def __init__(self, documents: Iterable[str], words: Words) -> None:
        """Index one document per track, in order of the rows."""
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it logs its steps

        self._words = words
        self._tracks = 0
        self._index = bm25s.BM25()
        self._index.index(list(self._split(documents)), show_progress=False)

    def answers(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Yield one answer per query; the most popular tracks where no word of it is known."""
        for query in queries:
            yield Answer(best_rows(self._scores(split_words(self._words(query))), query))

    def _split(self, documents: Iterable[str]) -> Iterator[list[str]]:
        for document in documents:
            self._tracks += 1
            yield split_words(document)

    def _scores(self, words: list[str]) -> Scores:
        known = self._index.get_tokens_ids(words)
        if not known:
            return np.zeros(self._tracks)
        scores: Scores = self._index.get_scores_from_ids(known).astype(np.float64)
        return scores


@dataclass(eq=False)
class TextSpace:
    """The text model of a release, with what it made of the tracks. It keeps the vectors of the texts that it encoded.

    Attributes:
        encoder: the model.
        codebooks: text modality to its codebook of the first level.
        vectors: text modality to float32 (tracks, components) of unit length, zero for tracks without it.
    """

    encoder: "LoadedEncoder"
    codebooks: Mapping[str, Codebook]
    vectors: Mapping[str, Floats]
    _encoded: dict[str, Floats | None] = field(default_factory=dict, repr=False)

    def encode(self, texts: Sequence[str]) -> tuple[Floats, RowIndices]:
        """Encode texts: vectors, float32 (texts, dim), zero for texts without one, and the rows of the others."""
        new = [text for text in dict.fromkeys(texts) if text not in self._encoded and text.strip()]
        if new:
            encoded = self.encoder.encode(pa.array(new, pa.string()))
            kept = (None if row in encoded.failures else vector for row, vector in enumerate(encoded.vectors))
            self._encoded |= dict(zip(new, kept, strict=True))
        vectors = np.zeros((len(texts), next(iter(self.codebooks.values())).dim), np.float32)
        usable = []
        for row, text in enumerate(texts):
            vector = self._encoded.get(text)
            if vector is not None:
                vectors[row] = vector
                usable.append(row)
        return vectors, np.array(usable, np.int64)

    def cosines(self, texts: Sequence[str]) -> dict[str, Floats]:
        """Compare texts with all tracks: text modality to cosines, float32 (texts, tracks)."""
        vectors, usable = self.encode(texts)
        unit = Preprocessing(unit_length=True)
        cosines = {}
        for modality, rows in self.vectors.items():
            points = unit.apply(self.codebooks[modality].preprocessing.apply(vectors))
            cosines[modality] = np.zeros((len(texts), len(rows)), np.float32)
            cosines[modality][usable] = points[usable] @ rows.T
        return cosines

    def codes(self, texts: Sequence[str]) -> tuple[dict[str, Codes], RowIndices]:
        """Find the nearest centroids: text modality to codes, int16 (texts,), and the rows of texts with a vector."""
        vectors, usable = self.encode(texts)
        return {modality: assign(book, vectors).codes for modality, book in self.codebooks.items()}, usable


@dataclass(frozen=True, eq=False)
class DenseSystem:
    """Two stages: candidates by the text of the conversation, then by it and by the tracks that were named.

    The first stage keeps :data:`CANDIDATES` tracks per text modality, by the cosine of the text's vector to theirs. The
    second adds the largest of a candidate's cosines and its :class:`.Taste`.

    Attributes:
        space: the text model.
        taste: playlist vectors; None without any.
        words: words of a query that are encoded.
    """

    space: TextSpace
    taste: Taste | None
    words: Words

    def answers(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Yield one answer per query."""
        for first in range(0, len(queries), BATCH):
            batch = queries[first : first + BATCH]
            cosines = self.space.cosines([self.words(query) for query in batch])
            for number, query in enumerate(batch):
                rows = [part[number] for part in cosines.values()]
                yield Answer(self._rank(np.stack(rows), query))

    def relevance(self, queries: Sequence[Query]) -> Iterator[Scores]:
        """Yield the scores of the second stage, float64 (tracks,), for all tracks."""
        for first in range(0, len(queries), BATCH):
            batch = queries[first : first + BATCH]
            cosines = self.space.cosines([self.words(query) for query in batch])
            for number, query in enumerate(batch):
                yield self._second_stage(np.stack([part[number] for part in cosines.values()]), query)

    def _rank(self, cosines: Floats, query: Query) -> RowIndices:
        candidates = np.unique(np.concatenate([best_rows(part, query, CANDIDATES) for part in cosines]))
        scores = np.full(cosines.shape[1], -np.inf)
        scores[candidates] = self._second_stage(cosines, query)[candidates]
        return best_rows(scores, query)

    def _second_stage(self, cosines: Floats, query: Query) -> Scores:
        scores: Scores = cosines.max(axis=0).astype(np.float64)
        if self.taste is not None and len(query.named):
            scores += self.taste.scores(query.named)
        return scores


@dataclass(frozen=True, eq=False)
class TextToMusicSystem:
    """Text to tokens without a language model: the nearest centroids of a text, matched as written tokens.

    Attributes:
        space: the text model.
        index: tokens of all tracks.
        columns: text modality to its column in the index.
        matching: weights.
        words: words of a query that are encoded.
    """

    space: TextSpace
    index: TokenIndex
    columns: Mapping[str, int]
    matching: Matching
    words: Words

    def answers(self, queries: Sequence[Query]) -> Iterator[Answer]:
        """Yield one answer per query; the most popular tracks where it has no text, and after those that match."""
        width = self.index.codes(np.zeros(0, np.int64)).shape[1]
        for first in range(0, len(queries), BATCH):
            batch = queries[first : first + BATCH]
            codes, usable = self.space.codes([self.words(query) for query in batch])
            written = np.full((len(batch), width), WILDCARD, np.int16)
            for modality, column in self.columns.items():
                written[usable, column] = codes[modality][usable]
            for tokens, query in zip(written, batch, strict=True):
                found = self.index.match(tokens, DEPTH + len(query.excluded), self.matching)
                yield Answer(fill_up(found.rows, query, len(self.index)))
