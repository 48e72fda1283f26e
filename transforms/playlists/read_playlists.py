"""Read playlists: batches of usable rows, with the rejects and the counts of everything that was lost."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tracktokens.schemas.tables.playlists import PLAYLIST_NAMES, PLAYLISTS
from tracktokens.schemas.tables.rejects import ROW_REASONS
from tracktokens.schemas.tables.tracks import POSITION
from tracktokens.transforms.catalog.column_losses import IGNORED, column_counts
from tracktokens.transforms.readers.fragment_reader import ScanBatch, read_fragment
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.readers.validation import ValidatedRows, validate_ids

TRACK_IDS = "track_ids"

PLAYLISTS_READ = "playlists_read"
PLAYLISTS_LOST = "playlists_lost"
LOST_BY_REASON = f"{PLAYLISTS_LOST}/"

_UNREAD_NAMES = {f"{IGNORED}{name}" for name in PLAYLIST_NAMES}
"""Counts of columns that nobody expects to influence tokens."""


@dataclass(frozen=True)
class PlaylistBatch:
    """Consecutive playlists of a fragment.

    Attributes:
        rows: ``SCANNED_PLAYLISTS``, with usable ids.
        rejects: batches of rejects, of whole rows or of single values.
        counts: named counts: of columns, ``playlists_read``, and ``playlists_lost`` in total and by reason. A playlist
            is lost if its row is rejected, or if nothing is left of its ``track_ids`` that is not null.
    """

    rows: pa.RecordBatch
    rejects: Sequence[pa.RecordBatch]
    counts: Mapping[str, int]


def read_playlists(fragment: Fragment, schema: pa.Schema = PLAYLISTS) -> Iterator[PlaylistBatch]:
    """Read a fragment, batch by batch; ``schema`` may have more columns than ``PLAYLISTS``.

    Raises:
        InvalidDataError: the file as a whole cannot be read.
    """
    for scanned in read_fragment(fragment, schema):
        identified = validate_ids(scanned.rows)
        counts = _counts(scanned, identified)
        yield PlaylistBatch(identified.rows, (scanned.rejects, identified.rejects), counts)


def _counts(scanned: ScanBatch, identified: ValidatedRows) -> Mapping[str, int]:
    lost = Counter(_lost_rows(scanned, identified))
    by_reason = {f"{LOST_BY_REASON}{reason}": count for reason, count in lost.items()}
    return {
        PLAYLISTS_READ: scanned.rows_read,
        PLAYLISTS_LOST: lost.total(),
        **by_reason,
        **{name: count for name, count in column_counts(scanned) if name not in _UNREAD_NAMES},
    }


def _lost_rows(scanned: ScanBatch, identified: ValidatedRows) -> Iterator[str]:
    """Yield the reason of each playlist that is lost."""
    for rejects in (scanned.rejects, identified.rejects):
        yield from (reason for reason in rejects["reason"].to_pylist() if reason in ROW_REASONS)
    if TRACK_IDS in scanned.columns:
        kept = set(identified.rows[POSITION.name].to_pylist())
        yield from (reason for row, reason in scanned.columns[TRACK_IDS].lost.items() if row in kept)
