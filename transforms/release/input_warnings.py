"""Warnings about inputs: one line per table for everything that was given and is not used."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.rejects import PLAYLIST_TOO_SHORT, PLAYLISTS_TABLE
from tracktokens.transforms.catalog.column_losses import (
    NULL_ELEMENTS,
    ColumnLosses,
    IgnoredColumns,
    column_losses,
    describe_reasons,
)
from tracktokens.transforms.gates.input_rows import InputRows, playlist_rows
from tracktokens.transforms.playlists.read_playlists import TRACK_IDS

_logger = logging.getLogger(__name__)


def ignored_columns_warning(table: str, ignored: IgnoredColumns) -> str | None:
    """Name the columns of a table that are not read; None without any."""
    return f"columns of {table} that are not read: {ignored.describe()}" if ignored.names else None


def catalog_warning(
    rows: Iterable[InputRows], columns: Sequence[ColumnLosses], example: str | None = None
) -> str | None:
    """Count the rows and the values that a scan of the catalog rejected; None without any.

    Args:
        rows: row counts of the tracks, and of each table of precomputed embeddings.
        columns: columns of the tracks with rejected values.
        example: one rejected value, for people.
    """
    parts = [part for table in rows for part in _row_parts(table)]
    parts += _value_parts("tracks", columns)
    parts += [] if example is None else [f"for example {example}"]
    return "; ".join(parts) or None


def playlist_warning(counts: Mapping[str, int], used: int, example: str) -> str | None:
    """Describe the playlists, entries and values that are not used; None if that is as in every catalog.

    A few unknown tracks and short playlists are normal: they are part of the warning if they are more than half.

    Args:
        counts: named counts of a scan of playlists.
        used: playlists that are used.
        example: unknown track ids, as :func:`.describe_unknown` describes them.
    """
    rows = playlist_rows(counts)
    parts = list(_row_parts(rows))
    if 2 * (short := rows.used - used) > rows.read:
        parts.append(f"{short} of {rows.read} playlists have fewer than two known tracks ({PLAYLIST_TOO_SHORT})")
    read, unknown = counts.get("entries_read", 0), counts.get("entries_unknown", 0)
    if 2 * unknown > read:
        parts.append(f"{unknown} of {read} entries of playlists are unknown tracks{example}")
    if nulls := counts.get(f"{NULL_ELEMENTS}{TRACK_IDS}", 0):
        parts.append(f"{nulls} entries of playlists are null")
    elements = (column for column in column_losses(counts) if sum(column.rejected.values()) > column.lost)
    return "; ".join([*parts, *_value_parts("playlists", list(elements))]) or None


def warn_of_playlists(counts: Mapping[str, int], used: int, example: str) -> None:
    """Log the warnings of a scan of playlists; see :func:`playlist_warning`."""
    ignored = ignored_columns_warning(PLAYLISTS_TABLE, IgnoredColumns.of_counts(counts))
    for message in (ignored, playlist_warning(counts, used, example)):
        if message is not None:
            _logger.warning("%s", message)


def require_used(source: str, place: str, counts: Mapping[str, int], used: int, example: str) -> None:
    """Check that a playlist is used.

    Args:
        source: the playlists, as the user names them.
        place: what has the known tracks.
        counts: named counts of a scan of playlists.
        used: playlists that are used.
        example: unknown track ids, as :func:`.describe_unknown` describes them.

    Raises:
        InvalidDataError: no playlist is used.
    """
    if used:
        return
    lost = playlist_rows(counts).reasons
    causes = [f"{counts.get('entries_unknown', 0)} of {counts.get('entries_read', 0)} track ids are unknown{example}"]
    causes += [f"rejected playlists: {describe_reasons(lost)}"] if lost else []
    causes += _value_parts(PLAYLISTS_TABLE, column_losses(counts))
    raise InvalidDataError(
        f"no playlist in {source} has two tracks of {place} ({'; '.join(causes)}): compare its track_ids with the "
        "catalog's track_id"
    )


def failure_warning(modality: str, tracks: int, reasons: Mapping[str, int], folder: str) -> str:
    """Count the tracks of which the input of a modality was rejected.

    Args:
        modality: the modality.
        tracks: tracks with a token of the modality.
        reasons: reject reason to number of tracks.
        folder: folder of the rejects.
    """
    failed = sum(reasons.values())
    return f"{modality}: {failed} of {tracks + failed} inputs rejected ({describe_reasons(reasons)}), see {folder}"


def _row_parts(rows: InputRows) -> Iterator[str]:
    if rows.rejected:
        yield f"{rows.rejected} of {rows.read} {rows.name} rejected{rows.detail}"
    if 2 * rows.unknown > rows.read:
        yield f"{rows.unknown} of {rows.read} {rows.name} are of tracks that the catalog does not have"


def _value_parts(table: str, columns: Sequence[ColumnLosses]) -> list[str]:
    described = ", ".join(column.describe() for column in columns)
    return [f"values of {table} rejected in {described}"] if columns else []
