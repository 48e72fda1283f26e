"""Clean the playlists against a catalog, and learn a vector for every track that they hold."""

from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.tables.playlists import CORPUS, PLAYLISTS
from tracktokens.transforms.playlists.corpus import (
    ENTRIES,
    HEADS,
    assemble,
    corpus_digest,
    explode,
    in_order,
    keep_known,
    too_short_rejects,
)
from tracktokens.transforms.playlists.warm_start import OldVectors
from tracktokens.transforms.playlists.word2vec import Word2VecConfig, train
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.readers.validation import validate_ids
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys, sort_by_key, split_by_bucket
from tracktokens.transforms.store.layout import Catalog, Store
from tracktokens.transforms.store.records import as_matrix, make_vector_records, read_vectors, unencoded, write_vectors

HEADS_TAG = "heads"


class ScanPlaylists(beam.DoFn):
    """Reads fragments of the playlists. Outputs: ``ENTRIES`` by bucket of track; heads by shard, rejects, counts."""

    def __init__(self, buckets: int, progress: ProgressReporter) -> None:
        self._buckets = buckets
        self._progress = progress

    def process(self, fragment: Fragment) -> Iterator[object]:
        """Read one fragment, batch by batch."""
        for scanned in read_fragment(fragment, PLAYLISTS):
            identified = validate_ids(scanned.rows)
            exploded = explode(identified.rows)
            self._progress.add("scan playlists", done=scanned.rows_read)
            yield TaggedOutput(COUNTS_TAG, ("playlists_read", scanned.rows_read))
            yield TaggedOutput(COUNTS_TAG, ("entries_read", exploded.entries.num_rows + exploded.null_ids))
            yield TaggedOutput(COUNTS_TAG, ("entries_unknown", exploded.null_ids))
            for found in (scanned.rejects, identified.rejects):
                yield from tag_rejects(fragment.number, found)
            for shard, heads in by_playlist(exploded.heads, self._buckets):
                yield TaggedOutput(HEADS_TAG, (shard, heads))
            yield from split_by_bucket(exploded.entries, bucket_numbers(exploded.entries["key"], self._buckets))


def by_playlist(rows: pa.RecordBatch, shards: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Divide heads or entries into shards, all of one playlist in the same."""
    yield from split_by_bucket(rows, rows["position"].to_numpy() % shards)


class KeepKnown(beam.DoFn):
    """Drops entries of tracks that the catalog does not have. Outputs: ``ENTRIES`` by shard of playlist; counts."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[object]:
        """Join one bucket."""
        bucket, batches = element
        tracks = files.read_table(self._catalog.tracks(bucket), CATALOG_TRACKS, ["track_id"])
        keys = content_keys(tracks["track_id"].combine_chunks())
        for batch in batches:
            known = keep_known(batch, keys)
            yield TaggedOutput(COUNTS_TAG, ("entries_unknown", known.unknown))
            yield from by_playlist(known.entries, self._catalog.buckets)


class WriteCorpus(beam.DoFn):
    """Puts the playlists of one shard together and writes them. Outputs: the file; rejects, counts."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Write one shard."""
        shard, parts = element
        assembled = assemble(
            pa.Table.from_batches(parts["entries"], ENTRIES), pa.Table.from_batches(parts["heads"], HEADS)
        )
        path = files.join(self._catalog.corpus, f"part-{shard:04d}.parquet")
        files.write_batches(path, CORPUS, [assembled.corpus])
        yield TaggedOutput(COUNTS_TAG, ("playlists_used", assembled.corpus.num_rows))
        yield from tag_rejects(shard, too_short_rejects(assembled))
        yield path


class TrainPlaylists(beam.DoFn):
    """Learns the playlist vectors from the whole corpus, in one process, unless the store has them."""

    def __init__(
        self,
        store: Store,
        config: Word2VecConfig,
        result: str,
        progress: ProgressReporter,
        start_from: str | None = None,
    ) -> None:
        """``start_from`` is the encoder that the training goes on from; None to start from nothing."""
        self._store = store
        self._config = config
        self._result = result
        self._progress = progress
        self._start_from = start_from

    def process(self, element: tuple[int, Iterable[str]]) -> None:
        """Train, write the facts, then the description of the encoder, which says that they are complete."""
        _, paths = element
        batches = [batch for path in sorted(paths) for batch in files.read_batches(path, CORPUS)]
        digest = corpus_digest(batches)
        corpus = in_order(batches)
        keys = pc.unique(corpus["track_keys"].combine_chunks().flatten())
        start = None if self._start_from is None else read_old_vectors(self._store, self._start_from, keys)
        encoder_id = self._config.encoder_id(digest, start)
        description = self._store.encoder(PLAYLIST, encoder_id)
        trained = corpus.num_rows > 0 and not (files.exists(description) and self._has_vectors(encoder_id, keys))
        if trained:
            self._progress.add("train playlists", total=1)
            self._add_records(encoder_id, *train(corpus, self._config, start))
            manifest = EncoderManifest(standardize=False, identity=self._config.identity(digest, start))
            files.write_bytes(description, manifest.to_json().encode())
            self._progress.add("train playlists", done=1)
        files.write_json(self._result, {"encoder_id": encoder_id, "tracks": len(keys), "trained": trained})

    def _has_vectors(self, encoder_id: str, keys: pa.Array) -> bool:
        """Whether every track of the corpus that is to have a vector has it."""
        if self._config.min_count > 1:
            return True
        parts = split_by_bucket(pa.record_batch([keys], names=["key"]), bucket_numbers(keys, self._store.buckets))
        return all(not len(unencoded(self._store, PLAYLIST, encoder_id, number, part["key"])) for number, part in parts)

    def _add_records(self, encoder_id: str, keys: pa.Array, vectors: npt.NDArray[np.float32]) -> None:
        """Write what is missing: a killed run may have left some buckets."""
        records = make_vector_records(keys, vectors.astype(np.float16))
        for bucket, part in split_by_bucket(records, bucket_numbers(keys, self._store.buckets)):
            missing = unencoded(self._store, PLAYLIST, encoder_id, bucket, part["key"])
            if len(missing):
                write_vectors(self._store, PLAYLIST, encoder_id, bucket, part)


def read_old_vectors(store: Store, encoder_id: str, keys: pa.Array) -> OldVectors:
    """Read the playlist vectors of an encoder, of those of the keys that have one."""
    parts = split_by_bucket(pa.record_batch([keys], names=["key"]), bucket_numbers(keys, store.buckets))
    found = [
        pa.Table.from_batches([make_vector_records(known, vectors)])
        for bucket, part in parts
        for known, vectors in read_vectors(store.vectors(PLAYLIST, encoder_id, bucket), part["key"])
    ]
    if not found:
        return OldVectors(encoder_id, keys.slice(0, 0), np.zeros((0, 1), np.float16))
    records = sort_by_key(pa.concat_tables(found).combine_chunks())
    return OldVectors(encoder_id, records["key"].combine_chunks(), as_matrix(records["vector"].combine_chunks()))
