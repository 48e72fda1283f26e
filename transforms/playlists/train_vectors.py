"""Clean playlists against a catalog, and train a vector for each of their tracks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.transforms.playlists.compare_encoders import best, compare
from tracktokens.transforms.playlists.corpus import (
    ENTRIES,
    HEADS,
    assemble,
    corpus_digest,
    explode,
    in_content_order,
    keep_known,
    too_short_rejects,
)
from tracktokens.transforms.playlists.numbered_corpus import Mask, NumberedCorpus
from tracktokens.transforms.playlists.playlist_encoder import PlaylistEncoder
from tracktokens.transforms.playlists.read_playlists import read_playlists
from tracktokens.transforms.playlists.warm_start import PreviousVectors, without_vector
from tracktokens.transforms.playlists.word2vec import Word2VecConfig
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys, sort_by_key, split_by_bucket
from tracktokens.transforms.store.layout import Catalog, Store
from tracktokens.transforms.store.records import as_matrix, make_vector_records, read_vectors, unencoded, write_vectors

HEADS_TAG = "heads"

Comparison = Mapping[str, Mapping[str, float]]
"""Kind of encoder to its figures on held-out playlists."""


@dataclass(kw_only=True, eq=False)
class ScanPlaylists(beam.DoFn):
    """Read fragments of the playlists.

    Main output: ``ENTRIES`` by bucket of track; then heads by shard, rejects, counts.

    Attributes:
        buckets: number of buckets of the store.
        progress: receives the number of rows read.
    """

    buckets: int
    progress: ProgressReporter

    def process(self, fragment: Fragment) -> Iterator[object]:
        """Read one fragment, batch by batch."""
        for scanned in read_playlists(fragment):
            exploded = explode(scanned.rows)
            self.progress.add("scan playlists", done=scanned.counts["playlists_read"])
            yield from (TaggedOutput(COUNTS_TAG, count) for count in scanned.counts.items())
            yield TaggedOutput(COUNTS_TAG, ("entries_read", exploded.entries.num_rows + exploded.null_ids))
            yield TaggedOutput(COUNTS_TAG, ("entries_unknown", exploded.null_ids))
            for rejects in scanned.rejects:
                yield from tag_rejects(fragment.number, rejects)
            for shard, heads in by_playlist(exploded.heads, self.buckets):
                yield TaggedOutput(HEADS_TAG, (shard, heads))
            yield from split_by_bucket(exploded.entries, bucket_numbers(exploded.entries["key"], self.buckets))


def by_playlist(rows: pa.RecordBatch, shards: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Split heads or entries into shards; those of one playlist are in one shard."""
    yield from split_by_bucket(rows, rows["position"].to_numpy() % shards)


@dataclass(kw_only=True, eq=False)
class KeepKnown(beam.DoFn):
    """Drop entries of tracks that the catalog does not have.

    Main output: ``ENTRIES`` by shard of playlist; then counts.

    Attributes:
        catalog: the catalog snapshot.
    """

    catalog: Catalog

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[object]:
        """Join one bucket."""
        bucket, batches = element
        tracks = files.read_table(self.catalog.tracks(bucket), CATALOG_TRACKS, ["track_id"])
        keys = content_keys(tracks["track_id"].combine_chunks())
        for batch in batches:
            known = keep_known(batch, keys)
            yield TaggedOutput(COUNTS_TAG, ("entries_unknown", known.unknown))
            yield from by_playlist(known.entries, self.catalog.buckets)


@dataclass(kw_only=True, eq=False)
class WriteCorpus(beam.DoFn):
    """Assemble and write the playlists of one shard.

    Main output: path of the file; then rejects, counts.

    Attributes:
        draft: the paths that the corpus is written to.
    """

    draft: Catalog

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Write one shard."""
        shard, parts = element
        assembled = assemble(
            pa.Table.from_batches(parts["entries"], ENTRIES), pa.Table.from_batches(parts["heads"], HEADS)
        )
        path = files.join(self.draft.corpus, f"part-{shard:04d}.parquet")
        files.write_batches(path, CORPUS, [assembled.corpus])
        yield TaggedOutput(COUNTS_TAG, ("playlists_used", assembled.corpus.num_rows))
        yield from tag_rejects(shard, too_short_rejects(assembled))
        yield path


@dataclass(frozen=True, eq=False)
class Training:
    """A training of one encoder on a corpus.

    Attributes:
        encoder: settings of the training.
        start: vectors that it starts from; None trains from scratch.
        without_vector: bool (keys,), the keys of the corpus, sorted, that get no vector.
        keys: distinct keys of the corpus, sorted.
        digest: hash of the corpus.
    """

    encoder: PlaylistEncoder
    start: PreviousVectors | None
    without_vector: Mask
    keys: pa.FixedSizeBinaryArray
    digest: str

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything that changes the vectors."""
        return self.encoder.identity(self.digest, self.start, self._isolated)

    @property
    def encoder_id(self) -> str:
        """Id of the vectors."""
        return self.encoder.encoder_id(self.digest, self.start, self._isolated)

    @property
    def _isolated(self) -> int:
        return int(np.count_nonzero(self.without_vector))

    def result(self, trained: bool, comparison: Comparison | None) -> dict[str, object]:
        """Return the counts of the job."""
        return {
            "encoder_id": self.encoder_id,
            "tracks": len(self.keys),
            "trained": trained,
            "without_vector": self._isolated,
            "encoder": self.encoder.name,
            "comparison": comparison,
            "continued": self.start is not None,
        }


