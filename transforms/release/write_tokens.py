"""Join codes to tracks, and write the token table."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.codebooks.numerics.arrays import CodeMatrix
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.codebooks.tokens.vocabulary import token_strings
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.manifests.release import FROM_PLAYLISTS
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.schemas.tables.popularity import PLAYLIST_COUNTS
from tracktokens.schemas.tables.records import CODE_RECORDS
from tracktokens.schemas.tables.rejects import ENCODE, REJECTS, TRACKS_TABLE
from tracktokens.schemas.tables.token_changes import CHANGES
from tracktokens.schemas.tables.tokens import token_columns, tokens_schema
from tracktokens.schemas.token_format import TokenFormat, modality_of
from tracktokens.transforms.catalog.key_diff import RowAlignment
from tracktokens.transforms.quantization.code_join import (
    CODED_ROWS,
    FAILED_ROWS,
    by_track_bucket,
    fill_codes,
    record_rows,
    track_rows,
)
from tracktokens.transforms.release.count_playlists import PLAYLISTS_RECEIVED, track_counts, with_playlist_counts
from tracktokens.transforms.release.measure_release import measure_codes, tuple_rows
from tracktokens.transforms.release.token_changes import count_changes, find_changes
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.rejects import tag_rejects
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Catalog, ReleasePaths, Store
from tracktokens.transforms.store.records import catalog_keys, encoded, failed, without
from tracktokens.transforms.store.token_tables import TokenTable, code_matrix

FAILURES_TAG = "failures"

BUCKETS_SENT, CODES_SENT, CODES_RECEIVED = "buckets_sent", "codes_sent", "codes_received"
FAILURES_SENT, FAILURES_RECEIVED = "failures_sent", "failures_received"
"""Counts before and after the shuffle to the tracks: a dropped code would be published as none."""

NUMBERS_SENT, NUMBERS_RECEIVED = "numbers_sent", "numbers_received"
"""Counts before and after the shuffle of numbers to the tracks."""

QUALITY_TAG = "quality"
"""Output with the quality of all codes, by column."""

NEW_TAG = "new"
"""Output with the quality of the codes of new inputs, by column."""


@dataclass(frozen=True)
class PreviousRelease:
    """The release before this one.

    Attributes:
        table: its token table.
        recoded: columns whose codebook changed since, and those that only one of the two releases has.
        continued: whether it has the same bundle, and its catalog is the base of this one: then an unchanged input
            keeps its code.
    """

    table: TokenTable
    recoded: frozenset[str]
    continued: bool


@dataclass(eq=False)
class SendCodes(beam.DoFn):
    """Read and measure one bucket of a column's codes, and send them to their tracks.

    Main output: ``CODED_ROWS`` by bucket of track, without the codes that the tracks keep from the previous release.
    ``FAILURES_TAG``: ``FAILED_ROWS`` of all tracks by bucket of track. ``QUALITY_TAG`` and ``NEW_TAG``: the quality of
    all codes, and of those whose input is not in the previous catalog, by column.

    Attributes:
        store: the store.
        catalog: the snapshot to publish.
        bundle_id: bundle of the codes.
        token_format: its columns.
        centroids: column to number of centroids.
        encoders: modality to encoder id.
        playlists_learned: whether playlist vectors were learned from playlists, and not precomputed.
        previous: None for the first release, and where the vocabulary has another size.
    """

    store: Store
    catalog: Catalog
    bundle_id: str
    token_format: TokenFormat
    centroids: Mapping[str, int]
    encoders: Mapping[str, str]
    playlists_learned: bool
    previous: PreviousRelease | None
    _listings: files.Listings = field(default_factory=files.Listings, init=False, repr=False)

    def process(self, element: tuple[str, int]) -> Iterator[object]:
        """Join one bucket of one column's keys with codes and failures."""
        name, bucket = element
        modality, column = modality_of(name), self.token_format.names.index(name)
        buckets = self.catalog.buckets
        with self._listings.used():
            keys = files.read_table(self.catalog.keys(modality, bucket), TRACK_KEYS)
            codes = files.read_table(self.store.codes(self.bundle_id, name, bucket), CODE_RECORDS)
            failures = failed(self.store, self.catalog, modality, self.encoders[modality], bucket)
        code_rows = record_rows(keys, codes)
        uncoded = keys.filter(code_rows.is_null())  # a key with a code may have an old failure: its retry succeeded
        self._require_codes(
            modality, bucket, without(uncoded["key"].combine_chunks(), [failures["key"].combine_chunks()])
        )
        sent = self._to_send(name, bucket, keys)
        yield TaggedOutput(COUNTS_TAG, (BUCKETS_SENT, 1))
        yield TaggedOutput(COUNTS_TAG, (CODES_SENT, len(code_rows.filter(sent).drop_null())))
        yield from by_track_bucket(
            keys.filter(sent), code_rows.filter(sent), codes, column=column, schema=CODED_ROWS, buckets=buckets
        )
        if name == modality:  # a failed input is one reject, whatever the number of its levels
            yield from self._send_failures(column, uncoded, failures)
        centroids = self.centroids[name]
        yield TaggedOutput(QUALITY_TAG, (name, measure_codes(code_rows, codes, centroids)))
        if self.previous is not None:
            new = self._new(self.previous, modality, bucket, keys)
            yield TaggedOutput(NEW_TAG, (name, measure_codes(code_rows.filter(new), codes, centroids)))

    def _send_failures(self, column: int, uncoded: pa.Table, failures: pa.Table) -> Iterator[TaggedOutput]:
        rows = record_rows(uncoded, failures)
        yield TaggedOutput(COUNTS_TAG, (FAILURES_SENT, len(rows.drop_null())))
        buckets = self.catalog.buckets
        for part in by_track_bucket(uncoded, rows, failures, column=column, schema=FAILED_ROWS, buckets=buckets):
            yield TaggedOutput(FAILURES_TAG, part)

    def _to_send(self, name: str, bucket: int, keys: pa.Table) -> pa.Array:
        """Mark the keys whose code the previous release may not have."""
        if self.previous is None or not self.previous.continued:
            return pa.repeat(True, keys.num_rows)
        # A track may get its first playlist vector; its playlist key is in the bucket of the track.
        if modality_of(name) == PLAYLIST and self.playlists_learned:
            table = self.previous.table
            has_code = table.read(bucket, [name])[name].is_valid()
            known = table.tracks(bucket, ["track"])["track"].filter(has_code)
            return pc.invert(pc.is_in(keys["track"], value_set=known.combine_chunks())).combine_chunks()
        return keys["changed"].combine_chunks()

    def _new(self, previous: PreviousRelease, modality: str, bucket: int, keys: pa.Table) -> pa.Array:
        """Mark the keys that the previous catalog does not have."""
        if previous.continued:
            return keys["new"].combine_chunks()
        with self._listings.used():
            old = catalog_keys(previous.table.catalog, modality, bucket)
        return pc.invert(pc.is_in(keys["key"], value_set=old)).combine_chunks()

    def _require_codes(self, modality: str, bucket: int, uncoded: pa.Array) -> None:
        """Refuse to publish ``none`` for a vector without a code; a track in no playlist has no playlist vector."""
        if modality == PLAYLIST and len(uncoded):
            with self._listings.used():
                vectors = encoded(self.store, modality, self.encoders[modality], bucket)
            uncoded = uncoded.filter(pc.is_in(uncoded, value_set=pa.chunked_array(vectors, uncoded.type)))
        if len(uncoded):
            raise InvalidDataError(
                f"{len(uncoded)} tracks have no {modality} code under bundle {self.bundle_id}: "
                "run `tracktokens tokenize`; nothing was published"
            )


