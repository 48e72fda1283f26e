"""Release index: the token table of a release as arrays, to search tracks by tokens.

Rows are in tie-breaking order: of two tracks with the same score, the more popular one is first, then the lower id.
Popularity is the catalog's, or without one the number of training playlists that hold a track. Tracks of unknown
popularity are last. Ids are kept in Arrow: no Python objects are created per track.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.matching.code_similarity import CodeSimilarity, code_similarities
from tracktokens.codebooks.matching.token_index import TokenIndex
from tracktokens.codebooks.numerics.arrays import RowIndices
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.transforms.store.bundles import read_bundle
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.token_tables import Names, TokenTable, code_matrix


@dataclass(frozen=True, eq=False)
class ReleaseIndex:
    """The tracks of a release. Row indices of all attributes agree.

    Attributes:
        table: token table of the release.
        size: codes per modality in its vocabulary.
        track_ids: large_string (tracks,).
        index: search of rows by tokens, with the codes of each row.
    """

    table: TokenTable
    size: int
    track_ids: pa.LargeStringArray = field(repr=False)
    index: TokenIndex = field(repr=False)

    @classmethod
    def read(cls, store: Store, release: ReleaseManifest) -> "ReleaseIndex":
        """Read a release.

        Raises:
            UsageError: its bundle is missing.
            InvalidDataError: a part cannot be read, or belongs to a different bundle.
        """
        bundle = read_bundle(store, release.bundle_id)
        table = TokenTable.of(store, release)
        tracks = pa.concat_tables([read_ranked_bucket(table, bucket) for bucket in range(store.buckets)])
        order = pc.sort_indices(tracks, [("popularity", "descending"), ("track_id", "ascending")])
        codes = code_matrix(tracks)[order.to_numpy()]
        ids = tracks["track_id"].combine_chunks().take(order)
        index = TokenIndex(codes, similarities(bundle), bundle.token_format)
        return cls(table, bundle.codebook_size, ids, index)

    def ids(self, rows: RowIndices) -> list[str]:
        """Return the track ids of some rows."""
        track_ids: list[str] = self.track_ids.take(pa.array(rows)).to_pylist()
        return track_ids

    def rows(self, track_ids: Collection[str]) -> npt.NDArray[np.bool_]:
        """Mark the rows of these tracks: bool (tracks,), for ``allowed`` of a search."""
        wanted = pa.array(list(track_ids), pa.large_string())
        mask: npt.NDArray[np.bool_] = pc.is_in(self.track_ids, value_set=wanted).to_numpy(zero_copy_only=False)
        return mask

    def tree(self, allowed: npt.NDArray[np.bool_] | None = None) -> TupleTrie:
        """Build the trie of the token tuples of all rows, or of the allowed ones, for ``CatalogConstraint``."""
        rows = np.arange(len(self.index)) if allowed is None else np.flatnonzero(allowed)
        return TupleTrie(self.index.codes(rows))

    def names(self, track_ids: Collection[str]) -> Names:
        """Read title and artist of a few tracks, from their buckets of the catalog."""
        return self.table.names(track_ids)


def similarities(bundle: Bundle) -> list[CodeSimilarity]:
    """Return the similarity of the codes of each column."""
    centroids = {codebook.name: codebook.centroids for codebook in bundle.codebooks}
    return code_similarities(centroids, bundle.token_format)


def read_ranked_bucket(table: TokenTable, bucket: int) -> pa.Table:
    """Read ``track_id`` (large_string), the codes, and ``popularity``, which breaks ties, of one bucket of tracks."""
    tokens = table.read_codes(bucket)
    tracks = tokens.append_column("popularity", pa.array(table.popularity(bucket)))
    return tracks.set_column(0, "track_id", tracks["track_id"].cast(pa.large_string()))
