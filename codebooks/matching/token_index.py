"""From tokens back to tracks: which tracks fit a written token tuple best.

A written tuple may be partial, and it may be wrong: a language model can write tokens that no track has together. Its
score for a track is a weighted mean over the modalities that were written:

    score = sum of weight * similarity / sum of weight

In exact mode the similarity of two codes is 1 where they are equal, and else 0: this is TalkPlay's sum of the weights
of equal codes (arXiv 2502.13713, there 25, 5, 5, 1, 1), divided by what can be reached. In graded mode it is that of
their centroids, see ``code_similarity.py``.

**Modalities that are not there.** Weights are renormalised over what the query says, and not over what the track has.
The first divides all scores by one number, so the ranking is TalkPlay's. The second would put a track that has nothing
but the right playlist code above one that has all the right codes but one. ``none`` that was written is a token like
all others, as in ``oracle.py``: it is equal to ``none``, and its similarity to any code is 0. With
``none_is_a_token=False`` it counts as not written.

**Ties.** Rows stand in the order in which they win ties: of two tracks with the same score, the lower row comes first.
Who builds the index chooses that order. Tracks that score 0 are not found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tracktokens.codebooks.matching.code_similarity import CodeSimilarity
from tracktokens.codebooks.matching.graded_search import search_graded
from tracktokens.codebooks.matching.inverted_index import InvertedIndex
from tracktokens.codebooks.matching.top_k import BestRows
from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS, checked_weights
from tracktokens.codebooks.numerics.arrays import CodeColumns, CodeMatrix, Doubles, Mask, Query, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE, WILDCARD, check_codes
from tracktokens.schemas.modalities import MODALITIES


@dataclass(frozen=True)
class Matching:
    """How tuples are matched.

    Attributes:
        weights: of the five modalities in token order, not negative, one at least positive.
        graded: whether codes count by the similarity of their centroids, and not only where they are equal.
        none_is_a_token: whether a written ``none`` asks for tracks without the modality, or counts as not written.

    Raises:
        ValueError: these are no weights.
    """

    weights: Sequence[float] = MATCHING_WEIGHTS
    graded: bool = False
    none_is_a_token: bool = True

    def __post_init__(self) -> None:
        self._checked  # noqa: B018

    def shares(self, query: Query) -> Scores:
        """Weight of each modality in the score of a query, float64 (5,): they sum to 1, or are all 0."""
        written = query >= (NONE if self.none_is_a_token else NONE + 1)
        weights = np.where(written, self._checked, 0.0)
        return weights / (weights.sum() or 1.0)

    @cached_property
    def _checked(self) -> Scores:
        return checked_weights(self.weights)


@dataclass(frozen=True, eq=False)
class Matches:
    """The rows that fit a query best, the best first, and why.

    Attributes:
        rows: int64 (found,).
        scores: float64 (found,), above 0, at most 1.
        shares: float64 (5,), weight of each modality in the scores.
        similarities: float64 (found, 5), of what was written to what the row has; 0 where nothing was written. A score
            is the sum of the products of shares and similarities.
    """

    rows: RowIndices
    scores: Scores
    shares: Scores
    similarities: Doubles = field(repr=False)


class TokenIndex:
    """Finds the rows of a code matrix that fit a query best.

    An exact query reads the lists of the rows that have its codes, the modality of the largest weight first, and stops
    when no row outside of them can score enough. A graded one reads the lists of that modality in order of similarity,
    and stops likewise. Both give what scoring every row would give.

    It never changes, so threads may share it. It takes 30 bytes a row.
    """

    def __init__(self, codes: CodeMatrix, similarities: Sequence[CodeSimilarity] = ()) -> None:
        """Index a code matrix.

        Args:
            codes: int16 (n, 5), -1 for none, in the order in which rows win ties.
            similarities: of each modality's codes, in token order; without them there is no graded mode.

        Raises:
            ValueError: this is no code matrix, or it has codes that ``similarities`` do not know.
        """
        check_codes(codes)
        _check_similarities(codes, similarities)
        self._columns: CodeColumns = np.ascontiguousarray(codes.T)
        self._postings = InvertedIndex(self._columns)
        self._similarities = tuple(similarities)

    def __len__(self) -> int:
        return int(self._columns.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and lists."""
        return self._columns.nbytes + self._postings.nbytes

    def codes(self, rows: RowIndices) -> CodeMatrix:
        """Code matrix of some rows."""
        return np.ascontiguousarray(self._columns[:, rows].T)

    def match(self, query: Query, k: int = 100, how: Matching | None = None, allowed: Mask | None = None) -> Matches:
        """Find the ``k`` rows that fit a query best; fewer where fewer score above 0.

        Args:
            query: int16 (5,), see :data:`Query`.
            k: rows to find, at least 1.
            how: exact, with the usual weights, where it is None.
            allowed: bool (n,), the rows that may be found; all where it is None.

        Raises:
            ValueError: shapes do not fit, or there is no graded mode here.
        """
        how = how or Matching()
        self._check_call(query, k, how, allowed)
        shares = how.shares(query)
        best = BestRows(k)
        if how.graded:
            tables = self._tables(query, shares)
            search_graded(self._columns, self._postings, tables, shares, best, allowed)
            similarities = self._graded(best.rows, tables)
        else:
            self._postings.search(query, shares, best, allowed)
            similarities = np.where(shares > 0, self.codes(best.rows) == query, 0.0)
        return Matches(best.rows, np.minimum(best.scores, 1.0), shares, similarities)

    def match_batch(
        self,
        queries: CodeMatrix,
        k: int = 100,
        how: Matching | None = None,
        allowed: Mask | None = None,
    ) -> list[Matches]:
        """Match queries int16 (q, 5) one after the other; see :meth:`match`."""
        return [self.match(query, k, how, allowed) for query in queries]

    def _tables(self, query: Query, shares: Scores) -> list[Scores]:
        """For each modality the similarity of every code to what was written, by code; none comes last, at -1."""
        written = zip(self._similarities, query.tolist(), shares.tolist(), strict=True)
        return [similarity.to(code if share else WILDCARD) for similarity, code, share in written]

    def _graded(self, rows: RowIndices, tables: Sequence[Scores]) -> Doubles:
        pairs = zip(tables, self._columns[:, rows], strict=True)
        return np.stack([table[column] for table, column in pairs], axis=1)

    def _check_call(self, query: Query, k: int, how: Matching, allowed: Mask | None) -> None:
        if query.dtype != np.int16 or query.shape != (len(MODALITIES),) or query.min() < WILDCARD:
            raise ValueError(f"a query is int16 of shape ({len(MODALITIES)},) from {WILDCARD} on, not {query!r}")
        if k < 1:
            raise ValueError(f"{k} rows cannot be found: at least 1")
        if allowed is not None and (allowed.dtype != np.bool_ or allowed.shape != (len(self),)):
            raise ValueError(f"allowed rows are bool of shape ({len(self)},), not {allowed.dtype} of {allowed.shape}")
        if how.graded and not self._similarities:
            raise ValueError("graded mode needs the similarities of the codes")


def _check_similarities(codes: CodeMatrix, similarities: Sequence[CodeSimilarity]) -> None:
    if similarities and len(similarities) != len(MODALITIES):
        raise ValueError(f"similarities of {len(MODALITIES)} modalities are needed, not of {len(similarities)}")
    for modality, similarity, column in zip(MODALITIES, similarities, codes.T, strict=False):
        if len(column) and column.max() >= similarity.size:
            raise ValueError(f"{modality} code {column.max()} has no centroid: there are {similarity.size}")
