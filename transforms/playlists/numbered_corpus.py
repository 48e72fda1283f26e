"""A corpus with numbers in place of keys, and the tracks of it that are too isolated for a vector.

Two tracks are connected if they are in one playlist, or if a chain of playlists connects them. A component is a set of
tracks that are connected with each other and with no others. Nothing in the playlists determines the position of a
small component relative to the rest, so word2vec leaves its tracks where the random start put them: measured with
isolated lists that were added to real playlists, of the ten nearest tracks 0 to 5 % are of the same list up to 15
tracks, 14 % at 20, 91 % at 30, and 100 % at 50 tracks. A code that a track shares with unrelated ones is worse than
none. So tracks of small components get no vector.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import Integers
from tracktokens.transforms.playlists.corpus import in_content_order

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class NumberedCorpus:
    """Playlists of track numbers, in order of a hash of their contents.

    Attributes:
        keys: distinct keys of the tracks, sorted. A track's number is its index here.
        tracks: int32 (entries,), track of each entry, playlist by playlist.
        offsets: int64 (playlists + 1,), start of each playlist in ``tracks``, then the end of the last.
    """

    keys: pa.FixedSizeBinaryArray
    tracks: npt.NDArray[np.int32]
    offsets: Integers

    @classmethod
    def of(cls, corpus: pa.Table) -> "NumberedCorpus":
        """Number the tracks of a ``CORPUS`` in any order and any chunks."""
        lists = in_content_order(corpus.to_batches()).column("track_keys")
        entries = pc.list_flatten(lists)
        distinct = entries.unique()
        keys = distinct.take(pc.sort_indices(distinct))
        tracks = pc.index_in(entries, value_set=keys).to_numpy()
        return cls(keys, tracks, np.append(0, np.cumsum(pc.list_value_length(lists).to_numpy(), dtype=np.int64)))

    def counts(self) -> Integers:
        """Count the entries of each track."""
        return np.bincount(self.tracks, minlength=len(self.keys))

    def isolated(self, smallest_component: int) -> Mask:
        """Find the tracks in components of fewer than ``smallest_component`` tracks.

        If no component has as many, only tracks in components smaller than the largest are isolated.
        """
        sizes = component_sizes(self.offsets, self.tracks, len(self.keys))
        isolated: Mask = sizes < min(smallest_component, sizes.max(initial=0))
        return isolated


def component_sizes(offsets: Integers, tracks: npt.NDArray[np.int32] | Integers, num_tracks: int) -> Integers:
    """Count the tracks that each track is connected with by playlists, itself included.

    Example:
        >>> import numpy as np
        >>> component_sizes(np.array([0, 2, 4, 6]), np.array([0, 1, 1, 2, 3, 4]), 5).tolist()
        [3, 3, 3, 2, 2]

    Args:
        offsets: int64 (playlists + 1,), start of each playlist in ``tracks``, then the end of the last.
        tracks: integers (entries,), track of each entry, from 0.
        num_tracks: number of tracks.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(tracks):
        return np.ones(num_tracks, np.int64)
    # A graph of tracks alone, in which each entry of a playlist is an edge to the first: its components are the same.
    first = np.repeat(tracks[offsets[:-1]], np.diff(offsets))
    edges = csr_matrix((np.ones(len(tracks), np.bool_), (first, tracks)), (num_tracks, num_tracks))
    component = connected_components(edges, directed=False)[1]
    sizes: Integers = np.bincount(component)[component].astype(np.int64)
    return sizes
