"""The catalog snapshot that a scan leaves in the store: accepted tracks, and which content key each one has."""

import pyarrow as pa

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.tables.tracks import POSITION

TRACK = pa.field("track", pa.uint64(), nullable=False)
"""A track by number: the first 8 bytes of the hash of its id. No two tracks of a catalog have the same."""

KNOWN_OF_TRACK = (
    pa.field("title", pa.string()),
    pa.field("artist", pa.string()),
    pa.field("tag_names", pa.list_(pa.string())),
    pa.field("popularity", pa.float64()),
)
"""What is kept of a row of the tracks table to show, compare and weigh the track by."""

CATALOG_TRACKS = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        TRACK,
        *KNOWN_OF_TRACK,
        *[pa.field(modality, KEY.type) for modality in MODALITIES],
    ]
)
"""``catalogs/<id>/tracks``: one file a bucket of track ids, sorted by ``track_id``. A content key for each modality,
null where the track lacks it."""

TRACK_KEYS = pa.schema(
    [
        KEY,
        TRACK,
        pa.field("changed", pa.bool_(), nullable=False),
        pa.field("new", pa.bool_(), nullable=False),
    ]
)
"""``catalogs/<id>/keys/<modality>``: one file a bucket of keys, sorted by key, a row for each track with the modality.
``changed`` where the token may be another than in the release of the catalog's base, which its manifest names: the
track had not this key, or no vector could be made of it. ``new`` where no track of the base had the key."""

KEY_DIFF = pa.schema([KEY, TRACK, POSITION, pa.field("removed", pa.bool_(), nullable=False)])
"""What is otherwise than in the base, on its way to the bucket of the key: a track that has a key now, and where its
input stands; or one that has it no more."""
