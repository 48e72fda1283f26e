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
        ("digest", pa.uint64()),
    ]
)
"""``catalogs/<id>/tracks``: one file a bucket of track ids, sorted by ``track_id``. Row numbers name tracks below. The
digest is a hash of the track's content keys: it differs between catalogs where an input does. Null where an older
version of tracktokens wrote the catalog."""

TRACK_KEYS = pa.schema(
    [
        KEY,
        pa.field("track_bucket", pa.int32(), nullable=False),
        pa.field("track_row", pa.int32(), nullable=False),
    ]
)
"""``catalogs/<id>/keys/<modality>``: one file a bucket of keys, sorted, a row for each track that has the modality."""
