"""Settle a scanned catalog: refuse duplicate ids, write the snapshot, and find the inputs that were never encoded."""

from collections.abc import Collection, Iterable, Iterator, Mapping

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.schemas.facts import INPUTS
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.schemas.rejects import ID_DUPLICATE, TRACKS_TABLE, VALIDATE, make_rejects
from tracktokens.schemas.tracks import describe_position
from tracktokens.schemas.vectors import VECTOR_PLACES
from tracktokens.transforms import files
from tracktokens.transforms.counts import COUNTS_TAG
from tracktokens.transforms.encoding import encoding_batches
from tracktokens.transforms.facts import VECTOR_FILE, unencoded
from tracktokens.transforms.given_vectors import PLACES_TAG, JoinedVectors, by_fragment, join_vectors
from tracktokens.transforms.keys import bucket_numbers, distinct_keys, key_words, sort_by_key, split_by_bucket
from tracktokens.transforms.progress import Board
from tracktokens.transforms.rejecting import tag_rejects
from tracktokens.transforms.scanning import INPUTS_TAG, KEYED_TRACKS
from tracktokens.transforms.store import Catalog, Store


def without_duplicates(rows: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Sort one bucket of ``KEYED_TRACKS`` by id; give the first of each id in input order, and the others."""
    ordered = rows.sort_by([("track_id", "ascending"), ("position", "ascending")]).combine_chunks()
    ids = ordered["track_id"].combine_chunks()
    repeated = np.zeros(len(ids), bool)
    if len(ids) > 1:
        repeated[1:] = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    return ordered.filter(pa.array(~repeated)), ordered.filter(pa.array(repeated))


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


def track_keys(keys: pa.Array, bucket: int) -> pa.RecordBatch:
    """Which of a bucket's accepted tracks have a modality, by its content key: a batch of ``TRACK_KEYS``.

    Args:
        keys: a key for each track of the bucket, null where it lacks the modality.
        bucket: number of the bucket.
    """
    numbers = pa.array(np.arange(len(keys), dtype=np.int32))
    buckets = pa.array(np.full(len(keys), bucket, np.int32))
    return pa.record_batch([keys, buckets, numbers], names=TRACK_KEYS.names).filter(pc.is_valid(keys)).cast(TRACK_KEYS)


def digests(keys: Mapping[str, pa.Array], tracks: int) -> npt.NDArray[np.uint64]:
    """Hash the content keys that each track has: uint64 (tracks,).

    Keys are hashes themselves, so sums of their words by odd multipliers differ where a key does, but for a chance of
    2**-64.

    Args:
        keys: modality to a key for each track, null where it lacks the modality.
        tracks: how many there are.
    """
    sums = np.zeros(tracks, np.uint64)
    for modality, column in keys.items():
        present = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        multiplier = np.uint64(2 * MODALITIES.index(modality) + 1)
        sums[present] += key_words(column.drop_null())[:, 0] * multiplier
    return sums


def count_against(before: pa.Table, after: pa.Table) -> dict[str, int]:
    """Count the rows of a bucket's tracks that are new, changed and removed; each with ``track_id`` and ``digest``."""
    places = pc.index_in(after["track_id"].combine_chunks(), value_set=before["track_id"].combine_chunks())
    common = pa.array(np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False)))
    old, new = before["digest"].take(places.drop_null()), after["digest"].take(common)
    same = pc.sum(pc.fill_null(pc.equal(old, new), False)).as_py() or 0
    return {
        "new": after.num_rows - len(common),
        "changed": len(common) - same,
        "removed": before.num_rows - len(common),
    }


