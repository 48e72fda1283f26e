"""Write the snapshot of a scanned catalog by bucket: reject duplicate ids, write tracks, diff them against the base."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK
from tracktokens.schemas.tables.records import FAILURES, KEY
from tracktokens.schemas.tables.rejects import ID_DUPLICATE, TRACKS_TABLE, VALIDATE, make_rejects
from tracktokens.schemas.tables.tracks import describe_position
from tracktokens.schemas.tables.vectors import VECTOR_LOCATIONS
from tracktokens.transforms.catalog.key_diff import RowAlignment, count_changes, diff_keys
from tracktokens.transforms.catalog.scan_tracks import keyed_tracks
from tracktokens.transforms.catalog.snapshot_writer import BucketWriter
from tracktokens.transforms.precomputed.scan_cache import ScanCache
from tracktokens.transforms.precomputed.scan_vectors import JoinedVectors, join_vectors
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, split_by_bucket, track_numbers
from tracktokens.transforms.store.layout import Catalog
from tracktokens.transforms.store.records import misjudged


def without_duplicates(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Split one bucket of scanned rows into the first row of each id, in input order, and its duplicates.

    Both tables are sorted by id and have the column ``track``. Ids whose hashes share the first 8 bytes count as one
    id. By chance, that happens once in thousands of catalogs of a hundred million tracks.
    """
    ordered = rows.sort_by([("track_id", "ascending"), ("position", "ascending")]).combine_chunks()
    numbers = track_numbers(ordered["track_key"].combine_chunks())
    ordered = ordered.append_column(TRACK, pa.array(numbers))
    first = np.zeros(len(numbers), bool)
    first[np.unique(numbers, return_index=True)[1]] = True
    return ordered.filter(pa.array(first)), ordered.filter(pa.array(~first))


def reject_duplicates(duplicates: pa.Table) -> pa.RecordBatch:
    """Make a reject of each duplicate row, with its position in the input."""
    return make_rejects(
        [
            {
                "table": TRACKS_TABLE,
                "track_id": row["track_id"],
                "stage": VALIDATE,
                "reason": ID_DUPLICATE,
                "detail": f"{describe_position(row['position'])}: an earlier row has this id and is kept",
            }
            for row in duplicates.select(["track_id", "position"]).to_pylist()
        ]
    )


@dataclass(frozen=True)
class FailureFolder:
    """Folder of buckets of ``FAILURES``: the inputs of one modality that could not be encoded.

    Attributes:
        modality: modality of the inputs.
        folder: root of the buckets.
        only_misjudged: take only the failures that :func:`misjudged` marks.
    """

    modality: str
    folder: str
    only_misjudged: bool = False


def _failed_keys(modality: str, folders: Iterable[FailureFolder]) -> pa.Array:
    """Keys of a modality in any of the folders."""
    keys = [batch["key"] for folder in folders if folder.modality == modality for batch in _failures(folder)]
    return pa.chunked_array(keys, KEY.type).combine_chunks()


def _failures(folder: FailureFolder) -> Iterator[pa.RecordBatch]:
    for name in files.list_tree(folder.folder):
        for batch in files.read_batches(files.join(folder.folder, name), FAILURES, checked=True):
            yield batch.filter(misjudged(batch)) if folder.only_misjudged else batch