PUBLISHED_COLUMNS = ["track_id", "track", "title", "artist", "popularity", *MODALITIES]
"""Columns of the catalog's tracks that publishing reads."""


@dataclass(eq=False)
class JoinCodes:
    """Join of the codes of one bucket to its tracks.

    Attributes:
        catalog: the snapshot to publish.
        token_format: columns of the token table.
        previous: None for the first release, and where the vocabulary has another size.
        popularity: source of the tracks' popularity.
    """

    catalog: Catalog
    token_format: TokenFormat
    previous: PreviousRelease | None
    popularity: str | None = None

    def old_tokens(self, bucket: int) -> pa.Table:
        """Read ids and codes of the bucket in the previous release; empty without one."""
        if self.previous is None:
            schema = token_columns(self.token_format.names)
            return schema.remove(schema.get_field_index("tokens")).empty_table()
        return self.previous.table.read_codes(bucket)

    def codes(self, bucket: int, tracks: pa.Table, old: pa.Table, coded: pa.Table) -> CodeMatrix:
        """Return the codes of a bucket, int16 (tracks, columns), -1 for none.

        Args:
            bucket: the bucket.
            tracks: its tracks.
            old: :meth:`old_tokens` of the bucket, whose codes are kept where the input of a track did not change.
            coded: ``CODED_ROWS``, the other codes.
        """
        codes = self._kept_codes(bucket, tracks, old)
        fill_codes(codes, coded, tracks["track"])
        return codes

    def _kept_codes(self, bucket: int, tracks: pa.Table, old_tokens: pa.Table) -> CodeMatrix:
        codes = np.full((tracks.num_rows, len(self.token_format)), NONE, np.int16)
        if self.previous is None or not self.previous.continued:
            return codes
        old_tracks = self.previous.table.tracks(bucket, ["track", *MODALITIES])
        old_codes = code_matrix(old_tokens, self.token_format.names)
        alignment = RowAlignment.of(old_tracks, tracks)
        known = alignment.previous_rows.is_valid().to_numpy(zero_copy_only=False)
        old_rows = pc.fill_null(alignment.previous_rows, 0).to_numpy()
        for modality in MODALITIES:
            same = known & alignment.same(old_tracks[modality].combine_chunks(), tracks[modality].combine_chunks())
            for column in self.token_format.columns_of(modality):
                number = self.token_format.names.index(column.name)
                codes[same, number] = old_codes[old_rows[same], number]
        return codes


