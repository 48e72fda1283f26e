"""Drop the facts that no catalog holds, such as those of tracks that were taken down."""

from collections.abc import Collection, Iterator

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.tables.records import KEY
from tracktokens.transforms.maintenance.compact_bucket import parquet_sizes, rewrite
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import distinct_keys
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.record_buckets import RecordBucket
from tracktokens.transforms.store.records import catalog_keys

DROP = "look through buckets"
"""Stage of the progress."""

ROWS = "rows"
BYTES = "bytes"


class PurgeRecords(beam.DoFn):
    """Finds the facts of a bucket whose keys no catalog of some holds, and rewrites the files that have them.

    Counts such rows, and about how many bytes they take: ``rows/<kind>/<modality>``, ``bytes/<kind>/<modality>``.
    """

    def __init__(self, store: Store, catalog_ids: Collection[str], delete: bool, progress: ProgressReporter) -> None:
        self._store = store
        self._catalog_ids = sorted(catalog_ids)
        self._delete = delete
        self._progress = progress

    def process(self, bucket: RecordBucket) -> Iterator[tuple[str, int]]:
        """Look through one bucket; it is rewritten only when facts are to be deleted."""
        wanted = self._wanted(bucket)
        touched = []
        for name, size in parquet_sizes(bucket.folder(self._store)).items():
            rows, unwanted = self._count(bucket, name, wanted)
            if unwanted:
                touched.append(name)
                yield f"{ROWS}/{bucket.kind}/{bucket.modality}", unwanted
                yield f"{BYTES}/{bucket.kind}/{bucket.modality}", size * unwanted // rows
        if touched and self._delete:
            rewrite(self._store, bucket, touched, wanted)
        self._progress.add(DROP, done=1)

    def _wanted(self, bucket: RecordBucket) -> pa.Array:
        """Keys that one of the catalogs holds."""
        wanted = pa.array([], KEY.type)
        for catalog_id in self._catalog_ids:
            keys = catalog_keys(self._store.catalog(catalog_id), bucket.modality, bucket.bucket)
            wanted = distinct_keys(pa.concat_arrays([wanted, keys]))
        return wanted

    def _count(self, bucket: RecordBucket, name: str, wanted: pa.Array) -> tuple[int, int]:
        """Rows of a file, and those of unwanted keys."""
        path = files.join(bucket.folder(self._store), name)
        rows = unwanted = 0
        for batch in files.read_batches(path, bucket.schema(path), [KEY.name]):
            rows += batch.num_rows
            unwanted += batch.num_rows - (pc.sum(pc.is_in(batch[KEY.name], value_set=wanted)).as_py() or 0)
        return rows, unwanted
