"""Playlists that were held out of training, as continuations of a release's tracks."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.metrics.playlist_continuation import Continuation
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.transforms.gates.input_rows import RejectRateGate, playlist_rows
from tracktokens.transforms.playlists.read_playlists import read_playlists
from tracktokens.transforms.playlists.unknown_tracks import describe_unknown
from tracktokens.transforms.readers.fragments import check_table, find_fragments
from tracktokens.transforms.release.input_warnings import require_used, warn_of_playlists
from tracktokens.transforms.store import files


@dataclass
class HeldOut:
    """Playlists that were held out of training.

    Attributes:
        track_ids: tracks of the release.
        seeds: most known tracks per playlist.
        continuations: playlists of at least two known tracks, as row indices; only the first copy of a track counts.
        counts: named counts, as :func:`.read_playlists` counts them, and of entries.
        unknown: some ids that are not among ``track_ids``.
    """

    track_ids: pa.LargeStringArray
    seeds: int
    continuations: list[Continuation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)

    def read(self, playlists: str) -> "HeldOut":
        """Read a file, folder or glob of playlists, and return this object."""
        fragments = find_fragments(files.absolute(playlists), "playlists")
        check_table(fragments, PLAYLISTS)
        for fragment in fragments:
            for batch in read_playlists(fragment):
                self.counts.update(batch.counts)
                self._add(batch.rows["track_ids"])
        return self

    def check(self, playlists: str, release_id: str, max_reject_rate: float) -> None:
        """Check that the playlists can be measured, and warn of those that are not used.

        Raises:
            InvalidDataError: too many were rejected, or none has two known tracks.
        """
        violation = RejectRateGate(max_reject_rate).find_violation(playlist_rows(self.counts))
        if violation is not None:
            raise InvalidDataError(f"{violation}; nothing was measured")
        used, example = len(self.continuations), describe_unknown(self.unknown, self.track_ids[:2].to_pylist())
        require_used(playlists, f"release {release_id}", self.counts, used, example)
        warn_of_playlists(self.counts, used, example)

    def _add(self, lists: pa.ListArray) -> None:
        ids = pc.list_flatten(lists).cast(self.track_ids.type)
        rows = pc.fill_null(pc.index_in(ids, value_set=self.track_ids), -1).to_numpy().astype(np.int64)
        owners = pc.list_parent_indices(lists).to_numpy()
        for part in np.split(rows, np.flatnonzero(np.diff(owners)) + 1):
            self.continuations.extend(continuation(part[part >= 0], self.seeds))
        self.counts.update(entries_read=len(rows), entries_unknown=int(np.count_nonzero(rows < 0)))
        if not self.unknown:
            self.unknown += ids.filter(pa.array(rows < 0))[:2].to_pylist()


def continuation(rows: npt.NDArray[np.int64], seeds: int) -> Iterator[Continuation]:
    """Split the rows of a playlist, in order, into at most ``seeds`` seeds and targets; nothing for a single row."""
    distinct = rows[np.sort(np.unique(rows, return_index=True)[1])]
    if len(distinct) > 1:
        known = min(seeds, len(distinct) - 1)
        yield Continuation(distinct[:known], distinct[known:])
