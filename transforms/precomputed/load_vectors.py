"""Load the precomputed embeddings that the store lacks into vector records. Each row group is read once.

Vectors are shuffled only if few of a row group are missing.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from weakref import WeakSet

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.tables.records import INPUT_LOCATIONS
from tracktokens.schemas.tables.tracks import POSITION_SHIFT
from tracktokens.transforms.precomputed.scan_cache import ROW_BITS, RowGroup
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings
from tracktokens.transforms.precomputed.vector_tables import read_unit_vectors
from tracktokens.transforms.runtime.arrow_coder import Count, ModalityKeyed
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store.keys import bucket_numbers, sort_by_key, split_by_bucket
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.records import make_vector_records, write_vectors

LOCATIONS_TAG = "locations"
"""Output with the missing vectors: ``INPUT_LOCATIONS`` by modality and fragment; a position is a row index within the
fragment."""

LEAST_BUFFER, MOST_BUFFER, BUCKET_BUFFER = 1 << 29, 1 << 30, 1 << 19
"""Bytes of vectors that a process gathers before those of a modality are written, one file per bucket: at least, at
most, and per bucket of the store."""

SCATTERED_TAG = "scattered"
"""Output with the vectors of row groups of which few are missing: vector records by modality and bucket of key."""

SCATTERED_RATIO = 8
"""A row group of which less than one row in this many is missing sends its vectors to ``SCATTERED_TAG``. Otherwise,
changes that are spread over all files would write one small file per row group into each bucket."""


def by_fragment(missing: pa.Table, modality: str) -> Iterator[tuple[RowGroup, pa.RecordBatch]]:
    """Split ``INPUT_LOCATIONS`` by fragment, and make each position a row index within its fragment."""
    positions = missing["position"].to_numpy()
    rows = pa.array(positions & ROW_BITS)
    numbered = pa.record_batch([missing["key"].combine_chunks(), rows], schema=INPUT_LOCATIONS)
    for number, part in split_by_bucket(numbered, positions >> POSITION_SHIFT):
        yield (modality, number), part


class _GatheringSteps:
    """The steps that gather vectors in the threads of a process. A worker of a cluster has a dozen of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: WeakSet[LoadVectors] = WeakSet()  # a step whose bundle failed may be dropped without a call

    def add(self, step: "LoadVectors") -> None:
        """Count the bytes of a step."""
        with self._lock:
            self._steps.add(step)

    def bytes(self) -> int:
        """Sum the bytes of all steps."""
        with self._lock:
            return sum(step.gathered_bytes for step in self._steps)


_gathering = _GatheringSteps()


