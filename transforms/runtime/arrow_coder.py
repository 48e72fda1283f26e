"""Arrow record batches as Beam elements.

Importing this module registers a coder that encodes a batch as an Arrow IPC stream. Without the coder, Beam pickles
batches, and a pickled slice contains its whole parent.
"""

from collections.abc import Collection

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


class EveryKey(beam.PTransform):
    """Create an empty batch per key, so that a grouping with other batches has a group for every key.

    The values are batches, since Beam would pickle batches in a group with values of another type.

    Args:
        keys: buckets, or pairs of modality and bucket.
        kind: ``Keyed`` or ``ModalityKeyed``.
    """

    def __init__(self, keys: Collection[object], kind: object) -> None:
        super().__init__()
        self._keys = list(keys)
        self._kind = kind

    def expand(self, start: beam.pvalue.PBegin) -> beam.PCollection:
        """Create the batches."""
        return start | beam.Create(self._keys) | beam.Map(_with_empty_batch).with_output_types(self._kind)


def _with_empty_batch(key: object) -> tuple[object, pa.RecordBatch]:
    return key, pa.RecordBatch.from_pylist([], pa.schema([]))
