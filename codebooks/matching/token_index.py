"""Index from tokens to tracks: it finds the tracks that match a written token tuple best.

A written tuple may be partial, and it may be wrong: a language model can write a combination of tokens that no track
has. The score of a track is a weighted mean over the written modalities:

    score = sum of weight * similarity / sum of weight

In exact mode the similarity of two codes is 1 if they are equal, else 0. This is TalkPlay's sum of the weights of equal
codes (arXiv 2502.13713, with the weights 25, 5, 5, 1, 1), divided by the largest possible sum. In graded mode it is the
similarity of their centroids, see ``code_similarity.py``.

**Missing modalities.** Weights are renormalised over the modalities of the query, not over those of the track. The
former divides all scores by one number, so the ranking is TalkPlay's. The latter would rank a track with only the right
playlist code above one with all the right codes but one. A written ``none`` is a token like all others, as in
``oracle.py``: it is equal to ``none``, and its similarity to any code is 0. With ``none_is_a_token=False`` it counts as
not written.

**Residual levels and numbers.** An equal code of a residual level counts only together with equal codes of the levels
before it, and an equal number only where all other written tokens are equal.

**Ties.** Of two tracks with the same score, the lower row comes first. The builder of the index chooses the order of
the rows. Tracks that score 0 are not found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tracktokens.codebooks.matching.code_similarity import CodeSimilarity
from tracktokens.codebooks.matching.graded_search import search_graded
from tracktokens.codebooks.matching.inverted_index import InvertedIndex
from tracktokens.codebooks.matching.top_k import BestRows
from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS, checked_weights, column_weights
from tracktokens.codebooks.numerics.arrays import CodeColumns, CodeMatrix, Doubles, Mask, Query, RowIndices, Scores
from tracktokens.codebooks.tokens.code_matrix import NONE, WILDCARD, check_codes
from tracktokens.schemas.token_format import MAX_CODES, TokenFormat

FIVE_TOKENS = TokenFormat.of(MAX_CODES)
"""One token per modality, with any codebook size."""


@dataclass(frozen=True)
class Matching:
    """Options of matching.

    Attributes:
        weights: one per modality in token order, none negative and at least one positive; or one per column. By
            default a residual level has the weight of its modality.
        graded: whether codes score by the similarity of their centroids (graded mode), not by equality (exact mode).
        none_is_a_token: whether a written ``none`` matches tracks without the modality; if not, it counts as not
            written.

    Raises:
        ValueError: the weights are invalid.
    """

    weights: Sequence[float] = MATCHING_WEIGHTS
    graded: bool = False
    none_is_a_token: bool = True

    def __post_init__(self) -> None:
        checked_weights(self.weights)

    def shares(self, query: Query, token_format: TokenFormat = FIVE_TOKENS) -> Scores:
        """Compute the share of each column in the score of a query, float64 (M,): they sum to 1, or are all 0.

        A residual level has a share if the levels before it have one, and a number if any other column has.

        Example:
            >>> import numpy as np
            >>> Matching((6, 2, 1, 1, 1)).shares(np.array([3, -1, -2, -2, -2], np.int16)).tolist()
            [0.75, 0.25, 0.0, 0.0, 0.0]
        """
        written = query >= (NONE if self.none_is_a_token else NONE + 1)
        weights = np.where(written, column_weights(self.weights, token_format), 0.0)
        for column, required in zip(token_format.columns, token_format.requires, strict=True):
            present = weights[list(required)] > 0
            if required and not (present.all() if column.has_none else present.any()):
                weights[token_format.names.index(column.name)] = 0.0
        shares: Scores = weights / (weights.sum() or 1.0)
        return shares


@dataclass(frozen=True, eq=False)
class Matches:
    """The rows that match a query best, best first, with the parts of their scores.

    Attributes:
        rows: int64 (found,).
        scores: float64 (found,), above 0, at most 1.
        shares: float64 (M,), share of each column in the scores.
        similarities: float64 (found, M), similarity of the written codes to those of the row; 0 for columns that were
            not written or do not count. A score is the sum of the products of shares and similarities.
    """

    rows: RowIndices
    scores: Scores
    shares: Scores
    similarities: Doubles = field(repr=False)


class TokenIndex:
    """Index of a code matrix that finds the rows that match a query best.

    An exact query reads the posting lists of its codes, the modality of the largest weight first, and stops when no
    other row can score enough. A graded query reads the lists of that modality in order of similarity, and stops in the
    same way. Both return the same rows and scores as an exhaustive search.

    The index is immutable, so threads may share it. It takes 30 bytes per row, and 6 for each further column.

    Example:
        >>> import numpy as np
        >>> index = TokenIndex(np.array([[3, 1, 0, -1, 7], [3, 2, 0, 5, 8], [4, 1, 0, 5, 7]], np.int16))
        >>> query = np.array([3, -2, -2, -2, 7], np.int16)  # playlist 3 and audio 7
        >>> matches = index.match(query, k=2)
        >>> matches.rows.tolist(), matches.scores.round(2).tolist()
        ([0, 1], [1.0, 0.96])
    """

    def __init__(
        self,
        codes: CodeMatrix,
        similarities: Sequence[CodeSimilarity] = (),
        token_format: TokenFormat = FIVE_TOKENS,
    ) -> None:
        """Index a code matrix.

        Args:
            codes: int16 (n, M), -1 for none; of tied rows the first wins.
            similarities: one per column in token order; required for graded mode.
            token_format: columns of the matrix; one token per modality by default.

        Raises:
            ValueError: ``codes`` is not a code matrix of this format, or has codes without a similarity.
        """
        check_codes(codes)
        if codes.shape[1] != len(token_format):
            raise ValueError(f"codes of {codes.shape[1]} columns do not fit a format of {len(token_format)}")
        _check_similarities(codes, similarities, token_format)
        self._format = token_format
        self._columns: CodeColumns = np.ascontiguousarray(codes.T)
        self._postings = InvertedIndex(self._columns, token_format.requires)
        self._similarities = tuple(similarities)

    @classmethod
    def of_lists(
        cls,
        columns: CodeColumns,
        postings: InvertedIndex,
        similarities: Sequence[CodeSimilarity] = (),
        token_format: TokenFormat = FIVE_TOKENS,
    ) -> "TokenIndex":
        """Take columns and posting lists that were made before, which are not copied: they may be memory-mapped.

        Raises:
            ValueError: the columns have codes without a similarity.
        """
        _check_similarities(columns.T, similarities, token_format)
        index = cls.__new__(cls)
        index._format = token_format
        index._columns, index._postings, index._similarities = columns, postings, tuple(similarities)
        return index

    def __len__(self) -> int:
        return int(self._columns.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the codes and posting lists."""
        return self._columns.nbytes + self._postings.nbytes

    def codes(self, rows: RowIndices) -> CodeMatrix:
        """Return the code matrix of some rows."""
        return np.ascontiguousarray(self._columns[:, rows].T)

    def match(
        self, query: Query, k: int = 100, matching: Matching | None = None, allowed: Mask | None = None
    ) -> Matches:
        """Find the ``k`` rows that match a query best; fewer if fewer score above 0.

        Args:
            query: int16 (M,), see :data:`~tracktokens.codebooks.numerics.arrays.Query`.
            k: number of rows, at least 1.
            matching: options; by default exact mode with the default weights.
            allowed: bool (n,), rows that may be found; all by default.

        Raises:
            ValueError: shapes do not match, or graded mode lacks similarities.
        """
        matching = matching or Matching()
        self._check_call(query, k, matching, allowed)
        shares = matching.shares(query, self._format)
        best = BestRows(k)
        if matching.graded:
            tables = self._tables(query, shares)
            columns = self._counted_columns(query, shares)
            search_graded(columns, self._postings, similarities=tables, shares=shares, best=best, allowed=allowed)
            similarities = _graded(columns[:, best.rows], tables)
        else:
            self._postings.search(query, shares, best, allowed)
            similarities = self._equal(self.codes(best.rows), query, shares)
        return Matches(best.rows, np.minimum(best.scores, 1.0), shares, similarities)

    def match_batch(
        self,
        queries: CodeMatrix,
        k: int = 100,
        matching: Matching | None = None,
        allowed: Mask | None = None,
    ) -> list[Matches]:
        """Match queries int16 (q, M) one after the other; see :meth:`match`."""
        return [self.match(query, k, matching, allowed) for query in queries]

    def _tables(self, query: Query, shares: Scores) -> list[Scores]:
        """Compute, per column, the similarity of every code to the written one; that of ``none`` is last, at -1."""
        written = zip(self._similarities, query.tolist(), shares.tolist(), strict=True)
        return [similarity.to(code if share else WILDCARD) for similarity, code, share in written]

    def _dependent(self, shares: Scores) -> Iterator[tuple[int, list[int]]]:
        """Yield the columns with a share that require others, and the required ones that have a share."""
        for column, required in enumerate(self._format.requires):
            if required and shares[column]:
                yield column, [other for other in required if shares[other]]

    def _equal(self, codes: CodeMatrix, query: Query, shares: Scores) -> Doubles:
        """Compute similarities in exact mode, float64 (n, M): 1 where an equal code counts, else 0."""
        equal = (codes == query) & (shares > 0)
        for column, required in self._dependent(shares):
            equal[:, column] &= equal[:, required].all(axis=1)
        similarities: Doubles = equal.astype(np.float64)
        return similarities

    def _counted_columns(self, query: Query, shares: Scores) -> CodeColumns:
        """Return the columns, with a code of similarity 0 where a code does not count, for lack of a required one."""
        columns = self._columns
        for column, required in self._dependent(shares):
            columns = columns.copy() if columns is self._columns else columns
            lacking = (self._columns[required] != query[required, np.newaxis]).any(axis=0)
            columns[column, lacking] = NONE if query[column] != NONE else 0
        return columns

    def _check_call(self, query: Query, k: int, matching: Matching, allowed: Mask | None) -> None:
        if query.dtype != np.int16 or query.shape != (len(self._format),) or query.min() < WILDCARD:
            raise ValueError(
                f"a query is int16 of shape ({len(self._format)},) with values from {WILDCARD} on, not {query!r}"
            )
        if k < 1:
            raise ValueError(f"k is {k}: it must be at least 1")
        if allowed is not None and (allowed.dtype != np.bool_ or allowed.shape != (len(self),)):
            raise ValueError(
                f"allowed rows are bool of shape ({len(self)},), not {allowed.dtype} of shape {allowed.shape}"
            )
        if matching.graded and not self._similarities:
            raise ValueError("graded mode needs similarities: build the index with them")


def _graded(columns: CodeColumns, tables: Sequence[Scores]) -> Doubles:
    """Look up similarities, float64 (n, M), of int16 (M, n)."""
    return np.stack([table[column] for table, column in zip(tables, columns, strict=True)], axis=1)


def _check_similarities(codes: CodeMatrix, similarities: Sequence[CodeSimilarity], token_format: TokenFormat) -> None:
    if similarities and len(similarities) != len(token_format):
        raise ValueError(f"similarities for {len(token_format)} modalities are needed, not for {len(similarities)}")
    for name, similarity, column in zip(token_format.names, similarities, codes.T, strict=False):
        if len(column) and column.max() >= similarity.size:
            raise ValueError(f"{name} code {column.max()} has no centroid: the codebook has {similarity.size}")