@dataclass(eq=False)
class WriteTokens(beam.DoFn):
    """Write the token table of one bucket of tracks, and its changes since the previous release.

    Main output: ``TUPLE_ROWS`` by a hash of the tokens. Other outputs: rejects of failed inputs, and counts.

    Attributes:
        join: joins codes to tracks.
        release: paths of the release.
        bundle_id: bundle of the codes.
    """

    join: JoinCodes
    release: ReleasePaths
    bundle_id: str
    _listings: files.Listings = field(default_factory=files.Listings, init=False, repr=False)

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Join the codes of one bucket to its tracks, in order of track id."""
        bucket, parts = element
        token_format, catalog = self.join.token_format, self.join.catalog
        schema = tokens_schema(self.bundle_id, token_format)
        coded = pa.Table.from_batches(parts["codes"], CODED_ROWS)
        failed = pa.Table.from_batches(parts["failures"], FAILED_ROWS)
        numbers = pc.sum(pc.equal(coded["modality"], len(token_format.coded))).as_py() or 0
        yield TaggedOutput(COUNTS_TAG, (CODES_RECEIVED, coded.num_rows - numbers))
        yield TaggedOutput(COUNTS_TAG, (NUMBERS_RECEIVED, numbers))
        yield TaggedOutput(COUNTS_TAG, (FAILURES_RECEIVED, failed.num_rows))
        with self._listings.used():
            tracks = files.read_table(catalog.tracks(bucket), CATALOG_TRACKS, PUBLISHED_COLUMNS)
            old = self.join.old_tokens(bucket)
            codes = self.join.codes(bucket, tracks, old, coded)
        columns = [pa.array(column, mask=column == NONE) for column in np.ascontiguousarray(codes.T)]
        strings = token_strings(pa.record_batch(columns, names=list(token_format.names)), token_format)
        table = pa.table([tracks["track_id"], *columns, strings], schema=schema)
        files.write_batches(self.release.token_part(bucket), schema, [table])
        yield TaggedOutput(COUNTS_TAG, ("rows_published", table.num_rows))
        yield from self._write_changes(bucket, table, old)
        counted = list(parts["playlists"])
        yield TaggedOutput(COUNTS_TAG, (PLAYLISTS_RECEIVED, sum(part.num_rows for part in counted)))
        yield from tuple_rows(codes, self._with_popularity(bucket, tracks, counted), token_format, catalog.buckets)
        if failed.num_rows:
            yield from tag_rejects(bucket, encoding_rejects(failed, tracks))

    def _with_popularity(self, bucket: int, tracks: pa.Table, counted: list[pa.RecordBatch]) -> pa.Table:
        """Replace the popularity by the number of playlists, and write it, unless the catalog has one."""
        if self.join.popularity != FROM_PLAYLISTS:
            return tracks
        counts = track_counts(tracks, counted)
        files.write_batches(self.release.popularity_part(bucket), PLAYLIST_COUNTS, [counts])
        return with_playlist_counts(tracks, counts)

    def _write_changes(self, bucket: int, table: pa.Table, old_tokens: pa.Table) -> Iterator[TaggedOutput]:
        previous = self.join.previous
        if previous is None:
            return
        changes = find_changes(old_tokens, table, previous.recoded)
        if changes.num_rows:
            files.write_batches(self.release.changes_part(bucket), CHANGES, [changes])
        yield from (TaggedOutput(COUNTS_TAG, count) for count in count_changes(changes))


def encoding_rejects(failed: pa.Table, tracks: pa.Table) -> pa.RecordBatch:
    """Convert failed inputs into ``REJECTS`` rows of the tracks that lose the modality.

    Args:
        failed: ``FAILED_ROWS``.
        tracks: ``track_id`` and ``track`` of the bucket.
    """
    row_indices = pa.array(track_rows(failed["track"], tracks["track"]))
    modality = pa.array(MODALITIES).take(failed["modality"].combine_chunks())
    rows = failed.num_rows
    columns = {
        "table": pa.array([TRACKS_TABLE] * rows),
        "track_id": tracks["track_id"].take(row_indices).combine_chunks(),
        "modality": modality,
        "stage": pa.array([ENCODE] * rows),
        "reason": failed["reason"].combine_chunks(),
        "detail": failed["detail"].combine_chunks(),
    }
    return pa.record_batch([columns[name] for name in REJECTS.names], schema=REJECTS)
