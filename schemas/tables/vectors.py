"""The ``vectors`` input table: a modality's vectors that somebody else made, and what a scan of them passes on."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from tracktokens.schemas.tables.catalog import TRACK
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.tables.tracks import POSITION

VECTOR = "vector"
"""Column of the vectors when none is named: a list, fixed or variable, of float16, float32 or float64."""

VECTOR_LOCATIONS = pa.schema(
    [
        pa.field("modality", pa.int8(), nullable=False),
        TRACK,
        KEY,
        pa.field("scan", pa.uint64(), nullable=False),
        POSITION,
    ]
)
"""Which track has which vector, and where it stands: number of the modality, of the track, key of the vector, and what
the row group is told by, 0 where that is not known.

``catalogs/<id>/places`` holds the same, one file a bucket of tracks; there a position has the row alone, since the next
night may number the row groups otherwise."""


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

    @property
    def accounted(self) -> int:
        """Rows of which it is known what became of them."""
        return self.used + self.absent + self.unknown + self.rejected