@dataclass(kw_only=True, eq=False)
class WriteSnapshotBucket(beam.DoFn):
    """Write one bucket of accepted tracks with their keys, and diff the keys against the base snapshot.

    Main output: ``KEY_DIFF`` by modality and bucket of key. Other outputs: rejects, counts.

    Attributes:
        writer: destination of the tracks.
        buckets: number of buckets of the store.
        base: snapshot to diff against; None makes every key new.
        encoded: modalities that have an encoder.
        precomputed: modalities that have precomputed embeddings.
        scans: scan cache of the precomputed embeddings.
        retried: permanent failures to retry. Transient failures of the base are always retried.
    """

    writer: BucketWriter
    buckets: int
    base: Catalog | None
    encoded: Collection[str]
    precomputed: Collection[str]
    scans: ScanCache
    retried: Collection[FailureFolder]
    _listings: files.Listings = field(default_factory=files.Listings, init=False, repr=False)
    _retried_keys: dict[str, pa.Array] = field(default_factory=dict, init=False, repr=False)

    def setup(self) -> None:
        """Read the failed keys to retry."""
        folders = [*self._transient_failures(), *self.retried]
        self._retried_keys = {modality: _failed_keys(modality, folders) for modality in MODALITIES}

    def _transient_failures(self) -> list[FailureFolder]:
        if self.base is None:
            return []
        return [FailureFolder(m, self.base.all_failures(m)) for m in (*self.encoded, *self.precomputed)]

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Write the accepted tracks of a bucket, and yield the keys that changed."""
        bucket, parts = element
        scanned = pa.Table.from_batches(parts["rows"], keyed_tracks(self.encoded))
        accepted, duplicates = without_duplicates(scanned)
        yield TaggedOutput(COUNTS_TAG, ("rows_accepted", accepted.num_rows))
        yield from tag_rejects(bucket, reject_duplicates(duplicates))
        locations = self._locations(bucket, parts["vectors"])
        keys, positions = {}, {}
        for modality in MODALITIES:
            if modality in self.precomputed:
                joined = join_vectors(locations, accepted, modality)
                yield from _count_vectors(bucket, modality, joined)
                keys[modality], positions[modality] = joined.keys, joined.positions
            else:
                keys[modality], positions[modality] = self._keys(accepted, modality), accepted["position"].to_numpy()
        columns = [keys[name] if name in keys else accepted[name] for name in CATALOG_TRACKS.names]
        tracks = pa.table(columns, schema=CATALOG_TRACKS)
        self.writer.write_tracks(bucket, tracks)
        if self.precomputed:
            self.writer.write_locations(bucket, locations)
        yield from self._diff(bucket, tracks, positions)

    def _keys(self, accepted: pa.Table, modality: str) -> pa.Array:
        if modality == PLAYLIST:  # playlist vectors are learned per track id
            return accepted["track_key"].combine_chunks()
        if modality not in self.encoded:
            return pa.nulls(accepted.num_rows, KEY.type)
        return accepted[modality].combine_chunks()

    def _locations(self, bucket: int, scanned: Iterable[pa.RecordBatch]) -> pa.Table:
        """``VECTOR_LOCATIONS`` of a bucket: cached ones, then those of this scan."""
        locations = pa.Table.from_batches(scanned, VECTOR_LOCATIONS)
        if self.base is None or not self.scans.known_row_groups:
            return locations.combine_chunks()
        with self._listings.used():
            cached = self.scans.load_cached(self.base, bucket)
        return pa.concat_tables([cached, locations]).combine_chunks()

    def _diff(self, bucket: int, tracks: pa.Table, positions: Mapping[str, npt.NDArray[np.int64]]) -> Iterator[object]:
        """Yield the keys that differ from the base, and count new, changed and removed tracks."""
        previous = self._previous_tracks(bucket)
        alignment = RowAlignment.of(previous, tracks)
        differs = np.zeros(tracks.num_rows, bool)
        for modality in MODALITIES:
            modality_differs, changes = diff_keys(
                previous,
                tracks,
                modality,
                alignment=alignment,
                positions=positions[modality],
                retried=self._retried_keys[modality],
            )
            differs |= modality_differs
            found = count_changes(previous, tracks, modality, alignment=alignment, differs=modality_differs)
            for change, count in found.items():
                yield TaggedOutput(COUNTS_TAG, (f"keys_{change}/{modality}", count))
            for number, part in split_by_bucket(changes, bucket_numbers(changes["key"], self.buckets)):
                yield (modality, number), part
            yield TaggedOutput(COUNTS_TAG, ("keys_expected", tracks.num_rows - tracks[modality].null_count))
        known = alignment.previous_rows.is_valid().to_numpy(zero_copy_only=False)
        masks = {"new": ~known, "changed": differs & known, "removed": alignment.removed_rows >= 0}
        for name, mask in masks.items():
            yield TaggedOutput(COUNTS_TAG, (f"rows_{name}", int(mask.sum())))

    def _previous_tracks(self, bucket: int) -> pa.Table:
        columns = ["track", *MODALITIES]
        if self.base is None:
            return pa.schema([CATALOG_TRACKS.field(name) for name in columns]).empty_table()
        with self._listings.used():
            return files.read_table(self.base.tracks(bucket), CATALOG_TRACKS, columns)


def _count_vectors(bucket: int, modality: str, joined: JoinedVectors) -> Iterator[TaggedOutput]:
    for name, count in joined.counts.items():
        yield TaggedOutput(COUNTS_TAG, (f"vectors_{name}/{modality}", count))
    yield from tag_rejects(bucket, joined.rejects)
