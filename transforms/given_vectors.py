"""Vectors that somebody else made: join them to the tracks, and add those that the store lacks to the facts.

A vector's content key is a hash of the vector itself, so what is the same tomorrow is not written again. Vectors are
never shuffled: a scan passes on which track has which key and where that vector stands, and what turns out to be
missing is read again, each row group once. What a scan found in a file is kept for the next one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.facts import INPUTS
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.rejects import (
    ID_MISSING,
    NOT_FINITE,
    READ,
    VALIDATE,
    VECTOR_DIMENSION,
    VECTOR_DUPLICATE,
    VECTOR_ZERO,
    VECTORS_TABLE,
    make_rejects,
)
from tracktokens.schemas.tracks import POSITION_SHIFT, describe_position
from tracktokens.schemas.vectors import SCANNED_VECTORS, VECTOR, VECTOR_PLACES, VectorCounts
from tracktokens.transforms.counts import COUNTS_TAG
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.facts import make_vector_facts, write_vectors
from tracktokens.transforms.inputs.vector_tables import (
    UnitVectors,
    VectorRows,
    VectorTable,
    hash_files,
    open_vector_table,
    read_vector_rows,
    vector_keys,
)
from tracktokens.transforms.keys import bucket_numbers, content_keys, split_by_bucket
from tracktokens.transforms.progress import Board
from tracktokens.transforms.rejecting import tag_rejects
from tracktokens.transforms.store import Catalog, Store
from tracktokens.transforms.vector_scans import VectorScan, fingerprint, read_scan, write_scan

PLACES_TAG = "places"
"""Output with the vectors that are missing: ``INPUTS`` by modality and fragment; an input is a row's number there."""

RULE = 1
"""Version of the way in which a given vector becomes a stored one. Raise it when that changes vectors."""

PLACES_ROWS = 1 << 16
"""Rows whose places are sent on at a time."""

LEAST_BUFFER, MOST_BUFFER, BUCKET_BUFFER = 1 << 27, 1 << 30, 1 << 19
"""Bytes of vectors that are gathered before they are written, a file a bucket: more where there are many buckets."""

_DETAILS = {
    ID_MISSING: "no track_id",
    NOT_FINITE: "the vector has values that are null, NaN or infinite",
    VECTOR_ZERO: "the vector is zero, which has no direction",
    VECTOR_DIMENSION: "the vector has another length than the others",
}


@dataclass(frozen=True)
class GivenVectors:
    """The vectors of one modality that a user has; make one with :func:`given_vectors`.

    Attributes:
        table: where they are.
        source: what they are called: the name that the user gave the encoder, or a hash of the files.
    """

    table: VectorTable
    source: str

    @property
    def encoder_id(self) -> str:
        """Name of the vectors in the store."""
        return identity_hash({"name": "given", "rule": RULE, "source": self.source})

    def identity(self) -> Mapping[str, object]:
        """Return what the encoder id is a hash of, and the dimension, which a source may not change."""
        return {"name": "given", "rule": RULE, "source": self.source, "dim": self.table.dim}


def given_vectors(pattern: str, column: str = VECTOR, source: str | None = None) -> GivenVectors:
    """Open the vectors table of a modality.

    Args:
        pattern: a Parquet file, a folder or a glob.
        column: column of the vectors.
        source: name of the encoder that made them. With the same name, vectors of other files are still of the same
            encoder. None takes a hash of the files, which are read for it.

    Raises:
        UsageError, DataRefusedError: as :func:`open_vector_table` does.
    """
    table = open_vector_table(pattern, column)
    paths = list(dict.fromkeys(fragment.path for fragment in table.fragments))
    return GivenVectors(table, source or f"files {column} {hash_files(paths)}")


