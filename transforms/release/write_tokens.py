"""Join codes to tracks, and write the token table."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.tokens.code_matrix import NONE, Codes
from tracktokens.codebooks.tokens.vocabulary import token_strings
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.schemas.tables.records import CODE_RECORDS
from tracktokens.schemas.tables.rejects import ENCODE, REJECTS, TRACKS_TABLE
from tracktokens.schemas.tables.token_changes import CHANGES
from tracktokens.schemas.tables.tokens import tokens_schema
from tracktokens.transforms.catalog.key_diff import RowAlignment
from tracktokens.transforms.quantization.code_join import (
    CODED_ROWS,
    FAILED_ROWS,
    by_track_bucket,
    fill_codes,
    places_of,
    rows_of,
)
from tracktokens.transforms.release.measure_release import measure_codes, tuple_rows
from tracktokens.transforms.release.token_changes import changes_part, count_changes, find_changes
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Catalog, Store
from tracktokens.transforms.store.records import catalog_keys, encoded, failed, without
from tracktokens.transforms.store.token_tables import TokenTable, code_matrix, token_part

FAILURES_TAG = "failures"

BUCKETS_SENT, CODES_SENT, CODES_RECEIVED = "buckets_sent", "codes_sent", "codes_received"
FAILURES_SENT, FAILURES_RECEIVED = "failures_sent", "failures_received"
"""Counts of what went to the tracks and came there: a code that is lost on the way would be published as none."""

QUALITY_TAG = "quality"
"""Output with what was measured of codes, by modality."""

NEW_TAG = "new"
"""Output with what was measured of the codes of new inputs, by modality."""


@dataclass(frozen=True)
class PreviousRelease:
    """The release before.

    Attributes:
        table: its token table.
        recoded: modalities whose codebook is another one now.
        continued: whether it is of the same bundle and of the catalog's base: then what did not change has its codes.
    """

    table: TokenTable
    recoded: frozenset[str]
    continued: bool


class SendCodes(beam.DoFn):
    """Reads and measures one bucket of a modality's codes.

    Main output: ``CODED_ROWS`` by bucket of track, of all tracks, or of those that may have another code than in the
    release before; then ``FAILED_ROWS`` likewise of all, and by modality what was measured: of all codes, and of those
    whose input the catalog before did not have.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        bundle: Bundle,
        encoders: Mapping[str, str],
        learned: bool,
        before: PreviousRelease | None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._before = before
        self._bundle_id = bundle.bundle_id
        self._centroids = {codebook.modality: codebook.num_centroids for codebook in bundle.codebooks}
        self._encoders = dict(encoders)
        self._learned = learned

    def process(self, element: tuple[str, int]) -> Iterator[object]:
        """Join one bucket of one modality's keys with codes and failures."""
        modality, bucket = element
        keys = files.read_table(self._catalog.keys(modality, bucket), TRACK_KEYS)
        codes = files.read_table(self._store.codes(self._bundle_id, modality, bucket), CODE_RECORDS)
        failures = failed(self._store, self._catalog, modality, self._encoders[modality], bucket)
        places = places_of(keys, codes)
        uncoded = keys.filter(places.is_null())  # a failure of what has a code is an old one: a retry went well
        self._require_codes(
            modality, bucket, without(uncoded["key"].combine_chunks(), [failures["key"].combine_chunks()])
        )
        sent = self._to_send(modality, bucket, keys)
        yield TaggedOutput(COUNTS_TAG, (BUCKETS_SENT, 1))
        yield TaggedOutput(COUNTS_TAG, (CODES_SENT, len(places.filter(sent).drop_null())))
        yield from by_track_bucket(keys.filter(sent), places.filter(sent), codes, modality, CODED_ROWS, self._buckets)
        lost = places_of(uncoded, failures)
        yield TaggedOutput(COUNTS_TAG, (FAILURES_SENT, len(lost.drop_null())))
        for part in by_track_bucket(uncoded, lost, failures, modality, FAILED_ROWS, self._buckets):
            yield TaggedOutput(FAILURES_TAG, part)
        yield TaggedOutput(QUALITY_TAG, (modality, measure_codes(places, codes, self._centroids[modality])))
        if self._before is not None:
            new = self._new(self._before, modality, bucket, keys)
            yield TaggedOutput(NEW_TAG, (modality, measure_codes(places.filter(new), codes, self._centroids[modality])))

    @property
    def _buckets(self) -> int:
        return self._catalog.buckets

    def _to_send(self, modality: str, bucket: int, keys: pa.Table) -> pa.Array:
        """Which keys' codes the release before may not have."""
        if self._before is None or not self._before.continued:
            return pa.repeat(True, keys.num_rows)
        if modality == PLAYLIST and self._learned:  # a track may have got a vector; its key is of its own bucket
            table = self._before.table
            has = table.read(bucket, [PLAYLIST])[PLAYLIST].is_valid()
            known = table.tracks(bucket, ["track"])["track"].filter(has)
            return pc.invert(pc.is_in(keys["track"], value_set=known.combine_chunks())).combine_chunks()
        return keys["changed"].combine_chunks()

    def _new(self, before: PreviousRelease, modality: str, bucket: int, keys: pa.Table) -> pa.Array:
        """Which keys the catalog before did not have."""
        if before.continued:
            return keys["new"].combine_chunks()
        old = catalog_keys(before.table.catalog, modality, bucket)
        return pc.invert(pc.is_in(keys["key"], value_set=old)).combine_chunks()

    def _require_codes(self, modality: str, bucket: int, uncoded: pa.Array) -> None:
        """Refuse to publish ``none`` where a code is only missing; a track in no playlist has no vector to code."""
        if modality == PLAYLIST and len(uncoded):
            vectors = encoded(self._store, modality, self._encoders[modality], bucket)
            uncoded = uncoded.filter(pc.is_in(uncoded, value_set=pa.chunked_array(vectors, uncoded.type)))
        if len(uncoded):
            raise InvalidDataError(
                f"{len(uncoded)} tracks have no {modality} code under bundle {self._bundle_id} yet: "
                "run `tracktokens tokenize`; nothing was published"
            )


