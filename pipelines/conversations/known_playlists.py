"""Playlists with the tracks that a release has, and counts and rejects of everything that is not used."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from tracktokens.pipelines.conversations.catalog import ConversationCatalog
from tracktokens.pipelines.conversations.splits import playlist_hash
from tracktokens.schemas.tables.playlists import NAMED_PLAYLISTS, PLAYLISTS
from tracktokens.schemas.tables.rejects import ID_DUPLICATE, PLAYLIST_TOO_SHORT, PLAYLISTS_TABLE, VALIDATE
from tracktokens.transforms.playlists.read_playlists import PLAYLISTS_LOST, PLAYLISTS_READ, read_playlists
from tracktokens.transforms.readers.fragments import check_table, find_fragments
from tracktokens.transforms.store import files

Reject = dict[str, str | None]


@dataclass(frozen=True)
class KnownPlaylist:
    """A playlist: its id, its name if it has one, and the rows of its known tracks, in order and without repeats."""

    playlist_id: str
    name: str | None
    rows: tuple[int, ...]


@dataclass
class PlaylistReader:
    """Reads tables of playlists; an id that was read before is a reject.

    Attributes:
        catalog: tracks of the release.
        least_tracks: known tracks that a playlist needs.
        counts: ``playlists_read``, ``playlists_lost`` in total and by reason, ``entries_read``, ``entries_unknown``,
            and counts of columns.
        rejects: rows of the rejects of playlists that are not used, and of values.
        unknown: some track ids that the release does not have.
    """

    catalog: ConversationCatalog
    least_tracks: int
    counts: Counter[str] = field(default_factory=Counter)
    rejects: list[Reject] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    _seen: set[int] = field(default_factory=set)

    def read(self, playlists: str) -> Iterator[KnownPlaylist]:
        """Read a file, folder or glob.

        Raises:
            UsageError: nothing matches.
            InvalidDataError: a file cannot be read, or lacks a column.
        """
        fragments = find_fragments(files.absolute(playlists), "playlists")
        check_table(fragments, PLAYLISTS)
        for fragment in fragments:
            for batch in read_playlists(fragment, NAMED_PLAYLISTS):
                self.counts.update(batch.counts)
                self.rejects += [row for rejects in batch.rejects for row in rejects.to_pylist()]
                for row in self._rows(batch.rows):
                    yield from self._usable(*row)

    def _rows(self, batch: pa.RecordBatch) -> Iterator[tuple[str, str | None, list[int]]]:
        lists = batch["track_ids"]
        ids = lists.flatten()
        rows = self.catalog.rows_of(ids).tolist()
        if not self.unknown:
            self.unknown += [track for track, row in zip(ids.to_pylist(), rows, strict=True) if row < 0 and track][:2]
        columns = (batch["playlist_id"], batch["title"], batch["name"], lists.value_lengths())
        end = 0
        for playlist_id, title, name, length in zip(*(column.to_pylist() for column in columns), strict=True):
            start, end = end, end + (length or 0)
            yield playlist_id, title or name, rows[start:end]

    def _usable(self, playlist_id: str, name: str | None, rows: list[int]) -> Iterator[KnownPlaylist]:
        known = tuple(dict.fromkeys(row for row in rows if row >= 0))
        self.counts.update(entries_read=len(rows), entries_unknown=sum(row < 0 for row in rows))
        number = playlist_hash(playlist_id)
        if number in self._seen:
            self._reject(ID_DUPLICATE, f"playlist {playlist_id}: its id was read before")
        elif len(known) < self.least_tracks:
            detail = f"{len(known)} known of {len(rows)} listed tracks, {self.least_tracks} needed"
            self._reject(PLAYLIST_TOO_SHORT, f"playlist {playlist_id}: {detail}")
        else:
            yield KnownPlaylist(playlist_id, name, known)
        self._seen.add(number)

    def _reject(self, reason: str, detail: str) -> None:
        self.rejects.append({"table": PLAYLISTS_TABLE, "stage": VALIDATE, "reason": reason, "detail": detail})
        if reason == ID_DUPLICATE:
            self.counts.update({PLAYLISTS_LOST: 1, f"{PLAYLISTS_LOST}/{reason}": 1})

    @property
    def lost(self) -> int:
        """Number of playlists that are not used."""
        short = sum(reject["reason"] == PLAYLIST_TOO_SHORT for reject in self.rejects)
        return self.counts[PLAYLISTS_LOST] + short

    @property
    def used(self) -> int:
        """Number of playlists that are used."""
        return self.counts[PLAYLISTS_READ] - self.lost
