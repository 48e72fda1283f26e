"""Purge: remove the records whose key is in no kept catalog, such as those of tracks that were taken down."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.token_format import modality_of
from tracktokens.transforms.maintenance.compact_bucket import beside_copies, parquet_sizes, rewrite
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import distinct_keys
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.record_buckets import RecordBucket
from tracktokens.transforms.store.records import catalog_keys

PURGE = "search unused records"
"""Stage of the progress."""

ROWS = "rows"
BYTES = "bytes"


@dataclass(eq=False)
class PurgeRecords(beam.DoFn):
    """Find the records of a bucket whose key is in none of the kept catalogs, and rewrite the files that have some.

    Counts these rows and estimates their bytes: ``rows/<kind>/<modality>``, ``bytes/<kind>/<modality>``.

    Attributes:
        store: the store.
        catalog_ids: catalogs to keep.
        delete: whether to rewrite files; if not, records are only counted.
        progress: report of finished buckets.
    """

    store: Store
    catalog_ids: Collection[str]
    delete: bool
    progress: ProgressReporter

    def process(self, bucket: RecordBucket) -> Iterator[tuple[str, int]]:
        """Count the unwanted records of one bucket, and delete them if ``delete``."""
        yield from beside_copies(partial(self._purge, bucket, self._wanted_keys(bucket)))
        self.progress.add(PURGE, done=1)

    def _purge(self, bucket: RecordBucket, wanted: pa.Array) -> list[tuple[str, int]]:
        """Count, and delete; return the counts."""
        counts, affected = [], []
        for name, size in parquet_sizes(bucket.folder(self.store)).items():
            rows, unwanted = self._count(bucket, name, wanted)
            if unwanted:
                affected.append(name)
                counts.append((f"{ROWS}/{bucket.kind}/{bucket.modality}", unwanted))
                counts.append((f"{BYTES}/{bucket.kind}/{bucket.modality}", size * unwanted // rows))
        if affected and self.delete:
            rewrite(self.store, bucket, affected, wanted)
        return counts

    def _wanted_keys(self, bucket: RecordBucket) -> pa.Array:
        """Read the keys of the kept catalogs."""
        wanted = pa.array([], KEY.type)
        for catalog_id in sorted(self.catalog_ids):
            keys = catalog_keys(self.store.catalog(catalog_id), modality_of(bucket.modality), bucket.bucket)
            wanted = distinct_keys(pa.concat_arrays([wanted, keys]))
        return wanted

    def _count(self, bucket: RecordBucket, name: str, wanted: pa.Array) -> tuple[int, int]:
        """Count the rows of a file, and those with an unwanted key."""
        path = files.join(bucket.folder(self.store), name)
        rows = unwanted = 0
        for batch in files.read_batches(path, bucket.schema(path), [KEY.name]):
            rows += batch.num_rows
            unwanted += batch.num_rows - (pc.sum(pc.is_in(batch[KEY.name], value_set=wanted)).as_py() or 0)
        return rows, unwanted