class ScanVectors(beam.DoFn):
    """Reads row groups of vectors. Main output: ``VECTOR_PLACES`` by bucket of track; then rejects, counts.

    What it finds is kept in the catalog ``now``, and is taken out of ``before`` where a file did not change.
    """

    def __init__(
        self,
        given: Mapping[str, GivenVectors],
        buckets: int,
        now: Catalog | None,
        before: Catalog | None,
        board: Board,
    ) -> None:
        self._given = dict(given)
        self._buckets = buckets
        self._now = now
        self._before = before
        self._board = board

    def process(self, element: tuple[str, int]) -> Iterator[object]:
        """Scan one fragment of one modality."""
        modality, number = element
        table = self._given[modality].table
        name = fingerprint(table, number)
        known = read_scan(self._before, modality, name) if name is not None and self._before is not None else None
        if known is None:
            yield from self._read(modality, number, name)
        else:
            self._keep(modality, name, known)
            yield from self._counts(modality, known.read, known.absent, 0)
            yield from self._divide(modality, number, [known.found])

    def _read(self, modality: str, number: int, name: str | None) -> Iterator[object]:
        """Read a fragment itself. What has faults is not kept: their rejects would be missing next time."""
        table = self._given[modality].table
        pending: list[pa.RecordBatch] = []
        kept = [pa.RecordBatch.from_pylist([], SCANNED_VECTORS)]
        read = absent = faults = 0
        for rows in read_vector_rows(table, table.fragments[number]):
            pending.append(scanned(rows))
            kept += pending[-1:] if name is not None else []
            yield from tag_rejects(number, fault_rejects(rows, modality, number))
            faults += len(rows.faults)
            read += len(rows.absent)
            absent += len(rows.absent) - len(rows.faults) - len(rows.usable)
            if sum(part.num_rows for part in pending) >= PLACES_ROWS:
                yield from self._divide(modality, number, pending)
                pending = []
        yield from self._divide(modality, number, pending)
        yield from self._counts(modality, read, absent, faults)
        if not faults:
            self._keep(modality, name, VectorScan(pa.concat_batches(kept), read, absent))

    def _keep(self, modality: str, name: str | None, found: VectorScan) -> None:
        if self._now is not None and name is not None:
            write_scan(self._now, modality, name, found)

    def _counts(self, modality: str, read: int, absent: int, rejected: int) -> Iterator[TaggedOutput]:
        for name, count in {"read": read, "absent": absent, "rejected": rejected}.items():
            yield TaggedOutput(COUNTS_TAG, (f"vectors_{name}/{modality}", count))
        self._board.add(f"scan {modality} vectors", done=read)

    def _divide(
        self, modality: str, number: int, found: Sequence[pa.RecordBatch]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        if found:
            batch = places(pa.concat_batches(found), modality, number)
            yield from split_by_bucket(batch, bucket_numbers(batch["track_key"], self._buckets))


def scanned(rows: VectorRows) -> pa.RecordBatch:
    """Say which tracks have which vectors: a batch of ``SCANNED_VECTORS``."""
    usable = rows.usable
    columns = [
        content_keys(rows.track_ids.take(pa.array(usable))),
        vector_keys(rows.units[usable]),
        pa.array(rows.start + usable),
    ]
    return pa.record_batch(columns, schema=SCANNED_VECTORS)


def places(found: pa.RecordBatch, modality: str, number: int) -> pa.RecordBatch:
    """Say of ``SCANNED_VECTORS`` where in all fragments they stand: a batch of ``VECTOR_PLACES``."""
    columns = [
        pa.array(np.full(found.num_rows, MODALITIES.index(modality), np.int8)),
        found["track_key"],
        found["key"],
        pa.array((number << POSITION_SHIFT) + found["row"].to_numpy()),
    ]
    return pa.record_batch(columns, schema=VECTOR_PLACES)


def fault_rejects(rows: VectorRows, modality: str, number: int) -> pa.RecordBatch:
    """Reject the rows of a vectors table that cannot be used."""
    return make_rejects(
        [
            {
                "table": VECTORS_TABLE,
                "track_id": rows.track_ids[row].as_py(),
                "modality": modality,
                "stage": READ,
                "reason": reason,
                "detail": f"{describe_position((number << POSITION_SHIFT) + rows.start + row)}: {_DETAILS[reason]}",
            }
            for row, reason in sorted(rows.faults.items())
        ]
    )


@dataclass(frozen=True, eq=False)
class JoinedVectors:
    """The vectors of one bucket of tracks, for one modality.

    Attributes:
        keys: a key for each track, null where it has no vector.
        inputs: batch of ``INPUTS``: where the vector of each key stands.
        rejects: vectors of a track that has an earlier one.
        counts: names of ``VectorCounts`` to numbers.
    """

    keys: pa.Array
    inputs: pa.RecordBatch
    rejects: pa.RecordBatch
    counts: Mapping[str, int]


def join_vectors(found: pa.Table, tracks: pa.Table, modality: str) -> JoinedVectors:
    """Give the tracks of a bucket their vectors; of several vectors of a track the first in order of files and rows.

    Args:
        found: ``VECTOR_PLACES`` of the bucket, of all modalities.
        tracks: the bucket's accepted tracks, with ``track_id`` and ``track_key``.
        modality: whose vectors are wanted.
    """
    mine = found.filter(pc.equal(found["modality"], MODALITIES.index(modality))).sort_by("position").combine_chunks()
    owners = pc.index_in(mine["track_key"], value_set=tracks["track_key"].combine_chunks()).combine_chunks()
    known = mine.filter(owners.is_valid())
    rows = owners.drop_null().to_numpy()
    _, first = np.unique(rows, return_index=True)
    used = known.take(pa.array(np.sort(first)))
    repeated = np.delete(np.arange(known.num_rows), first)
    counts = {"used": len(first), "unknown": owners.null_count, "rejected": len(repeated)}
    positions = known["position"].to_numpy()[repeated]
    return JoinedVectors(
        keys=_spread(used["key"], rows[np.sort(first)], tracks.num_rows),
        inputs=pa.record_batch(
            [used["key"].combine_chunks(), used["position"].combine_chunks().cast(pa.string())], schema=INPUTS
        ),
        rejects=_duplicate_rejects(tracks["track_id"].take(pa.array(rows[repeated])), positions, modality),
        counts=counts,
    )


def _spread(keys: pa.ChunkedArray, rows: npt.NDArray[np.int64], tracks: int) -> pa.Array:
    places = np.full(tracks, -1)
    places[rows] = np.arange(len(rows))
    return keys.combine_chunks().take(pa.array(places, mask=places < 0))


def _duplicate_rejects(track_ids: pa.ChunkedArray, positions: npt.NDArray[np.int64], modality: str) -> pa.RecordBatch:
    return make_rejects(
        [
            {
                "table": VECTORS_TABLE,
                "track_id": track_id,
                "modality": modality,
                "stage": VALIDATE,
                "reason": VECTOR_DUPLICATE,
                "detail": f"{describe_position(position)}: an earlier row has a vector of this track, and stays",
            }
            for track_id, position in zip(track_ids.to_pylist(), positions.tolist(), strict=True)
        ]
    )


def by_fragment(missing: pa.RecordBatch, modality: str) -> Iterator[tuple[tuple[str, int], pa.RecordBatch]]:
    """Divide ``INPUTS`` that are positions by the fragment that they are in, and number its rows within it."""
    positions = missing["input"].cast(pa.int64()).to_numpy()
    rows = pa.array(positions & ((1 << POSITION_SHIFT) - 1)).cast(pa.string())
    numbered = pa.record_batch([missing["key"], rows], schema=INPUTS)
    for number, part in split_by_bucket(numbered, positions >> POSITION_SHIFT):
        yield (modality, number), part


class TakeVectors(beam.DoFn):
    """Reads the vectors of one row group that the store lacks, and adds them to the facts; counts them."""

    def __init__(self, given: Mapping[str, GivenVectors], store: Store, board: Board) -> None:
        self._given = dict(given)
        self._store = store
        self._board = board

    def process(self, element: tuple[tuple[str, int], Iterable[pa.RecordBatch]]) -> Iterator[tuple[str, int]]:
        """Take from one fragment of one modality."""
        (modality, number), batches = element
        wanted = pa.Table.from_batches(batches, INPUTS)
        rows = wanted["input"].cast(pa.int64()).to_numpy()
        order = np.argsort(rows)
        keys = wanted["key"].combine_chunks().take(pa.array(order))
        start = 0
        for units in self._buffers(modality, number, rows[order]):
            self._write(modality, keys.slice(start, len(units)), units)
            start += len(units)
        yield f"encoded/{modality}", start

    def _buffers(self, modality: str, number: int, wanted: npt.NDArray[np.int64]) -> Iterator[UnitVectors]:
        """Read the wanted rows, in order, a buffer at a time."""
        table = self._given[modality].table
        limit = min(max(LEAST_BUFFER, self._store.buckets * BUCKET_BUFFER), MOST_BUFFER) // (2 * table.dim)
        gathered: list[UnitVectors] = []
        for rows in read_vector_rows(table, table.fragments[number]):
            first, last = np.searchsorted(wanted, [rows.start, rows.start + len(rows.units)])
            gathered.append(rows.units[wanted[first:last] - rows.start])
            if sum(len(part) for part in gathered) >= limit:
                yield np.concatenate(gathered)
                gathered = []
        if gathered:
            yield np.concatenate(gathered)

    def _write(self, modality: str, keys: pa.Array, units: UnitVectors) -> None:
        facts = make_vector_facts(keys, units)
        for bucket, part in split_by_bucket(facts, bucket_numbers(keys, self._store.buckets)):
            write_vectors(self._store, modality, self._given[modality].encoder_id, bucket, part)
        self._board.add(f"take {modality} vectors", done=len(keys))


def vector_counts(counts: Mapping[str, int], modality: str) -> VectorCounts:
    """Collect what was counted of a modality's vectors."""
    return VectorCounts(**{name: counts.get(f"vectors_{name}/{modality}", 0) for name in VectorCounts.NAMES})
