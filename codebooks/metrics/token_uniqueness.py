"""Uniqueness of the tuples in a token table: tracks with a tuple of their own, and tracks that share one."""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Mask, Words
from tracktokens.codebooks.tokens.code_matrix import NONE, TupleGroups, check_codes, equal_rows
from tracktokens.codebooks.tokens.numbering import UNKNOWN_SONG

__all__ = ["UNKNOWN_SONG", "TokenTableAccumulator", "TokenTableQuality", "Tuple"]

Tuple = tuple[int, ...]
"""Codes of a tuple in token order, -1 for none."""


@dataclass(frozen=True)
class TokenTableQuality:
    """Uniqueness of the token tuples of a catalog.

    Each track is in one of three groups: its tuple is unique, or it shares the tuple only with other ids of the same
    song (expected), or it shares the tuple with another song (a collision).

    Attributes:
        tracks: tracks in the table.
        distinct_tuples: distinct token tuples.
        uniquely_identified_tracks: tracks with a unique tuple.
        uniquely_identified_track_rate: their share; None without tracks.
        conflict_rate: share of the tracks whose tuple is not theirs alone, 1 minus the rate above; None without tracks.
            It is 0 if each token sequence maps to exactly one track, which FusID (arXiv 2601.08764) calls no conflicts.
            Other ids of the same song count as conflicts; ``collision_rate`` leaves them out.
        same_song_tracks: tracks with a shared tuple, if all tracks that share it are the same song.
        colliding_tracks: tracks that share their tuple with another song.
        collision_rate: their share; None without tracks.
        unknown_song_tracks: tracks without a known title and artist; each counts as a song of its own.
        tokenless_tracks: tracks whose tokens are all ``none``; they also count in one of the three groups.
        largest_set_tracks: largest number of tracks with the same tuple.
        largest_set_tuple: that tuple, -1 for none; the first in order of equally frequent ones; None without tracks.
    """

    tracks: int
    distinct_tuples: int
    uniquely_identified_tracks: int
    uniquely_identified_track_rate: float | None
    conflict_rate: float | None
    same_song_tracks: int
    colliding_tracks: int
    collision_rate: float | None
    unknown_song_tracks: int
    tokenless_tracks: int
    largest_set_tracks: int
    largest_set_tuple: Tuple | None


class TokenTableAccumulator:
    """Accumulator of :class:`TokenTableQuality` over parts of a table.

    All tracks with the same tuple must be in the same update: divide the table with ``code_matrix.tuple_buckets``.

    Example:
        >>> import numpy as np
        >>> codes = np.array([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [0, 0, 0, 0, 0]], np.int16)
        >>> accumulator = TokenTableAccumulator()
        >>> accumulator.update(codes, songs=np.array([7, 8, 9], np.uint64))
        >>> quality = accumulator.finalize()
        >>> quality.uniquely_identified_tracks, quality.colliding_tracks
        (1, 2)
    """

    def __init__(self) -> None:
        self._tracks = 0
        self._tuples = 0
        self._unique = 0
        self._same_song = 0
        self._unknown = 0
        self._tokenless = 0
        self._largest: tuple[int, Tuple] | None = None

    def update(self, codes: CodeMatrix, songs: Words) -> None:
        """Add a part of the table.

        Args:
            codes: int16 (n, M), -1 for none.
            songs: uint64 (n,), hash of each track's normalised title and artist; ``UNKNOWN_SONG`` without them.

        Raises:
            ValueError: ``codes`` is not a code matrix, or the lengths differ.
        """
        check_codes(codes)
        if songs.shape != (len(codes),):
            raise ValueError(f"songs of shape {songs.shape} do not match {len(codes)} rows of codes")
        groups = equal_rows(codes)
        unique = groups.sizes == 1
        self._tracks += len(codes)
        self._tuples += len(groups.sizes)
        self._unique += int(np.count_nonzero(unique))
        self._same_song += int(groups.sizes[~unique & _one_song(groups, songs)].sum())
        self._unknown += int(np.count_nonzero(songs == UNKNOWN_SONG))
        self._tokenless += _tokenless(groups, codes)
        self._keep_largest(_largest(groups, codes))

    def merge(self, other: "TokenTableAccumulator") -> None:
        """Add another accumulator, which has seen other tuples."""
        self._tracks += other._tracks
        self._tuples += other._tuples
        self._unique += other._unique
        self._same_song += other._same_song
        self._unknown += other._unknown
        self._tokenless += other._tokenless
        self._keep_largest(other._largest)

    def finalize(self) -> TokenTableQuality:
        """Compute the quality of all parts."""
        colliding = self._tracks - self._unique - self._same_song
        size, codes = self._largest or (0, None)
        return TokenTableQuality(
            tracks=self._tracks,
            distinct_tuples=self._tuples,
            uniquely_identified_tracks=self._unique,
            uniquely_identified_track_rate=self._rate(self._unique),
            conflict_rate=self._rate(self._tracks - self._unique),
            same_song_tracks=self._same_song,
            colliding_tracks=colliding,
            collision_rate=self._rate(colliding),
            unknown_song_tracks=self._unknown,
            tokenless_tracks=self._tokenless,
            largest_set_tracks=size,
            largest_set_tuple=codes,
        )

    def _rate(self, tracks: int) -> float | None:
        return tracks / self._tracks if self._tracks else None

    def _keep_largest(self, other: tuple[int, Tuple] | None) -> None:
        candidates = [group for group in (self._largest, other) if group is not None]
        self._largest = min(candidates, key=lambda group: (-group[0], group[1]), default=None)


def _one_song(groups: TupleGroups, songs: Words) -> Mask:
    """Select the groups whose tracks are all known to be the same song."""
    other = (songs == UNKNOWN_SONG) | (songs != songs[groups.first_rows][groups.numbers])
    one_song = np.ones(len(groups.sizes), bool)
    one_song[groups.numbers[other]] = False
    return one_song


def _tokenless(groups: TupleGroups, codes: CodeMatrix) -> int:
    """Return the size of the group whose codes are all none: the first in order, if it exists."""
    return int(groups.sizes[(codes[groups.first_rows[:1]] == NONE).all(axis=1).nonzero()].sum())


def _largest(groups: TupleGroups, codes: CodeMatrix) -> tuple[int, Tuple] | None:
    if not len(groups.sizes):
        return None
    group = int(groups.sizes.argmax())  # the first of equally large groups, which are in order
    return int(groups.sizes[group]), tuple(codes[groups.first_rows[group]].tolist())
