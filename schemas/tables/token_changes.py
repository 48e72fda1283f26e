"""``releases/<id>/changes``: which tokens are other ones than in the release before, for whoever trains on them."""

import pyarrow as pa

CHANGES = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        ("old_code", pa.int16()),
        ("new_code", pa.int16()),
        pa.field("why", pa.string(), nullable=False),
    ]
)
"""One row a token that came, went or became another one; a code is null where there was or is none."""

NEW = "new"
"""The track is not in the release before."""

REMOVED = "removed"
"""The track is no longer in the catalog."""

INPUT_CHANGED = "input changed"
"""The codebook is the same, so what it was given is not: text, audio, vector or playlists came, went or changed."""

CODEBOOK_CHANGED = "codebook changed"
"""The codebook of the modality is another one than in the release before."""
