"""Writers of a scan's results by bucket: into a catalog snapshot, or nowhere for a dry run."""

from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.transforms.precomputed.scan_cache import write_locations
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Catalog
from tracktokens.transforms.store.records import VECTOR_FILE

TRACKS_FILE = {
    "compression": dict.fromkeys(["track_id", "title", "artist", "tag_names.list.element"], "snappy"),
    "use_dictionary": ["artist", "tag_names.list.element"],
    "write_statistics": False,
}
"""Parquet options of tracks. Only texts are compressed, since keys are random bytes."""


class BucketWriter(Protocol):
    """Destination of a scan's results. It is pickled with the DoFns that use it."""

    def write_tracks(self, bucket: int, tracks: pa.Table) -> None:
        """Write ``CATALOG_TRACKS`` of one bucket of tracks."""

    def write_locations(self, bucket: int, locations: pa.Table) -> None:
        """Write ``VECTOR_LOCATIONS`` of one bucket of tracks."""

    def write_keys(self, modality: str, bucket: int, keys: pa.Table) -> None:
        """Write ``TRACK_KEYS`` of one bucket of keys."""


@dataclass(frozen=True)
class SnapshotWriter:
    """Writer into a catalog snapshot, one file per bucket.

    Attributes:
        catalog: the snapshot.
    """

    catalog: Catalog

    def write_tracks(self, bucket: int, tracks: pa.Table) -> None:
        """Write ``CATALOG_TRACKS`` of one bucket of tracks."""
        path = files.join(self.catalog.tracks(bucket), "part.parquet")
        files.write_batches(path, CATALOG_TRACKS, [tracks], **TRACKS_FILE)

    def write_locations(self, bucket: int, locations: pa.Table) -> None:
        """Write ``VECTOR_LOCATIONS`` of one bucket of tracks, for the scan cache of the next scan."""
        write_locations(self.catalog, bucket, locations)

    def write_keys(self, modality: str, bucket: int, keys: pa.Table) -> None:
        """Write ``TRACK_KEYS`` of one bucket of keys."""
        path = files.join(self.catalog.keys(modality, bucket), "part.parquet")
        files.write_batches(path, TRACK_KEYS, [keys], **VECTOR_FILE)


@dataclass(frozen=True)
class DryRunWriter:
    """Writer that discards everything."""

    def write_tracks(self, bucket: int, tracks: pa.Table) -> None:
        """Discard the tracks."""

    def write_locations(self, bucket: int, locations: pa.Table) -> None:
        """Discard the locations."""

    def write_keys(self, modality: str, bucket: int, keys: pa.Table) -> None:
        """Discard the keys."""
