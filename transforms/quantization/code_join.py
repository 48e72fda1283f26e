"""Join codes to tracks: by content key, by track number, and by track id."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import CodeMatrix, RowIndices
from tracktokens.transforms.store.keys import split_by_bucket, track_buckets
from tracktokens.transforms.store.token_tables import code_matrix

CODED_ROWS = pa.schema([("modality", pa.int8()), ("track", pa.uint64()), ("code", pa.int16())])
"""Codes grouped by track: index of the column of the token table, number of the track, code."""

FAILED_ROWS = pa.schema(
    [("modality", pa.int8()), ("track", pa.uint64()), ("reason", pa.string()), ("detail", pa.string())]
)
"""Failed inputs grouped by track."""


def record_rows(keys: pa.Table, records: pa.Table) -> pa.Array:
    """Find the record of each key.

    Args:
        keys: ``TRACK_KEYS``.
        records: with a column ``key``, each key once.

    Returns:
        int32 (keys,): row in ``records``, null where there is none.
    """
    return pc.index_in(keys["key"].combine_chunks(), value_set=records["key"].combine_chunks())


def by_track_bucket(
    keys: pa.Table, rows: pa.Array, records: pa.Table, *, column: int, schema: pa.Schema, buckets: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Join records to the tracks that have their keys, split by bucket of track.

    Args:
        keys: ``TRACK_KEYS``.
        rows: row of each key's record, null where it has none; see :func:`record_rows`.
        records: with the columns of ``schema`` after the first two.
        column: index of the codes' column of the token table; that of a modality's first level is the modality's.
        schema: ``CODED_ROWS`` or ``FAILED_ROWS``.
        buckets: number of buckets of the store.
    """
    tracks, joined = keys["track"].filter(rows.is_valid()).combine_chunks(), records.take(rows.drop_null())
    number = pa.array(np.full(len(tracks), column, np.int8))
    values = {"modality": number, "track": tracks, **{n: joined[n].combine_chunks() for n in schema.names[2:]}}
    batch = pa.record_batch([values[name] for name in schema.names], schema=schema)
    yield from split_by_bucket(batch, track_buckets(tracks.to_numpy(), buckets))


def fill_codes(codes: CodeMatrix, coded: pa.Table, tracks: pa.ChunkedArray) -> None:
    """Write ``CODED_ROWS`` into a code matrix, in place.

    Args:
        codes: int16 (tracks, columns).
        coded: codes of some of the tracks.
        tracks: track number of each row of ``codes``.

    Raises:
        LookupError: a code belongs to a track that is not in ``tracks``: a fault of ours.
    """
    codes[track_rows(coded["track"], tracks), coded["modality"].to_numpy()] = coded["code"].to_numpy()


def track_rows(wanted: pa.ChunkedArray, tracks: pa.ChunkedArray) -> RowIndices:
    """Find the rows of track numbers among others, int64 (wanted,).

    Raises:
        LookupError: one of them is missing: a fault of ours.
    """
    rows = pc.index_in(wanted, value_set=tracks.combine_chunks())
    if rows.null_count:
        raise LookupError(f"{rows.null_count} codes or failures are of tracks that the catalog does not have")
    indices: RowIndices = rows.to_numpy().astype(np.int64)
    return indices


def common_codes(
    previous: pa.Table, track_ids: pa.StringArray, names: Sequence[str] | None = None
) -> tuple[pa.Array, CodeMatrix]:
    """Find the tracks that a previous token table has too.

    Args:
        previous: rows of a token table.
        track_ids: ids of the current tracks, each once.
        names: columns of codes; by default those of the previous table.

    Returns:
        Rows of ``track_ids`` that the previous table has, and their previous codes, int16 (rows, columns).
    """
    rows = pc.index_in(track_ids, value_set=previous["track_id"].combine_chunks())
    common = pa.array(np.flatnonzero(rows.is_valid().to_numpy(zero_copy_only=False)))
    return common, code_matrix(previous.take(rows.drop_null()), names)
