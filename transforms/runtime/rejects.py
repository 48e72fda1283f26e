"""Rejects: tag and count them in a transform, and write them into files."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.tables.rejects import REJECTS, ROW_REASONS, VECTORS_TABLE
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.store import files

REJECTS_TAG = "rejects"
"""Output of a transform with its rejects, keyed by shard."""

REJECTS_PREFIX = "rejects/"
"""Prefix of the counts of rejects: by reason, and for ``VECTOR_REJECTS`` by modality and reason."""

VECTOR_REJECTS = f"{REJECTS_PREFIX}{VECTORS_TABLE}/"

SHARDS = 16
"""Largest number of files for the rejects of a stage."""


def tag_rejects(shard: int, rejects: pa.RecordBatch) -> Iterator[TaggedOutput]:
    """Send rejects to a shard, and count them by reason; count the rows that were rejected as a whole."""
    if not rejects.num_rows:
        return
    yield TaggedOutput(REJECTS_TAG, (shard % SHARDS, rejects))
    names = ["table", "modality", "reason"]
    for row in pa.Table.from_batches([rejects]).group_by(names).aggregate([([], "count_all")]).to_pylist():
        yield TaggedOutput(COUNTS_TAG, (_count_name(row), row["count_all"]))
    lost = pc.and_(
        pc.is_in(rejects["reason"], value_set=pa.array(ROW_REASONS)), pc.not_equal(rejects["table"], VECTORS_TABLE)
    )
    yield TaggedOutput(COUNTS_TAG, ("rows_rejected", lost.true_count))


def _count_name(row: Mapping[str, str]) -> str:
    """Name the count of a reason; rows of precomputed embeddings have a name of their own per modality."""
    if row["table"] == VECTORS_TABLE:
        return f"{VECTOR_REJECTS}{row['modality']}/{row['reason']}"
    return f"{REJECTS_PREFIX}{row['reason']}"


class WriteRejects(beam.PTransform):
    """Write rejects into a folder, one file per shard."""

    def __init__(self, folder: str, name: str) -> None:
        super().__init__()
        self._write = WriteShard(folder, name)

    def expand(self, rejects: beam.PCollection) -> beam.PCollection:
        """Group by shard, and write each shard."""
        return rejects | beam.GroupByKey() | beam.ParDo(self._write).with_output_types(type(None))


@dataclass(eq=False)
class WriteShard(beam.DoFn):
    """Write the rejects of one shard as one sorted file, so that equal runs write equal files.

    Attributes:
        folder: folder of the files.
        name: prefix of the file names.
    """

    folder: str
    name: str

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> None:
        """Write one shard."""
        shard, batches = element
        rows = pa.Table.from_batches(batches, REJECTS).sort_by([(name, "ascending") for name in REJECTS.names])
        files.write_batches(files.join(self.folder, f"{self.name}-{shard:04d}.parquet"), REJECTS, [rows])
