"""Fold new tracks of playlists into the space of existing playlist vectors, which do not change."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.continuity.fold_in import NeighbourSums, merge_sums, neighbour_sums
from tracktokens.codebooks.numerics.arrays import Floats, HalfVectors
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.schemas.tables.records import KEY
from tracktokens.transforms.playlists.als import AlsConfig, confidences, fold_in, membership
from tracktokens.transforms.playlists.numbered_corpus import NumberedCorpus
from tracktokens.transforms.playlists.word2vec import Word2VecConfig
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys, split_by_bucket
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.records import make_vector_records, read_vectors, unencoded, write_vectors
from tracktokens.transforms.store.token_tables import TokenTable

_NO_RECORDS = make_vector_records(pa.array([], KEY.type), np.zeros((0, 1), np.float16))


@dataclass(kw_only=True, eq=False)
class FoldPlaylists(beam.DoFn):
    """Fold the tracks of the corpus that have no vector into the space of an encoder, in one process.

    Only tracks with a playlist token in the latest release count as neighbours, so a run that is repeated after it was
    killed computes the same vectors. In memory are the corpus's keys, the playlists with a track to fold in, and the
    vectors of their tracks; for als, those of all playlists.

    Attributes:
        store: the store.
        encoder_id: encoder of the playlist vectors.
        encoder: its settings. Word2vec folds by neighbours within its window, als by factors of the playlists.
        published: token table of the latest release.
        result: path of the JSON file with the counts.
        progress: receives the number of tracks to fold in.
    """

    store: Store
    encoder_id: str
    encoder: Word2VecConfig | AlsConfig
    published: TokenTable
    result: str
    progress: ProgressReporter

    def process(self, element: tuple[int, Iterable[str]], refused: bool) -> None:
        """Fold new tracks in, write the counts to ``result``, and then their vector records.

        Do nothing if the playlists are refused. If a runner retries this, the counts of the first try remain: only that
        one finds all vectors missing.
        """
        if refused:
            return
        _, paths = element
        playlists = [batch["track_keys"] for path in sorted(paths) for batch in files.read_batches(path, CORPUS)]
        keys = pc.unique(pa.chunked_array([part.flatten() for part in playlists], KEY.type))
        missing = _concatenate(self._missing(part, bucket) for bucket, part in _by_bucket(keys, self.store.buckets))
        self.progress.add("fold new tracks into playlists", total=len(missing))
        folded = self._fold(playlists, missing) if len(missing) else _NO_RECORDS
        tracks = len(keys) - len(missing) + folded.num_rows
        if not files.exists(self.result):
            result = {
                "encoder_id": self.encoder_id,
                "tracks": tracks,
                "folded": folded.num_rows,
                "trained": False,
                "without_vector": len(missing) - folded.num_rows,
                "encoder": self.encoder.name,
            }
            files.write_json(self.result, result)
        for bucket, part in split_by_bucket(folded, bucket_numbers(folded["key"], self.store.buckets)):
            write_vectors(self.store, PLAYLIST, self.encoder_id, bucket, part)
        self.progress.add("fold new tracks into playlists", done=len(missing))

    def _missing(self, keys: pa.Array, bucket: int) -> pa.Array:
        return unencoded(self.store, PLAYLIST, self.encoder_id, bucket, keys)

    def _fold(self, playlists: list[pa.ListArray], missing: pa.Array) -> pa.RecordBatch:
        """Fold the missing tracks in, and return the records of those that get a vector."""
        if isinstance(self.encoder, Word2VecConfig):
            playlists = [chunk for part in playlists if len(chunk := playlists_with(part, missing))]
        keys, vectors = self._neighbours(pc.unique(pa.chunked_array([part.flatten() for part in playlists], KEY.type)))
        if not len(keys):
            return _NO_RECORDS
        if isinstance(self.encoder, Word2VecConfig):
            folded = fold_by_neighbours(playlists, missing, keys, vectors, self.encoder.window)
        else:
            folded = fold_by_factors(playlists, missing, keys, vectors, self.encoder)
        halves = folded.astype(np.float16)
        directed = np.flatnonzero(halves.any(axis=1))
        return make_vector_records(missing.take(pa.array(directed)), halves[directed])

    def _neighbours(self, keys: pa.Array) -> tuple[pa.Array, npt.NDArray[np.float16]]:
        """Read the vectors of the tracks that have a playlist token in the latest release."""
        parts: list[tuple[pa.Array, npt.NDArray[np.float16]]] = []
        for bucket, part in _by_bucket(keys, self.store.buckets):
            table = self.published.read(bucket, ["track_id", PLAYLIST])
            published = content_keys(table["track_id"].filter(table[PLAYLIST].is_valid()).combine_chunks())
            wanted = part.filter(pc.is_in(part, value_set=published))
            parts.extend(read_vectors(self.store.vectors(PLAYLIST, self.encoder_id, bucket), wanted))
        if not parts:
            return _concatenate([]), np.zeros((0, 1), np.float16)
        return _concatenate(keys for keys, _ in parts), np.concatenate([vectors for _, vectors in parts])


def fold_by_neighbours(
    playlists: Iterable[pa.ListArray], missing: pa.Array, keys: pa.Array, vectors: HalfVectors, window: int
) -> Floats:
    """Fold tracks in as word2vec does; see :mod:`tracktokens.codebooks.continuity.fold_in`.

    Args:
        playlists: lists of keys.
        missing: keys of the tracks to fold in.
        keys: keys of the tracks with a vector; all others are ignored.
        vectors: float16 (keys, dim).
        window: largest distance of a neighbour, in entries.

    Returns:
        Float32 (missing, dim): zero for a track without a neighbour that has a vector.
    """
    space = VectorSpace.of(missing, keys, vectors)
    sums = merge_sums((space.sums(chunk, window) for chunk in playlists), vectors.shape[1])
    folded = np.zeros((len(missing), vectors.shape[1]), np.float32)
    folded[sums.tracks] = sums.folded()
    return folded


def fold_by_factors(
    playlists: Iterable[pa.ListArray], missing: pa.Array, keys: pa.Array, vectors: HalfVectors, config: AlsConfig
) -> Floats:
    """Fold tracks in as als does; see :func:`tracktokens.transforms.playlists.als.fold_in`.

    Args:
        playlists: all playlists, as lists of keys: the weight of an entry depends on the track's number of playlists.
        missing: keys of the tracks to fold in.
        keys: keys of the tracks with a vector; all others are ignored.
        vectors: float16 (keys, dim).
        config: settings of the vectors.

    Returns:
        Float32 (missing, dim): zero for a track without a playlist that has a track with a vector.
    """
    lists = pa.chunked_array(playlists, CORPUS.field("track_keys").type)
    numbered = NumberedCorpus.of(pa.table([np.arange(len(lists)), lists], schema=CORPUS))
    columns = pc.index_in(_concatenate([keys, missing]), value_set=numbered.keys).to_numpy()
    entries = confidences(membership(numbered)[:, columns], config)
    return fold_in(entries[:, : len(keys)], vectors, entries[:, len(keys) :], config)


@dataclass(frozen=True, eq=False)
class VectorSpace:
    """Vectors of numbered tracks: first the tracks to fold in, then those with a vector, last all others as one.

    Attributes:
        keys: keys of the tracks to fold in, then of those with a vector.
        rows: int64 (tracks,), row of each track's vector, -1 for tracks to fold in.
        vectors: float16 (rows, dim); the last row is zero, for all other tracks.
    """

    keys: pa.Array
    rows: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float16]

    @classmethod
    def of(cls, missing: pa.Array, known: pa.Array, vectors: npt.NDArray[np.float16]) -> "VectorSpace":
        """Number the missing tracks, then the tracks with vectors."""
        rows = np.concatenate([np.full(len(missing), -1), np.arange(len(known) + 1)])
        return cls(_concatenate([missing, known]), rows, np.append(vectors, np.zeros_like(vectors[:1]), axis=0))

    def sums(self, playlists: pa.ListArray, window: int) -> NeighbourSums:
        """Sum the neighbours' vectors of the tracks to fold in, over playlists of keys."""
        numbers = pc.fill_null(pc.index_in(playlists.flatten(), value_set=self.keys), len(self.keys)).to_numpy()
        offsets = np.append(0, np.cumsum(pc.list_value_length(playlists).to_numpy()))
        return neighbour_sums(offsets, numbers, self.rows, self.vectors, window)


def playlists_with(playlists: pa.ListArray, keys: pa.Array) -> pa.ListArray:
    """Select the playlists, lists of keys without nulls, that contain any of some keys."""
    hits = pc.is_in(playlists.flatten(), value_set=keys).to_numpy(zero_copy_only=False)
    owners = pc.list_parent_indices(playlists).to_numpy()
    return playlists.take(pa.array(np.unique(owners[hits])))


def _by_bucket(keys: pa.Array, buckets: int) -> Iterator[tuple[int, pa.Array]]:
    batch = pa.record_batch([keys], schema=pa.schema([KEY]))
    for bucket, part in split_by_bucket(batch, bucket_numbers(keys, buckets)):
        yield bucket, part["key"]


def _concatenate(parts: Iterable[pa.Array]) -> pa.Array:
    return pa.concat_arrays([pa.array([], KEY.type), *parts])
