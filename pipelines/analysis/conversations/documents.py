"""Documents of tracks, for the search by words: title, artist and tags, and album and lyrics of a tracks table."""

import logging
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import RowIndices
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.lyrics import lyrics_text
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import check_table, find_fragments
from tracktokens.transforms.store import files
from tracktokens.transforms.store.release_index import ReleaseIndex

_logger = logging.getLogger(__name__)

KEPT = ("title", "artist", "tags")
"""Texts of a track that a snapshot keeps."""

FROM_TABLE = ("album", "lyrics")
"""Texts that only the tracks table has."""


def track_documents(index: ReleaseIndex, tracks: str | None = None) -> list[str]:
    """Build the document of each row of a release.

    Args:
        index: the release.
        tracks: tracks table with albums and lyrics: a file, folder or glob; None leaves them out.

    Raises:
        UsageError: the table does not exist.
        InvalidDataError: the table cannot be read.
    """
    parts: list[list[str]] = [[] for _ in range(len(index.track_ids))]
    for bucket in range(index.table.catalog.buckets):
        table = index.table.tracks(bucket, ["track_id", "title", "artist", "tag_names"]).combine_chunks()
        tags = pc.binary_join(table["tag_names"].combine_chunks().cast(pa.list_(pa.string())), " ")
        _append(parts, _rows(index, table["track_id"]), table["title"], table["artist"], tags)
    if tracks is not None:
        for rows, album, lyrics in _albums_and_lyrics(index, tracks):
            _append(parts, rows, album, lyrics)
    return [" ".join(texts) for texts in parts]


def _append(parts: list[list[str]], rows: RowIndices, *columns: pa.Array | pa.ChunkedArray) -> None:
    for row, *texts in zip(rows.tolist(), *(column.to_pylist() for column in columns), strict=True):
        if row >= 0:
            parts[row] += filter(None, texts)


def _albums_and_lyrics(index: ReleaseIndex, tracks: str) -> Iterator[tuple[RowIndices, pa.Array, pa.Array]]:
    """Read rows, albums and lyrics; of several rows of a track the first counts, as in a scan."""
    fragments = find_fragments(files.absolute(tracks), "tracks")
    check_table(fragments, TRACKS)
    seen = np.zeros(len(index.track_ids), bool)
    read = 0
    for fragment in fragments:
        for scanned in read_fragment(fragment, TRACKS):
            rows = _rows(index, scanned.rows["track_id"])
            _, first = np.unique(rows, return_index=True)
            repeated = np.ones(len(rows), bool)
            repeated[first] = False
            rows[repeated | ((rows >= 0) & seen[rows])] = -1
            seen[rows[rows >= 0]] = True
            read += scanned.rows_read
            yield rows, scanned.rows["album"], lyrics_text(scanned.rows)
    used = int(seen.sum())
    if used < len(seen) or used < read:
        _logger.warning(
            "%s: %d of %d rows are tracks of the release, which has %d: the others have no album and lyrics in BM25",
            tracks,
            used,
            read,
            len(seen),
        )


def _rows(index: ReleaseIndex, ids: pa.Array | pa.ChunkedArray) -> RowIndices:
    """Find the rows of track ids: int64, -1 for unknown ones."""
    found = pc.index_in(ids.cast(pa.large_string()), value_set=index.track_ids)
    rows: RowIndices = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return rows
