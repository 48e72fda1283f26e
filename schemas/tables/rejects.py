"""The ``rejects`` table: inputs that could not be used, with the reason."""

import pyarrow as pa

REJECTS = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        ("track_id", pa.string()),
        ("modality", pa.string()),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        ("detail", pa.string()),
    ]
)
"""One row per rejected input. ``modality`` is null where the reject does not affect one modality alone."""

TRACKS_TABLE = "tracks"
PLAYLISTS_TABLE = "playlists"
VECTORS_TABLE = "vectors"

# Stages that reject.
READ = "read"
VALIDATE = "validate"
ENCODE = "encode"
FORGET = "forget"

# Reasons that reject a whole row.
MALFORMED_ROW = "malformed_row"
ID_MISSING = "id_missing"
ID_EMPTY = "id_empty"
ID_TOO_LONG = "id_too_long"
ID_WRONG_TYPE = "id_wrong_type"
ID_NOT_UTF8 = "id_not_utf8"
ID_DUPLICATE = "id_duplicate"
PLAYLIST_TOO_SHORT = "playlist_too_short"
FORGOTTEN = "forgotten"

ROW_REASONS = (
    MALFORMED_ROW,
    ID_MISSING,
    ID_EMPTY,
    ID_TOO_LONG,
    ID_WRONG_TYPE,
    ID_NOT_UTF8,
    ID_DUPLICATE,
    PLAYLIST_TOO_SHORT,
    FORGOTTEN,
)
"""Reasons that reject a row of tracks or playlists. Every other reason rejects one value, and the row is kept."""

# Reasons that reject one value.
WRONG_TYPE = "wrong_type"
NOT_UTF8 = "not_utf8"
ENCODER_FAILED = "encoder_failed"
ENCODER_UNAVAILABLE = "encoder_unavailable"
OUT_OF_MEMORY = "out_of_memory"
AUDIO_OUTSIDE_ROOT = "audio_outside_root"
AUDIO_MISSING = "audio_missing"
AUDIO_UNREADABLE = "audio_unreadable"
AUDIO_UNDECODABLE = "audio_undecodable"
AUDIO_EMPTY = "audio_empty"
AUDIO_CRASHED = "audio_crashed"
AUDIO_TIMEOUT = "audio_timeout"
AUDIO_TOO_LARGE = "audio_too_large"
NOT_FINITE = "not_finite"
VECTOR_ZERO = "vector_zero"
VECTOR_DIMENSION = "vector_dimension"
VECTOR_DUPLICATE = "vector_duplicate"

TRANSIENT_REASONS = (AUDIO_MISSING, AUDIO_UNREADABLE, ENCODER_UNAVAILABLE)
"""Reasons that may be gone at the next run for the same input: reported, and tried again by the next run."""


def make_rejects(rows: list[dict[str, str | None]]) -> pa.RecordBatch:
    """Build a batch of rejects from rows. A column that a row leaves out is null."""
    return pa.RecordBatch.from_pylist(rows, schema=REJECTS)
