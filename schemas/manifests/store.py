"""``store.json``: the number of buckets of a store, and how their folders are named."""

from dataclasses import dataclass
from typing import ClassVar

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.base import Manifest

TRACKS_PER_BUCKET = 50_000
"""Largest number of tracks per bucket when a store is created or rebucketed."""

MAX_BUCKETS = 1 << 14


@dataclass(frozen=True)
class StoreManifest(Manifest):
    """Layout of a store.

    Attributes:
        buckets: number of buckets of keys and track ids, which the first bits of their hash choose; a power of two.
        rebucketed: whether this is not the number at creation; names of bucket folders contain it then.
        forgets: whether tracks were taken down, so that ``forgotten.json`` must be read.

    Raises:
        InvalidDataError: the number of buckets is not a power of two, or is too large.
    """

    KIND: ClassVar[str] = "store"
    OTHER_FORMATS: ClassVar[tuple[int, ...]] = (2, 3)

    buckets: int
    rebucketed: bool = False
    forgets: bool = False

    @property
    def format(self) -> int:
        """2 if rebucketed, 3 if it forgets: older versions would find it empty, or bring tracks back, and refuse it."""
        return 3 if self.forgets else 2 if self.rebucketed else 1

    def __post_init__(self) -> None:
        """Check the number of buckets."""
        power_of_two = isinstance(self.buckets, int) and self.buckets > 0 and not self.buckets & (self.buckets - 1)
        if not power_of_two or self.buckets > MAX_BUCKETS:
            raise InvalidDataError(
                f"{self.buckets!r} buckets is not a power of two up to {MAX_BUCKETS}: restore store.json from a backup"
            )


def buckets_for(tracks: int) -> int:
    """Choose the number of buckets for the tracks of a catalog: a power of two.

    Example:
        >>> [buckets_for(tracks) for tracks in (0, 50_000, 50_001, 1_000_000)]
        [1, 1, 2, 32]
    """
    buckets = 1
    while buckets * TRACKS_PER_BUCKET < tracks and buckets < MAX_BUCKETS:
        buckets *= 2
    return buckets