@dataclass(kw_only=True, eq=False)
class TrainPlaylists(beam.DoFn):
    """Train the playlist vectors on the whole corpus, in one process, unless the store has them.

    Attributes:
        store: the store.
        encoders: settings of the training. Of several, the one is trained that continues held-out playlists best.
        result: path of the JSON file with encoder id and counts.
        progress: receives one count per training.
        start_from: encoder whose vectors a training of the same kind starts from; None trains from scratch.
        kept: the only encoder id that is trained: another one is written to the result, and refused by the job. None
            trains any.
    """

    store: Store
    encoders: Sequence[PlaylistEncoder]
    result: str
    progress: ProgressReporter
    start_from: str | None = None
    kept: str | None = None

    def process(self, element: tuple[int, Iterable[str]], refused: bool) -> None:
        """Train, write the counts, the vector records, then the encoder manifest, which marks them as complete.

        Do nothing if the playlists are refused. If a runner retries this, the counts of the first try remain.
        """
        if refused:
            return
        _, paths = element
        batches = [batch for path in sorted(paths) for batch in files.read_batches(path, CORPUS)]
        corpus = in_content_order(batches)
        training, comparison = self._choose(corpus, self._trainings(corpus, corpus_digest(batches)))
        description = self.store.encoder(PLAYLIST, training.encoder_id)
        may_train = corpus.num_rows > 0 and self.kept in (None, training.encoder_id)
        trained = may_train and not (files.exists(description) and self._has_vectors(training))
        if not files.exists(self.result):
            files.write_json(self.result, training.result(trained, comparison))
        if trained:
            self._add_records(training.encoder_id, *training.encoder.train(corpus, training.start, self._count_steps))
            manifest = EncoderManifest(standardize=False, identity=training.identity, comparison=comparison)
            files.write_bytes(description, manifest.to_json().encode())

    def _count_steps(self, steps: int) -> Callable[[], None]:
        self.progress.add("train playlists", total=steps)
        return partial(self.progress.add, "train playlists", done=1)

    def _trainings(self, corpus: pa.Table, digest: str) -> list[Training]:
        numbered = NumberedCorpus.of(corpus)
        trainings = []
        for encoder in self.encoders:
            start = self._start(encoder, numbered.keys)
            missing = without_vector(numbered, encoder.smallest_component, start)
            trainings.append(Training(encoder, start, missing, numbered.keys, digest))
        return trainings

    def _start(self, encoder: PlaylistEncoder, keys: pa.FixedSizeBinaryArray) -> PreviousVectors | None:
        if (
            self.start_from is None
            or self.store.read_encoder(PLAYLIST, self.start_from).identity["name"] != encoder.name
        ):
            return None
        return read_previous_vectors(self.store, self.start_from, keys)

    def _choose(self, corpus: pa.Table, trainings: Sequence[Training]) -> tuple[Training, Comparison | None]:
        """Choose one of the trainings, and return the comparison of their encoders; None if there is only one.

        A comparison that the store has of the same encoders is not made again.
        """
        if len(trainings) == 1 or not corpus.num_rows:
            return trainings[0], None
        names = {training.encoder.name for training in trainings}
        for training in trainings:
            if files.exists(self.store.encoder(PLAYLIST, training.encoder_id)):
                known = self.store.read_encoder(PLAYLIST, training.encoder_id).comparison
                if known is not None and set(known) == names:
                    return training, known
        figures = compare(corpus, self.encoders)
        chosen = best(self.encoders, figures)
        comparison = {name: asdict(measured) for name, measured in figures.items()}
        return next(training for training in trainings if training.encoder is chosen), comparison

    def _has_vectors(self, training: Training) -> bool:
        """Check that each track of the corpus that must have a vector has one."""
        if isinstance(training.encoder, Word2VecConfig) and training.encoder.min_count > 1:
            return True
        keys = training.keys.filter(pa.array(~training.without_vector))
        parts = split_by_bucket(pa.record_batch([keys], names=["key"]), bucket_numbers(keys, self.store.buckets))
        return all(
            not len(unencoded(self.store, PLAYLIST, training.encoder_id, number, part["key"])) for number, part in parts
        )

    def _add_records(self, encoder_id: str, keys: pa.Array, vectors: npt.NDArray[np.float32]) -> None:
        """Write the missing records: a killed run may have written some buckets."""
        records = make_vector_records(keys, vectors.astype(np.float16))
        for bucket, part in split_by_bucket(records, bucket_numbers(keys, self.store.buckets)):
            missing = unencoded(self.store, PLAYLIST, encoder_id, bucket, part["key"])
            if len(missing):
                write_vectors(self.store, PLAYLIST, encoder_id, bucket, part)


def read_previous_vectors(store: Store, encoder_id: str, keys: pa.Array) -> PreviousVectors:
    """Read the playlist vectors of an encoder, for those of the keys that have one."""
    parts = split_by_bucket(pa.record_batch([keys], names=["key"]), bucket_numbers(keys, store.buckets))
    found = [
        pa.Table.from_batches([make_vector_records(known, vectors)])
        for bucket, part in parts
        for known, vectors in read_vectors(store.vectors(PLAYLIST, encoder_id, bucket), part["key"])
    ]
    if not found:
        return PreviousVectors(encoder_id, keys.slice(0, 0), np.zeros((0, 1), np.float16))
    records = sort_by_key(pa.concat_tables(found).combine_chunks())
    return PreviousVectors(encoder_id, records["key"].combine_chunks(), as_matrix(records["vector"].combine_chunks()))
