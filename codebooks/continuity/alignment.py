"""Keep tokens' meaning through a retraining: give the new centroids the numbers of the old ones that they replace.

The tracks that had one code before and have one now say which centroid replaces which. Numbers are given so that as
many of these tracks as possible keep theirs: the assignment problem (Kuhn 1955), solved on the pairs of codes that
occur, in memory proportional to them (LAPJVsp, Jonker and Volgenant 1987). A million pairs of 1,024 codes take a tenth
of a second, three million of 32,767 codes a few seconds; a table of all of these would take 8.6 GB.

A codebook's codes are the rows of its centroids, 0 to size - 1 without a gap. So with fewer centroids than before the
highest numbers end, whatever their tracks, and with more, the new numbers follow the old ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from tracktokens.codebooks.codebook import MAX_CODES, Codebook
from tracktokens.codebooks.numerics.arrays import Codes, Counts, Floats
from tracktokens.codebooks.numerics.distances import distance_table
from tracktokens.codebooks.tokens.code_matrix import NONE

BLOCK_CENTROIDS = 256
"""Centroids whose distances are taken at a time: bounds the table."""


@dataclass(frozen=True, eq=False)
class CodePairs:
    """How many tracks had one code and have another, for the pairs that occur, in order of old, then new code.

    Attributes:
        old: int16 (pairs,).
        new: int16 (pairs,).
        weights: int64 (pairs,), tracks, or the sum of their weights; above 0.
    """

    old: Codes
    new: Codes
    weights: Counts


@dataclass(frozen=True, eq=False)
class Alignment:
    """New numbers for the centroids of a retrained codebook.

    Attributes:
        mapping: int16 (new size,), the number that each centroid gets: every number below the size, once.
        matched: centroids that got the number of an old one by common tracks.
        placed: centroids that got the number of an old one because they are near it.
        weight: weight of all tracks that have an old and a new code.
        kept: weight of those whose code stays the same.
        kept_without: weight of those whose code would have stayed the same without the mapping.
    """

    mapping: Codes
    matched: int
    placed: int
    weight: int
    kept: int
    kept_without: int


def count_pairs(old: Codes, new: Codes, weights: Counts | None = None) -> CodePairs:
    """Count the pairs of old and new code of n tracks; those with -1 in one of them are left out.

    Args:
        old: int16 (n,).
        new: int16 (n,).
        weights: int64 (n,), popularity in whole numbers, say, so that sums do not depend on the order; by default 1.

    Raises:
        ValueError: shapes differ, or a weight is negative.
    """
    each = np.ones(len(old), np.int64) if weights is None else weights
    if not old.shape == new.shape == each.shape:
        raise ValueError(f"codes of shapes {old.shape} and {new.shape} do not fit weights of shape {each.shape}")
    if len(each) and each.min() < 0:
        raise ValueError(f"a weight is negative: {each.min()}")
    return _add_pairs(old, new, each)


def merge_pairs(parts: Iterable[CodePairs]) -> CodePairs:
    """Add up the pairs that were counted in parts."""
    batches = [CodePairs(np.zeros(0, np.int16), np.zeros(0, np.int16), np.zeros(0, np.int64)), *parts]
    return _add_pairs(
        np.concatenate([part.old for part in batches]),
        np.concatenate([part.new for part in batches]),
        np.concatenate([part.weights for part in batches]),
    )


def align(old: Codebook, new: Codebook, pairs: CodePairs) -> Alignment:
    """Find the numbers under which a new codebook continues an old one; see :func:`match_codes`.

    Raises:
        ValueError: a pair has a code without a centroid.
    """
    compared = centroids_in_space_of(old, new)
    return match_codes(
        pairs, old.num_centroids, new.num_centroids, None if compared is None else (old.centroids, compared)
    )


def match_codes(
    pairs: CodePairs, old_size: int, new_size: int, centroids: tuple[Floats, Floats] | None = None
) -> Alignment:
    """Number new centroids so that tracks of the largest possible weight keep their code.

    Centroids that this leaves without a number take the free ones, one after the other: that of the nearest old
    centroid where old and new are in one space and an old number is free, else the lowest.

    Args:
        pairs: old and new codes of common tracks.
        old_size: old centroids.
        new_size: new centroids.
        centroids: old and new ones, float32 (old_size, dim) and (new_size, dim), where they are in one space.

    Raises:
        ValueError: a pair has a code without a centroid.
    """
    if pairs.old.max(initial=-1) >= old_size or pairs.new.max(initial=-1) >= new_size:
        raise ValueError(f"pairs of codes do not fit {old_size} old and {new_size} new centroids")
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
    """Give centroids other numbers: the one with code c gets code ``mapping[c]``. All else stays.

    Raises:
        ValueError: the mapping does not hold every code of the codebook once.
    """
    if not np.array_equal(np.sort(mapping), np.arange(codebook.num_centroids)):
        raise ValueError(
            f"the mapping does not hold each of the {codebook.num_centroids} codes of {codebook.modality} once"
        )
    centroids = np.empty_like(codebook.centroids)
    centroids[mapping] = codebook.centroids
    return replace(codebook, centroids=centroids)


def relabel_codes(codes: Codes, mapping: Codes) -> Codes:
    """Give codes of shape (n,) their other numbers; -1 stays."""
    return np.append(mapping, np.int16(NONE))[codes]


def centroids_in_space_of(old: Codebook, new: Codebook) -> Floats | None:
    """Return the new centroids in the old codebook's preprocessed space, float32 (new size, components).

    The space is the same where encoder and preprocessing are. Where both only standardise, with other means and
    deviations, the new centroids are standardised as the old ones were. None where distances would mean nothing.
    """
    before, after = old.preprocessing, new.preprocessing
    if old.encoder_id != new.encoder_id or old.dim != new.dim or before.unit_length != after.unit_length:
        return None
    if all(_same(getattr(before, part), getattr(after, part)) for part in ("mean", "scale", "projection")):
        return new.centroids
    standardized_alone = not before.unit_length and before.projection is None and after.projection is None
    if not standardized_alone or before.mean is None or before.scale is None:
        return None
    if after.mean is None or after.scale is None:
        return None
    # A constant dimension has scale 0 and only its mean is known.
    raw = new.centroids / np.where(after.scale > 0, after.scale, 1) + after.mean
    standardized: Floats = ((raw - before.mean) * before.scale).astype(np.float32)
    return standardized


def _same(old: Floats | None, new: Floats | None) -> bool:
    if old is None or new is None:
        return old is new
    return np.array_equal(old, new)


def _add_pairs(old: Codes, new: Codes, weights: Counts) -> CodePairs:
    counted = (old != NONE) & (new != NONE) & (weights > 0)
    packed = old[counted].astype(np.int64) * (MAX_CODES + 1) + new[counted]
    distinct, places = np.unique(packed, return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, places, weights[counted])
    codes = np.divmod(distinct, MAX_CODES + 1)
    return CodePairs(codes[0].astype(np.int16), codes[1].astype(np.int16), sums)


def _assign_numbers(pairs: CodePairs, numbers: int, new_size: int) -> Codes:
    """Give new codes numbers below ``numbers`` for the largest kept weight; -1 where a code gets none.

    Each new code also has an edge of weight 0 to a column of its own, so that a matching of all rows exists. SciPy
    takes no edge of cost 0: costs are the largest weight plus one, minus the weight.
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
    matched, found = min_weight_full_bipartite_matching(costs.tocsr())
    with_number = found < numbers
    mapping[matched[with_number]] = found[with_number]
    return mapping


def _place_near(mapping: Codes, old: Floats, new: Floats) -> None:
    """Give each new centroid without a number that of the nearest old one whose number is free."""
    free = np.setdiff1d(np.arange(len(old)), mapping)
    waiting = np.flatnonzero(mapping == NONE)[: len(free)]
    taken = np.zeros(len(free), bool)
    for start in range(0, len(waiting), BLOCK_CENTROIDS):
        block = waiting[start : start + BLOCK_CENTROIDS]
        for code, distances in zip(block, distance_table(new[block], old[free]), strict=True):
            nearest = np.where(taken, np.inf, distances).argmin()
            mapping[code] = free[nearest]
            taken[nearest] = True
