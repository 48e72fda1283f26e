"""The input table of precomputed embeddings of a modality, and the rows that a scan passes on."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from tracktokens.schemas.tables.catalog import TRACK
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.tables.tracks import POSITION

VECTOR = "vector"
"""Default column of the vectors: a list, of fixed or variable length, of float16, float32 or float64."""

VECTOR_LOCATIONS = pa.schema(
    [
        pa.field("modality", pa.int8(), nullable=False),
        TRACK,
        KEY,
        pa.field("scan", pa.uint64(), nullable=False),
        POSITION,
    ]
)
"""Location of each track's vector: index of the modality, number of the track, key of the vector, fingerprint of the
row group (0 where it was not computed), and position.

``catalogs/<id>/places`` has the same schema, one file per bucket of tracks. There a position holds only the row, since
the next scan may number the row groups differently."""


@dataclass(frozen=True)
class VectorCounts:
    """Counts of the rows of a table of precomputed embeddings. All but ``read`` add up to ``read``.

    Attributes:
        read: rows of the table.
        used: rows whose vector was assigned to a track of the catalog.
        absent: rows without a vector: null, or an empty list.
        unknown: rows of tracks that are not in the catalog.
        rejected: rejected rows, each with a row in ``rejects/``.
    """

    NAMES: ClassVar[tuple[str, ...]] = ("read", "used", "absent", "unknown", "rejected")

    read: int
    used: int
    absent: int
    unknown: int
    rejected: int

    @property
    def accounted(self) -> int:
        """Number of rows in all counts but ``read``."""
        return self.used + self.absent + self.unknown + self.rejected
