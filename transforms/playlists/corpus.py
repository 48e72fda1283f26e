"""Clean playlists: explode rows into entries, join the entries with the catalog, assemble the corpus.

A job explodes playlists into entries, groups the entries by bucket of *track* to keep those in the catalog, and groups
these by playlist to assemble the corpus. Tracks are 16-byte keys, not strings. The heads of the playlists go directly
to the assembly, so a playlist that loses every entry is rejected, not forgotten.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.playlists import CORPUS, PLAYLIST_ID, SCANNED_PLAYLISTS
from tracktokens.schemas.tables.records import KEY, KEY_BYTES
from tracktokens.schemas.tables.rejects import PLAYLIST_TOO_SHORT, PLAYLISTS_TABLE, VALIDATE, make_rejects
from tracktokens.schemas.tables.tracks import POSITION
from tracktokens.transforms.store.keys import content_keys, key_bytes

ENTRIES = pa.schema([KEY, POSITION, pa.field("order", pa.int32(), nullable=False)])
"""One row per entry: the track's key, the playlist's position in the input, and the index in the playlist."""

HEADS = pa.schema([POSITION, SCANNED_PLAYLISTS.field(PLAYLIST_ID), pa.field("listed", pa.int32(), nullable=False)])
"""One row per playlist: position in the input, id, and number of listed tracks without null ids."""


@dataclass(frozen=True)
class ExplodedPlaylists:
    """A batch of playlists, exploded.

    Attributes:
        entries: ``ENTRIES``, one row per track id, in input order.
        heads: ``HEADS``, one row per playlist.
        null_ids: entries without a track id. They are dropped; other entries keep their index.
    """

    entries: pa.RecordBatch
    heads: pa.RecordBatch
    null_ids: int


@dataclass(frozen=True)
class KnownEntries:
    """Entries whose track is in the catalog.

    Attributes:
        entries: ``ENTRIES``, in input order.
        unknown: entries dropped because the catalog has no such track.
    """

    entries: pa.RecordBatch
    unknown: int


@dataclass(frozen=True)
class AssembledCorpus:
    """Playlists assembled from known entries.

    Attributes:
        corpus: ``CORPUS``, sorted by position: playlists with at least two distinct known tracks.
        too_short: ``HEADS`` of all other playlists, sorted by position.
        known: int64 (too_short,), known entries of each, consecutive repeats counted once.
        repeats: entries dropped because the entry before them names the same track.
    """

    corpus: pa.RecordBatch
    too_short: pa.RecordBatch
    known: npt.NDArray[np.int64]
    repeats: int


def explode(batch: pa.RecordBatch) -> ExplodedPlaylists:
    """Explode a ``SCANNED_PLAYLISTS`` batch into one row per entry. A null list is a playlist without entries."""
    lists = batch.column("track_ids")
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy().astype(np.int64)
    ids = pc.list_flatten(lists)
    row = np.repeat(np.arange(len(lengths)), lengths)
    order = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    named = ids.is_valid().to_numpy(zero_copy_only=False)
    positions = batch.column(POSITION.name).to_numpy()
    entries = _entries(content_keys(ids.drop_null()), positions[row[named]], order[named])
    listed = np.bincount(row[named], minlength=len(lengths)).astype(np.int32)
    heads = pa.RecordBatch.from_arrays(
        [batch.column(POSITION.name), batch.column(PLAYLIST_ID), pa.array(listed)], schema=HEADS
    )
    return ExplodedPlaylists(entries, heads, ids.null_count)


def keep_known(entries: pa.RecordBatch, known_keys: pa.FixedSizeBinaryArray) -> KnownEntries:
    """Keep the ``ENTRIES`` whose key is among ``known_keys``, the catalog's tracks of the same bucket."""
    kept = entries.filter(pc.is_in(entries.column(KEY.name), value_set=known_keys))
    return KnownEntries(kept, entries.num_rows - kept.num_rows)


def assemble(entries: pa.Table, heads: pa.Table) -> AssembledCorpus:
    """Group known ``ENTRIES`` by playlist, in order, and separate playlists that are too short to train on.

    Consecutive entries of one track are merged: a track carries no information about itself, and players log a song
    twice. A track that occurs again later is kept, since its neighbours differ there. So a playlist has two distinct
    tracks exactly if two entries are left.

    Args:
        entries: all known entries of the playlists in ``heads``, in any order.
        heads: ``HEADS`` of the playlists, one row each, in any order.

    Raises:
        ValueError: an entry belongs to a playlist that is not in ``heads``.
    """
    heads = heads.combine_chunks().sort_by(POSITION.name)
    codes, keys, position = _sorted_entries(entries)
    fresh = _differs_from_previous(codes) | _differs_from_previous(position)
    row = _rows_of(position[fresh], heads.column(POSITION.name).to_numpy())
    lengths = np.bincount(row, minlength=heads.num_rows)
    long = lengths >= 2
    corpus = _corpus(heads.filter(pa.array(long)), keys.take(pa.array(codes[fresh][long[row]])), lengths[long])
    too_short = _one_batch(heads.filter(pa.array(~long)))
    return AssembledCorpus(corpus, too_short, lengths[~long], int(np.count_nonzero(~fresh)))


