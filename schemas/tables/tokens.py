"""The token table of a release: one row per track."""

import pyarrow as pa

from tracktokens.schemas.modalities import MODALITIES

FORMAT_VERSION = 1
"""Version of the table's layout, in the file's metadata."""

BUNDLE_KEY = "tracktokens.bundle"
"""Key of the bundle id in the file's metadata."""

TOKENS = pa.schema(
    [
        pa.field("track_id", pa.string(), nullable=False),
        *[pa.field(modality, pa.int16()) for modality in MODALITIES],
        pa.field("tokens", pa.string(), nullable=False),
    ]
)
"""A code per modality, null where the track lacks it, and the track's tokens in order, ready for a training text."""


def tokens_schema(bundle_id: str) -> pa.Schema:
    """Return the token table's schema with the bundle id and the format version in its metadata."""
    return TOKENS.with_metadata({BUNDLE_KEY: bundle_id, "tracktokens.format": str(FORMAT_VERSION)})
