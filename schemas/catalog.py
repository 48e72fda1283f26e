"""The catalog snapshot that a scan leaves in the store: accepted tracks, and which content key each one has."""

import pyarrow as pa

from tracktokens.schemas.facts import KEY

CATALOG_TRACKS = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        ("title", pa.string()),
        ("artist", pa.string()),
        ("tag_names", pa.list_(pa.string())),
        ("popularity", pa.float64()),
    ]
)
"""``catalogs/<id>/tracks``: one file a bucket of track ids, sorted by ``track_id``. Row numbers name tracks below."""

TRACK_KEYS = pa.schema(
    [
        KEY,
        pa.field("track_bucket", pa.int32(), nullable=False),
        pa.field("track_row", pa.int32(), nullable=False),
    ]
)
"""``catalogs/<id>/keys/<modality>``: one file a bucket of keys, sorted, a row for each track that has the modality."""
