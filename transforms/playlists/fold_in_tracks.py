"""Give tracks that are new in playlists a vector in a space that stays as it is, written beside the trained ones."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.continuity.fold_in import NeighbourSums, merge_sums, neighbour_sums
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.schemas.tables.records import KEY
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys, split_by_bucket
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.records import make_vector_records, read_vectors, unencoded, write_vectors
from tracktokens.transforms.store.token_tables import TokenTable


class FoldPlaylists(beam.DoFn):
    """Folds the tracks of the corpus that have no vector into the space of an encoder, in one process.

    Only tracks that have a playlist token in the release before are neighbours. So a run that was killed after it wrote
    some vectors, and is run again, comes to the same ones. Beside the corpus's keys it holds the playlists that have a
    track to fold, and the vectors of their tracks.
    """

    def __init__(
        self, store: Store, encoder_id: str, window: int, published: TokenTable, result: str, progress: ProgressReporter
    ) -> None:
        self._store = store
        self._encoder_id = encoder_id
        self._window = window
        self._published = published
        self._result = result
        self._progress = progress

    def process(self, element: tuple[int, Iterable[str]]) -> None:
        """Fold, write the facts, and say how many they are."""
        _, paths = element
        playlists = [batch["track_keys"] for path in sorted(paths) for batch in files.read_batches(path, CORPUS)]
        keys = pc.unique(pa.chunked_array([part.flatten() for part in playlists], KEY.type))
        missing = _concatenate(self._missing(part, bucket) for bucket, part in _by_bucket(keys, self._store.buckets))
        self._progress.add("fold new tracks into playlists", total=len(missing))
        folded = self._fold(playlists, missing) if len(missing) else 0
        self._progress.add("fold new tracks into playlists", done=len(missing))
        found = {"encoder_id": self._encoder_id, "tracks": len(keys) - len(missing) + folded, "folded": folded}
        files.write_json(self._result, {**found, "trained": False})

    def _missing(self, keys: pa.Array, bucket: int) -> pa.Array:
        return unencoded(self._store, PLAYLIST, self._encoder_id, bucket, keys)

    def _fold(self, playlists: list[pa.ListArray], missing: pa.Array) -> int:
        """Fold the missing tracks, and return how many have a vector now."""
        chunks = [chunk for part in playlists if len(chunk := holding(part, missing))]
        keys, vectors = self._neighbours(pc.unique(pa.chunked_array([chunk.flatten() for chunk in chunks], KEY.type)))
        if not len(keys):
            return 0
        space = Space.of(missing, keys, vectors)
        folded = merge_sums((space.sums(chunk, self._window) for chunk in chunks), vectors.shape[1])
        found = folded.folded()
        directed = np.flatnonzero(found.any(axis=1))
        records = make_vector_records(
            missing.take(pa.array(folded.tracks[directed])), found[directed].astype(np.float16)
        )
        for bucket, part in split_by_bucket(records, bucket_numbers(records["key"], self._store.buckets)):
            write_vectors(self._store, PLAYLIST, self._encoder_id, bucket, part)
        return int(records.num_rows)

    def _neighbours(self, keys: pa.Array) -> tuple[pa.Array, npt.NDArray[np.float16]]:
        """Those of the tracks that have a playlist token in the release before, and their vectors."""
        found: list[tuple[pa.Array, npt.NDArray[np.float16]]] = []
        for bucket, part in _by_bucket(keys, self._store.buckets):
            table = self._published.read(bucket, ["track_id", PLAYLIST])
            published = content_keys(table["track_id"].filter(table[PLAYLIST].is_valid()).combine_chunks())
            wanted = part.filter(pc.is_in(part, value_set=published))
            found.extend(read_vectors(self._store.vectors(PLAYLIST, self._encoder_id, bucket), wanted))
        if not found:
            return _concatenate([]), np.zeros((0, 1), np.float16)
        return _concatenate(keys for keys, _ in found), np.concatenate([vectors for _, vectors in found])


@dataclass(frozen=True, eq=False)
class Space:
    """Tracks by number: first those to fold, then those with a vector, and at last one for all others.

    Attributes:
        keys: of the tracks to fold, then of those with a vector.
        rows: int64 (tracks,), row of each track's vector, -1 for those to fold.
        vectors: float16 (rows, dim); the last is zero, and stands for tracks that are neither.
    """

    keys: pa.Array
    rows: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float16]

    @classmethod
    def of(cls, missing: pa.Array, known: pa.Array, vectors: npt.NDArray[np.float16]) -> "Space":
        """Number the tracks that are missing, and those whose vectors are known."""
        rows = np.concatenate([np.full(len(missing), -1), np.arange(len(known) + 1)])
        return cls(_concatenate([missing, known]), rows, np.append(vectors, np.zeros_like(vectors[:1]), axis=0))

    def sums(self, playlists: pa.ListArray, window: int) -> NeighbourSums:
        """Gather what some playlists, lists of keys, say of the tracks to fold."""
        numbers = pc.fill_null(pc.index_in(playlists.flatten(), value_set=self.keys), len(self.keys)).to_numpy()
        offsets = np.append(0, np.cumsum(pc.list_value_length(playlists).to_numpy()))
        return neighbour_sums(offsets, numbers, self.rows, self.vectors, window)


def holding(playlists: pa.ListArray, keys: pa.Array) -> pa.ListArray:
    """Those of the playlists, lists of keys without nulls, that hold one of the keys."""
    hits = pc.is_in(playlists.flatten(), value_set=keys).to_numpy(zero_copy_only=False)
    owners = pc.list_parent_indices(playlists).to_numpy()
    return playlists.take(pa.array(np.unique(owners[hits])))


def _by_bucket(keys: pa.Array, buckets: int) -> Iterator[tuple[int, pa.Array]]:
    batch = pa.record_batch([keys], schema=pa.schema([KEY]))
    for bucket, part in split_by_bucket(batch, bucket_numbers(keys, buckets)):
        yield bucket, part["key"]


def _concatenate(parts: Iterable[pa.Array]) -> pa.Array:
    return pa.concat_arrays([pa.array([], KEY.type), *parts])