class SettleTracks(beam.DoFn):
    """Accepts one bucket of tracks, and joins the vectors that came with the catalog.

    Main output: ``TRACK_KEYS`` by modality and bucket of key; then, for modalities whose vectors are given, inputs as
    :class:`ScanTracks` gives them for the others; rejects, counts.
    """

    def __init__(self, catalog: Catalog, given: Collection[str]) -> None:
        self._catalog = catalog
        self._given = frozenset(given)

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Write the accepted tracks of a bucket and pass their keys on."""
        bucket, parts = element
        accepted, duplicates = without_duplicates(pa.Table.from_batches(parts["rows"], KEYED_TRACKS))
        yield TaggedOutput(COUNTS_TAG, ("rows_accepted", accepted.num_rows))
        yield from tag_rejects(bucket, reject_duplicates(duplicates))
        vectors = pa.Table.from_batches(parts["vectors"], VECTOR_PLACES)
        keys = {}
        for modality in MODALITIES:
            if modality in self._given:
                joined = join_vectors(vectors, accepted, modality)
                yield from self._pass_on(bucket, modality, joined)
                keys[modality] = joined.keys
            else:
                keys[modality] = accepted["track_key" if modality == PLAYLIST else modality].combine_chunks()
            yield from self._by_key_bucket(modality, track_keys(keys[modality], bucket))
        tracks = accepted.append_column("digest", pa.array(digests(keys, accepted.num_rows)))
        yield from self._settle(bucket, tracks.select(CATALOG_TRACKS.names))

    def _settle(self, bucket: int, tracks: pa.Table) -> Iterable[TaggedOutput]:
        """Keep the accepted tracks of a bucket; may give counts."""
        files.write_batches(files.join(self._catalog.tracks(bucket), "part.parquet"), CATALOG_TRACKS, [tracks])
        return ()

    def _pass_on(self, bucket: int, modality: str, joined: JoinedVectors) -> Iterator[TaggedOutput]:
        for name, count in joined.counts.items():
            yield TaggedOutput(COUNTS_TAG, (f"vectors_{name}/{modality}", count))
        yield from tag_rejects(bucket, joined.rejects)
        for part in self._by_key_bucket(modality, joined.inputs):
            yield TaggedOutput(INPUTS_TAG, part)

    def _by_key_bucket(self, modality: str, rows: pa.RecordBatch) -> Iterator[tuple[tuple[str, int], pa.RecordBatch]]:
        for bucket, part in split_by_bucket(rows, bucket_numbers(rows["key"], self._catalog.buckets)):
            yield (modality, bucket), part


class FindMissing(beam.DoFn):
    """Writes which tracks have which key, and passes on the inputs that were never encoded, to an output a modality.

    Given vectors that are not stored yet go to the output ``PLACES_TAG``. With ``retry`` inputs that failed for good
    count as never encoded.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        encoders: Mapping[str, str],
        given: Collection[str],
        retry: bool,
        board: Board,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._encoders = dict(encoders)
        self._given = frozenset(given)
        self._retry = retry
        self._board = board

    def process(
        self, element: tuple[tuple[str, int], dict[str, Iterable[pa.RecordBatch]]], refused: bool
    ) -> Iterator[object]:
        """Settle one bucket of one modality; nothing is encoded of a catalog that is refused."""
        (modality, bucket), parts = element
        keys = sort_by_key(pa.Table.from_batches(parts["keys"], TRACK_KEYS), "track_bucket", "track_row")
        if not keys.num_rows or refused:
            return
        self._settle(modality, bucket, keys)
        distinct = distinct_keys(keys["key"].combine_chunks())
        if modality in self._encoders:
            yield TaggedOutput(COUNTS_TAG, (f"tracks_with/{modality}", keys.num_rows))
            yield TaggedOutput(COUNTS_TAG, (f"inputs/{modality}", len(distinct)))
            missing = unencoded(self._store, modality, self._encoders[modality], bucket, distinct, self._retry)
            yield from self._pass_on(modality, pick_inputs(pa.Table.from_batches(parts["inputs"], INPUTS), missing))

    def _settle(self, modality: str, bucket: int, keys: pa.Table) -> None:
        """Keep which tracks have which key."""
        path = files.join(self._catalog.keys(modality, bucket), "part.parquet")
        files.write_batches(path, TRACK_KEYS, [keys], **VECTOR_FILE)

    def _pass_on(self, modality: str, inputs: pa.RecordBatch) -> Iterator[TaggedOutput]:
        given = modality in self._given
        self._board.add(f"take {modality} vectors" if given else f"encode {modality}", total=inputs.num_rows)
        if given:
            yield from (TaggedOutput(PLACES_TAG, part) for part in by_fragment(inputs, modality))
        else:
            yield from (TaggedOutput(modality, batch) for batch in encoding_batches(inputs, modality))


def pick_inputs(inputs: pa.Table, wanted: pa.Array) -> pa.RecordBatch:
    """Inputs of the wanted keys, each once, in order of key, so that batches are the same on every runner.

    Raises:
        LookupError: when a wanted key has no input, which would be a fault of ours.
    """
    places = pc.index_in(wanted, value_set=inputs["key"].combine_chunks())
    if places.null_count:
        raise LookupError(f"{places.null_count} keys of the catalog came without their inputs")
    chosen = sort_by_key(inputs.take(places)).combine_chunks()
    return pa.record_batch([chosen[name].combine_chunks() for name in INPUTS.names], schema=INPUTS)
