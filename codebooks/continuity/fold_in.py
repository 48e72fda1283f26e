"""Fold tracks into a playlist space that stays as it is: a vector from those of the tracks around, without training.

Each entry of a track says where it belongs: at the mean of the unit vectors of the tracks around it, as far as the
training's window goes. The track's vector is the mean over its entries. That is item-based collaborative filtering
(Sarwar et al., WWW 2001) in the space that was learned.

On real playlists, of which 5 % of the tracks were hidden (``benchmarks/bench_fold_in.py``), 40 % of them get the code
that a full training gives them, where two trainings agree on 55 %; and among the hidden tracks, those that continue a
playlist come further up than by their trained vectors: 20 % against 15 % among the first 10, of whom chance finds 1 %.
Whole playlists in place of windows keep 14 % of the codes. Weights by rarity or nearness gain nothing that can be
measured. Newton steps on word2vec's own objective, with all else frozen, undo it: a track with one entry is pushed away
from all that it did not happen to meet.

Means are rounded to steps of 2 ** -20, and sums of whole steps are exact: the vectors are the same to the last bit in
whatever order playlists come, and however they are cut into chunks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.codebook import Preprocessing
from tracktokens.codebooks.numerics.arrays import Floats, Integers, Vectors

STEPS = 2**20
"""Steps of a unit in sums. float16 vectors resolve 2 ** 11."""

BLOCK_ENTRIES = 1_024
"""Entries folded at a time. Their windows overlap, and have at most this many times twice the window of neighbours."""


@dataclass(frozen=True, eq=False)
class NeighbourSums:
    """What playlists say of tracks without a vector: exact sums, which can be added up in any order.

    Attributes:
        tracks: int64 (n,), distinct and ascending; only tracks that stand near one with a vector.
        sums: int64 (n, dim), over the entries of a track, the mean unit vector around it in steps of 2 ** -20.
        entries: int64 (n,), how many means were added: entries that have a neighbour with a vector; at least 1.
    """

    tracks: Integers
    sums: Integers
    entries: Integers

    def folded(self) -> Floats:
        """Return the tracks' vectors, float32 (n, dim): the mean of the means, no longer than 1.

        The length says how well a track's neighbours agree. It is 0 where they cancel out: such a vector has no
        direction.
        """
        return (self.sums / (self.entries[:, np.newaxis] * STEPS)).astype(np.float32)


def neighbour_sums(
    offsets: Integers, tracks: npt.NDArray[np.int32] | Integers, rows: Integers, vectors: Vectors, window: int
) -> NeighbourSums:
    """Gather what a chunk of whole playlists says of the tracks in it that have no vector.

    It takes time in proportion to the entries and the vectors, so give it those of the chunk's tracks only, and
    ``8 * dim`` bytes for each entry without a vector. A track none of whose entries is near one with a vector is not in
    the result: nothing is known of it.

    Args:
        offsets: int64 (playlists + 1,), where each playlist begins in ``tracks``, and the end of the last.
        tracks: int32 or int64 (entries,), every entry's track, playlist by playlist: places in ``rows``.
        rows: int64 (tracks,), each track's row in ``vectors``, or -1 where it has none.
        vectors: float16 or float32 (rows, dim), of any length. A zero vector has no direction: its track is no
            neighbour, and is not folded.
        window: furthest entry, either way, that says something: that of the training, to be comparable.

    Raises:
        ValueError: offsets do not fit the entries, or the window is not positive.
        InvalidDataError: a vector is not finite.
    """
    if len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != len(tracks) or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets do not part {len(tracks)} entries into playlists")
    if window < 1:
        raise ValueError(f"a window of {window} entries has no neighbours")
    steps = np.rint(Preprocessing(unit_length=True).apply(vectors).astype(np.float64) * STEPS).astype(np.int64)
    wanted = np.flatnonzero(rows[tracks] < 0)
    reach = _reach(offsets, wanted, window)
    parts = _block_sums(tracks.astype(np.int64), rows, steps, wanted, reach)
    return merge_sums(parts, steps.shape[1])


def merge_sums(parts: Iterable[NeighbourSums], dim: int) -> NeighbourSums:
    """Add up what several chunks say, in any order; ``dim`` is the vectors', needed where there are no parts."""
    found = [NeighbourSums(*(np.zeros(shape, np.int64) for shape in ((0,), (0, dim), (0,)))), *parts]
    return _by_track(
        *(np.concatenate([getattr(part, name) for part in found]) for name in ("tracks", "sums", "entries"))
    )


def _by_track(tracks: Integers, sums: Integers, entries: Integers) -> NeighbourSums:
    """Add up rows of the same track."""
    order = np.argsort(tracks, kind="stable")
    distinct, starts = np.unique(tracks[order], return_index=True)
    if not len(distinct):
        return NeighbourSums(tracks, sums, entries)
    return NeighbourSums(
        distinct, np.add.reduceat(sums[order], starts, axis=0), np.add.reduceat(entries[order], starts)
    )


def _reach(offsets: Integers, places: Integers, window: int) -> tuple[Integers, Integers]:
    """First entry, and the one after the last, within the window of each place and in its playlist."""
    playlist = np.searchsorted(offsets, places, side="right") - 1
    first = np.maximum(offsets[playlist], places - window)
    return first, np.minimum(offsets[playlist + 1], places + window + 1)


def _union(first: Integers, last: Integers) -> Integers:
    """Entries that are in any of the windows from ``first`` to before ``last``, both ascending."""
    open_windows = np.zeros(last[-1] - first[0] + 1, np.int64)
    np.add.at(open_windows, first - first[0], 1)
    np.add.at(open_windows, last - first[0], -1)
    places: Integers = first[0] + np.flatnonzero(np.cumsum(open_windows))
    return places


def _block_sums(
    tracks: Integers, rows: Integers, steps: Integers, wanted: Integers, reach: tuple[Integers, Integers]
) -> Iterator[NeighbourSums]:
    """Sum up windows by differences of running sums, some entries at a time."""
    directed = steps.any(axis=1)
    for start in range(0, len(wanted), BLOCK_ENTRIES):
        block = slice(start, start + BLOCK_ENTRIES)
        first, last = (ends[block] for ends in reach)
        around = _union(first, last)
        row = rows[tracks[around]]
        known = row >= 0
        known[known] = directed[row[known]]
        places = around[known]
        running = np.zeros((len(places) + 1, steps.shape[1]), np.int64)
        np.cumsum(steps[row[known]], axis=0, out=running[1:])
        low, high = np.searchsorted(places, first), np.searchsorted(places, last)
        some = high > low
        neighbours = (high - low)[some]
        means = np.rint((running[high[some]] - running[low[some]]) / neighbours[:, np.newaxis]).astype(np.int64)
        yield _by_track(tracks[wanted[block][some]], means, np.ones(len(neighbours), np.int64))
