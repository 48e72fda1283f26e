"""The token table of a release: one row per track."""

from collections.abc import Sequence

import pyarrow as pa

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import TokenFormat

FORMAT_VERSION = 1
"""Version of the table's layout, in the file's metadata."""

BUNDLE_KEY = "tracktokens.bundle"
"""Key of the bundle id in the file's metadata."""


def token_columns(names: Sequence[str] = MODALITIES) -> pa.Schema:
    """Return the schema of a token table with these columns of codes, without metadata.

    A code per column, null where the track lacks its modality, and the track's tokens in order, ready for a training
    text.
    """
    codes = [pa.field(name, pa.int16()) for name in names]
    return pa.schema(
        [pa.field("track_id", pa.string(), nullable=False), *codes, pa.field("tokens", pa.string(), nullable=False)]
    )


TOKENS = token_columns()
"""Schema of a table of five tokens: one per modality."""


def tokens_schema(bundle_id: str, token_format: TokenFormat | None = None) -> pa.Schema:
    """Return the schema of a token table with the bundle id and the format version in its metadata.

    The format of the tokens is one token per modality by default.
    """
    schema = TOKENS if token_format is None else token_columns(token_format.names)
    return schema.with_metadata({BUNDLE_KEY: bundle_id, "tracktokens.format": str(FORMAT_VERSION)})
