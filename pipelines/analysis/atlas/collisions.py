"""Sets of tracks with the same tokens: those that a model cannot distinguish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracktokens.codebooks.numerics.arrays import RowIndices
from tracktokens.codebooks.tokens.code_matrix import equal_rows
from tracktokens.transforms.store.token_tables import TokenTable, TrackIdentity, code_matrix

SETS = 12
"""Most sets that are shown."""

SEARCHED_SETS = 48
"""Largest sets that are searched for those with several songs."""

READ_TRACKS = 40
"""Most tracks per set whose titles are read."""

SHOWN_TRACKS = 6


@dataclass(frozen=True)
class Collision:
    """Tracks of several songs with the same tokens.

    Attributes:
        codes: code per column, -1 for none.
        tracks: number of tracks.
        songs: some of them, of different titles or artists.
    """

    codes: tuple[int, ...]
    tracks: int
    songs: tuple[TrackIdentity, ...]


def worst_collisions(table: TokenTable) -> list[Collision]:
    """List the largest sets of tracks with the same tokens, without sets whose tracks all seem to be one song."""
    parts = [code_matrix(table.read(bucket, list(table.token_format.names))) for bucket in range(table.catalog.buckets)]
    codes = np.concatenate(parts)
    groups = equal_rows(codes)
    largest = [g for g in np.argsort(-groups.sizes, kind="stable")[:SEARCHED_SETS].tolist() if groups.sizes[g] > 1]
    rows = _first_rows(groups.numbers, largest)
    starts = np.cumsum([0, *(len(part) for part in parts)])
    identities = _identities(table, starts, np.unique(np.concatenate(list(rows.values()) or [np.zeros(0, np.int64)])))
    collisions = []
    for group in largest:
        songs = {(identities[row].title, identities[row].artist): identities[row] for row in rows[group].tolist()}
        if len(songs) > 1:
            shown = tuple(songs.values())[:SHOWN_TRACKS]
            code = tuple(codes[groups.first_rows[group]].tolist())
            collisions.append(Collision(code, int(groups.sizes[group]), shown))
    return collisions[:SETS]


def _first_rows(numbers: RowIndices, groups: Sequence[int]) -> dict[int, RowIndices]:
    """Return the first ``READ_TRACKS`` rows of some groups."""
    rows = np.flatnonzero(np.isin(numbers, groups))
    return {group: rows[numbers[rows] == group][:READ_TRACKS] for group in groups}


def _identities(table: TokenTable, starts: RowIndices, rows: RowIndices) -> dict[int, TrackIdentity]:
    """Read id, title and artist of some rows of a table whose buckets start at the rows ``starts``."""
    identities: dict[int, TrackIdentity] = {}
    buckets = np.searchsorted(starts, rows, side="right") - 1
    for bucket in np.unique(buckets).tolist():
        wanted = rows[buckets == bucket]
        tracks = table.tracks(bucket, ["track_id", "title", "artist"]).take(wanted - starts[bucket]).to_pylist()
        identities |= {row: TrackIdentity(**track) for row, track in zip(wanted.tolist(), tracks, strict=True)}
    return identities
