"""Recall of a track's neighbours by its codes, relative to the nearest tracks by full vectors.

The true neighbours of a query are the tracks with the nearest vectors. Its neighbours by code are first the tracks with
the same code, then those of the other codes, by the distance of their centroids to the query's centroid. Tracks with
the same code are in random order, and recall is the expected share of true neighbours among as many neighbours by code.
The query itself is not a neighbour.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS
from tracktokens.codebooks.numerics.arrays import CodeMatrix, Codes, Doubles, Floats, Ids, Vectors
from tracktokens.codebooks.numerics.distances import distance_table, row_distances
from tracktokens.codebooks.tokens.code_matrix import NONE, check_codes

NEIGHBOURS = 10
"""Default number of neighbours: recall@10."""

BLOCK_QUERIES = 16
"""Queries that are compared with all tracks, or with all codes, at a time: bounds the tables of scores."""

NO_ID = -1
"""Id of a missing neighbour."""


@dataclass(frozen=True)
class NeighbourRecall:
    """Recall of the neighbours of a sample of tracks.

    Attributes:
        queries: tracks in the sample.
        candidates: tracks among which neighbours were searched.
        neighbours: neighbours per query.
        recall: expected share of true neighbours that are found by code; None without true neighbours.
        same_code: share of true neighbours with the query's own code; None without true neighbours.
    """

    queries: int
    candidates: int
    neighbours: int
    recall: float | None
    same_code: float | None


class NeighbourRecallAccumulator:
    """Accumulator of :class:`NeighbourRecall` of one modality, for a few queries, over parts of the candidates.

    It holds the queries, the nearest candidates of each query, and the number of candidates per code.
    """

    def __init__(
        self, codebook: Codebook, ids: Ids, vectors: Vectors, codes: Codes, neighbours: int = NEIGHBOURS
    ) -> None:
        """Set the queries.

        Args:
            codebook: codebook of the modality.
            ids: int64 (q,), unique ids of the queries, not negative; a query has the same id as a candidate.
            vectors: float16 or float32 (q, dim).
            codes: int16 (q,), codes of the queries.
            neighbours: neighbours per query.

        Raises:
            ValueError: shapes do not match.
            InvalidDataError: a vector is not finite.
        """
        _check_tracks(codebook, ids, vectors, codes)
        self._codebook = codebook
        self._ids = ids
        self._codes = codes
        self._points = codebook.preprocessing.apply(vectors)
        self._neighbours = neighbours
        self._nearest = _Nearest.empty(len(ids), neighbours)
        self._code_tracks = np.zeros(codebook.num_centroids, np.int64)
        self._among_candidates = np.zeros(len(ids), bool)

    def update(self, ids: Ids, vectors: Vectors, codes: Codes) -> None:
        """Add n candidates with ids, vectors and codes like those of the queries. Each candidate is added once.

        Raises:
            ValueError: shapes do not match.
            InvalidDataError: a vector is not finite.
        """
        _check_tracks(self._codebook, ids, vectors, codes)
        if not len(ids) or not len(self._ids):
            return
        points = self._codebook.preprocessing.apply(vectors)
        self._nearest = self._nearest.merge(self._search(ids, points, codes), self._neighbours)
        self._code_tracks += np.bincount(codes, minlength=self._codebook.num_centroids)
        self._among_candidates |= np.isin(self._ids, ids)

    def merge(self, other: "NeighbourRecallAccumulator") -> None:
        """Add another accumulator, which has seen other candidates for the same queries."""
        self._nearest = self._nearest.merge(other._nearest, self._neighbours)
        self._code_tracks += other._code_tracks
        self._among_candidates |= other._among_candidates

    def finalize(self) -> NeighbourRecall:
        """Compare the neighbours by vector with those by code."""
        total, kept, same = 0, 0.0, 0
        for start in range(0, len(self._ids), BLOCK_QUERIES):
            rows = slice(start, start + BLOCK_QUERIES)
            codes, known = self._nearest.codes[rows], self._nearest.ids[rows] != NO_ID
            chances = np.take_along_axis(self._chances(rows), codes.astype(np.int64), axis=1)
            total += int(np.count_nonzero(known))
            kept += float(chances[known].sum())
            same += int(np.count_nonzero((codes == self._codes[rows, np.newaxis]) & known))
        return NeighbourRecall(
            queries=len(self._ids),
            candidates=int(self._code_tracks.sum()),
            neighbours=self._neighbours,
            recall=kept / total if total else None,
            same_code=same / total if total else None,
        )

    def _search(self, ids: Ids, points: Floats, codes: Codes) -> "_Nearest":
        """Find the nearest of these candidates by exhaustive search; one more than needed, for the query itself."""
        import faiss

        _, rows = faiss.knn(self._points, points, min(self._neighbours + 1, len(points)))
        # Distances are computed again from differences: those of the search depend on the shape of the batch.
        distances = np.stack([row_distances(self._points, points[column]) for column in rows.T], axis=1)
        distances[ids[rows] == self._ids[:, np.newaxis]] = np.inf
        return _Nearest(distances, np.where(np.isinf(distances), NO_ID, ids[rows]), codes[rows])

    def _chances(self, rows: slice) -> Doubles:
        """Compute the probability that a track of each code is among the neighbours by code, (queries, codes)."""
        own = self._codes[rows].astype(np.int64)
        nearness = distance_table(self._codebook.centroids[own], self._codebook.centroids)
        queries = np.arange(len(own))
        nearness[queries, own] = -1  # sorts before an equal centroid
        order = np.argsort(nearness, axis=1, kind="stable")
        tracks = np.tile(self._code_tracks, (len(own), 1))
        tracks[queries, own] -= self._among_candidates[rows]
        ordered = np.take_along_axis(tracks, order, axis=1)
        remaining = self._neighbours - (np.cumsum(ordered, axis=1) - ordered)
        chances = np.empty(ordered.shape)
        np.put_along_axis(chances, order, np.clip(remaining / np.maximum(ordered, 1), 0, 1), axis=1)
        return chances


@dataclass(frozen=True, eq=False)
class _Nearest:
    """The nearest candidates of each query, nearest first; the smallest id first of equally near ones.

    Attributes:
        distances: float32 (q, k), squared; infinite for missing candidates.
        ids: int64 (q, k); NO_ID for missing candidates.
        codes: int16 (q, k).
    """

    distances: Floats
    ids: Ids
    codes: Codes

    @classmethod
    def empty(cls, queries: int, k: int) -> "_Nearest":
        shape = (queries, k)
        return cls(np.full(shape, np.inf, np.float32), np.full(shape, NO_ID, np.int64), np.zeros(shape, np.int16))

    def merge(self, other: "_Nearest", k: int) -> "_Nearest":
        distances = np.concatenate([self.distances, other.distances], axis=1)
        ids = np.concatenate([self.ids, other.ids], axis=1)
        codes = np.concatenate([self.codes, other.codes], axis=1)
        order = np.lexsort((ids, distances), axis=1)[:, :k]
        return _Nearest(*(np.take_along_axis(array, order, axis=1) for array in (distances, ids, codes)))


def neighbour_recall_of_tuples(
    points: Sequence[Floats],
    codes: CodeMatrix,
    queries: Ids,
    weights: Sequence[float] = MATCHING_WEIGHTS,
    neighbours: int = NEIGHBOURS,
) -> NeighbourRecall:
    """Measure the recall of neighbours in all modalities by token tuples, among tracks in memory.

    The true neighbours have the largest weighted sum of cosines; the neighbours by tokens have the largest sum of the
    weights of equal codes. A modality that one of two tracks lacks adds nothing to either sum.

    Args:
        points: per modality in token order, float32 (n, dim) in preprocessed space; rows of tracks that lack the
            modality are ignored.
        codes: int16 (n, M), -1 for none.
        queries: int64 (q,), rows of the tracks whose neighbours are searched among all other rows.
        weights: one per modality in token order.
        neighbours: neighbours per query.

    Returns:
        The recall; ``same_code`` is the share of true neighbours that have all codes of the query.

    Raises:
        ValueError: shapes do not match.
    """
    check_codes(codes)
    if len(points) != codes.shape[1] or any(len(rows) != len(codes) for rows in points):
        raise ValueError(
            f"points of lengths {[len(rows) for rows in points]} do not match codes of shape {codes.shape}"
        )
    directions = [_directions(rows, column) for rows, column in zip(points, codes.T, strict=True)]
    k = min(neighbours, len(codes) - 1)
    kept, same = 0.0, 0
    for start in range(0, len(queries), BLOCK_QUERIES):
        rows = queries[start : start + BLOCK_QUERIES]
        by_vector, by_token = _scores(directions, codes, rows, weights)
        nearest = np.argpartition(-by_vector, k - 1, axis=1)[:, :k] if k > 0 else np.zeros((len(rows), 0), np.int64)
        kept += float(np.take_along_axis(_chances_of_best(by_token, k), nearest, axis=1).sum())
        same += int(np.count_nonzero((codes[nearest] == codes[rows, np.newaxis]).all(axis=2)))
    total = len(queries) * max(k, 0)
    recall, same_code = (kept / total, same / total) if total else (None, None)
    return NeighbourRecall(len(queries), len(codes), neighbours, recall, same_code)


def _check_tracks(codebook: Codebook, ids: Ids, vectors: Vectors, codes: Codes) -> None:
    if vectors.shape != (len(ids), codebook.dim) or codes.shape != ids.shape:
        raise ValueError(
            f"ids of shape {ids.shape}, vectors of shape {vectors.shape} and codes of shape {codes.shape} "
            f"do not match each other and the {codebook.modality} codebook of {codebook.dim} dimensions"
        )
    if len(codes) and not 0 <= codes.min() <= codes.max() < codebook.num_centroids:
        raise ValueError(f"codes from {codes.min()} to {codes.max()} do not fit {codebook.num_centroids} centroids")


def _directions(points: Floats, codes: Codes) -> Floats:
    """Scale points to unit length; zero for tracks that lack the modality."""
    norms = np.sqrt(np.einsum("ij,ij->i", points, points))
    usable = (codes != NONE) & (norms > 0)
    return np.where(usable[:, np.newaxis], points, 0) / np.where(usable, norms, 1)[:, np.newaxis]  # type: ignore[no-any-return]


def _scores(
    directions: Sequence[Floats], codes: CodeMatrix, rows: Ids, weights: Sequence[float]
) -> tuple[Doubles, Doubles]:
    """Score all tracks for each query by vectors and by tokens, (queries, tracks) each; -inf for the query itself."""
    by_vector, by_token = np.zeros((2, len(rows), len(codes)))
    for direction, column, weight in zip(directions, codes.T, weights, strict=True):
        by_vector += weight * (direction[rows] @ direction.T)
        by_token += weight * ((column[rows, np.newaxis] == column) & (column != NONE))
    for scores in (by_vector, by_token):
        scores[np.arange(len(rows)), rows] = -np.inf
    return by_vector, by_token


def _chances_of_best(scores: Doubles, k: int) -> Doubles:
    """Compute the probability of each column to be among the best k of its row, with equal scores in random order."""
    if k < 1:
        return np.zeros(scores.shape)
    last = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    above, tied = scores > last, scores == last
    remaining = k - np.count_nonzero(above, axis=1, keepdims=True)
    return above + tied * (remaining / np.count_nonzero(tied, axis=1, keepdims=True))  # type: ignore[no-any-return]
