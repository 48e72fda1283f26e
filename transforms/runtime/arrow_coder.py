"""Arrow record batches as Beam elements.

Importing this module registers a coder that writes a batch as an Arrow IPC stream. Without it Beam would pickle
batches, and a pickled slice carries its whole parent.
"""

from collections.abc import Collection

import apache_beam as beam
import pyarrow as pa
from apache_beam import coders, typehints


class RecordBatchCoder(coders.Coder):
    """Encodes a record batch with its schema, and only the rows that it shows."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Write a batch as an IPC stream of one message."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_batch(value)
        return bytes(sink.getvalue().to_pybytes())

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Read a batch back, without a copy of its buffers."""
        with pa.ipc.open_stream(encoded) as reader:
            return reader.read_next_batch()

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Size of a batch, without writing it."""
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        """Batches are values here, never grouping keys, so equal bytes are not promised."""
        return False

    def to_type_hint(self) -> type:
        """The type whose coder this is."""
        return pa.RecordBatch  # type: ignore[no-any-return]


coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)

SENT_ROWS = 1 << 17
"""Rows that are gathered before they are divided into buckets: each part is a message of its own, with its schema."""

Keyed = typehints.KV[int, pa.RecordBatch]
"""A batch of one bucket."""

ModalityKeyed = typehints.KV[typehints.Tuple[str, int], pa.RecordBatch]
"""A batch of one bucket of one modality."""

Count = typehints.KV[str, int]
"""A named count, to be summed."""


class EveryKey(beam.PTransform):
    """An empty batch for each of some keys: what is grouped with these has a group for each.

    Other values would not do: beside them Beam would pickle the batches.
    """

    def __init__(self, keys: Collection[object], kind: object) -> None:
        super().__init__()
        self._keys = list(keys)
        self._kind = kind

    def expand(self, start: beam.pvalue.PBegin) -> beam.PCollection:
        """Make them; ``kind`` is ``Keyed`` or ``ModalityKeyed``."""
        return start | beam.Create(self._keys) | beam.Map(_with_nothing).with_output_types(self._kind)


def _with_nothing(key: object) -> tuple[object, pa.RecordBatch]:
    return key, pa.RecordBatch.from_pylist([], pa.schema([]))
