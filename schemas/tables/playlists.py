"""The ``playlists`` input table, and the corpus that cleaning makes of it."""

import pyarrow as pa

from tracktokens.schemas.modalities import PLAYLIST, columns_of
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.tables.tracks import POSITION

PLAYLIST_ID = "playlist_id"

PLAYLISTS = pa.schema(
    [
        pa.field(PLAYLIST_ID, pa.string(), nullable=False),
        *columns_of(PLAYLIST),
    ]
)
"""Columns that are read, tracks in the order of the playlist. Others are ignored and counted."""

SCANNED_PLAYLISTS = PLAYLISTS.append(POSITION)
"""A batch of rows as read from the input, after type checks."""

CORPUS = pa.schema([POSITION, pa.field("track_keys", pa.list_(KEY.type), nullable=False)])
"""Playlists after cleaning: known tracks only, as keys, at least two each."""
