"""Arrow record batches as Beam elements.

Importing this module registers a coder that writes a batch as an Arrow IPC stream. Without it Beam would pickle
batches, and a pickled slice carries its whole parent.
"""

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

    def is_deterministic(self) -> bool:
        """Batches are values here, never grouping keys, so equal bytes are not promised."""
        return False

    def to_type_hint(self) -> type:
        """The type whose coder this is."""
        return pa.RecordBatch  # type: ignore[no-any-return]


coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)

Keyed = typehints.KV[int, pa.RecordBatch]
"""A batch of one bucket."""

ModalityKeyed = typehints.KV[typehints.Tuple[str, int], pa.RecordBatch]
"""A batch of one bucket of one modality."""

Count = typehints.KV[str, int]
"""A named count, to be summed."""