def too_short_rejects(assembled: AssembledCorpus) -> pa.RecordBatch:
    """Return a row of the ``rejects`` table for each playlist that is too short."""
    heads = assembled.too_short.to_pylist()
    return make_rejects(
        [
            {
                "table": PLAYLISTS_TABLE,
                "stage": VALIDATE,
                "reason": PLAYLIST_TOO_SHORT,
                "detail": f"playlist {head[PLAYLIST_ID]}: {known} known of {head['listed']} listed tracks, 2 needed",
            }
            for head, known in zip(heads, assembled.known.tolist(), strict=True)
        ]
    )


def in_content_order(corpus: Iterable[pa.RecordBatch]) -> pa.Table:
    """Return ``CORPUS`` batches as one table, sorted by a hash of each playlist's content.

    The result depends neither on the batches nor on the order of the playlists in the input, which an export may change
    each time.
    """
    table = pa.Table.from_batches(corpus, schema=CORPUS).combine_chunks()
    return table.take(pc.sort_indices(pa.array(_content_hashes(table), pa.binary(KEY_BYTES))))


def _content_hashes(corpus: pa.Table) -> list[bytes]:
    if not corpus.num_rows:
        return []
    lists = corpus.column("track_keys").combine_chunks()
    keys = key_bytes(lists.flatten()).tobytes()
    ends = (np.cumsum(lists.value_lengths().to_numpy()) * KEY_BYTES).tolist()
    spans = zip([0, *ends[:-1]], ends, strict=True)
    return [hashlib.blake2b(keys[start:end], digest_size=KEY_BYTES).digest() for start, end in spans]


def corpus_digest(corpus: Iterable[pa.RecordBatch]) -> str:
    """Hash the playlists' contents, in any order, to 32 hex digits."""
    return hashlib.blake2b(
        b"".join(sorted(_content_hashes(pa.Table.from_batches(corpus, schema=CORPUS)))), digest_size=16
    ).hexdigest()


def require_playlists(corpus: pa.Table) -> None:
    """Refuse an empty corpus.

    Raises:
        InvalidDataError: the corpus has no playlist.
    """
    if corpus.num_rows == 0:
        raise InvalidDataError(
            "No playlist lists two tracks of the catalog, so playlist vectors cannot be trained. "
            "Compare the playlists' track_ids with the catalog's track_id; the rejects list each playlist."
        )


def _entries(
    keys: pa.FixedSizeBinaryArray, positions: npt.NDArray[np.int64], order: npt.NDArray[np.int64]
) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([keys, pa.array(positions), pa.array(order, pa.int32())], schema=ENTRIES)


def _sorted_entries(
    entries: pa.Table,
) -> tuple[npt.NDArray[np.int64], pa.FixedSizeBinaryArray, npt.NDArray[np.int64]]:
    """Sort entries by playlist; return the track code of each, the key of each code, and the position of each."""
    entries = entries.combine_chunks().sort_by([(POSITION.name, "ascending"), ("order", "ascending")])
    keys = pc.dictionary_encode(entries.column(KEY.name).combine_chunks())
    return keys.indices.to_numpy().astype(np.int64), keys.dictionary, entries.column(POSITION.name).to_numpy()


def _differs_from_previous(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    differs = np.ones(len(values), np.bool_)
    differs[1:] = values[1:] != values[:-1]
    return differs


def _rows_of(position: npt.NDArray[np.int64], heads: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the row in the sorted ``heads`` of each position."""
    row = np.searchsorted(heads, position)
    found = row < len(heads)
    found[found] = heads[row[found]] == position[found]
    if not found.all():
        raise ValueError(f"an entry belongs to the playlist at position {position[~found][0]}, which has no head")
    return row


def _corpus(heads: pa.Table, keys: pa.FixedSizeBinaryArray, lengths: npt.NDArray[np.int64]) -> pa.RecordBatch:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), keys, type=CORPUS.field("track_keys").type)
    return pa.RecordBatch.from_arrays([_one_array(heads.column(POSITION.name)), lists], schema=CORPUS)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([_one_array(column) for column in table.columns], schema=table.schema)
