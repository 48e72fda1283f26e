"""Scan precomputed embeddings, and join them to tracks.

The content key of a vector is a hash of its values, so an unchanged vector is not stored again. A scan yields the key
and location of each track's vector; vectors that the store lacks are read again by :mod:`.load_vectors`. The locations
are kept for the next scan by :mod:`.scan_cache`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.tables.rejects import (
    FORGOTTEN,
    READ,
    ROW_REASONS,
    VALIDATE,
    VECTOR_DUPLICATE,
    VECTORS_TABLE,
    make_rejects,
)
from tracktokens.schemas.tables.tracks import POSITION_SHIFT, describe_position
from tracktokens.schemas.tables.vectors import VECTOR, VECTOR_LOCATIONS, VectorCounts
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.precomputed.scan_cache import NO_FINGERPRINT, RowGroupScan, scan_counts
from tracktokens.transforms.precomputed.vector_tables import (
    VectorRows,
    VectorTable,
    hash_files,
    open_vector_table,
    read_vector_rows,
    vector_keys,
)
from tracktokens.transforms.readers.coercion import Problem
from tracktokens.transforms.runtime.arrow_coder import SENT_ROWS
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.forgotten_tracks import NOTHING_FORGOTTEN, TAKEN_DOWN, ForgottenTracks
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.runtime.spilled import spill
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import (
    content_keys,
    split_by_bucket,
    track_buckets,
    track_numbers,
)

RULE = 1
"""Version of the conversion of input vectors to stored vectors. Raise it when the conversion changes vectors."""


@dataclass(frozen=True)
class PrecomputedEmbeddings:
    """Precomputed embeddings of one modality; :func:`open_precomputed` makes them.

    Attributes:
        table: table of the vectors.
        source: the user's name of the encoder, or a hash of the files.
    """

    table: VectorTable
    source: str

    @property
    def encoder_id(self) -> str:
        """Encoder id of the vectors in the store."""
        return identity_hash({"name": "given", "rule": RULE, "source": self.source})

    def identity(self) -> Mapping[str, object]:
        """Return the values that the encoder id hashes, and the dimension, which is fixed per source."""
        return {"name": "given", "rule": RULE, "source": self.source, "dim": self.table.dim}


def spill_embeddings(embeddings: Mapping[str, PrecomputedEmbeddings], folder: str) -> dict[str, PrecomputedEmbeddings]:
    """Write the fragments of each modality's table into a folder, so that workers read them from there."""
    spilled = {}
    for modality, vectors in embeddings.items():
        fragments = spill(vectors.table.fragments, files.join(folder, f"{modality}-vectors.json"))
        spilled[modality] = replace(vectors, table=replace(vectors.table, fragments=fragments))
    return spilled


def open_precomputed(pattern: str, column: str = VECTOR, source: str | None = None) -> PrecomputedEmbeddings:
    """Open the vectors table of a modality.

    Args:
        pattern: a Parquet file, a folder or a glob.
        column: column of the vectors.
        source: name of the encoder that made the vectors. Different files with the same name share an encoder id. None
            uses a hash of the files, which reads them.

    Raises:
        UsageError, InvalidDataError: as :func:`open_vector_table` does.
    """
    table = open_vector_table(pattern, column)
    paths = list(dict.fromkeys(fragment.path for fragment in table.fragments))
    return PrecomputedEmbeddings(table, source or f"files {column} {hash_files(paths)}")


