"""The ``tracks`` input table: columns, types, and the batches that a scan reads."""

import pyarrow as pa

from tracktokens.schemas.modalities import CONTENT_MODALITIES, METADATA
from tracktokens.schemas.tables.input_columns import columns_of

TRACK_ID = "track_id"
MAX_ID_BYTES = 256
"""Longest track id, in bytes of UTF-8."""

TRACKS = pa.schema(
    [
        pa.field(TRACK_ID, pa.string(), nullable=False),
        *columns_of(METADATA),  # first, as a person would write a row
        *columns_of(*(modality for modality in CONTENT_MODALITIES if modality != METADATA)),
        ("popularity", pa.float64()),
    ]
)
"""Columns that are read; other columns are ignored and counted. All but ``track_id`` may be null or absent."""

POSITION = pa.field("position", pa.int64(), nullable=False)
"""Position of a row in the input, as one sortable number: 2**40 times the fragment's number, plus the row in it."""

POSITION_SHIFT = 40
"""Bits of a position that hold the row; the bits above hold the fragment's number."""


def describe_position(position: int) -> str:
    """Name a row for people, counting from 1: the file or Parquet row group, in order of paths, and the row in it.

    Example:
        >>> describe_position((2 << POSITION_SHIFT) + 6)
        'input part 3, row 7'
    """
    return f"input part {(position >> POSITION_SHIFT) + 1}, row {(position & ((1 << POSITION_SHIFT) - 1)) + 1}"


SCANNED_TRACKS = TRACKS.append(POSITION)
"""Schema of a batch of rows as read from the input, after type checks."""
