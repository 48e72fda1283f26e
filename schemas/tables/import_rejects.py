"""Rejects of an import: what a source has and the imported tables do not."""

import pyarrow as pa

IMPORT_REJECTS = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        ("line", pa.int64()),
        pa.field("table", pa.string(), nullable=False),
        ("id", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        ("detail", pa.string()),
    ]
)
"""``rejects.parquet``: the file below the source and the line or row in it, from 1; the table that lacks the row or the
value; and the id of the track or playlist, as far as it is known."""

FILE_UNREADABLE = "file_unreadable"
FILE_MISSING = "file_missing"
TAGS_UNREADABLE = "tags_unreadable"
MALFORMED = "malformed"
VALUE_UNREADABLE = "value_unreadable"
PODCAST = "podcast"
NOT_MUSIC = "not_music"
AUDIO_UNKNOWN = "audio_unknown"
SAME_ID = "same_id"
NO_ID = "no_id"
LINK_OUTSIDE = "link_outside"
TRACK_UNKNOWN = "track_unknown"
NOT_A_FILE = "not_a_file"
NESTED_PLAYLIST = "nested_playlist"
PLAYLIST_EMPTY = "playlist_empty"
NO_MATCH = "no_match"
