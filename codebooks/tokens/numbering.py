"""Numbers of tracks: the last token of a tuple, which differs between tracks whose other tokens are equal.

A unit is a song with all its ids of the same tuple, or a single track. Units of a tuple have different numbers:

1. A unit keeps the number that it had. Of several units with the same one, the first keeps it.
2. The others get the smallest free numbers, in order.
3. If a tuple has more units than there are numbers, those beyond share the last number.
"""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Codes, Integers, Mask, RowIndices, Words
from tracktokens.codebooks.tokens.code_matrix import NONE, equal_rows

UNKNOWN_SONG = 0
"""Song of a track without a known title and artist: it is the same song as no other track."""

FREE = np.iinfo(np.int64).max
"""Previous number of a unit without one."""


@dataclass(frozen=True, eq=False)
class Numbering:
    """Numbers of n tracks.

    Attributes:
        numbers: int16 (n,).
        overflow: tracks that share the last number for lack of numbers.
    """

    numbers: Codes
    overflow: int


@dataclass(frozen=True, eq=False)
class _Units:
    """Units of a code matrix, in order of tuple.

    Attributes:
        of_row: int64 (n,), the unit of each row.
        tuples: int64 (units,), the tuple of each unit.
        ranks: int64 (units,), the first row of each unit.
        previous: int64 (units,), the smallest previous number of its tracks; ``FREE`` without one.
    """

    of_row: RowIndices
    tuples: Integers
    ranks: RowIndices
    previous: Integers


def number_tracks(codes: CodeMatrix, songs: Words, previous: Codes, size: int) -> Numbering:
    """Number the tracks of tuples; all tracks with the same tuple must be in the same call.

    Example:
        >>> import numpy as np
        >>> codes, songs = np.array([[7], [7], [7], [8]], np.int16), np.array([1, 2, 1, 3], np.uint64)
        >>> number_tracks(codes, songs, np.array([-1, 0, -1, 5], np.int16), size=8).numbers.tolist()
        [1, 0, 1, 5]

    Args:
        codes: int16 (n, columns), the other tokens. Rows are in order of precedence.
        songs: uint64 (n,), hash of each track's song; ``UNKNOWN_SONG`` for a song of its own.
        previous: int16 (n,), number in the previous release, -1 for a track that was not there or had other tokens.
        size: number of numbers.
    """
    units = _units(codes, songs, np.where(previous < size, previous, NONE))
    numbers = units.previous.copy()
    claims = _claims(units)
    numbers[~claims] = _free_numbers(units, claims, size)
    beyond = numbers >= size
    numbers = np.minimum(numbers, size - 1)
    return Numbering(numbers[units.of_row].astype(np.int16), int(np.count_nonzero(beyond[units.of_row])))


def _units(codes: CodeMatrix, songs: Words, previous: Codes) -> _Units:
    rows = len(codes)
    groups = equal_rows(codes).numbers
    _, song_numbers = np.unique(songs, return_inverse=True)
    alone = songs == UNKNOWN_SONG
    song_numbers[alone] = rows + np.flatnonzero(alone)
    keys = groups * (2 * rows) + song_numbers
    distinct, first_rows, of_row = np.unique(keys, return_index=True, return_inverse=True)
    smallest = np.full(len(distinct), FREE)
    np.minimum.at(smallest, of_row, np.where(previous == NONE, FREE, previous.astype(np.int64)))
    return _Units(of_row, groups[first_rows], first_rows, smallest)


def _claims(units: _Units) -> Mask:
    """Mark the units that keep their previous number: the first of those of a tuple with the same one."""
    order = np.lexsort((units.ranks, units.previous, units.tuples))
    tuples, previous = units.tuples[order], units.previous[order]
    first = np.ones(len(order), bool)
    first[1:] = (tuples[1:] != tuples[:-1]) | (previous[1:] != previous[:-1])
    keeps = np.zeros(len(order), bool)
    keeps[order] = first & (previous != FREE)
    return keeps


def _free_numbers(units: _Units, claims: Mask, size: int) -> Integers:
    """Return the numbers of the units that keep none: the smallest of their tuple that are free, in order of rank.

    With the claimed numbers c_0 < c_1 < ... of a tuple, c_j has c_j - j free numbers below it. The free number of rank
    r, from 0, is therefore r plus the number of c_j with c_j - j <= r.
    """
    width = len(units.tuples) + size + 1
    claimed = np.flatnonzero(claims)
    claimed = claimed[np.lexsort((units.previous[claimed], units.tuples[claimed]))]
    below = units.tuples[claimed] * width + units.previous[claimed] - _ranks_within(units.tuples[claimed])
    new = np.flatnonzero(~claims)
    order = np.lexsort((units.ranks[new], units.tuples[new]))
    tuples = units.tuples[new][order]
    ranks = _ranks_within(tuples)
    before = np.searchsorted(below, tuples * width + ranks, side="right") - np.searchsorted(below, tuples * width)
    numbers = np.empty(len(new), np.int64)
    numbers[order] = ranks + before
    return numbers


def _ranks_within(groups: Integers) -> Integers:
    """Number the members of each group from 0; groups are in ascending order."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)
