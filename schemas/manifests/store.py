"""``store.json``: what is fixed for a store's lifetime."""

from dataclasses import dataclass
from typing import ClassVar

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.base import Manifest

TRACKS_PER_BUCKET = 50_000
MAX_BUCKETS = 1 << 14


@dataclass(frozen=True)
class StoreManifest(Manifest):
    """Attributes: ``buckets``, into how many parts keys and track ids are divided by the first bits of their hash."""

    KIND: ClassVar[str] = "store"

    buckets: int

    def __post_init__(self) -> None:
        """Refuse a number that keys cannot be divided by."""
        power_of_two = isinstance(self.buckets, int) and self.buckets > 0 and not self.buckets & (self.buckets - 1)
        if not power_of_two or self.buckets > MAX_BUCKETS:
            raise InvalidDataError(f"{self.buckets!r} buckets: a store has a power of two; restore its store.json")


def buckets_for(tracks: int) -> int:
    """How many buckets a store gets whose first catalog has so many tracks: a power of two, some 50,000 tracks each."""
    buckets = 1
    while buckets * TRACKS_PER_BUCKET < tracks and buckets < MAX_BUCKETS:
        buckets *= 2
    return buckets
