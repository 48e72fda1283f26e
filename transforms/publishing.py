"""Join codes to tracks, and write the token table."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.vocabulary import token_strings
from tracktokens.schemas.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.schemas.changes import CHANGES
from tracktokens.schemas.errors import DataRefusedError
from tracktokens.schemas.facts import CODE_FACTS
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.schemas.rejects import ENCODE, REJECTS, TRACKS_TABLE
from tracktokens.schemas.tokens import tokens_schema
from tracktokens.transforms import files
from tracktokens.transforms.changes import changes_part, count_changes, find_changes
from tracktokens.transforms.counts import COUNTS_TAG
from tracktokens.transforms.facts import catalog_keys, encoded, failed, without
from tracktokens.transforms.keys import split_by_bucket
from tracktokens.transforms.measuring import measure_codes, tuple_rows
from tracktokens.transforms.rejecting import tag_rejects
from tracktokens.transforms.store import Catalog, Store
from tracktokens.transforms.token_tables import TokenTable, code_matrix, token_part

CODED_ROWS = pa.schema([("modality", pa.int8()), ("track_row", pa.int32()), ("code", pa.int16())])
"""A code on its way to its track: number of the modality, row of the track in its bucket."""

FAILED_ROWS = pa.schema(
    [("modality", pa.int8()), ("track_row", pa.int32()), ("reason", pa.string()), ("detail", pa.string())]
)
"""A failed input on its way to its track."""

FAILURES_TAG = "failures"

QUALITY_TAG = "quality"
"""Output with what was measured of codes, by modality."""

NEW_TAG = "new"
"""Output with what was measured of the codes of new inputs, by modality."""


class SendCodes(beam.DoFn):
    """Reads and measures one bucket of a modality's codes.

    Main output: ``CODED_ROWS`` by bucket of track; then ``FAILED_ROWS`` likewise, and by modality what was measured: of
    all codes, and of those whose input the catalog before did not have.
    """

    def __init__(
        self, store: Store, catalog: Catalog, bundle: Bundle, encoders: Mapping[str, str], before: Catalog | None
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._before = before
        self._bundle_id = bundle.bundle_id
        self._centroids = {codebook.modality: codebook.size for codebook in bundle.codebooks}
        self._encoders = dict(encoders)

    def process(self, element: tuple[str, int]) -> Iterator[object]:
        """Join one bucket of one modality's keys with codes and failures."""
        modality, bucket = element
        keys = files.read_table(self._catalog.keys(modality, bucket), TRACK_KEYS)
        codes = files.read_table(self._store.codes(self._bundle_id, modality, bucket), CODE_FACTS)
        failures = failed(self._store, self._catalog, modality, self._encoders[modality], bucket)
        failures = failures.filter(pc.invert(pc.is_in(failures["key"], value_set=_keys(codes))))  # a retry went well
        self._require_codes(modality, bucket, without(keys["key"].combine_chunks(), [_keys(codes), _keys(failures)]))
        yield from by_track_bucket(keys, codes, modality, CODED_ROWS)
        for part in by_track_bucket(keys, failures, modality, FAILED_ROWS):
            yield TaggedOutput(FAILURES_TAG, part)
        yield TaggedOutput(QUALITY_TAG, (modality, measure_codes(keys, codes, self._centroids[modality])))
        if self._before is not None:
            new = keys.filter(pc.invert(pc.is_in(keys["key"], value_set=catalog_keys(self._before, modality, bucket))))
            yield TaggedOutput(NEW_TAG, (modality, measure_codes(new, codes, self._centroids[modality])))

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


def by_track_bucket(
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


@dataclass(frozen=True)
class Predecessor:
    """The release before.

    Attributes:
        table: its token table.
        recoded: modalities whose codebook is another one now.
    """

    table: TokenTable
    recoded: frozenset[str]


class WriteTokens(beam.DoFn):
    """Writes the token table of one bucket of tracks, and what of it is otherwise than in the release before.

    Main output: ``TUPLE_ROWS`` by a hash of the tokens; then rejects of failed inputs, and counts.
    """

    def __init__(
        self, catalog: Catalog, release: str, bundle_id: str, codebook_size: int, before: Predecessor | None
    ) -> None:
        self._catalog = catalog
        self._release = release
        self._schema = tokens_schema(bundle_id)
        self._size = codebook_size
        self._before = before

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Join the codes of one bucket to its tracks, in order of track id."""
        bucket, parts = element
        tracks = files.read_table(self._catalog.tracks(bucket), CATALOG_TRACKS)
        codes = code_columns(pa.Table.from_batches(parts["codes"], CODED_ROWS), tracks.num_rows)
        strings = token_strings(codes, self._size)
        table = pa.table([tracks["track_id"], *codes.columns, strings], schema=self._schema)
        files.write_batches(token_part(self._release, bucket), self._schema, [table])
        yield TaggedOutput(COUNTS_TAG, ("rows_published", table.num_rows))
        yield from self._compare(bucket, table)
        yield from tuple_rows(code_matrix(table), tracks, self._catalog.buckets)
        yield from self._reject(bucket, tracks["track_id"], parts["failures"])

    def _compare(self, bucket: int, table: pa.Table) -> Iterator[TaggedOutput]:
        if self._before is None:
            return
        old = self._before.table.read(bucket, ["track_id", *MODALITIES])
        changes = find_changes(old, table, self._before.recoded)
        if changes.num_rows:
            files.write_batches(changes_part(self._release, bucket), CHANGES, [changes])
        yield from (TaggedOutput(COUNTS_TAG, count) for count in count_changes(changes))

    def _reject(self, bucket: int, track_ids: pa.ChunkedArray, failed: Iterable[pa.RecordBatch]) -> Iterator[object]:
        rows = pa.Table.from_batches(failed, FAILED_ROWS)
        if rows.num_rows:
            yield from tag_rejects(bucket, encoding_rejects(rows, track_ids))


def code_columns(coded: pa.Table, tracks: int) -> pa.RecordBatch:
    """Turn ``CODED_ROWS`` into one int16 column a modality, a row a track, null where a track has no code."""
    codes = np.full((len(MODALITIES), tracks), -1, np.int16)
    codes[coded["modality"].to_numpy(), coded["track_row"].to_numpy()] = coded["code"].to_numpy()
    return pa.record_batch([pa.array(row, mask=row < 0) for row in codes], names=list(MODALITIES))


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
