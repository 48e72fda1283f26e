"""Vectors that somebody else made: scan them, and join them to the tracks.

A vector's content key is a hash of the vector itself, so what is the same tomorrow is not written again. A scan
passes on which track has which key and where that vector stands; what turns out to be missing is read again
(:mod:`.taking_vectors`). What a scan found in a file is kept for the next one, bucket by bucket.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.rejects import (
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
from tracktokens.schemas.tables.tracks import POSITION_SHIFT, describe_position
from tracktokens.schemas.tables.vectors import VECTOR, VECTOR_LOCATIONS, VectorCounts
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.precomputed.scan_cache import NO_FINGERPRINT, RowGroup, ScanCache, scan_counts
from tracktokens.transforms.precomputed.vector_tables import (
    VectorRows,
    VectorTable,
    hash_files,
    open_vector_table,
    read_vector_rows,
    vector_keys,
)
from tracktokens.transforms.runtime.arrow_coder import SENT_ROWS
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.store.keys import (
    content_keys,
    split_by_bucket,
    track_buckets,
    track_numbers,
)

RULE = 1
"""Version of the way in which a given vector becomes a stored one. Raise it when that changes vectors."""

_DETAILS = {
    ID_MISSING: "no track_id",
    NOT_FINITE: "the vector has values that are null, NaN or infinite",
    VECTOR_ZERO: "the vector is zero, which has no direction",
    VECTOR_DIMENSION: "the vector has another length than the others",
}


@dataclass(frozen=True)
class PrecomputedEmbeddings:
    """The vectors of one modality that a user has; make one with :func:`open_precomputed`.

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


def open_precomputed(pattern: str, column: str = VECTOR, source: str | None = None) -> PrecomputedEmbeddings:
    """Open the vectors table of a modality.

    Args:
        pattern: a Parquet file, a folder or a glob.
        column: column of the vectors.
        source: name of the encoder that made them. With the same name, vectors of other files are still of the same
            encoder. None takes a hash of the files, which are read for it.

    Raises:
        UsageError, InvalidDataError: as :func:`open_vector_table` does.
    """
    table = open_vector_table(pattern, column)
    paths = list(dict.fromkeys(fragment.path for fragment in table.fragments))
    return PrecomputedEmbeddings(table, source or f"files {column} {hash_files(paths)}")