PUBLISHED_COLUMNS = ["track_id", "track", "title", "artist", "popularity", *MODALITIES]
"""What is needed of a catalog's tracks."""


class WriteTokens(beam.DoFn):
    """Writes the token table of one bucket of tracks, and what of it is otherwise than in the release before.

    Main output: ``TUPLE_ROWS`` by a hash of the tokens; then rejects of failed inputs, and counts.
    """

    def __init__(
        self, catalog: Catalog, release: str, bundle_id: str, codebook_size: int, before: PreviousRelease | None
    ) -> None:
        self._catalog = catalog
        self._release = release
        self._schema = tokens_schema(bundle_id)
        self._size = codebook_size
        self._before = before

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Join the codes of one bucket to its tracks, in order of track id."""
        bucket, parts = element
        tracks = files.read_table(self._catalog.tracks(bucket), CATALOG_TRACKS, PUBLISHED_COLUMNS)
        old = self._old_tokens(bucket)
        codes = self._standing(bucket, tracks, old)
        coded = pa.Table.from_batches(parts["codes"], CODED_ROWS)
        failed = pa.Table.from_batches(parts["failures"], FAILED_ROWS)
        yield TaggedOutput(COUNTS_TAG, (CODES_RECEIVED, coded.num_rows))
        yield TaggedOutput(COUNTS_TAG, (FAILURES_RECEIVED, failed.num_rows))
        fill_codes(codes, coded, tracks["track"])
        columns = [pa.array(column, mask=column == NONE) for column in np.ascontiguousarray(codes.T)]
        strings = token_strings(pa.record_batch(columns, names=list(MODALITIES)), self._size)
        table = pa.table([tracks["track_id"], *columns, strings], schema=self._schema)
        files.write_batches(token_part(self._release, bucket), self._schema, [table])
        yield TaggedOutput(COUNTS_TAG, ("rows_published", table.num_rows))
        yield from self._compare(bucket, table, old)
        yield from tuple_rows(codes, tracks, self._catalog.buckets)
        if failed.num_rows:
            yield from tag_rejects(bucket, encoding_rejects(failed, tracks))

    def _old_tokens(self, bucket: int) -> pa.Table:
        """The bucket in the release before, without a row where there is none."""
        columns = ["track_id", *MODALITIES]
        if self._before is None:
            return pa.schema([self._schema.field(name) for name in columns]).empty_table()
        return self._before.table.read(bucket, columns)

    def _standing(self, bucket: int, tracks: pa.Table, old_tokens: pa.Table) -> Codes:
        """The codes that tracks keep, as their input is what it was: int16 (tracks, 5)."""
        codes = np.full((tracks.num_rows, len(MODALITIES)), NONE, np.int16)
        if self._before is None or not self._before.continued:
            return codes
        before = self._before.table.tracks(bucket, ["track", *MODALITIES])
        old = code_matrix(old_tokens)
        pairs = RowAlignment.of(before, tracks)
        known = pairs.places.is_valid().to_numpy(zero_copy_only=False)
        places = pc.fill_null(pairs.places, 0).to_numpy()
        for column, modality in enumerate(MODALITIES):
            same = known & pairs.same(before[modality].combine_chunks(), tracks[modality].combine_chunks())
            codes[same, column] = old[places[same], column]
        return codes

    def _compare(self, bucket: int, table: pa.Table, old_tokens: pa.Table) -> Iterator[TaggedOutput]:
        if self._before is None:
            return
        changes = find_changes(old_tokens, table, self._before.recoded)
        if changes.num_rows:
            files.write_batches(changes_part(self._release, bucket), CHANGES, [changes])
        yield from (TaggedOutput(COUNTS_TAG, count) for count in count_changes(changes))


def encoding_rejects(failed: pa.Table, tracks: pa.Table) -> pa.RecordBatch:
    """Turn ``FAILED_ROWS`` into reject rows of the tracks that lose the modality, by ``track_id`` and ``track``."""
    rows_lost = pa.array(rows_of(failed["track"], tracks["track"]))
    modality = pa.array(MODALITIES).take(failed["modality"].combine_chunks())
    rows = failed.num_rows
    columns = {
        "table": pa.array([TRACKS_TABLE] * rows),
        "track_id": tracks["track_id"].take(rows_lost).combine_chunks(),
        "modality": modality,
        "stage": pa.array([ENCODE] * rows),
        "reason": failed["reason"].combine_chunks(),
        "detail": failed["detail"].combine_chunks(),
    }
    return pa.record_batch([columns[name] for name in REJECTS.names], schema=REJECTS)
