"""Encode the inputs that have no vector yet, and add what comes out to the facts."""

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics

from tracktokens.schemas.tables import rejects
from tracktokens.schemas.tables.records import FAILURES
from tracktokens.transforms.embedding.batches import DECODING, ENCODING
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.runtime.arrow_coder import Count
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, split_by_bucket
from tracktokens.transforms.store.layout import Catalog, Store, part_name
from tracktokens.transforms.store.records import write_vectors


class AddRecords(beam.DoFn):
    """Writes encoded batches as vector facts and failures, and counts them."""

    def __init__(
        self, store: Store, catalog: Catalog, modality: str, encoder_id: str, progress: ProgressReporter
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._modality = modality
        self._encoder_id = encoder_id
        self._progress = progress

    def process(self, encoded: pa.RecordBatch) -> Iterator[tuple[str, int]]:
        """Write one batch, a file a bucket."""
        for bucket, part in split_by_bucket(encoded, bucket_numbers(encoded["key"], self._store.buckets)):
            self._write(bucket, part)
        self._progress.add(f"encode {self._modality}", done=encoded.num_rows)
        failed = encoded.num_rows - encoded["reason"].null_count
        metadata = encoded.schema.metadata
        counts = {"encoded": encoded.num_rows - failed, "failed": failed}
        counts |= {step: int(metadata[step.encode()]) for step in (ENCODING, DECODING)}
        for name, count in counts.items():
            Metrics.counter("tracktokens", f"{name}/{self._modality}").inc(count)  # for the runner's own pages
            yield f"{name}/{self._modality}", count

    def _write(self, bucket: int, part: pa.RecordBatch) -> None:
        good = part.filter(pc.is_null(part["reason"])).select(["key", "vector"])
        bad = part.filter(pc.is_valid(part["reason"])).select(FAILURES.names).cast(FAILURES)
        transient = pc.is_in(bad["reason"], value_set=pa.array(rejects.TRANSIENT_REASONS))
        if good.num_rows:
            write_vectors(self._store, self._modality, self._encoder_id, bucket, good)
        lasting = self._store.failures(self._modality, self._encoder_id, bucket)
        self._write_failures(lasting, bad.filter(pc.invert(transient)))
        self._write_failures(self._catalog.failures(self._modality, bucket), bad.filter(transient))

    def _write_failures(self, folder: str, failures: pa.RecordBatch) -> None:
        if failures.num_rows:
            files.write_batches(files.join(folder, part_name(failures["key"])), FAILURES, [failures])


class EncodeMissing(beam.PTransform):
    """Encodes batches of ``INPUTS`` of one modality and adds the facts; gives counts of inputs encoded and failed."""

    def __init__(
        self, store: Store, catalog: Catalog, modality: str, encoder: Encoder, workers: int, progress: ProgressReporter
    ) -> None:
        super().__init__()
        self._add = AddRecords(store, catalog, modality, encoder.encoder_id, progress)
        self._encoder = encoder
        self._workers = workers

    def expand(self, inputs: beam.PCollection) -> beam.PCollection:
        """Spread the batches over workers first: they come out of few buckets, and encoding is the long part."""
        from apache_beam.ml.inference.base import RunInference  # three seconds: it imports torch

        from tracktokens.transforms.embedding.model_handler import EncoderHandler

        handler = EncoderHandler(self._encoder, self._workers)
        return (
            inputs
            | "spread over workers" >> beam.Reshuffle()
            | "encode" >> RunInference(handler).with_output_types(pa.RecordBatch)
            | "add facts" >> beam.ParDo(self._add).with_output_types(Count)
        )
