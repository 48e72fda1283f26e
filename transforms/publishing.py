"""Join codes to tracks, and write the token table."""

from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.codebooks.vocabulary import token_strings
from tracktokens.schemas.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.schemas.errors import DataRefusedError
from tracktokens.schemas.facts import CODE_FACTS
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.schemas.rejects import ENCODE, REJECTS, TRACKS_TABLE
from tracktokens.schemas.tokens import tokens_schema
from tracktokens.transforms import files
from tracktokens.transforms.counts import COUNTS_TAG
from tracktokens.transforms.facts import encoded, failed, without
from tracktokens.transforms.keys import split_by_bucket
from tracktokens.transforms.rejecting import tag_rejects
from tracktokens.transforms.store import Catalog, Store

CODED_ROWS = pa.schema([("modality", pa.int8()), ("track_row", pa.int32()), ("code", pa.int16())])
"""A code on its way to its track: number of the modality, row of the track in its bucket."""

FAILED_ROWS = pa.schema(
    [("modality", pa.int8()), ("track_row", pa.int32()), ("reason", pa.string()), ("detail", pa.string())]
)
"""A failed input on its way to its track."""

FAILURES_TAG = "failures"


class SendCodes(beam.DoFn):
    """Reads one bucket of a modality's codes. Main output: ``CODED_ROWS`` by bucket of track; then ``FAILED_ROWS``."""

    def __init__(self, store: Store, catalog: Catalog, bundle_id: str, encoders: Mapping[str, str]) -> None:
        self._store = store
        self._catalog = catalog
        self._bundle_id = bundle_id
        self._encoders = dict(encoders)

    def process(self, element: tuple[str, int]) -> Iterator[object]:
        """Join one bucket of one modality's keys with codes and failures."""
        modality, bucket = element
        keys = files.read_table(self._catalog.keys(modality, bucket), TRACK_KEYS)
        codes = files.read_table(self._store.codes(self._bundle_id, modality, bucket), CODE_FACTS, ["key", "code"])
        failures = failed(self._store, self._catalog, modality, self._encoders[modality], bucket)
        self._require_codes(modality, bucket, without(keys["key"].combine_chunks(), [_keys(codes), _keys(failures)]))
        yield from _by_track_bucket(keys, codes, modality, CODED_ROWS)
        for part in _by_track_bucket(keys, failures, modality, FAILED_ROWS):
            yield TaggedOutput(FAILURES_TAG, part)

    def _require_codes(self, modality: str, bucket: int, uncoded: pa.Array) -> None:
        """Refuse to publish ``none`` where a code is only missing; a track in no playlist has no vector to code."""
        if modality == PLAYLIST and len(uncoded):
            vectors = encoded(self._store, modality, self._encoders[modality], bucket)
            uncoded = uncoded.filter(pc.is_in(uncoded, value_set=pa.chunked_array(vectors, uncoded.type)))
        if len(uncoded):
            raise DataRefusedError(
                f"{len(uncoded)} tracks have no {modality} code under bundle {self._bundle_id} yet: "
                "run `tracktokens tokenize`; nothing was published"
            )


def _keys(facts: pa.Table) -> pa.Array:
    return facts["key"].combine_chunks()