@dataclass(kw_only=True, eq=False)
class LoadVectors(beam.DoFn):
    """Load the vectors of row groups that the store lacks: write vector records, and yield their count.

    Vectors are gathered over the row groups of a bundle, which may be small: a file of each row group for each bucket
    would be thousands. If few of a row group are missing, their records go to the output ``SCATTERED_TAG``, to be
    written with those of all others.

    Attributes:
        embeddings: modality to its precomputed embeddings.
        store: destination of the records.
        progress: receives the number of vectors.
    """

    embeddings: Mapping[str, PrecomputedEmbeddings]
    store: Store
    progress: ProgressReporter
    _gathered: dict[str, list[pa.RecordBatch]] = field(default_factory=dict, init=False, repr=False)
    _bytes: Counter[str] = field(default_factory=Counter, init=False, repr=False)

    @property
    def gathered_bytes(self) -> int:
        """Bytes that are not yet written."""
        return sum(list(self._bytes.values()))

    def setup(self) -> None:
        """Count what this step gathers."""
        _gathering.add(self)

    def start_bundle(self) -> None:
        """Drop what a bundle that failed has gathered."""
        self._gathered.clear()
        self._bytes.clear()

    def process(self, element: tuple[tuple[str, int], Iterable[pa.RecordBatch]]) -> Iterator[object]:
        """Load from one fragment of one modality."""
        (modality, number), batches = element
        table = self.embeddings[modality].table
        fragment = table.fragments[number]
        wanted = pa.Table.from_batches(batches, INPUT_LOCATIONS)
        rows = wanted["position"].to_numpy()
        order = np.argsort(rows)
        keys = wanted["key"].combine_chunks().take(pa.array(order))
        are_few = len(rows) * SCATTERED_RATIO < fragment.rows
        scattered, start = [], 0
        for units in read_unit_vectors(table, fragment, rows[order]):
            records = make_vector_records(keys.slice(start, len(units)), units)
            if are_few:
                scattered.append(records)
            else:
                self._gather(modality, records)
            start += len(units)
            self.progress.add(f"load {modality} vectors", done=len(units))
        if scattered:
            for bucket, part in self._by_bucket(scattered):
                yield TaggedOutput(SCATTERED_TAG, ((modality, bucket), part))
        yield f"encoded/{modality}", start

    def finish_bundle(self) -> None:
        """Write what is gathered."""
        for modality in list(self._gathered):
            self._write(modality)

    def _gather(self, modality: str, records: pa.RecordBatch) -> None:
        """Keep records, and write those of the modality that has most when they are many."""
        self._gathered.setdefault(modality, []).append(records)
        self._bytes[modality] += records.nbytes
        limit = min(max(LEAST_BUFFER, self.store.buckets * BUCKET_BUFFER), MOST_BUFFER)
        if _gathering.bytes() >= limit:
            [(most, _)] = self._bytes.most_common(1)
            self._write(most)

    def _write(self, modality: str) -> None:
        for bucket, part in self._by_bucket(self._gathered.pop(modality)):
            write_vectors(self.store, modality, self.embeddings[modality].encoder_id, bucket, part)
        del self._bytes[modality]

    def _by_bucket(self, parts: list[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
        records = pa.concat_batches(parts)
        return split_by_bucket(records, bucket_numbers(records["key"], self.store.buckets))


@dataclass(kw_only=True, eq=False)
class WriteScattered(beam.DoFn):
    """Write the scattered vector records of one bucket, from many row groups, as one file.

    Attributes:
        encoders: modality to encoder id.
        store: destination of the records.
    """

    encoders: Mapping[str, str]
    store: Store

    def process(self, element: tuple[tuple[str, int], Iterable[pa.RecordBatch]]) -> None:
        """Write one bucket of one modality."""
        (modality, bucket), batches = element
        [records] = sort_by_key(pa.Table.from_batches(batches).combine_chunks()).to_batches()
        write_vectors(self.store, modality, self.encoders[modality], bucket, records)


class AddPrecomputed(beam.PTransform):
    """Load precomputed embeddings from ``INPUT_LOCATIONS`` by modality and fragment, and count them."""

    def __init__(
        self, embeddings: Mapping[str, PrecomputedEmbeddings], store: Store, progress: ProgressReporter
    ) -> None:
        super().__init__()
        self._load = LoadVectors(embeddings=embeddings, store=store, progress=progress)
        encoders = {modality: vectors.encoder_id for modality, vectors in embeddings.items()}
        self._write = WriteScattered(encoders=encoders, store=store)

    def expand(self, locations: beam.PCollection) -> beam.PCollection:
        """Read each row group once."""
        loaded = (
            locations
            | "group by row group" >> beam.GroupByKey()
            | "load vectors"
            >> beam.ParDo(self._load)
            .with_output_types(Count, **{SCATTERED_TAG: ModalityKeyed})
            .with_outputs(SCATTERED_TAG, main="counts")
        )
        scattered = loaded[SCATTERED_TAG] | "group by bucket" >> beam.GroupByKey()
        scattered | "write scattered" >> beam.ParDo(self._write).with_output_types(type(None))
        return loaded["counts"]
