"""The ``vectors`` input table: a modality's vectors that somebody else made, and what a scan of them passes on."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from tracktokens.schemas.facts import KEY
from tracktokens.schemas.tracks import POSITION

VECTOR = "vector"
"""Column of the vectors when none is named: a list, fixed or variable, of float16, float32 or float64."""

VECTOR_PLACES = pa.schema(
    [
        pa.field("modality", pa.int8(), nullable=False),
        pa.field("track_key", KEY.type, nullable=False),
        KEY,
        POSITION,
    ]
)
"""Which track has which vector, and where it stands: number of the modality, key of the track id, of the vector."""


SCANNED_VECTORS = pa.schema(
    [
        pa.field("track_key", KEY.type, nullable=False),
        KEY,
        pa.field("row", pa.int64(), nullable=False),
    ]
)
"""``catalogs/<id>/scans/<modality>``: what a scan found in a row group, under a hash of what tells whether the file is
the same: a row a usable vector, and its row number there. The metadata counts ``read`` and ``absent`` rows."""


@dataclass(frozen=True)
class VectorCounts:
    """What became of the rows of a vectors table. All but ``read`` add up to ``read``.

    Attributes:
        read: rows of the table.
        used: rows whose vector a track of the catalog has.
        absent: rows without a vector: null, or an empty list.
        unknown: rows of tracks that the catalog does not have.
        rejected: rows that cannot be used, each with a row in the rejects.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("read", "used", "absent", "unknown", "rejected")

    read: int
    used: int
    absent: int
    unknown: int
    rejected: int
