"""Take given vectors that the store lacks from where they stand into the facts, each row group read once.

They are shuffled only where they are few.
"""

from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.tables.records import INPUT_LOCATIONS
from tracktokens.schemas.tables.tracks import POSITION_SHIFT
from tracktokens.transforms.precomputed.scan_cache import ROW_BITS, RowGroup
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings
from tracktokens.transforms.precomputed.vector_tables import UnitVectors, read_vector_rows
from tracktokens.transforms.runtime.arrow_coder import Count, ModalityKeyed
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store.keys import bucket_numbers, sort_by_key, split_by_bucket
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.records import make_vector_records, write_vectors

LOCATIONS_TAG = "places"
"""Output with the vectors that are missing: ``INPUT_LOCATIONS`` by modality and fragment; a position is a row's number
there."""

LEAST_BUFFER, MOST_BUFFER, BUCKET_BUFFER = 1 << 27, 1 << 30, 1 << 19
"""Bytes of vectors that are gathered before they are written, a file a bucket: more where there are many buckets."""

FEW_TAG = "few"
FEW = 8
"""Of a row group of which less than one row in so many is missing, the vectors are sent to their buckets: else changes
that are spread over all files would leave a small file for each row group in each bucket."""


def by_fragment(missing: pa.Table, modality: str) -> Iterator[tuple[RowGroup, pa.RecordBatch]]:
    """Divide ``INPUT_LOCATIONS`` by the fragment that they are in, and number its rows within it."""
    positions = missing["position"].to_numpy()
    rows = pa.array(positions & ROW_BITS)
    numbered = pa.record_batch([missing["key"].combine_chunks(), rows], schema=INPUT_LOCATIONS)
    for number, part in split_by_bucket(numbered, positions >> POSITION_SHIFT):
        yield (modality, number), part


class LoadVectors(beam.DoFn):
    """Reads the vectors of one row group that the store lacks, and adds them to the facts; counts them.

    Where they are few they go to the output ``FEW_TAG`` in place of the store: vector facts by modality and bucket of
    key, to be written with those of other row groups.
    """

    def __init__(self, given: Mapping[str, PrecomputedEmbeddings], store: Store, progress: ProgressReporter) -> None:
        self._given = dict(given)
        self._store = store
        self._progress = progress

    def process(self, element: tuple[tuple[str, int], Iterable[pa.RecordBatch]]) -> Iterator[object]:
        """Take from one fragment of one modality."""
        (modality, number), batches = element
        fragment = self._given[modality].table.fragments[number]
        wanted = pa.Table.from_batches(batches, INPUT_LOCATIONS)
        rows = wanted["position"].to_numpy()
        order = np.argsort(rows)
        keys = wanted["key"].combine_chunks().take(pa.array(order))
        few, start = len(rows) * FEW < fragment.rows, 0
        for units in self._buffers(modality, number, rows[order]):
            records = make_vector_records(keys.slice(start, len(units)), units)
            for bucket, part in split_by_bucket(records, bucket_numbers(records["key"], self._store.buckets)):
                if few:
                    yield TaggedOutput(FEW_TAG, ((modality, bucket), part))
                else:
                    write_vectors(self._store, modality, self._given[modality].encoder_id, bucket, part)
            start += len(units)
            self._progress.add(f"take {modality} vectors", done=len(units))
        yield f"encoded/{modality}", start

    def _buffers(self, modality: str, number: int, wanted: npt.NDArray[np.int64]) -> Iterator[UnitVectors]:
        """Read the wanted rows, in order, a buffer at a time."""
        table = self._given[modality].table
        limit = min(max(LEAST_BUFFER, self._store.buckets * BUCKET_BUFFER), MOST_BUFFER) // (2 * table.dim)
        gathered: list[UnitVectors] = []
        for rows in read_vector_rows(table, table.fragments[number]):
            first, last = np.searchsorted(wanted, [rows.start, rows.start + len(rows.units)])
            gathered.append(rows.units[wanted[first:last] - rows.start])
            if sum(len(part) for part in gathered) >= limit:
                yield np.concatenate(gathered)
                gathered = []
        if gathered:
            yield np.concatenate(gathered)


class WriteScattered(beam.DoFn):
    """Writes the few vectors of many row groups that belong to one bucket, as one file."""

    def __init__(self, given: Mapping[str, PrecomputedEmbeddings], store: Store) -> None:
        self._encoders = {modality: vectors.encoder_id for modality, vectors in given.items()}
        self._store = store

    def process(self, element: tuple[tuple[str, int], Iterable[pa.RecordBatch]]) -> None:
        """Write one bucket of one modality."""
        (modality, bucket), batches = element
        [records] = sort_by_key(pa.Table.from_batches(batches).combine_chunks()).to_batches()
        write_vectors(self._store, modality, self._encoders[modality], bucket, records)


class AddPrecomputed(beam.PTransform):
    """Takes given vectors from where they stand, ``INPUT_LOCATIONS`` by modality and fragment, and counts them."""

    def __init__(self, given: Mapping[str, PrecomputedEmbeddings], store: Store, progress: ProgressReporter) -> None:
        super().__init__()
        self._take = LoadVectors(given, store, progress)
        self._write = WriteScattered(given, store)

    def expand(self, places: beam.PCollection) -> beam.PCollection:
        """Read each row group once."""
        taken = (
            places
            | "group by row group" >> beam.GroupByKey()
            | "take vectors"
            >> beam.ParDo(self._take)
            .with_output_types(Count, **{FEW_TAG: ModalityKeyed})
            .with_outputs(FEW_TAG, main="counts")
        )
        few = taken[FEW_TAG] | "group by bucket" >> beam.GroupByKey()
        few | "write few" >> beam.ParDo(self._write).with_output_types(type(None))
        return taken["counts"]
