"""``popularity/`` of a release: the playlists of each track, if the catalog has no ``popularity``."""

import pyarrow as pa

PLAYLIST_COUNTS = pa.schema(
    [pa.field("track_id", pa.string(), nullable=False), pa.field("playlists", pa.int64(), nullable=False)]
)
"""One row per track, sorted by ``track_id``: how many playlists of the training corpus hold it."""
