"""The tracks of a release as cards: names and tags of its snapshot, albums, years and lyrics of a tracks table.

The columns stay in Arrow; cards are made for the tracks of one playlist at a time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.pipelines.conversations.known_words import themes_of
from tracktokens.pipelines.conversations.track_card import TrackCard, make_card
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.catalog.lyrics import lyrics_text
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import check_table, find_fragments
from tracktokens.transforms.readers.validation import validate_ids
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store

_COLUMNS = ["track_id", "title", "artist", "tag_names"]


@dataclass
class ConversationCatalog:
    """Tracks of a release.

    Attributes:
        track_ids: their ids.
        rows: columns of the snapshot, in the same order.
        further: row to album, year and themes of the lyrics, from a tracks table.
        counts: rows of that table: ``tracks_read``, ``tracks_rejected``, ``tracks_unknown`` and ``tracks_repeated``.
    """

    track_ids: pa.Array
    rows: pa.Table
    further: dict[int, dict[str, Any]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, store: Store, release: ReleaseManifest) -> "ConversationCatalog":
        """Read the snapshot of a release."""
        catalog = store.catalog(release.catalog_id)
        parts = [
            files.read_table(catalog.tracks(bucket), CATALOG_TRACKS, _COLUMNS) for bucket in range(catalog.buckets)
        ]
        rows = pa.concat_tables(parts).combine_chunks()
        return cls(rows["track_id"].combine_chunks(), rows)

    def read_tracks(self, tracks: str) -> list[pa.RecordBatch]:
        """Read albums, years and lyrics of the tracks that the release has; return the rejects.

        Of rows of one track, the first counts.

        Raises:
            UsageError: nothing matches the path.
            InvalidDataError: a file cannot be read.
        """
        fragments = find_fragments(files.absolute(tracks), "tracks")
        check_table(fragments, TRACKS)
        rejects = []
        for fragment in fragments:
            for batch in read_fragment(fragment, TRACKS):
                valid = validate_ids(batch.rows)
                self._add(valid.rows)
                rejects += [batch.rejects, valid.rejects]
                lost = batch.rows_read - valid.rows.num_rows
                self.counts.update(tracks_read=batch.rows_read, tracks_rejected=lost)
        return rejects

    def rows_of(self, track_ids: pa.Array) -> npt.NDArray[np.int64]:
        """Return the row of each id, -1 for a track that the release does not have."""
        found = pc.index_in(track_ids.cast(self.track_ids.type), value_set=self.track_ids)
        rows: npt.NDArray[np.int64] = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return rows

    def cards(self, rows: Sequence[int]) -> list[TrackCard]:
        """Make the cards of some rows."""
        taken = self.rows.take(pa.array(rows, pa.int64())).to_pylist()
        return [
            make_card(
                track["track_id"], track["title"], track["artist"], track["tag_names"], **self.further.get(row, {})
            )
            for row, track in zip(rows, taken, strict=True)
        ]

    def _add(self, batch: pa.RecordBatch) -> None:
        numbers = self.rows_of(batch["track_id"]).tolist()
        columns = (batch["album"].to_pylist(), batch["year"].to_pylist(), lyrics_text(batch).to_pylist())
        for row, album, year, lyrics in zip(numbers, *columns, strict=True):
            if row < 0 or row in self.further:
                self.counts["tracks_unknown" if row < 0 else "tracks_repeated"] += 1
                continue
            self.further[row] = {"album": album, "year": year, "themes": themes_of(lyrics)}
