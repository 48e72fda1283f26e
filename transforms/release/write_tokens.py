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
from tracktokens.schemas.tables.tokens import tokens_schema
from tracktokens.transforms.catalog.key_diff import RowAlignment
from tracktokens.transforms.quantization.code_join import (
    CODED_ROWS,
    FAILED_ROWS,
    by_track_bucket,
    fill_codes,
    record_rows,
    track_rows,
)
from tracktokens.transforms.release.count_playlists import PLAYLISTS_RECEIVED, track_counts
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

QUALITY_TAG = "quality"
"""Output with the quality of all codes, by modality."""

NEW_TAG = "new"
"""Output with the quality of the codes of new inputs, by modality."""


@dataclass(frozen=True)
class PreviousRelease:
    """The release before this one.

    Attributes:
        table: its token table.
        recoded: modalities whose codebook changed since.
        continued: whether it has the same bundle, and its catalog is the base of this one: then an unchanged input
            keeps its code.
    """

    table: TokenTable
    recoded: frozenset[str]
    continued: bool


@dataclass(eq=False)
class SendCodes(beam.DoFn):
    """Read and measure one bucket of a modality's codes, and send them to their tracks.

    Main output: ``CODED_ROWS`` by bucket of track, without the codes that the tracks keep from the previous release.
    ``FAILURES_TAG``: ``FAILED_ROWS`` of all tracks by bucket of track. ``QUALITY_TAG`` and ``NEW_TAG``: the quality of
    all codes, and of those whose input is not in the previous catalog, by modality.

    Attributes:
        store: the store.
        catalog: the snapshot to publish.
        bundle_id: bundle of the codes.
        centroids: modality to number of centroids.
        encoders: modality to encoder id.
        playlists_learned: whether playlist vectors were learned from playlists, and not precomputed.
        previous: None for the first release, and where the vocabulary has another size.
    """

    store: Store
    catalog: Catalog
    bundle_id: str
    centroids: Mapping[str, int]
    encoders: Mapping[str, str]
    playlists_learned: bool
    previous: PreviousRelease | None
    _listings: files.Listings = field(default_factory=files.Listings, init=False, repr=False)

    def process(self, element: tuple[str, int]) -> Iterator[object]:
        """Join one bucket of one modality's keys with codes and failures."""
        modality, bucket = element
        buckets = self.catalog.buckets
        with self._listings.used():
            keys = files.read_table(self.catalog.keys(modality, bucket), TRACK_KEYS)
            codes = files.read_table(self.store.codes(self.bundle_id, modality, bucket), CODE_RECORDS)
            failures = failed(self.store, self.catalog, modality, self.encoders[modality], bucket)
        code_rows = record_rows(keys, codes)
        uncoded = keys.filter(code_rows.is_null())  # a key with a code may have an old failure: its retry succeeded
        self._require_codes(
            modality, bucket, without(uncoded["key"].combine_chunks(), [failures["key"].combine_chunks()])
        )
        sent = self._to_send(modality, bucket, keys)
        yield TaggedOutput(COUNTS_TAG, (BUCKETS_SENT, 1))
        yield TaggedOutput(COUNTS_TAG, (CODES_SENT, len(code_rows.filter(sent).drop_null())))
        yield from by_track_bucket(
            keys.filter(sent), code_rows.filter(sent), codes, modality=modality, schema=CODED_ROWS, buckets=buckets
        )
        failure_rows = record_rows(uncoded, failures)
        yield TaggedOutput(COUNTS_TAG, (FAILURES_SENT, len(failure_rows.drop_null())))
        for part in by_track_bucket(
            uncoded, failure_rows, failures, modality=modality, schema=FAILED_ROWS, buckets=buckets
        ):
            yield TaggedOutput(FAILURES_TAG, part)
        centroids = self.centroids[modality]
        yield TaggedOutput(QUALITY_TAG, (modality, measure_codes(code_rows, codes, centroids)))
        if self.previous is not None:
            new = self._new(self.previous, modality, bucket, keys)
            yield TaggedOutput(NEW_TAG, (modality, measure_codes(code_rows.filter(new), codes, centroids)))

    def _to_send(self, modality: str, bucket: int, keys: pa.Table) -> pa.Array:
        """Mark the keys whose code the previous release may not have."""
        if self.previous is None or not self.previous.continued:
            return pa.repeat(True, keys.num_rows)
        # A track may get its first playlist vector; its playlist key is in the bucket of the track.
        if modality == PLAYLIST and self.playlists_learned:
            table = self.previous.table
            has_code = table.read(bucket, [PLAYLIST])[PLAYLIST].is_valid()
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
class WriteTokens(beam.DoFn):
    """Write the token table of one bucket of tracks, and its changes since the previous release.

    Main output: ``TUPLE_ROWS`` by a hash of the tokens. Other outputs: rejects of failed inputs, and counts.

    Attributes:
        catalog: the snapshot to publish.
        release: paths of the release.
        bundle_id: bundle of the codes.
        codebook_size: codes per modality in the vocabulary.
        previous: None for the first release, and where the vocabulary has another size.
        popularity: source of the tracks' popularity.
    """

    catalog: Catalog
    release: ReleasePaths
    bundle_id: str
    codebook_size: int
    previous: PreviousRelease | None
    popularity: str | None = None
    _listings: files.Listings = field(default_factory=files.Listings, init=False, repr=False)

    def process(self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]) -> Iterator[object]:
        """Join the codes of one bucket to its tracks, in order of track id."""
        bucket, parts = element
        schema = tokens_schema(self.bundle_id)
        with self._listings.used():
            tracks = files.read_table(self.catalog.tracks(bucket), CATALOG_TRACKS, PUBLISHED_COLUMNS)
            old = self._old_tokens(bucket)
            codes = self._kept_codes(bucket, tracks, old)
        coded = pa.Table.from_batches(parts["codes"], CODED_ROWS)
        failed = pa.Table.from_batches(parts["failures"], FAILED_ROWS)
        yield TaggedOutput(COUNTS_TAG, (CODES_RECEIVED, coded.num_rows))
        yield TaggedOutput(COUNTS_TAG, (FAILURES_RECEIVED, failed.num_rows))
        fill_codes(codes, coded, tracks["track"])
        columns = [pa.array(column, mask=column == NONE) for column in np.ascontiguousarray(codes.T)]
        strings = token_strings(pa.record_batch(columns, names=list(MODALITIES)), self.codebook_size)
        table = pa.table([tracks["track_id"], *columns, strings], schema=schema)
        files.write_batches(self.release.token_part(bucket), schema, [table])
        yield TaggedOutput(COUNTS_TAG, ("rows_published", table.num_rows))
        yield from self._write_changes(bucket, table, old)
        counted = list(parts["playlists"])
        yield TaggedOutput(COUNTS_TAG, (PLAYLISTS_RECEIVED, sum(part.num_rows for part in counted)))
        yield from tuple_rows(codes, self._with_popularity(bucket, tracks, counted), self.catalog.buckets)
        if failed.num_rows:
            yield from tag_rejects(bucket, encoding_rejects(failed, tracks))

    def _with_popularity(self, bucket: int, tracks: pa.Table, counted: list[pa.RecordBatch]) -> pa.Table:
        """Replace the popularity by the number of playlists, and write it, unless the catalog has one."""
        if self.popularity != FROM_PLAYLISTS:
            return tracks
        counts = track_counts(tracks, counted)
        files.write_batches(self.release.popularity_part(bucket), PLAYLIST_COUNTS, [counts])
        column = tracks.schema.get_field_index("popularity")
        return tracks.set_column(column, "popularity", counts["playlists"].cast(pa.float64()))

    def _old_tokens(self, bucket: int) -> pa.Table:
        """Read the bucket of the previous release; empty without one."""
        columns = ["track_id", *MODALITIES]
        if self.previous is None:
            return pa.schema([tokens_schema(self.bundle_id).field(name) for name in columns]).empty_table()
        return self.previous.table.read(bucket, columns)

    def _kept_codes(self, bucket: int, tracks: pa.Table, old_tokens: pa.Table) -> CodeMatrix:
        """Copy the codes of tracks whose input did not change: int16 (tracks, 5), -1 elsewhere."""
        codes = np.full((tracks.num_rows, len(MODALITIES)), NONE, np.int16)
        if self.previous is None or not self.previous.continued:
            return codes
        old_tracks = self.previous.table.tracks(bucket, ["track", *MODALITIES])
        old_codes = code_matrix(old_tokens)
        alignment = RowAlignment.of(old_tracks, tracks)
        known = alignment.previous_rows.is_valid().to_numpy(zero_copy_only=False)
        old_rows = pc.fill_null(alignment.previous_rows, 0).to_numpy()
        for column, modality in enumerate(MODALITIES):
            same = known & alignment.same(old_tracks[modality].combine_chunks(), tracks[modality].combine_chunks())
            codes[same, column] = old_codes[old_rows[same], column]
        return codes

    def _write_changes(self, bucket: int, table: pa.Table, old_tokens: pa.Table) -> Iterator[TaggedOutput]:
        if self.previous is None:
            return
        changes = find_changes(old_tokens, table, self.previous.recoded)
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
