"""How well a token table tells tracks apart: which tracks have tokens of their own, and who shares with whom."""

from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.numerics.arrays import CodeMatrix, Mask, Words
from tracktokens.codebooks.tokens.code_matrix import NONE, TupleGroups, check_codes, equal_rows

UNKNOWN_SONG = 0
"""Identity of a track whose title and artist are not known: no other track is the same song."""

Tuple = tuple[int, ...]


@dataclass(frozen=True)
class TokenTableQuality:
    """How well the token tuples of a catalog tell its tracks apart.

    Every track is in one of three groups: its tokens are its own, or it shares them with other ids of the same song
    alone (expected: the same song under several ids), or it shares them with another song (a collision).

    Attributes:
        tracks: tracks in the table.
        distinct_tuples: different token tuples.
        uniquely_identified_tracks: tracks whose tuple no other track has.
        uniquely_identified_track_rate: their share; None without tracks.
        same_song_tracks: tracks that share their tuple, and every track with it is the same song.
        colliding_tracks: tracks whose tuple another song has too.
        collision_rate: their share; None without tracks.
        unknown_song_tracks: tracks whose title and artist are not known; each counts as a song of its own.
        tokenless_tracks: tracks whose five tokens are all none; they are in the three groups like all others.
        largest_set_tracks: most tracks with the same tuple.
        largest_set_tuple: that tuple, five codes with -1 for none; of equally common ones the first in order; None
            without tracks.
    """

    tracks: int
    distinct_tuples: int
    uniquely_identified_tracks: int
    uniquely_identified_track_rate: float | None
    same_song_tracks: int
    colliding_tracks: int
    collision_rate: float | None
    unknown_song_tracks: int
    tokenless_tracks: int
    largest_set_tracks: int
    largest_set_tuple: Tuple | None


class TokenTableAccumulator:
    """Gathers :class:`TokenTableQuality` from parts of a table.

    All tracks with the same tuple must be in the same update: divide the table with ``token_tuples.tuple_buckets``.
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
            codes: int16 (n, 5), -1 for none.
            songs: uint64 (n,), a hash of each track's normalised title and artist; ``UNKNOWN_SONG`` without them.

        Raises:
            ValueError: this is no code matrix, or the shapes differ.
        """
        check_codes(codes)
        if songs.shape != (len(codes),):
            raise ValueError(f"songs of shape {songs.shape} do not fit {len(codes)} rows of codes")
        sets = equal_rows(codes)
        alone = sets.sizes == 1
        self._tracks += len(codes)
        self._tuples += len(sets.sizes)
        self._unique += int(np.count_nonzero(alone))
        self._same_song += int(sets.sizes[~alone & _one_song(sets, songs)].sum())
        self._unknown += int(np.count_nonzero(songs == UNKNOWN_SONG))
        self._tokenless += _tokenless(sets, codes)
        self._keep_largest(_largest(sets, codes))

    def merge(self, other: "TokenTableAccumulator") -> None:
        """Add what another accumulator was given: other tuples."""
        self._tracks += other._tracks
        self._tuples += other._tuples
        self._unique += other._unique
        self._same_song += other._same_song
        self._unknown += other._unknown
        self._tokenless += other._tokenless
        self._keep_largest(other._largest)

    def finalize(self) -> TokenTableQuality:
        """Measure everything that was added."""
        colliding = self._tracks - self._unique - self._same_song
        size, codes = self._largest or (0, None)
        return TokenTableQuality(
            tracks=self._tracks,
            distinct_tuples=self._tuples,
            uniquely_identified_tracks=self._unique,
            uniquely_identified_track_rate=self._rate(self._unique),
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

    def _keep_largest(self, found: tuple[int, Tuple] | None) -> None:
        candidates = [one for one in (self._largest, found) if one is not None]
        self._largest = min(candidates, key=lambda one: (-one[0], one[1]), default=None)


def _one_song(sets: TupleGroups, songs: Words) -> Mask:
    """Whether all tracks of a set are known to be the same song."""
    other = (songs == UNKNOWN_SONG) | (songs != songs[sets.first_rows][sets.numbers])
    one_song = np.ones(len(sets.sizes), bool)
    one_song[sets.numbers[other]] = False
    return one_song


def _tokenless(sets: TupleGroups, codes: CodeMatrix) -> int:
    """Size of the set whose codes are all none: the first in order, if there is one."""
    return int(sets.sizes[(codes[sets.first_rows[:1]] == NONE).all(axis=1).nonzero()].sum())


def _largest(sets: TupleGroups, codes: CodeMatrix) -> tuple[int, Tuple] | None:
    if not len(sets.sizes):
        return None
    place = int(sets.sizes.argmax())  # the first of equally large ones, and sets are in order
    return int(sets.sizes[place]), tuple(codes[sets.first_rows[place]].tolist())
