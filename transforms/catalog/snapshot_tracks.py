"""Settle a scanned catalog by bucket: refuse duplicate ids, write the tracks, and compare them with the base."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

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
from tracktokens.transforms.catalog.key_diff import RowAlignment, diff_keys
from tracktokens.transforms.catalog.scan_tracks import keyed_tracks
from tracktokens.transforms.precomputed.scan_cache import ScanCache, keep
from tracktokens.transforms.precomputed.scan_vectors import JoinedVectors, join_vectors
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, split_by_bucket, track_numbers
from tracktokens.transforms.store.layout import Catalog

TRACKS_FILE = {
    "compression": dict.fromkeys(["track_id", "title", "artist", "tag_names.list.element"], "snappy"),
    "use_dictionary": ["artist", "tag_names.list.element"],
    "write_statistics": False,
}
"""Only texts are compressed: keys are noise."""


def without_duplicates(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Sort one bucket of scanned rows by id, and number them; give the first of each id in input order, and the others.

    Ids whose hashes begin with the same 8 bytes count as one: by chance that happens once in thousands of catalogs of a
    hundred million tracks.
    """
    ordered = rows.sort_by([("track_id", "ascending"), ("position", "ascending")]).combine_chunks()
    numbers = track_numbers(ordered["track_key"].combine_chunks())
    ordered = ordered.append_column(TRACK, pa.array(numbers))
    first = np.zeros(len(numbers), bool)
    first[np.unique(numbers, return_index=True)[1]] = True
    return ordered.filter(pa.array(first)), ordered.filter(pa.array(~first))


def reject_duplicates(duplicates: pa.Table) -> pa.RecordBatch:
    """Say of each duplicate where it stood; the row that stays is an earlier one."""
    return make_rejects(
        [
            {
                "table": TRACKS_TABLE,
                "track_id": row["track_id"],
                "stage": VALIDATE,
                "reason": ID_DUPLICATE,
                "detail": f"{describe_position(row['position'])}: an earlier row has this id and stays",
            }
            for row in duplicates.select(["track_id", "position"]).to_pylist()
        ]
    )


@dataclass(frozen=True)
class FailureFolder:
    """Where inputs are named of which no vector could be made: modality, and a folder of buckets of ``FAILURES``."""

    modality: str
    folder: str


def _failed_keys(modality: str, failures: Iterable[FailureFolder]) -> pa.Array:
    """Keys of a modality in any of the folders."""
    folders = [found.folder for found in failures if found.modality == modality]
    paths = [files.join(folder, name) for folder in folders for name in files.list_tree(folder)]
    batches = [batch["key"] for path in paths for batch in files.read_batches(path, FAILURES, [KEY.name], checked=True)]
    return pa.chunked_array(batches, KEY.type).combine_chunks()


class WriteSnapshotBucket(beam.DoFn):
    """Accepts one bucket of tracks, joins the vectors that came with the catalog, and compares it with the base.

    Main output: ``KEY_DIFF`` by modality and bucket of key; then rejects, counts.
    """

    def __init__(
        self,
        catalog: Catalog,
        base: Catalog | None,
        encoded: Collection[str],
        given: Collection[str],
        scans: ScanCache,
        tried_again: Collection[FailureFolder],
    ) -> None:
        self._catalog = catalog
        self._base = base
        self._encoded = frozenset(encoded)
        self._given = frozenset(given)
        self._scans = scans
        transient = [] if base is None else [FailureFolder(m, base.all_failures(m)) for m in (*encoded, *given)]
        self._failures = (*transient, *tried_again)

    def setup(self) -> None:
        """Read which keys failed before and are to be tried again."""
        self._again = {modality: _failed_keys(modality, self._failures) for modality in MODALITIES}

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Write the accepted tracks of a bucket and pass on the keys that are otherwise than before."""
        bucket, parts = element
        scanned = pa.Table.from_batches(parts["rows"], keyed_tracks(self._encoded))
        accepted, duplicates = without_duplicates(scanned)
        yield TaggedOutput(COUNTS_TAG, ("rows_accepted", accepted.num_rows))
        yield from tag_rejects(bucket, reject_duplicates(duplicates))
        places = self._places(bucket, parts["vectors"])
        keys, positions = {}, {}
        for modality in MODALITIES:
            if modality in self._given:
                joined = join_vectors(places, accepted, modality)
                yield from _count_vectors(bucket, modality, joined)
                keys[modality], positions[modality] = joined.keys, joined.positions
            else:
                keys[modality], positions[modality] = self._keys(accepted, modality), accepted["position"].to_numpy()
        columns = [keys[name] if name in keys else accepted[name] for name in CATALOG_TRACKS.names]
        tracks = pa.table(columns, schema=CATALOG_TRACKS)
        self._settle(bucket, tracks, places)
        yield from self._compare(bucket, tracks, positions)

    def _keys(self, accepted: pa.Table, modality: str) -> pa.Array:
        if modality == PLAYLIST:  # what is learned of a track belongs to its id
            return accepted["track_key"].combine_chunks()
        if modality not in self._encoded:
            return pa.nulls(accepted.num_rows, KEY.type)
        return accepted[modality].combine_chunks()

    def _places(self, bucket: int, scanned: Iterable[pa.RecordBatch]) -> pa.Table:
        """Where the vectors of a bucket stand: those that were read now, and those that were known."""
        found = pa.Table.from_batches(scanned, VECTOR_LOCATIONS)
        if self._base is None or not self._scans.known:
            return found.combine_chunks()
        return pa.concat_tables([self._scans.recall(self._base, bucket), found]).combine_chunks()

    def _settle(self, bucket: int, tracks: pa.Table, places: pa.Table) -> None:
        """Keep the accepted tracks of a bucket, and where their vectors stand."""
        path = files.join(self._catalog.tracks(bucket), "part.parquet")
        files.write_batches(path, CATALOG_TRACKS, [tracks], **TRACKS_FILE)
        if self._given:
            keep(self._catalog, bucket, places)

    def _compare(
        self, bucket: int, tracks: pa.Table, positions: Mapping[str, npt.NDArray[np.int64]]
    ) -> Iterator[object]:
        """Pass on what is otherwise than in the base: everything where there is none."""
        before = self._before(bucket)
        pairs = RowAlignment.of(before, tracks)
        differs = np.zeros(tracks.num_rows, bool)
        for modality in MODALITIES:
            mine, changes = diff_keys(before, tracks, modality, pairs, positions[modality], self._again[modality])
            differs |= mine
            for number, part in split_by_bucket(changes, bucket_numbers(changes["key"], self._catalog.buckets)):
                yield (modality, number), part
            yield TaggedOutput(COUNTS_TAG, ("keys_settled", tracks.num_rows - tracks[modality].null_count))
        known = pairs.places.is_valid().to_numpy(zero_copy_only=False)
        counts = {"new": ~known, "changed": differs & known, "removed": pairs.gone >= 0}
        for name, which in counts.items():
            yield TaggedOutput(COUNTS_TAG, (f"rows_{name}", int(which.sum())))

    def _before(self, bucket: int) -> pa.Table:
        columns = ["track", *MODALITIES]
        if self._base is None:
            return pa.schema([CATALOG_TRACKS.field(name) for name in columns]).empty_table()
        return files.read_table(self._base.tracks(bucket), CATALOG_TRACKS, columns)


def _count_vectors(bucket: int, modality: str, joined: JoinedVectors) -> Iterator[TaggedOutput]:
    for name, count in joined.counts.items():
        yield TaggedOutput(COUNTS_TAG, (f"vectors_{name}/{modality}", count))
    yield from tag_rejects(bucket, joined.rejects)
