"""Scan cache of precomputed embeddings: a catalog keeps the vector locations of each row group for the next scan.

A row group is not read again if the path, size and modification time of its file are unchanged. As with audio, a change
of content that keeps all three is not detected.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.tracks import POSITION_SHIFT
from tracktokens.schemas.tables.vectors import VECTOR_LOCATIONS
from tracktokens.transforms.listing.file_states import FileState, file_states
from tracktokens.transforms.precomputed.vector_tables import VectorTable
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Catalog
from tracktokens.transforms.store.records import VECTOR_FILE

RULE = 3
"""Version of what a scan finds in a row group. Raise it when that changes. Part of every fingerprint."""

NO_FINGERPRINT = 0
"""Fingerprint not computed yet."""

ROW_BITS = (1 << POSITION_SHIFT) - 1
"""Bits of a position that are the row index within its fragment."""

_COUNT = re.compile(r"scans/(\w+)/([0-9a-f]{16})/(read|absent)")

RowGroup = tuple[str, int]
"""Modality, and number of the fragment."""


@dataclass(frozen=True)
class RowGroupScan:
    """One row group of precomputed embeddings.

    Attributes:
        modality: modality of the embeddings.
        number: number of the fragment.
        fingerprint: a number that changes when its file changes, or ``NO_FINGERPRINT``.
        read: rows read, if the previous catalog stores the locations of the row group, else None.
        absent: of these, rows without a vector.
    """

    modality: str
    number: int
    fingerprint: int
    read: int | None
    absent: int | None


@dataclass(frozen=True)
class ScanCache:
    """The row groups of precomputed embeddings: their fingerprints, and those that the previous catalog knows.

    Attributes:
        row_groups: every row group, in order of modality and number.
    """

    row_groups: Sequence[RowGroupScan]

    @cached_property
    def fingerprints(self) -> Mapping[RowGroup, int]:
        """Row group to fingerprint."""
        return {(group.modality, group.number): group.fingerprint for group in self.row_groups}

    @cached_property
    def known_row_groups(self) -> Mapping[tuple[str, int], tuple[int, int]]:
        """Modality and fingerprint to the numbers of rows read and of rows without a vector, of known row groups."""
        return {
            (group.modality, group.fingerprint): (group.read, group.absent)
            for group in self.row_groups
            if group.read is not None and group.absent is not None
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the row groups alone."""
        return ScanCache, (self.row_groups,)

    @classmethod
    def of(cls, tables: Mapping[str, VectorTable], previous: Catalog | None) -> "ScanCache":
        """Compute the fingerprints of vector tables and look them up in the previous catalog."""
        stored = {} if previous is None else _stored_row_groups(previous)
        return cls(
            [
                RowGroupScan(modality, part.number, fingerprint, *stored.get((modality, fingerprint), (None, None)))
                for modality, part, fingerprint in _row_group_fingerprints(tables)
            ]
        )

    def load_cached(self, previous: Catalog, bucket: int) -> pa.Table:
        """Load ``VECTOR_LOCATIONS`` of one bucket, for the row groups that are not read again."""
        stored = files.read_table(previous.vector_locations(bucket), VECTOR_LOCATIONS)
        parts = [_renumber(stored, modality, numbers) for modality, numbers in self._fragment_numbers.items()]
        return pa.concat_tables([VECTOR_LOCATIONS.empty_table(), *parts])

    @cached_property
    def _fragment_numbers(self) -> dict[str, dict[int, int]]:
        """Modality to fingerprint to current fragment number, of known row groups."""
        numbers: dict[str, dict[int, int]] = {}
        for (modality, number), fingerprint in self.fingerprints.items():
            if (modality, fingerprint) in self.known_row_groups:
                numbers.setdefault(modality, {})[fingerprint] = number
        return numbers


def write_locations(catalog: Catalog, bucket: int, locations: pa.Table) -> None:
    """Write the ``VECTOR_LOCATIONS`` of a bucket that have a fingerprint, for the next scan."""
    cached = locations.filter(pc.not_equal(locations["scan"], pa.scalar(NO_FINGERPRINT, pa.uint64())))
    rows = pa.array(cached["position"].to_numpy() & ROW_BITS)
    stored = cached.set_column(VECTOR_LOCATIONS.get_field_index("position"), VECTOR_LOCATIONS.field("position"), rows)
    path = files.join(catalog.vector_locations(bucket), "part.parquet")
    files.write_batches(path, VECTOR_LOCATIONS, [stored.combine_chunks()], **VECTOR_FILE)


def scan_counts(modality: str, fingerprint: int, read: int, absent: int) -> Iterator[tuple[str, int]]:
    """List the counts from which the next scan learns that a row group is known."""
    if fingerprint != NO_FINGERPRINT:
        yield f"scans/{modality}/{fingerprint:016x}/read", read
        yield f"scans/{modality}/{fingerprint:016x}/absent", absent


def _stored_row_groups(catalog: Catalog) -> dict[tuple[str, int], tuple[int, int]]:
    """Row groups that a catalog knows, with the numbers of rows read and of rows without a vector."""
    if not files.exists(catalog.counts):
        return {}
    row_groups: dict[tuple[str, int], dict[str, int]] = {}
    for name, count in files.read_json(catalog.counts).items():
        match = _COUNT.fullmatch(name)
        if match is not None:
            row_groups.setdefault((match[1], int(match[2], 16)), {})[match[3]] = count
    return {name: (counts["read"], counts["absent"]) for name, counts in row_groups.items()}


def _renumber(stored: pa.Table, modality: str, numbers: Mapping[int, int]) -> pa.Table:
    """Select the locations of one modality in known row groups, and renumber their fragments.

    Args:
        stored: ``VECTOR_LOCATIONS`` of a catalog.
        modality: modality to select.
        numbers: fingerprint to current fragment number.
    """
    rows = stored.filter(pc.equal(stored["modality"], MODALITIES.index(modality)))
    matches = pc.index_in(rows["scan"], value_set=pa.array(list(numbers), pa.uint64())).combine_chunks()
    known = rows.filter(matches.is_valid())
    fragments = np.array(list(numbers.values()), np.int64)[matches.drop_null().to_numpy()]
    positions = pa.array((fragments << POSITION_SHIFT) + known["position"].to_numpy())
    return known.set_column(VECTOR_LOCATIONS.get_field_index("position"), VECTOR_LOCATIONS.field("position"), positions)


def _row_group_fingerprints(tables: Mapping[str, VectorTable]) -> Iterable[tuple[str, Fragment, int]]:
    paths = sorted({part.path for table in tables.values() for part in table.fragments})
    states = dict(zip(paths, file_states(paths), strict=True))
    for modality, table in tables.items():
        for part in table.fragments:
            yield modality, part, _fingerprint(table, part, states[part.path])


def _fingerprint(table: VectorTable, fragment: Fragment, state: FileState) -> int:
    if not state.is_settled:
        return NO_FINGERPRINT
    hashed = (RULE, *state, fragment.row_group, table.column, table.dim)
    return int.from_bytes(hashlib.blake2b(repr(hashed).encode(), digest_size=8).digest(), "big") or 1
