"""How much of a track's neighbourhood its codes keep: recall of the nearest tracks by full vectors.

A query's true neighbours are the tracks with the nearest vectors. Its neighbours by code are first the tracks with the
same code, then those of the other codes, by the distance of their centroids to the query's. Tracks with the same code
come in random order, and recall is the expected share of true neighbours among as many neighbours by code. The query
itself is no neighbour.
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
"""Neighbours that are compared, as in recall@10."""

BLOCK_QUERIES = 16
"""Queries that are compared with all tracks at a time, or with all codes: bounds the tables of scores."""

NO_ID = -1


@dataclass(frozen=True)
class NeighbourRecall:
    """How much of the neighbourhoods of a sample of tracks is kept.

    Attributes:
        queries: tracks in the sample.
        candidates: tracks among which neighbours were sought.
        neighbours: neighbours that were compared for each query.
        recall: expected share of true neighbours that are found by code; None where there are none to find.
        same_code: share of true neighbours that have the query's own code; None where there are none.
    """

    queries: int
    candidates: int
    neighbours: int
    recall: float | None
    same_code: float | None


class NeighbourRecallAccumulator:
    """Measures :class:`NeighbourRecall` of one modality, for a few queries among candidates that come in parts.

    It holds the queries, and of the candidates the nearest few of each query and how many have each code.
    """

    def __init__(
        self, codebook: Codebook, ids: Ids, vectors: Vectors, codes: Codes, neighbours: int = NEIGHBOURS
    ) -> None:
        """Take the queries.

        Args:
            codebook: the codebook of the modality.
            ids: int64 (q,), a number of its own for each query, not negative: the one it has among the candidates.
            vectors: float16 or float32 (q, dim).
            codes: int16 (q,), their codes.
            neighbours: neighbours to compare.

        Raises:
            ValueError: shapes do not fit each other.
            InvalidDataError: a vector is not finite.
        """
        _check_tracks(codebook, ids, vectors, codes)
        self._codebook = codebook
        self._ids = ids
        self._codes = codes
        self._points = codebook.preprocessing.apply(vectors)
        self._neighbours = neighbours
        self._found = _Nearest.nothing(len(ids), neighbours)
        self._code_tracks = np.zeros(codebook.num_centroids, np.int64)
        self._among_candidates = np.zeros(len(ids), bool)

    def update(self, ids: Ids, vectors: Vectors, codes: Codes) -> None:
        """Add n candidates: their ids, vectors and codes, as those of the queries. Each candidate comes once.

        Raises:
            ValueError: shapes do not fit each other.
            InvalidDataError: a vector is not finite.
        """
        _check_tracks(self._codebook, ids, vectors, codes)
        if not len(ids) or not len(self._ids):
            return
        points = self._codebook.preprocessing.apply(vectors)
        self._found = self._found.with_more(self._search(ids, points, codes), self._neighbours)
        self._code_tracks += np.bincount(codes, minlength=self._codebook.num_centroids)
        self._among_candidates |= np.isin(self._ids, ids)

    def merge(self, other: "NeighbourRecallAccumulator") -> None:
        """Add what another accumulator was given: other candidates for the same queries."""
        self._found = self._found.with_more(other._found, self._neighbours)
        self._code_tracks += other._code_tracks
        self._among_candidates |= other._among_candidates

    def finalize(self) -> NeighbourRecall:
        """Compare the neighbours by vector with those by code."""
        found, kept, same = 0, 0.0, 0
        for start in range(0, len(self._ids), BLOCK_QUERIES):
            rows = slice(start, start + BLOCK_QUERIES)
            codes, known = self._found.codes[rows], self._found.ids[rows] != NO_ID
            chances = np.take_along_axis(self._chances(rows), codes.astype(np.int64), axis=1)
            found += int(np.count_nonzero(known))
            kept += float(chances[known].sum())
            same += int(np.count_nonzero((codes == self._codes[rows, np.newaxis]) & known))
        return NeighbourRecall(
            queries=len(self._ids),
            candidates=int(self._code_tracks.sum()),
            neighbours=self._neighbours,
            recall=kept / found if found else None,
            same_code=same / found if found else None,
        )

    def _search(self, ids: Ids, points: Floats, codes: Codes) -> "_Nearest":
        """Find the nearest of these candidates by a flat search, one more than needed for the query itself."""
        import faiss

        _, rows = faiss.knn(self._points, points, min(self._neighbours + 1, len(points)))
        # The distances are taken again from the differences: those of the search depend on the shape of the batch.
        distances = np.stack([row_distances(self._points, points[column]) for column in rows.T], axis=1)
        distances[ids[rows] == self._ids[:, np.newaxis]] = np.inf
        return _Nearest(distances, np.where(np.isinf(distances), NO_ID, ids[rows]), codes[rows])

    def _chances(self, rows: slice) -> Doubles:
        """Probability that a track of each code is among the neighbours by code, (queries, codes)."""
        own = self._codes[rows].astype(np.int64)
        nearness = distance_table(self._codebook.centroids[own], self._codebook.centroids)
        queries = np.arange(len(own))
        nearness[queries, own] = -1  # before a centroid that is equal
        order = np.argsort(nearness, axis=1, kind="stable")
        tracks = np.tile(self._code_tracks, (len(own), 1))
        tracks[queries, own] -= self._among_candidates[rows]
        ordered = np.take_along_axis(tracks, order, axis=1)
        places_left = self._neighbours - (np.cumsum(ordered, axis=1) - ordered)
        chances = np.empty(ordered.shape)
        np.put_along_axis(chances, order, np.clip(places_left / np.maximum(ordered, 1), 0, 1), axis=1)
        return chances


@dataclass(frozen=True, eq=False)
class _Nearest:
    """The nearest candidates of each query, nearest first; of equally near ones the smallest id.

    Attributes:
        distances: float32 (q, k), squared; infinite where there are fewer candidates.
        ids: int64 (q, k); NO_ID where there are fewer.
        codes: int16 (q, k).
    """

    distances: Floats
    ids: Ids
    codes: Codes

    @classmethod
    def nothing(cls, queries: int, k: int) -> "_Nearest":
        shape = (queries, k)
        return cls(np.full(shape, np.inf, np.float32), np.full(shape, NO_ID, np.int64), np.zeros(shape, np.int16))

    def with_more(self, other: "_Nearest", k: int) -> "_Nearest":
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
    """Measure how much of the neighbourhoods in all five modalities the token tuples keep, among tracks in memory.

    The true neighbours are those with the largest weighted sum of cosines; the neighbours by tokens those with the
    largest sum of the weights of equal codes. A modality that one of two tracks lacks adds nothing to either.

    Args:
        points: for each modality in token order, float32 (n, dim) in preprocessed space; rows of tracks that lack it
            are not used.
        codes: int16 (n, 5), -1 for none.
        queries: int64 (q,), rows of the tracks whose neighbours are sought among all others.
        weights: of the five modalities.
        neighbours: neighbours to compare.

    Returns:
        The recall; ``same_code`` is the share of true neighbours whose five codes are all the query's.

    Raises:
        ValueError: shapes do not fit each other.
    """
    check_codes(codes)
    if len(points) != codes.shape[1] or any(len(rows) != len(codes) for rows in points):
        raise ValueError(f"points of lengths {[len(rows) for rows in points]} do not fit codes of shape {codes.shape}")
    directions = [_directions(rows, column) for rows, column in zip(points, codes.T, strict=True)]
    k = min(neighbours, len(codes) - 1)
    kept, same = 0.0, 0
    for start in range(0, len(queries), BLOCK_QUERIES):
        rows = queries[start : start + BLOCK_QUERIES]
        by_vector, by_token = _scores(directions, codes, rows, weights)
        nearest = np.argpartition(-by_vector, k - 1, axis=1)[:, :k] if k > 0 else np.zeros((len(rows), 0), np.int64)
        kept += float(np.take_along_axis(_chances_of_best(by_token, k), nearest, axis=1).sum())
        same += int(np.count_nonzero((codes[nearest] == codes[rows, np.newaxis]).all(axis=2)))
    found = len(queries) * max(k, 0)
    recall, same_code = (kept / found, same / found) if found else (None, None)
    return NeighbourRecall(len(queries), len(codes), neighbours, recall, same_code)


def _check_tracks(codebook: Codebook, ids: Ids, vectors: Vectors, codes: Codes) -> None:
    if vectors.shape != (len(ids), codebook.dim) or codes.shape != ids.shape:
        raise ValueError(
            f"ids of shape {ids.shape}, vectors of shape {vectors.shape} and codes of shape {codes.shape} "
            f"do not fit each other and the {codebook.modality} codebook of {codebook.dim} dimensions"
        )
    if len(codes) and not 0 <= codes.min() <= codes.max() < codebook.num_centroids:
        raise ValueError(f"codes from {codes.min()} to {codes.max()} do not fit {codebook.num_centroids} centroids")


def _directions(points: Floats, codes: Codes) -> Floats:
    """Scale to unit length; zero for tracks that lack the modality."""
    norms = np.sqrt(np.einsum("ij,ij->i", points, points))
    usable = (codes != NONE) & (norms > 0)
    return np.where(usable[:, np.newaxis], points, 0) / np.where(usable, norms, 1)[:, np.newaxis]  # type: ignore[no-any-return]


def _scores(
    directions: Sequence[Floats], codes: CodeMatrix, rows: Ids, weights: Sequence[float]
) -> tuple[Doubles, Doubles]:
    """Score all tracks for each query by vectors and by tokens, (queries, tracks) each; the query itself is last."""
    by_vector, by_token = np.zeros((2, len(rows), len(codes)))
    for direction, column, weight in zip(directions, codes.T, weights, strict=True):
        by_vector += weight * (direction[rows] @ direction.T)
        by_token += weight * ((column[rows, np.newaxis] == column) & (column != NONE))
    for scores in (by_vector, by_token):
        scores[np.arange(len(rows)), rows] = -np.inf
    return by_vector, by_token


def _chances_of_best(scores: Doubles, k: int) -> Doubles:
    """Probability of each column to be among the best k of its row, if equal scores come in random order."""
    if k < 1:
        return np.zeros(scores.shape)
    last = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    above, tied = scores > last, scores == last
    left = k - np.count_nonzero(above, axis=1, keepdims=True)
    return above + tied * (left / np.count_nonzero(tied, axis=1, keepdims=True))  # type: ignore[no-any-return]
