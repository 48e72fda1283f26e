"""Join codes to tracks: by key, by track number, and by track id."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import CodeMatrix
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.store.keys import split_by_bucket, track_buckets
from tracktokens.transforms.store.token_tables import code_matrix

CODED_ROWS = pa.schema([("modality", pa.int8()), ("track", pa.uint64()), ("code", pa.int16())])
"""A code on its way to its track: number of the modality, number of the track."""


FAILED_ROWS = pa.schema(
    [("modality", pa.int8()), ("track", pa.uint64()), ("reason", pa.string()), ("detail", pa.string())]
)
"""A failed input on its way to its track."""


def _keys(records: pa.Table) -> pa.Array:
    return records["key"].combine_chunks()


def places_of(keys: pa.Table, records: pa.Table) -> pa.Array:
    """For each of some ``TRACK_KEYS`` the row of its fact, null where there is none."""
    return pc.index_in(_keys(keys), value_set=_keys(records))


def by_track_bucket(
    keys: pa.Table, places: pa.Array, records: pa.Table, modality: str, schema: pa.Schema, buckets: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Give tracks their facts, and divide them by bucket of track.

    Args:
        keys: ``TRACK_KEYS``.
        places: for each the row of its fact, null where it has none.
        records: with the columns of ``schema`` but the first two.
        modality: of the keys.
        schema: ``CODED_ROWS`` or ``FAILED_ROWS``.
        buckets: of the store.
    """
    tracks, joined = keys["track"].filter(places.is_valid()).combine_chunks(), records.take(places.drop_null())
    number = pa.array(np.full(len(tracks), MODALITIES.index(modality), np.int8))
    values = {"modality": number, "track": tracks, **{n: joined[n].combine_chunks() for n in schema.names[2:]}}
    batch = pa.record_batch([values[name] for name in schema.names], schema=schema)
    yield from split_by_bucket(batch, track_buckets(tracks.to_numpy(), buckets))


def fill_codes(codes: CodeMatrix, coded: pa.Table, tracks: pa.ChunkedArray) -> None:
    """Put ``CODED_ROWS`` into a code matrix.

    Args:
        codes: int16 (tracks, 5), which is changed.
        coded: codes of some of the tracks.
        tracks: numbers of the tracks.

    Raises:
        LookupError: one is of another track, which would be a fault of ours.
    """
    codes[rows_of(coded["track"], tracks), coded["modality"].to_numpy()] = coded["code"].to_numpy()


def rows_of(wanted: pa.ChunkedArray, tracks: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Rows of tracks, by number, among others; see :func:`fill_codes`."""
    rows = pc.index_in(wanted, value_set=tracks.combine_chunks())
    if rows.null_count:
        raise LookupError(f"{rows.null_count} codes or failures are of tracks that the catalog does not have")
    found: npt.NDArray[np.int64] = rows.to_numpy().astype(np.int64)
    return found


def common_codes(old: pa.Table, track_ids: pa.StringArray) -> tuple[pa.Array, CodeMatrix]:
    """Find tracks in an old token table.

    Args:
        old: rows of a token table.
        track_ids: ids of the tracks now, none twice.

    Returns:
        Rows of ``track_ids`` that the old table has, and their old codes, int16 (rows, 5).
    """
    places = pc.index_in(track_ids, value_set=old["track_id"].combine_chunks())
    found = pa.array(np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False)))
    return found, code_matrix(old.take(places.drop_null()))
