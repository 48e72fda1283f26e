"""Encode the inputs that have no vector yet, and write vector records and failures."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

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


@dataclass(eq=False, kw_only=True)
class WriteEncoded(beam.DoFn):
    """Writes encoded batches as vector records and failures, and counts them."""

    store: Store
    catalog: Catalog
    modality: str
    encoder_id: str
    progress: ProgressReporter

    def process(self, encoded: pa.RecordBatch) -> Iterator[tuple[str, int]]:
        """Write one batch, one file per bucket; yield counts of encoded and failed inputs, and the cost."""
        for bucket, part in split_by_bucket(encoded, bucket_numbers(encoded["key"], self.store.buckets)):
            self._write(bucket, part)
        self.progress.add(f"encode {self.modality}", done=encoded.num_rows)
        failed = encoded.num_rows - encoded["reason"].null_count
        metadata = encoded.schema.metadata
        counts = {"encoded": encoded.num_rows - failed, "failed": failed}
        counts |= {name: int(metadata[name.encode()]) for name in (ENCODING, DECODING)}
        for name, count in counts.items():
            Metrics.counter("tracktokens", f"{name}/{self.modality}").inc(count)  # shown by the runner
            yield f"{name}/{self.modality}", count

    def _write(self, bucket: int, part: pa.RecordBatch) -> None:
        vectors = part.filter(pc.is_null(part["reason"])).select(["key", "vector"])
        failures = part.filter(pc.is_valid(part["reason"])).select(FAILURES.names).cast(FAILURES)
        transient = pc.is_in(failures["reason"], value_set=pa.array(rejects.TRANSIENT_REASONS))
        if vectors.num_rows:
            write_vectors(self.store, self.modality, self.encoder_id, bucket, vectors)
        permanent_folder = self.store.failures(self.modality, self.encoder_id, bucket)
        self._write_failures(permanent_folder, failures.filter(pc.invert(transient)))
        self._write_failures(self.catalog.failures(self.modality, bucket), failures.filter(transient))

    def _write_failures(self, folder: str, failures: pa.RecordBatch) -> None:
        if failures.num_rows:
            files.write_batches(files.join(folder, part_name(failures["key"])), FAILURES, [failures])


@dataclass(eq=False, repr=False, kw_only=True)
class EncodeMissing(beam.PTransform):
    """Encodes batches of ``INPUTS`` of one modality and writes the records; yields counts of encoded and failed inputs.

    Attributes:
        store: receives vector records and permanent failures.
        catalog: receives transient failures.
        modality: modality of the inputs.
        encoder: encoder of the modality.
        workers: worker processes per machine, which share its CPU threads.
        progress: receives the number of encoded inputs.
        hints: Beam's resource hints of the machines that encode, for example with a GPU.
    """

    store: Store
    catalog: Catalog
    modality: str
    encoder: Encoder
    workers: int
    progress: ProgressReporter
    hints: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, inputs: beam.PCollection) -> beam.PCollection:
        """Spread the batches over workers first: they come from few buckets, and encoding takes the longest."""
        from tracktokens.transforms.embedding.inference import RunInference  # takes a second
        from tracktokens.transforms.embedding.model_handler import EncoderHandler

        write = WriteEncoded(
            store=self.store,
            catalog=self.catalog,
            modality=self.modality,
            encoder_id=self.encoder.encoder_id,
            progress=self.progress,
        )
        handler = EncoderHandler(self.encoder, self.workers)
        return (
            inputs
            | "spread over workers" >> beam.Reshuffle()
            | "encode" >> RunInference(handler).with_output_types(pa.RecordBatch).with_resource_hints(**self.hints)
            # On the same machines, so that vectors do not travel before they are written.
            | "write records" >> beam.ParDo(write).with_output_types(Count).with_resource_hints(**self.hints)
        )
