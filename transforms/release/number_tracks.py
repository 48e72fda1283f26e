"""Number the tracks of a release: tracks with equal codes meet by a hash of them, and get different numbers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.codebooks.numerics.arrays import Codes, Words
from tracktokens.codebooks.tokens.code_matrix import NONE, tuple_buckets
from tracktokens.codebooks.tokens.numbering import UNKNOWN_SONG, number_tracks
from tracktokens.schemas.manifests.release import FROM_PLAYLISTS
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.token_format import NUMBER, NUMBERED, TokenFormat
from tracktokens.transforms.quantization.code_join import CODED_ROWS
from tracktokens.transforms.release.count_playlists import track_counts, with_playlist_counts
from tracktokens.transforms.release.measure_release import song_hashes
from tracktokens.transforms.release.write_tokens import NUMBERS_SENT, PUBLISHED_COLUMNS, JoinCodes
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import split_by_bucket, track_buckets
from tracktokens.transforms.store.token_tables import code_matrix, popularity_weights

SONG_COLUMNS = ["title", "artist"]
"""Columns of the catalog's tracks that name a song."""

NUMBER_OVERFLOW = "number_overflow"
"""Count of the tracks that share the last number for lack of numbers."""


def number_rows(token_format: TokenFormat) -> pa.Schema:
    """Schema of the tracks to number: codes, -1 for none, song, and the previous number, -1 without one."""
    return pa.schema(
        [
            pa.field("track_id", pa.string(), nullable=False),
            pa.field("track", pa.uint64(), nullable=False),
            *[pa.field(column.name, pa.int16(), nullable=False) for column in token_format.coded],
            pa.field("song", pa.uint64(), nullable=False),
            pa.field("popularity", pa.float64(), nullable=False),
            pa.field("previous", pa.int16(), nullable=False),
        ]
    )


@dataclass(eq=False)
class SendTuples(beam.DoFn):
    """Join codes to the tracks of one bucket, and send the tracks to the bucket of their tuple.

    Output: ``number_rows`` by bucket of tuple.

    Attributes:
        join: joins codes to tracks.
    """

    join: JoinCodes

    def process(
        self, element: tuple[int, Mapping[str, Iterable[pa.RecordBatch]]]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Send one bucket of tracks."""
        bucket, parts = element
        token_format, catalog = self.join.token_format, self.join.catalog
        tracks = files.read_table(catalog.tracks(bucket), CATALOG_TRACKS, PUBLISHED_COLUMNS)
        if self.join.popularity == FROM_PLAYLISTS:
            tracks = with_playlist_counts(tracks, track_counts(tracks, parts["playlists"]))
        old = self.join.old_tokens(bucket)
        codes = self.join.codes(bucket, tracks, old, pa.Table.from_batches(parts["codes"], CODED_ROWS))
        coded = np.ascontiguousarray(codes[:, : len(token_format.coded)])
        columns = [
            tracks["track_id"].combine_chunks(),
            tracks["track"].combine_chunks(),
            *(pa.array(np.ascontiguousarray(column)) for column in coded.T),
            pa.array(self._songs(tracks)),
            pa.array(popularity_weights(tracks["popularity"])),
        ]
        schema = number_rows(token_format)
        batch = pa.record_batch(columns, schema=schema.remove(len(columns)))
        names = [column.name for column in token_format.coded]
        previous = previous_numbers(batch, self._previous(bucket, old), names)
        batch = pa.record_batch([*columns, pa.array(previous)], schema=schema)
        yield from split_by_bucket(batch, tuple_buckets(coded, catalog.buckets))

    def _songs(self, tracks: pa.Table) -> Words:
        """Return the song of each track, uint64 (tracks,); all unknown if each id has a number of its own."""
        if self.join.token_format.same_song == NUMBERED:
            return np.full(tracks.num_rows, UNKNOWN_SONG, np.uint64)
        return song_hashes(tracks)

    def _previous(self, bucket: int, old: pa.Table) -> pa.Table:
        """Add to a bucket of the previous release the songs of its tracks."""
        if self.join.previous is None:
            return old.append_column("song", pa.array([], pa.uint64()))
        return old.append_column("song", pa.array(self._songs(self.join.previous.table.tracks(bucket, SONG_COLUMNS))))


def previous_numbers(tracks: pa.RecordBatch, old: pa.Table, names: Sequence[str]) -> Codes:
    """Return the number that each track had, int16 (tracks,); -1 if it had none, or other codes or another song.

    Args:
        tracks: ``track_id``, codes, -1 for none, and ``song``.
        old: the same of the previous release, null for none, and ``NUMBER``; a column of codes may be missing.
        names: columns of codes.
    """
    rows = pc.index_in(tracks["track_id"], value_set=old["track_id"].combine_chunks())
    known = rows.is_valid().to_numpy(zero_copy_only=False)
    then, now = old.take(rows.drop_null()), tracks.filter(rows.is_valid())
    same = (code_matrix(then, names) == code_matrix(now, names)).all(axis=1)
    same &= then["song"].to_numpy() == now["song"].to_numpy()
    numbers = np.full(tracks.num_rows, NONE, np.int16)
    numbers[known] = np.where(same, code_matrix(then, [NUMBER])[:, 0], NONE)
    return numbers


@dataclass(eq=False)
class NumberTuples(beam.DoFn):
    """Number the tracks of one bucket of tuples. Main output: ``CODED_ROWS`` by bucket of track; and counts.

    Attributes:
        token_format: columns of the token table.
        buckets: buckets of tracks.
    """

    token_format: TokenFormat
    buckets: int

    def process(self, element: tuple[int, Iterable[pa.RecordBatch]]) -> Iterator[object]:
        """Number one bucket: of tracks with the same tuple the most popular first, then by id."""
        _, batches = element
        rows = pa.Table.from_batches(batches, number_rows(self.token_format))
        rows = rows.sort_by([("popularity", "descending"), ("track_id", "ascending")]).combine_chunks()
        codes = code_matrix(rows, [column.name for column in self.token_format.coded])
        songs, previous = rows["song"].to_numpy(), rows["previous"].to_numpy()
        numbering = number_tracks(codes, songs, previous, self.token_format.numbers)
        column = pa.array(np.full(len(codes), len(self.token_format) - 1, np.int8))
        tracks = rows["track"].combine_chunks()
        batch = pa.record_batch([column, tracks, pa.array(numbering.numbers)], schema=CODED_ROWS)
        yield TaggedOutput(COUNTS_TAG, (NUMBERS_SENT, len(codes)))
        yield TaggedOutput(COUNTS_TAG, (NUMBER_OVERFLOW, numbering.overflow))
        yield from split_by_bucket(batch, track_buckets(tracks.to_numpy(), self.buckets))
