"""Arrow record batches as Beam elements.

Importing this module registers a coder that encodes a batch as an Arrow IPC stream. Without the coder, Beam pickles
batches, and a pickled slice contains its whole parent.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import apache_beam as beam
import pyarrow as pa
from apache_beam import coders, typehints


class RecordBatchCoder(coders.Coder):
    """Encode a record batch with its schema; a slice is encoded without its parent."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Encode a batch as an IPC stream of one message."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_batch(value)
        return bytes(sink.getvalue().to_pybytes())

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Decode a batch without a copy of its buffers."""
        with pa.ipc.open_stream(encoded) as reader:
            return reader.read_next_batch()

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Return the size of a batch in bytes, without encoding it."""
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        """Return False: batches are values and never grouping keys, so equal batches may have different bytes."""
        return False

    def to_type_hint(self) -> type:
        """Return the type that this coder encodes."""
        return pa.RecordBatch  # type: ignore[no-any-return]


coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)

SENT_ROWS = 1 << 17
"""Rows to gather before a split into buckets: each part is a separate message, with its own schema."""

Keyed = typehints.KV[int, pa.RecordBatch]
"""A batch of one bucket, keyed by the bucket."""

ModalityKeyed = typehints.KV[typehints.Tuple[str, int], pa.RecordBatch]
"""A batch of one bucket of a modality, keyed by both."""

Count = typehints.KV[str, int]
"""A named count, to be summed."""


class EveryBucket(beam.PTransform):
    """Create an empty batch per bucket, so that a grouping with other batches has a group for every bucket.

    The values are batches, since Beam would pickle batches in a group with values of another type.

    Args:
        buckets: number of buckets.
        modalities: modalities whose buckets are the keys, as ``ModalityKeyed``; without any, the keys are ``Keyed``.
    """

    def __init__(self, buckets: int, modalities: Sequence[str] = ()) -> None:
        super().__init__()
        self._buckets = buckets
        self._modalities = tuple(modalities)

    def expand(self, start: beam.pvalue.PBegin) -> beam.PCollection:
        """Create the batches. They are not spread over the workers: the grouping does that."""
        create = beam.FlatMap(partial(_empty_batches, self._buckets, self._modalities))
        kind = ModalityKeyed if self._modalities else Keyed
        return start | beam.Impulse() | create.with_output_types(kind)


def _empty_batches(buckets: int, modalities: tuple[str, ...], _: bytes) -> Iterator[tuple[object, pa.RecordBatch]]:
    numbers = range(buckets)
    for key in itertools.product(modalities, numbers) if modalities else numbers:
        yield key, pa.RecordBatch.from_pylist([], pa.schema([]))
