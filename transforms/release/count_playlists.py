"""Popularity of a catalog that has none: the number of training playlists that hold each track."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.manifests.release import FROM_CATALOG, FROM_PLAYLISTS
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.schemas.tables.popularity import PLAYLIST_COUNTS
from tracktokens.transforms.runtime.arrow_coder import Count, Keyed
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import split_by_bucket, track_buckets, track_numbers
from tracktokens.transforms.store.layout import Catalog
from tracktokens.transforms.store.snapshots import Snapshot

PLAYLISTS_SENT, PLAYLISTS_RECEIVED = "playlist_counts_sent", "playlist_counts_received"
"""Rows of ``LISTED_TRACKS`` before and after the shuffle to the tracks."""

LISTED_TRACKS = pa.schema(
    [pa.field("track", pa.uint64(), nullable=False), pa.field("playlists", pa.int64(), nullable=False)]
)
"""One row per track of a part of the corpus: the number of its playlists there."""


def popularity_source(snapshot: Snapshot) -> str | None:
    """Choose the popularity of a snapshot: of the catalog if any track has one, else of the playlists, if any.

    The two are never mixed, since plays and playlists are not comparable.

    Returns:
        ``FROM_CATALOG``, ``FROM_PLAYLISTS``, or None if the snapshot has neither.
    """
    catalog = snapshot.catalog
    if any(_has_popularity(catalog, bucket) for bucket in range(catalog.buckets)):
        return FROM_CATALOG
    return None if snapshot.playlists is None else FROM_PLAYLISTS


def count_playlists(playlists: pa.RecordBatch) -> pa.RecordBatch:
    """Count the playlists of each track in a ``CORPUS`` batch: ``LISTED_TRACKS``. Repeats in a playlist count once."""
    lists = playlists["track_keys"]
    entries = pa.table(
        {"playlist": pc.list_parent_indices(lists), "track": pa.array(track_numbers(pc.list_flatten(lists)))}
    )
    distinct = entries.group_by(["playlist", "track"]).aggregate([])
    counts = distinct.group_by("track").aggregate([([], "count_all")]).combine_chunks()
    columns = [counts[name].combine_chunks() for name in ("track", "count_all")]
    return pa.record_batch(columns, schema=LISTED_TRACKS)


def track_counts(tracks: pa.Table, counted: Iterable[pa.RecordBatch]) -> pa.Table:
    """Add up the counts of parts of the corpus: ``PLAYLIST_COUNTS`` of all tracks, 0 for one without playlists.

    Args:
        tracks: ``track_id`` and ``track`` of a bucket.
        counted: ``LISTED_TRACKS``; a track may be in several batches.
    """
    sums = pa.Table.from_batches(counted, LISTED_TRACKS).group_by("track").aggregate([("playlists", "sum")])
    rows = pc.index_in(tracks["track"].combine_chunks(), value_set=sums["track"].combine_chunks())
    playlists = pc.fill_null(sums["playlists_sum"].combine_chunks().take(rows), 0)
    return pa.table([tracks["track_id"], playlists], schema=PLAYLIST_COUNTS)


def with_playlist_counts(tracks: pa.Table, counts: pa.Table) -> pa.Table:
    """Replace the popularity of tracks by their playlists in ``PLAYLIST_COUNTS``, which has the same rows."""
    column = tracks.schema.get_field_index("popularity")
    return tracks.set_column(column, "popularity", counts["playlists"].cast(pa.float64()))


@dataclass(eq=False)
class CountPlaylists(beam.PTransform):
    """Count the playlists of each track in the corpus: ``LISTED_TRACKS`` by bucket of track, and counts.

    Attributes:
        catalog: snapshot with the corpus.
        source: popularity of the release; nothing is counted unless it is ``FROM_PLAYLISTS``.
    """

    catalog: Catalog
    source: str | None

    def __post_init__(self) -> None:
        super().__init__()

    def expand(self, start: beam.pvalue.PBegin) -> Any:  # Beam warns of DoOutputsTuple
        """List the files of the corpus, and count each."""
        counted = files.list_files(self.catalog.corpus, ".parquet") if self.source == FROM_PLAYLISTS else []
        return (
            start
            | "corpus" >> beam.Create(counted).with_output_types(str)
            | "count"
            >> beam.ParDo(_CountFile(self.catalog.buckets))
            .with_output_types(Keyed, **{COUNTS_TAG: Count})
            .with_outputs(COUNTS_TAG, main="main")
        )


@dataclass(eq=False)
class _CountFile(beam.DoFn):
    """Count the playlists in one file of the corpus, for a number of buckets."""

    buckets: int

    def process(self, path: str) -> Iterator[object]:
        for playlists in files.read_batches(path, CORPUS):
            counts = count_playlists(playlists)
            yield TaggedOutput(COUNTS_TAG, (PLAYLISTS_SENT, counts.num_rows))
            yield from split_by_bucket(counts, track_buckets(counts["track"].to_numpy(), self.buckets))


def _has_popularity(catalog: Catalog, bucket: int) -> bool:
    popularity = files.read_table(catalog.tracks(bucket), CATALOG_TRACKS, ["popularity"])["popularity"]
    return int(popularity.null_count) < len(popularity)
