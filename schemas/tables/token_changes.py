"""``releases/<id>/changes``: tokens that were added, removed or changed since the previous release."""

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
"""One row per token that was added, removed or changed; a code is null where the track has or had none."""

NEW = "new"
"""The track is not in the previous release."""

REMOVED = "removed"
"""The track was removed from the catalog."""

INPUT_CHANGED = "input changed"
"""The codebook is the same: the track's text, audio, vector or playlists were added, removed or changed."""

CODEBOOK_CHANGED = "codebook changed"
"""The codebook of the modality differs from that of the previous release."""
