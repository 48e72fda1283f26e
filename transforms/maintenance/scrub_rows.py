"""Scrub: remove a few tracks from a table of the store, whatever table it is.

The columns of a table decide: rows with the id or the number of a track are dropped, entries of playlists are removed,
and rejects and failures that name a track keep their reason without id and detail.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.tables.catalog import KNOWN_OF_TRACK, TRACK
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.schemas.tables.records import KEY
from tracktokens.schemas.tables.rejects import REJECTS
from tracktokens.schemas.tables.tracks import TRACK_ID
from tracktokens.transforms.runtime.forgotten_tracks import TAKEN_DOWN, anonymize
from tracktokens.transforms.store.keys import content_keys, track_numbers

Mask = npt.NDArray[np.bool_]

LISTS = CORPUS.field("track_keys").name
DETAIL = REJECTS.field("detail").name

SHORT_ID = 8
"""Bytes below which an id occurs by chance in the middle of a text, or of binary data."""

ALTERNATIVES = 64
"""Alternatives of a regular expression."""

_NAMES = (KEY.type, pa.string(), pa.large_string())
"""Types that a list of tracks has."""

_TEXTS_OF_TRACKS = frozenset(column.name for column in KNOWN_OF_TRACK)
"""Columns with the words of other tracks, which may be the id of this one."""


@dataclass(frozen=True)
class ScrubbedTracks:
    """Tracks to remove.

    Attributes:
        ids: their ids, at least one.
    """

    ids: Sequence[str]
    keys: pa.FixedSizeBinaryArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute the keys of the ids: fixed_size_binary(16) (ids,)."""
        object.__setattr__(self, "keys", content_keys(pa.array(self.ids, pa.string())))

    @cached_property
    def numbers(self) -> npt.NDArray[np.uint64]:
        """Number of each track: uint64 (ids,)."""
        return track_numbers(self.keys)

    @cached_property
    def _mentions(self) -> list[str]:
        """Regular expressions of an id as a word in a text; of a short one in quotes."""
        words = [re.escape(name) for name in self.ids if len(name.encode()) >= SHORT_ID]
        short = [re.escape(name) for name in self.ids if len(name.encode()) < SHORT_ID]
        return [
            *any_of(words, r"(?:^|[^\pL\pN_-])", r"(?:$|[^\pL\pN_-])"),
            *any_of(short, "['\"]", "['\"]"),
        ]

    def mentioned(self, texts: pa.Array) -> Mask:
        """Mark the texts that name a track: bool (texts,)."""
        marked = np.zeros(len(texts), np.bool_)
        for pattern in self._mentions:
            matches = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
            marked |= matches.to_numpy(zero_copy_only=False)
        return marked

    def ids_in(self, rows: pa.RecordBatch) -> set[str]:
        """Return the tracks that a batch has rows of."""
        found: set[str] = set()
        if TRACK_ID in rows.schema.names:
            found.update(
                rows[TRACK_ID].filter(pa.array(self._mask_of(rows[TRACK_ID], rows.schema.field(TRACK_ID)))).to_pylist()
            )
        if TRACK.name in rows.schema.names:
            present = np.isin(self.numbers, rows[TRACK.name].to_numpy())
            found.update(name for name, is_present in zip(self.ids, present, strict=True) if is_present)
        return found

    def mask(self, rows: pa.RecordBatch) -> Mask:
        """Mark the rows that name a track, in any column but the words of other tracks: bool (rows,)."""
        marked = np.zeros(rows.num_rows, np.bool_)
        for column in filter(names_tracks, rows.schema):
            marked |= self._mask_of(rows[column.name], column)
        return marked

    def _mask_of(self, values: pa.Array, column: pa.Field) -> Mask:
        if column.equals(TRACK):
            return np.isin(values.to_numpy(), self.numbers)
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            return self._lists_with(values)
        if column.type == KEY.type:
            return _present(values, self.keys)
        if column.name == TRACK_ID:
            return _present(values, pa.array(self.ids, column.type))
        return self.mentioned(values)

    def _lists_with(self, lists: pa.ListArray) -> Mask:
        """Mark the lists with a key or an id of a track."""
        kind = lists.type.value_type
        wanted = self.keys if kind == KEY.type else pa.array(self.ids, kind)
        marked = np.zeros(len(lists), np.bool_)
        marked[pc.list_parent_indices(lists).to_numpy()[_present(lists.flatten(), wanted)]] = True
        return marked

    def scrub(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch without the tracks; the batch itself if it has none of them."""
        marked = self.mask(rows)
        if not marked.any():
            return rows
        names = rows.schema.names
        if LISTS in names:
            return rows.set_column(names.index(LISTS), rows.schema.field(LISTS), self._without_entries(rows[LISTS]))
        if rows.schema.equals(REJECTS):
            return anonymize(rows, marked)
        if DETAIL in names:
            texts = pc.if_else(pa.array(~marked), rows[DETAIL], TAKEN_DOWN)
            return rows.set_column(names.index(DETAIL), rows.schema.field(DETAIL), texts)
        return rows.filter(pa.array(~marked))

    def _without_entries(self, lists: pa.ListArray) -> pa.ListArray:
        """Remove entries from playlists; neighbours that are equal then are merged, as in every corpus."""
        parents, entries = pc.list_parent_indices(lists).to_numpy(), lists.flatten()
        kept = np.flatnonzero(~_present(entries, self.keys))
        codes = entries.dictionary_encode().indices.to_numpy()[kept]
        repeated = np.zeros(len(kept), np.bool_)
        repeated[1:] = (codes[1:] == codes[:-1]) & (parents[kept][1:] == parents[kept][:-1])
        kept = kept[~repeated]
        ends = np.cumsum(np.bincount(parents[kept], minlength=len(lists)))
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        return pa.ListArray.from_arrays(offsets, entries.take(pa.array(kept)), type=lists.type)


def names_tracks(column: pa.Field) -> bool:
    """Return whether a column may name tracks: by id, number or key, in a list, or in the detail of a failure."""
    is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
    listed = is_list and column.name not in _TEXTS_OF_TRACKS and column.type.value_type in _NAMES
    return column.equals(TRACK) or column.type == KEY.type or column.name in (TRACK_ID, DETAIL) or listed


def any_of(expressions: Sequence[str], before: str, after: str) -> list[str]:
    """Make regular expressions that match any of many between two others; one takes a bounded number of them."""
    groups = (expressions[start : start + ALTERNATIVES] for start in range(0, len(expressions), ALTERNATIVES))
    return [f"{before}(?:{'|'.join(group)}){after}" for group in groups]


def _present(values: pa.Array, wanted: pa.Array) -> Mask:
    marked: Mask = pc.is_in(values, value_set=wanted).to_numpy(zero_copy_only=False)
    return marked
