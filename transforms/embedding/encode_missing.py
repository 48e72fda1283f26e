"""Encode the inputs that have no vector yet, and add what comes out to the facts."""

import threading
import time
from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics

from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.modalities import AUDIO
from tracktokens.schemas.tables import rejects
from tracktokens.schemas.tables.records import FAILURES
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder
from tracktokens.transforms.encoders.bisect import encode_by_halves
from tracktokens.transforms.runtime.arrow_coder import Count
from tracktokens.transforms.runtime.progress import Board
from tracktokens.transforms.runtime.threads import thread_share
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, split_by_bucket
from tracktokens.transforms.store.layout import Catalog, Store, part_name
from tracktokens.transforms.store.records import make_vector_facts, write_vectors

MAX_TEXTS = 2048
MAX_TEXT_BYTES = 512 * 1024
MAX_FILES = 32

ENCODING = "encoding_milliseconds"
DECODING = "decoding_milliseconds"
"""What encoding cost: time in the encoder, waiting for decoders included, and time that decoders were busy beside it.
Both are summed over all that ran at a time."""

FLOAT16_MAX = float(np.finfo(np.float16).max)


def encoding_batches(inputs: pa.RecordBatch, modality: str) -> Iterator[pa.RecordBatch]:
    """Cut inputs into batches of even work: so many audio files, or texts up to a number and a size.

    A batch is what is encoded at a time and lands as one file, so it bounds what a killed job does again.
    """
    limit = MAX_FILES if modality == AUDIO else MAX_TEXTS
    sizes = np.cumsum(pc.binary_length(inputs["input"]).to_numpy(zero_copy_only=False)) if inputs.num_rows else []
    start = 0
    while start < inputs.num_rows:
        before = sizes[start - 1] if start else 0
        fits = int(np.searchsorted(sizes, before + MAX_TEXT_BYTES, side="right")) - start
        length = min(limit, max(fits, 1))
        yield inputs.slice(start, length)
        start += length


class LazyEncoder:
    """Loads an encoder when the first batch comes, so that a run with nothing to encode pays for no model."""

    def __init__(self, encoder: Encoder, workers: int) -> None:
        self._encoder = encoder
        self._workers = workers
        self._loaded: LoadedEncoder | None = None
        self._lock = threading.Lock()

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode inputs; see :func:`encode_by_halves`.

        Raises:
            TracktokensError: the encoder does not give a vector for each input.
        """
        with self._lock:  # threads of a worker share it
            if self._loaded is None:
                self._loaded = self._encoder.load(thread_share(self._workers))
        found = encode_by_halves(self._loaded, inputs)
        if found.vectors.ndim != 2 or len(found.vectors) != len(inputs):
            raise TracktokensError(
                f"{type(self._loaded).__name__} made an array of shape {found.vectors.shape} of {len(inputs)} inputs: "
                "it has to be (inputs, dim)"
            )
        return found


def encode_inputs(inputs: pa.RecordBatch, model: LazyEncoder) -> pa.RecordBatch:
    """Encode one batch of ``INPUTS`` to keys, float16 vectors (zero where it failed), reasons and details.

    What it cost stands in the metadata of the schema, where it stays with the batch.
    """
    start = time.monotonic()
    encoded = model.encode(inputs["input"])
    spent = {ENCODING: time.monotonic() - start, DECODING: encoded.decoding_seconds}
    failures = {**encoded.failures, **_unstorable(encoded)}
    vectors = encoded.vectors.copy() if failures else encoded.vectors
    vectors[list(failures)] = 0
    facts = make_vector_facts(inputs["key"], vectors.astype(np.float16))
    reasons = [failures[row].reason if row in failures else None for row in range(inputs.num_rows)]
    details = [failures[row].detail if row in failures else None for row in range(inputs.num_rows)]
    facts = facts.append_column("reason", pa.array(reasons, pa.string()))
    facts = facts.append_column("detail", pa.array(details, pa.string()))
    return facts.replace_schema_metadata({step: str(round(1000 * seconds)) for step, seconds in spent.items()})


def _unstorable(encoded: Encoded) -> dict[int, Failure]:
    """Vectors that float16 cannot hold."""
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(encoded.vectors) <= FLOAT16_MAX).all(axis=1)
    return {
        int(row): Failure(rejects.NOT_FINITE, "the encoder gave a value that is not finite in float16")
        for row in np.flatnonzero(bad)
    }


class AddFacts(beam.DoFn):
    """Writes encoded batches as vector facts and failures, and counts them."""

    def __init__(self, store: Store, catalog: Catalog, modality: str, encoder_id: str, board: Board) -> None:
        self._store = store
        self._catalog = catalog
        self._modality = modality
        self._encoder_id = encoder_id
        self._board = board

    def process(self, encoded: pa.RecordBatch) -> Iterator[tuple[str, int]]:
        """Write one batch, a file a bucket."""
        for bucket, part in split_by_bucket(encoded, bucket_numbers(encoded["key"], self._store.buckets)):
            self._write(bucket, part)
        self._board.add(f"encode {self._modality}", done=encoded.num_rows)
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
        self, store: Store, catalog: Catalog, modality: str, encoder: Encoder, workers: int, board: Board
    ) -> None:
        super().__init__()
        self._add = AddFacts(store, catalog, modality, encoder.encoder_id, board)
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
