"""The ``playlists`` input table, and the corpus of cleaned playlists."""

import pyarrow as pa

from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.tables.input_columns import columns_of
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.tables.tracks import POSITION

PLAYLIST_ID = "playlist_id"

PLAYLISTS = pa.schema([pa.field(PLAYLIST_ID, pa.string(), nullable=False), *columns_of(PLAYLIST)])
"""Columns that are read, tracks in the order of the playlist; other columns are ignored and counted."""

PLAYLIST_NAMES = ("title", "name")
"""Columns with a playlist's name for people. Tokens do not depend on it; conversations are made from it."""

NAMED_PLAYLISTS = pa.schema([*PLAYLISTS, *((name, pa.string()) for name in PLAYLIST_NAMES)])

SCANNED_PLAYLISTS = PLAYLISTS.append(POSITION)
"""Schema of a batch of rows as read from the input, after type checks."""

CORPUS = pa.schema([POSITION, pa.field("track_keys", pa.list_(KEY.type), nullable=False)])
"""Cleaned playlists: keys of known tracks, at least two per playlist."""
