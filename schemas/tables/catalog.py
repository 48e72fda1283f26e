"""The catalog snapshot that a scan writes to the store: accepted tracks and their content keys."""

import pyarrow as pa

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.tables.tracks import POSITION

TRACK = pa.field("track", pa.uint64(), nullable=False)
"""Number of a track: the first 8 bytes of the hash of its id. It is unique in a catalog."""

KNOWN_OF_TRACK = (
    pa.field("title", pa.string()),
    pa.field("artist", pa.string()),
    pa.field("tag_names", pa.list_(pa.string())),
    pa.field("popularity", pa.float64()),
)
"""Columns of the tracks table that a snapshot keeps, to show, compare and weight tracks."""

CATALOG_TRACKS = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        TRACK,
        *KNOWN_OF_TRACK,
        *[pa.field(modality, KEY.type) for modality in MODALITIES],
    ]
)
"""``catalogs/<id>/tracks``: one file per bucket of track ids, sorted by ``track_id``. One content key per modality,
null where the track lacks it."""

TRACK_KEYS = pa.schema(
    [
        KEY,
        TRACK,
        pa.field("changed", pa.bool_(), nullable=False),
        pa.field("new", pa.bool_(), nullable=False),
    ]
)
"""``catalogs/<id>/keys/<modality>``: one file per bucket of keys, sorted by key, one row per track with the modality.

``changed``: the token may differ from that in the release of the base catalog, which the manifest names. The track did
not have this key there, or the encoder failed on it. ``new``: no track of the base had the key."""

KEY_DIFF = pa.schema([KEY, TRACK, POSITION, pa.field("removed", pa.bool_(), nullable=False)])
"""Differences from the base catalog, for the bucket of the key: a track that has got the key, with the position of its
input, or a track that has lost it (``removed``)."""
