"""What was found in given vectors is kept in the catalog, and a row group that is as it was is not read again.

A file is taken for the same when its path, size and modification time are. As with audio, content that is exchanged
while all three stay the same is not noticed.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystems import FileSystems

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.tracks import POSITION_SHIFT
from tracktokens.schemas.tables.vectors import VECTOR_LOCATIONS
from tracktokens.transforms.precomputed.vector_tables import VectorTable
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Catalog
from tracktokens.transforms.store.records import VECTOR_FILE

RULE = 2
"""Version of what a scan finds in a row group. Raise it when that changes."""

SETTLED_SECONDS = 2.0
"""A file that changed so short a time ago may change again within the same tick of its filesystem's clock."""

NO_FINGERPRINT = 0
"""Stands for what tells a row group, where that is not known yet."""

ROW_BITS = (1 << POSITION_SHIFT) - 1

_IO_THREADS = 16
_COUNT = re.compile(r"scans/(\w+)/([0-9a-f]{16})/(read|absent)")

RowGroup = tuple[str, int]
"""Modality, and number of the fragment."""


@dataclass(frozen=True)
class ScanCache:
    """What tells the row groups of given vectors now, and what the catalog before knows of them.

    Attributes:
        told: row group to a number that is another one when the file changed, or ``UNTOLD``.
        known: modality and such a number to the rows read, and rows without a vector, of a row group whose other rows
            the catalog before has in its ``places``.
    """

    told: Mapping[RowGroup, int]
    known: Mapping[tuple[str, int], tuple[int, int]]

    @classmethod
    def of(cls, tables: Mapping[str, VectorTable], before: Catalog | None) -> "ScanCache":
        """Look at the files of vector tables."""
        told = {(modality, part.number): fingerprint for modality, part, fingerprint in _tell(tables)}
        found = {} if before is None else _known_scans(before)
        now = {(modality, fingerprint) for (modality, _), fingerprint in told.items()}
        return cls(told, {name: counts for name, counts in found.items() if name in now})

    def recall(self, before: Catalog, bucket: int) -> pa.Table:
        """``VECTOR_LOCATIONS`` of one bucket, of the row groups that are not read again."""
        kept = files.read_table(before.places(bucket), VECTOR_LOCATIONS)
        parts = [_renumbered(kept, modality, numbers) for modality, numbers in self._numbers.items()]
        return pa.concat_tables([VECTOR_LOCATIONS.empty_table(), *parts])

    @cached_property
    def _numbers(self) -> dict[str, dict[int, int]]:
        """Modality to what tells a known row group to its number now."""
        found: dict[str, dict[int, int]] = {}
        for (modality, number), fingerprint in self.told.items():
            if (modality, fingerprint) in self.known:
                found.setdefault(modality, {})[fingerprint] = number
        return found


def keep(catalog: Catalog, bucket: int, places: pa.Table) -> None:
    """Keep the ``VECTOR_LOCATIONS`` of a bucket for the next night."""
    told = places.filter(pc.not_equal(places["scan"], pa.scalar(NO_FINGERPRINT, pa.uint64())))
    rows = pa.array(told["position"].to_numpy() & ROW_BITS)
    stored = told.set_column(VECTOR_LOCATIONS.get_field_index("position"), VECTOR_LOCATIONS.field("position"), rows)
    path = files.join(catalog.places(bucket), "part.parquet")
    files.write_batches(path, VECTOR_LOCATIONS, [stored.combine_chunks()], **VECTOR_FILE)


def scan_counts(modality: str, fingerprint: int, read: int, absent: int) -> Iterator[tuple[str, int]]:
    """Counts by which the next night knows a row group."""
    if fingerprint != NO_FINGERPRINT:
        yield f"scans/{modality}/{fingerprint:016x}/read", read
        yield f"scans/{modality}/{fingerprint:016x}/absent", absent


def _known_scans(catalog: Catalog) -> dict[tuple[str, int], tuple[int, int]]:
    """Row groups whose rows a catalog keeps: rows read, and rows without a vector."""
    if not files.exists(catalog.counts):
        return {}
    found: dict[tuple[str, int], dict[str, int]] = {}
    for name, count in files.read_json(catalog.counts).items():
        match = _COUNT.fullmatch(name)
        if match is not None:
            found.setdefault((match[1], int(match[2], 16)), {})[match[3]] = count
    return {name: (counts["read"], counts["absent"]) for name, counts in found.items()}


def _renumbered(kept: pa.Table, modality: str, numbers: Mapping[int, int]) -> pa.Table:
    """Places of one modality, in row groups as they are numbered now; those of other row groups are left out."""
    rows = kept.filter(pc.equal(kept["modality"], MODALITIES.index(modality)))
    found = pc.index_in(rows["scan"], value_set=pa.array(list(numbers), pa.uint64())).combine_chunks()
    known = rows.filter(found.is_valid())
    fragments = np.array(list(numbers.values()), np.int64)[found.drop_null().to_numpy()]
    positions = pa.array((fragments << POSITION_SHIFT) + known["position"].to_numpy())
    return known.set_column(VECTOR_LOCATIONS.get_field_index("position"), VECTOR_LOCATIONS.field("position"), positions)


def _tell(tables: Mapping[str, VectorTable]) -> Iterable[tuple[str, Fragment, int]]:
    paths = sorted({part.path for table in tables.values() for part in table.fragments})
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        found = dict(zip(paths, threads.map(_size_and_time, paths), strict=True))
    for modality, table in tables.items():
        for part in table.fragments:
            yield modality, part, _fingerprint(table, part, *found[part.path])


def _fingerprint(table: VectorTable, fragment: Fragment, size: int, modified: int) -> int:
    if time.time() - modified / 1e9 < SETTLED_SECONDS:
        return NO_FINGERPRINT
    told = (RULE, fragment.path, size, modified, fragment.row_group, table.column, table.dim)
    return int.from_bytes(hashlib.blake2b(repr(told).encode(), digest_size=8).digest(), "big") or 1


def _size_and_time(path: str) -> tuple[int, int]:
    """Size in bytes, and modification time in nanoseconds since 1970."""
    if not files.is_remote(path):
        found = Path(path).stat()
        return found.st_size, found.st_mtime_ns
    remote = FileSystems.match([path])[0].metadata_list[0]
    return remote.size_in_bytes, int(remote.last_updated_in_seconds * 1e9)