def _by_track_bucket(
    keys: pa.Table, facts: pa.Table, modality: str, schema: pa.Schema
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Join track keys with facts, and divide the joined rows by bucket of track."""
    if not facts.num_rows or not keys.num_rows:
        return
    places = pc.index_in(keys["key"].combine_chunks(), value_set=facts["key"].combine_chunks())
    found = pc.is_valid(places)
    tracks, joined = keys.filter(found), facts.take(places.filter(found))
    number = pa.array(np.full(tracks.num_rows, MODALITIES.index(modality), np.int8))
    values = {"modality": number, "track_row": tracks["track_row"], **{n: joined[n] for n in schema.names[2:]}}
    rows = pa.table(values, schema=schema).combine_chunks()
    batch = pa.record_batch([column.combine_chunks() for column in rows.columns], schema=schema)
    yield from split_by_bucket(batch, tracks["track_bucket"].to_numpy().astype(np.int64))


class WriteTokens(beam.DoFn):
    """Writes the token table of one bucket of tracks. Outputs: code counts; rejects of failed inputs, counts."""

    def __init__(self, catalog: Catalog, release: str, bundle_id: str, codebook_size: int) -> None:
        self._catalog = catalog
        self._folder = files.join(release, "tokens")
        self._schema = tokens_schema(bundle_id)
        self._size = codebook_size

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Join the codes of one bucket to its tracks, in order of track id."""
        bucket, parts = element
        track_ids = files.read_table(self._catalog.tracks(bucket), CATALOG_TRACKS, ["track_id"])["track_id"]
        codes = code_columns(pa.Table.from_batches(parts["codes"], CODED_ROWS), len(track_ids))
        strings = token_strings(codes, self._size)
        table = pa.table([track_ids, *codes.columns, strings], schema=self._schema)
        files.write_batches(files.join(self._folder, f"part-{bucket:04d}.parquet"), self._schema, [table])
        yield TaggedOutput(COUNTS_TAG, ("rows_published", table.num_rows))
        for modality in MODALITIES:
            yield modality, code_counts(codes[modality], self._size)
        yield from self._reject(bucket, track_ids, parts["failures"])

    def _reject(self, bucket: int, track_ids: pa.ChunkedArray, failed: Iterable[pa.RecordBatch]) -> Iterator[object]:
        rows = pa.Table.from_batches(failed, FAILED_ROWS)
        if rows.num_rows:
            yield from tag_rejects(bucket, encoding_rejects(rows, track_ids))


def code_columns(coded: pa.Table, tracks: int) -> pa.RecordBatch:
    """Turn ``CODED_ROWS`` into one int16 column a modality, a row a track, null where a track has no code."""
    codes = np.full((len(MODALITIES), tracks), -1, np.int16)
    codes[coded["modality"].to_numpy(), coded["track_row"].to_numpy()] = coded["code"].to_numpy()
    return pa.record_batch([pa.array(row, mask=row < 0) for row in codes], names=list(MODALITIES))


def code_counts(codes: pa.Array, size: int) -> pa.RecordBatch:
    """How many tracks have each code of a modality."""
    counts = np.bincount(codes.drop_null().to_numpy(), minlength=size)
    return pa.record_batch([pa.array(counts.astype(np.int64))], names=["count"])


def encoding_rejects(failed: pa.Table, track_ids: pa.ChunkedArray) -> pa.RecordBatch:
    """Turn ``FAILED_ROWS`` into reject rows of the tracks that lose the modality."""
    modality = pa.array(MODALITIES).take(failed["modality"].combine_chunks())
    rows = failed.num_rows
    columns = {
        "table": pa.array([TRACKS_TABLE] * rows),
        "track_id": track_ids.take(failed["track_row"]).combine_chunks(),
        "modality": modality,
        "stage": pa.array([ENCODE] * rows),
        "reason": failed["reason"].combine_chunks(),
        "detail": failed["detail"].combine_chunks(),
    }
    return pa.record_batch([columns[name] for name in REJECTS.names], schema=REJECTS)


class SumCounts(beam.CombineFn):
    """Adds up code counts of a modality."""

    def create_accumulator(self) -> npt.NDArray[np.int64]:
        """Nothing counted yet."""
        return np.zeros(0, np.int64)

    def add_input(self, total: npt.NDArray[np.int64], counts: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """Add one bucket's counts."""
        return _add(total, counts["count"].to_numpy())

    def merge_accumulators(self, totals: Iterable[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """Add the counts of several workers."""
        merged = self.create_accumulator()
        for total in totals:
            merged = _add(merged, total)
        return merged

    def extract_output(self, total: npt.NDArray[np.int64]) -> list[int]:
        """Counts by code."""
        return [int(count) for count in total]


def _add(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    width = max(len(left), len(right))
    return np.pad(left, (0, width - len(left))) + np.pad(right, (0, width - len(right)))