class ScanVectors(beam.DoFn):
    """Reads row groups of vectors. Main output: ``VECTOR_LOCATIONS`` by bucket of track; then rejects, counts.

    Of a row group that the catalog before knows only the counts are given, and nothing is read.
    """

    def __init__(
        self, given: Mapping[str, PrecomputedEmbeddings], buckets: int, scans: ScanCache, progress: ProgressReporter
    ) -> None:
        self._given = dict(given)
        self._buckets = buckets
        self._scans = scans
        self._progress = progress

    def process(self, element: RowGroup) -> Iterator[object]:
        """Scan one fragment of one modality."""
        modality, number = element
        fingerprint = self._scans.told[element]
        known = self._scans.known.get((modality, fingerprint))
        if known is None:
            yield from self._read(modality, number, fingerprint)
        else:
            read, absent = known
            yield from self._counts(modality, fingerprint, {"read": read, "absent": absent, "rejected": 0})

    def _read(self, modality: str, number: int, fingerprint: int) -> Iterator[object]:
        """Read a fragment itself. One with faults will be read again: their rejects would be missing next time."""
        table = self._given[modality].table
        pending: list[pa.RecordBatch] = []
        read = absent = faults = 0
        for rows in read_vector_rows(table, table.fragments[number]):
            pending.append(places(rows, modality, number, fingerprint))
            yield from tag_rejects(number, fault_rejects(rows, modality, number))
            faults += len(rows.faults)
            read += len(rows.absent)
            absent += len(rows.absent) - len(rows.faults) - len(rows.usable)
            if sum(part.num_rows for part in pending) >= SENT_ROWS:
                yield from self._divide(pending)
                pending = []
        yield from self._divide(pending)
        counts = {"read": read, "absent": absent, "rejected": faults}
        yield from self._counts(modality, NO_FINGERPRINT if faults else fingerprint, counts)

    def _counts(self, modality: str, fingerprint: int, counts: Mapping[str, int]) -> Iterator[TaggedOutput]:
        for name, count in counts.items():
            yield TaggedOutput(COUNTS_TAG, (f"vectors_{name}/{modality}", count))
        for pair in scan_counts(modality, fingerprint, counts["read"], counts["absent"]):
            yield TaggedOutput(COUNTS_TAG, pair)
        self._progress.add(f"scan {modality} vectors", done=counts["read"])

    def _divide(self, found: Sequence[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
        if found:
            batch = pa.concat_batches(found)
            yield from split_by_bucket(batch, track_buckets(batch["track"].to_numpy(), self._buckets))


def places(rows: VectorRows, modality: str, number: int, fingerprint: int) -> pa.RecordBatch:
    """Say which tracks have which vectors, and where they stand: a batch of ``VECTOR_LOCATIONS``."""
    usable = rows.usable
    tracks = track_numbers(content_keys(rows.track_ids.take(pa.array(usable))))
    columns = [
        pa.array(np.full(len(usable), MODALITIES.index(modality), np.int8)),
        pa.array(tracks),
        vector_keys(rows.units[usable]),
        pa.array(np.full(len(usable), fingerprint, np.uint64)),
        pa.array((number << POSITION_SHIFT) + rows.start + usable),
    ]
    return pa.record_batch(columns, schema=VECTOR_LOCATIONS)


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
        positions: int64 (tracks,), where each one's vector stands; 0 where it has none.
        rejects: vectors of a track that has an earlier one.
        counts: names of ``VectorCounts`` to numbers.
    """

    keys: pa.Array
    positions: npt.NDArray[np.int64]
    rejects: pa.RecordBatch
    counts: Mapping[str, int]


def join_vectors(found: pa.Table, tracks: pa.Table, modality: str) -> JoinedVectors:
    """Give the tracks of a bucket their vectors; of several vectors of a track the first in order of files and rows.

    Args:
        found: ``VECTOR_LOCATIONS`` of the bucket, of all modalities.
        tracks: the bucket's accepted tracks, with ``track_id`` and ``track``.
        modality: whose vectors are wanted.
    """
    mine = found.filter(pc.equal(found["modality"], MODALITIES.index(modality)))
    owners = pc.index_in(mine["track"], value_set=tracks["track"].combine_chunks()).combine_chunks()
    known = mine.filter(owners.is_valid())
    rows, positions = owners.drop_null().to_numpy(), known["position"].to_numpy()
    order = np.lexsort((positions, rows))
    repeated = np.zeros(len(order), bool)
    repeated[1:] = rows[order[1:]] == rows[order[:-1]]
    first, later = order[~repeated], order[repeated]
    places = np.full(tracks.num_rows, -1)
    places[rows[first]] = first
    spread = np.zeros(tracks.num_rows, np.int64)
    spread[rows[first]] = positions[first]
    later = later[np.argsort(positions[later])]
    return JoinedVectors(
        keys=known["key"].combine_chunks().take(pa.array(places, mask=places < 0)),
        positions=spread,
        rejects=_duplicate_rejects(tracks["track_id"].take(pa.array(rows[later])), positions[later], modality),
        counts={"used": len(first), "unknown": owners.null_count, "rejected": len(later)},
    )


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


def vector_counts(counts: Mapping[str, int], modality: str) -> VectorCounts:
    """Collect what was counted of a modality's vectors."""
    return VectorCounts(**{name: counts.get(f"vectors_{name}/{modality}", 0) for name in VectorCounts.NAMES})
