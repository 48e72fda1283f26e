"""Records: immutable rows that are addressed by content key, of one encoder or one bundle."""

import pyarrow as pa

from tracktokens.schemas.tables.tracks import POSITION

KEY_BYTES = 16
KEY = pa.field("key", pa.binary(KEY_BYTES), nullable=False)
"""Content key: 16-byte BLAKE2b of a modality's normalised input."""


def vector_records(dim: int) -> pa.Schema:
    """Schema of ``vectors/<modality>/<encoder_id>``: one vector of ``dim`` float16 values per key."""
    return pa.schema([KEY, pa.field("vector", pa.list_(pa.float16(), dim), nullable=False)])


FAILURES = pa.schema([KEY, pa.field("reason", pa.string(), nullable=False), ("detail", pa.string())])
"""Schema of ``failures/<modality>/<encoder_id>``: inputs that the encoder failed on."""

CODE_RECORDS = pa.schema(
    [
        KEY,
        pa.field("code", pa.int16(), nullable=False),
        pa.field("distance", pa.float32(), nullable=False),
        pa.field("margin", pa.float32()),
    ]
)
"""Schema of ``codes/<bundle_id>/<modality>``: the nearest centroid, the squared distance to it, and the squared
distance to the second nearest minus the first (null where the codebook has one centroid)."""

INPUT_LOCATIONS = pa.schema([KEY, POSITION])
"""Inputs without a vector, and their rows in the input table."""

INPUTS = pa.schema([KEY, pa.field("input", pa.string(), nullable=False)])
"""Distinct inputs of a modality for its encoder: a text, or an audio path below the audio root."""
