"""Facts: immutable rows that are addressed by content key, under one encoder or one codebook bundle."""

import pyarrow as pa

from tracktokens.schemas.tables.tracks import POSITION

KEY_BYTES = 16
KEY = pa.field("key", pa.binary(KEY_BYTES), nullable=False)
"""Content key: 16-byte BLAKE2b of a modality's normalised input."""


def vector_records(dim: int) -> pa.Schema:
    """Schema of ``vectors/<modality>/<encoder_id>``: one vector of ``dim`` float16 a key."""
    return pa.schema([KEY, pa.field("vector", pa.list_(pa.float16(), dim), nullable=False)])


FAILURES = pa.schema([KEY, pa.field("reason", pa.string(), nullable=False), ("detail", pa.string())])
"""Schema of ``failures/<modality>/<encoder_id>``: inputs of which the encoder could make no vector."""

CODE_RECORDS = pa.schema(
    [
        KEY,
        pa.field("code", pa.int16(), nullable=False),
        pa.field("distance", pa.float32(), nullable=False),
        pa.field("margin", pa.float32()),
    ]
)
"""Schema of ``codes/<bundle_id>/<modality>``: squared distance to the nearest centroid, and how much further the second
is (null where the codebook has one centroid)."""

INPUT_LOCATIONS = pa.schema([KEY, POSITION])
"""Inputs that have no vector yet, and where they stand in the table that they come from."""

INPUTS = pa.schema([KEY, pa.field("input", pa.string(), nullable=False)])
"""A modality's distinct inputs on their way to the encoder: a text, or an audio path below the audio root."""