@dataclass(kw_only=True, eq=False)
class ScanVectors(beam.DoFn):
    """Scan row groups of vectors. Main output: ``VECTOR_LOCATIONS`` by bucket of track. Other outputs: rejects, counts.

    A row group that the previous catalog knows is not read; only its counts are yielded.

    Attributes:
        embeddings: modality to its precomputed embeddings.
        buckets: number of buckets of the store.
        progress: receives the number of rows.
        forgotten: tracks whose rows are rejected.
    """

    embeddings: Mapping[str, PrecomputedEmbeddings]
    buckets: int
    progress: ProgressReporter
    forgotten: ForgottenTracks = NOTHING_FORGOTTEN

    def process(self, element: RowGroupScan) -> Iterator[object]:
        """Scan one fragment of one modality."""
        if element.read is None or element.absent is None:
            yield from self._read(element.modality, element.number, element.fingerprint)
        else:
            counts = {"read": element.read, "absent": element.absent, "rejected": 0}
            yield from self._counts(element.modality, element.fingerprint, counts)

    def _read(self, modality: str, number: int, fingerprint: int) -> Iterator[object]:
        """Read a fragment. One with faults is not cached, so that the next scan reports its rejects too."""
        table = self.embeddings[modality].table
        pending: list[pa.RecordBatch] = []
        read = absent = faults = 0
        for found in read_vector_rows(table, table.fragments[number]):
            rows = without_forgotten(found, self.forgotten)
            pending.append(locate_vectors(rows, modality, number, fingerprint))
            yield from tag_rejects(number, fault_rejects(rows, modality, number))
            faults += len(rows.faults)
            read += len(rows.absent)
            absent += len(rows.absent) - len(rows.faults) - len(rows.usable)
            if sum(part.num_rows for part in pending) >= SENT_ROWS:
                yield from self._split(pending)
                pending = []
        yield from self._split(pending)
        counts = {"read": read, "absent": absent, "rejected": faults}
        yield from self._counts(modality, NO_FINGERPRINT if faults else fingerprint, counts)

    def _counts(self, modality: str, fingerprint: int, counts: Mapping[str, int]) -> Iterator[TaggedOutput]:
        for name, count in counts.items():
            yield TaggedOutput(COUNTS_TAG, (f"vectors_{name}/{modality}", count))
        for pair in scan_counts(modality, fingerprint, counts["read"], counts["absent"]):
            yield TaggedOutput(COUNTS_TAG, pair)
        self.progress.add(f"scan {modality} vectors", done=counts["read"])

    def _split(self, pending: Sequence[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
        if pending:
            batch = pa.concat_batches(pending)
            yield from split_by_bucket(batch, track_buckets(batch["track"].to_numpy(), self.buckets))


def without_forgotten(rows: VectorRows, forgotten: ForgottenTracks) -> VectorRows:
    """Give the rows of forgotten tracks a fault."""
    problems = {
        row: Problem(row, FORGOTTEN, TAKEN_DOWN) for row in np.flatnonzero(forgotten.mask(rows.track_ids)).tolist()
    }
    return replace(rows, faults={**rows.faults, **problems}) if problems else rows


def locate_vectors(rows: VectorRows, modality: str, number: int, fingerprint: int) -> pa.RecordBatch:
    """Make ``VECTOR_LOCATIONS`` of the usable rows: track, key and position of each vector."""
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
    """Make a reject of each row with a fault. It has no ``track_id`` if the fault is the id's."""
    return make_rejects(
        [
            {
                "table": VECTORS_TABLE,
                "track_id": None if fault.reason in ROW_REASONS else rows.track_ids[row].as_py(),
                "modality": modality,
                "stage": READ,
                "reason": fault.reason,
                "detail": f"{describe_position((number << POSITION_SHIFT) + rows.start + row)}: {fault.detail}",
            }
            for row, fault in sorted(rows.faults.items())
        ]
    )


@dataclass(frozen=True, eq=False)
class JoinedVectors:
    """Vectors of one bucket of tracks, for one modality.

    Attributes:
        keys: key of each track's vector, null where it has none.
        positions: int64 (tracks,), position of each track's vector, 0 where it has none.
        rejects: second and later vectors of a track.
        counts: names of ``VectorCounts`` to numbers.
    """

    keys: pa.Array
    positions: npt.NDArray[np.int64]
    rejects: pa.RecordBatch
    counts: Mapping[str, int]


def join_vectors(locations: pa.Table, tracks: pa.Table, modality: str) -> JoinedVectors:
    """Join vectors to the tracks of a bucket. Of several vectors of a track, use the first in order of files and rows.

    Args:
        locations: ``VECTOR_LOCATIONS`` of the bucket, of all modalities.
        tracks: accepted tracks of the bucket, with ``track_id`` and ``track``.
        modality: modality of the vectors to join.
    """
    candidates = locations.filter(pc.equal(locations["modality"], MODALITIES.index(modality)))
    owners = pc.index_in(candidates["track"], value_set=tracks["track"].combine_chunks()).combine_chunks()
    known = candidates.filter(owners.is_valid())
    rows, positions = owners.drop_null().to_numpy(), known["position"].to_numpy()
    order = np.lexsort((positions, rows))
    repeated = np.zeros(len(order), bool)
    repeated[1:] = rows[order[1:]] == rows[order[:-1]]
    first, later = order[~repeated], order[repeated]
    row_indices = np.full(tracks.num_rows, -1)
    row_indices[rows[first]] = first
    track_positions = np.zeros(tracks.num_rows, np.int64)
    track_positions[rows[first]] = positions[first]
    later = later[np.argsort(positions[later])]
    return JoinedVectors(
        keys=known["key"].combine_chunks().take(pa.array(row_indices, mask=row_indices < 0)),
        positions=track_positions,
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
                "detail": f"{describe_position(position)}: an earlier row has a vector of this track and is kept",
            }
            for track_id, position in zip(track_ids.to_pylist(), positions.tolist(), strict=True)
        ]
    )


def vector_counts(counts: Mapping[str, int], modality: str) -> VectorCounts:
    """Collect the counts of a modality's vectors."""
    return VectorCounts(**{name: counts.get(f"vectors_{name}/{modality}", 0) for name in VectorCounts.NAMES})
