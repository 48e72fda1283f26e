"""Rejects on their way to the files in which they are kept."""

from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.tables.rejects import REJECTS, ROW_REASONS, VECTORS_TABLE
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.store import files

REJECTS_TAG = "rejects"
"""Output of a transform on which its rejects go, by shard."""

SHARDS = 16
"""Files into which the rejects of a stage go at most."""


def tag_rejects(shard: int, found: pa.RecordBatch) -> Iterator[TaggedOutput]:
    """Send rejects to a shard of the files, and count them by reason, and the rows that are lost by them."""
    if not found.num_rows:
        return
    yield TaggedOutput(REJECTS_TAG, (shard % SHARDS, found))
    for counted in pc.value_counts(found["reason"]).to_pylist():
        yield TaggedOutput(COUNTS_TAG, (f"rejects/{counted['values']}", counted["counts"]))
    lost = pc.and_(
        pc.is_in(found["reason"], value_set=pa.array(ROW_REASONS)), pc.not_equal(found["table"], VECTORS_TABLE)
    )
    yield TaggedOutput(COUNTS_TAG, ("rows_rejected", lost.true_count))


class WriteRejects(beam.PTransform):
    """Writes rejects into a folder, a file a shard."""

    def __init__(self, folder: str, name: str) -> None:
        super().__init__()
        self._write = WriteShard(folder, name)

    def expand(self, rejects: beam.PCollection) -> beam.PCollection:
        """Group by shard, and write each."""
        return rejects | beam.GroupByKey() | beam.ParDo(self._write).with_output_types(type(None))


class WriteShard(beam.DoFn):
    """Writes the rejects of a shard as one file, sorted, so that equal runs give equal files."""

    def __init__(self, folder: str, name: str) -> None:
        self._folder = folder
        self._name = name

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> None:
        """Write one shard."""
        shard, batches = element
        rows = pa.Table.from_batches(batches, REJECTS).sort_by([(name, "ascending") for name in REJECTS.names])
        files.write_batches(files.join(self._folder, f"{self._name}-{shard:04d}.parquet"), REJECTS, [rows])
