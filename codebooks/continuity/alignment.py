"""Alignment of a retrained codebook: new centroids get the numbers of the old ones that they replace.

Tokens keep their meaning this way. The tracks with an old and a new code decide which centroid replaces which: numbers
are assigned so that as many of these tracks as possible keep their code. This is the assignment problem (Kuhn 1955),
solved on the pairs of codes that occur, in memory proportional to them (LAPJVsp, Jonker and Volgenant 1987). A million
pairs of 1,024 codes take a tenth of a second, three million of 32,767 codes a few seconds; a table of all pairs of
these would take 8.6 GB.

The codes of a codebook are the rows of its centroids, 0 to size - 1 without gaps. With fewer centroids than before, the
highest numbers are dropped, whatever tracks they have. With more, the additional numbers follow the old ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.numerics.arrays import Codes, Counts, Floats
from tracktokens.codebooks.numerics.distances import distance_table
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.schemas.token_format import MAX_CODES

BLOCK_CENTROIDS = 256
"""Centroids per table of distances: bounds its size."""


@dataclass(frozen=True, eq=False)
class CodePairs:
    """Weights of the (old code, new code) pairs that occur, sorted by old code, then by new code.

    Attributes:
        old: int16 (pairs,).
        new: int16 (pairs,).
        weights: int64 (pairs,), number of tracks with the pair, or sum of their weights; above 0.
    """

    old: Codes
    new: Codes
    weights: Counts


@dataclass(frozen=True, eq=False)
class Alignment:
    """New numbers for the centroids of a retrained codebook.

    Attributes:
        mapping: int16 (new size,), the number of each centroid; a permutation of the codes.
        matched: centroids that got the number of an old one by common tracks.
        placed: centroids that got the number of an old one because they are near it.
        weight: weight of all tracks with an old and a new code.
        kept: weight of the tracks that keep their code.
        kept_without: weight of the tracks that would have kept their code without the mapping.
    """

    mapping: Codes
    matched: int
    placed: int
    weight: int
    kept: int
    kept_without: int


def count_pairs(old: Codes, new: Codes, weights: Counts | None = None) -> CodePairs:
    """Count the (old code, new code) pairs of n tracks. Tracks with -1 in one of them are skipped.

    Example:
        >>> import numpy as np
        >>> pairs = count_pairs(np.array([0, 0, 1, -1], np.int16), np.array([1, 1, 0, 0], np.int16))
        >>> pairs.old.tolist(), pairs.new.tolist(), pairs.weights.tolist()
        ([0, 1], [1, 0], [2, 1])

    Args:
        old: int16 (n,).
        new: int16 (n,).
        weights: int64 (n,), 1 by default. They are integers, so that sums do not depend on the order.

    Raises:
        ValueError: shapes differ, or a weight is negative.
    """
    weights = np.ones(len(old), np.int64) if weights is None else weights
    if not old.shape == new.shape == weights.shape:
        raise ValueError(f"codes of shapes {old.shape} and {new.shape} do not match weights of shape {weights.shape}")
    if len(weights) and weights.min() < 0:
        raise ValueError(f"a weight is negative: {weights.min()}")
    return _add_pairs(old, new, weights)


def merge_pairs(parts: Iterable[CodePairs]) -> CodePairs:
    """Add up pairs that were counted in parts."""
    every = [CodePairs(np.zeros(0, np.int16), np.zeros(0, np.int16), np.zeros(0, np.int64)), *parts]
    return _add_pairs(
        np.concatenate([part.old for part in every]),
        np.concatenate([part.new for part in every]),
        np.concatenate([part.weights for part in every]),
    )


def align(old: Codebook, new: Codebook, pairs: CodePairs) -> Alignment:
    """Find the numbers with which a new codebook continues an old one; see :func:`match_codes`.

    Raises:
        ValueError: a pair has a code without a centroid.
    """
    new_centroids = centroids_in_space_of(old, new)
    return match_codes(
        pairs, old.num_centroids, new.num_centroids, None if new_centroids is None else (old.centroids, new_centroids)
    )


def match_codes(
    pairs: CodePairs, old_size: int, new_size: int, centroids: tuple[Floats, Floats] | None = None
) -> Alignment:
    """Number new centroids so that the weight of the tracks that keep their code is the largest possible.

    The remaining centroids take the free numbers one by one: the number of the nearest old centroid if old and new
    centroids share a space and old numbers are free, else the lowest.

    Example:
        >>> import numpy as np
        >>> pairs = count_pairs(np.array([0, 0, 1], np.int16), np.array([1, 1, 0], np.int16))
        >>> alignment = match_codes(pairs, old_size=2, new_size=3)
        >>> alignment.mapping.tolist(), alignment.kept, alignment.kept_without
        ([1, 0, 2], 3, 0)

    Args:
        pairs: codes of common tracks in both codebooks.
        old_size: size of the old codebook.
        new_size: size of the new codebook.
        centroids: old and new centroids, float32 (old_size, dim) and (new_size, dim); None if they do not share a
            space.

    Raises:
        ValueError: a pair has a code without a centroid.
    """
    if pairs.old.max(initial=-1) >= old_size or pairs.new.max(initial=-1) >= new_size:
        raise ValueError(f"a pair has a code out of range: there are {old_size} old and {new_size} new centroids")
    kept_numbers = min(old_size, new_size)
    mapping = _assign_numbers(pairs, kept_numbers, new_size)
    matched = int(np.count_nonzero(mapping != NONE))
    if centroids is not None:
        _place_near(mapping, centroids[0][:kept_numbers], centroids[1])
    placed = int(np.count_nonzero(mapping != NONE)) - matched
    mapping[mapping == NONE] = np.setdiff1d(np.arange(new_size), mapping)
    return Alignment(
        mapping=mapping,
        matched=matched,
        placed=placed,
        weight=int(pairs.weights.sum()),
        kept=int(pairs.weights[mapping[pairs.new] == pairs.old].sum()),
        kept_without=int(pairs.weights[pairs.new == pairs.old].sum()),
    )


def relabel(codebook: Codebook, mapping: Codes) -> Codebook:
    """Renumber centroids: the one with code c gets code ``mapping[c]``. Nothing else changes.

    Raises:
        ValueError: the mapping is not a permutation of the codes.
    """
    if not np.array_equal(np.sort(mapping), np.arange(codebook.num_centroids)):
        raise ValueError(
            f"the mapping must hold each of the {codebook.num_centroids} codes of {codebook.modality} exactly once"
        )
    centroids = np.empty_like(codebook.centroids)
    centroids[mapping] = codebook.centroids
    return replace(codebook, centroids=centroids)


def relabel_codes(codes: Codes, mapping: Codes) -> Codes:
    """Renumber codes of shape (n,); -1 stays.

    Example:
        >>> import numpy as np
        >>> relabel_codes(np.array([0, -1, 2], np.int16), np.array([2, 0, 1], np.int16)).tolist()
        [2, -1, 1]
    """
    return np.append(mapping, np.int16(NONE))[codes]


def centroids_in_space_of(old: Codebook, new: Codebook) -> Floats | None:
    """Return the new centroids in the old codebook's preprocessed space, float32 (new size, components).

    The spaces are equal if encoder and preprocessing are. If both codebooks only standardise, with different means and
    scales, the new centroids are standardised again by the old ones. None if distances have no meaning.
    """
    old_space, new_space = old.preprocessing, new.preprocessing
    if old.encoder_id != new.encoder_id or old.dim != new.dim or old_space.unit_length != new_space.unit_length:
        return None
    if all(_same(getattr(old_space, part), getattr(new_space, part)) for part in ("mean", "scale", "projection")):
        return new.centroids
    only_standardized = not old_space.unit_length and old_space.projection is None and new_space.projection is None
    if not only_standardized or old_space.mean is None or old_space.scale is None:
        return None
    if new_space.mean is None or new_space.scale is None:
        return None
    # A constant dimension has scale 0: only its mean is known.
    raw = new.centroids / np.where(new_space.scale > 0, new_space.scale, 1) + new_space.mean
    standardized: Floats = ((raw - old_space.mean) * old_space.scale).astype(np.float32)
    return standardized


def _same(old: Floats | None, new: Floats | None) -> bool:
    if old is None or new is None:
        return old is new
    return np.array_equal(old, new)


def _add_pairs(old: Codes, new: Codes, weights: Counts) -> CodePairs:
    counted = (old != NONE) & (new != NONE) & (weights > 0)
    packed = old[counted].astype(np.int64) * (MAX_CODES + 1) + new[counted]
    distinct, indices = np.unique(packed, return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, indices, weights[counted])
    codes = np.divmod(distinct, MAX_CODES + 1)
    return CodePairs(codes[0].astype(np.int16), codes[1].astype(np.int16), sums)


def _assign_numbers(pairs: CodePairs, numbers: int, new_size: int) -> Codes:
    """Assign numbers below ``numbers`` to new codes for the largest kept weight; -1 for a code without a number.

    Each new code also has an edge of weight 0 to a column of its own, so that a matching of all rows exists. SciPy
    ignores edges of cost 0: costs are the largest weight plus one, minus the weight.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    mapping = np.full(new_size, NONE, np.int16)
    usable = pairs.old < numbers
    if not usable.any():
        return mapping
    own = np.arange(new_size)
    rows = np.concatenate([pairs.new[usable], own])
    columns = np.concatenate([pairs.old[usable], numbers + own])
    weights = np.concatenate([pairs.weights[usable], np.zeros(new_size, np.int64)]).astype(np.float64)
    costs = coo_array((weights.max() + 1 - weights, (rows, columns)), shape=(new_size, numbers + new_size))
    matched_rows, matched_columns = min_weight_full_bipartite_matching(costs.tocsr())
    numbered = matched_columns < numbers
    mapping[matched_rows[numbered]] = matched_columns[numbered]
    return mapping


def _place_near(mapping: Codes, old: Floats, new: Floats) -> None:
    """Assign to each new centroid without a number that of the nearest old centroid whose number is free."""
    free = np.setdiff1d(np.arange(len(old)), mapping)
    waiting = np.flatnonzero(mapping == NONE)[: len(free)]
    taken = np.zeros(len(free), bool)
    for start in range(0, len(waiting), BLOCK_CENTROIDS):
        block = waiting[start : start + BLOCK_CENTROIDS]
        for code, distances in zip(block, distance_table(new[block], old[free]), strict=True):
            nearest = np.where(taken, np.inf, distances).argmin()
            mapping[code] = free[nearest]
            taken[nearest] = True
