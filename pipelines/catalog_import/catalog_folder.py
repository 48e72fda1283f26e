"""The folder that an import writes: tables of tracks, playlists and rejects, and ``import.json``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables.import_rejects import IMPORT_REJECTS
from tracktokens.schemas.tables.playlists import PLAYLIST_ID, PLAYLISTS
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE, TRACKS_TABLE
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.store.user_files import check_output_folder, path_errors

TRACKS_FILE, PLAYLISTS_FILE, REJECTS_FILE = "tracks.parquet", "playlists.parquet", "rejects.parquet"
IMPORT_FILE = "import.json"

WRITTEN_PLAYLISTS = pa.schema([*PLAYLISTS, pa.field("name", pa.string())])
"""``playlists.parquet``: the input table, and the names of the playlists."""

ROWS_PER_GROUP = 20_000
"""Rows of a Parquet row group, which is held in memory until it is complete."""

ENTRIES_PER_GROUP = 1_000_000
"""Entries of playlists after which a row group is complete, however few rows it has."""


Report = Callable[[str, int], None]
"""Called with a kind of things that were read, and their number since the last call."""


@dataclass
class ImportCounts:
    """Counts of an import.

    Attributes:
        written: table to the rows written.
        entries: entries of playlists written.
        rejected: reason to the rejects.
        found: what was found in the source, by kind.
    """

    written: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values, in the order of their names."""
        counters = {"found": self.found, "written": self.written, "rejected": self.rejected}
        return {"entries": self.entries} | {name: dict(sorted(counts.items())) for name, counts in counters.items()}


class CatalogFolder:
    """Writes the tables of an import row by row; they get their names together when the ``with`` block ends.

    Memory does not grow with the number of rows. The same calls write the same bytes.

    Example:
        with CatalogFolder("catalog") as folder:
            folder.add_track(track_id="t1", title="Blue")
            folder.add_playlist("p1", ["t1"], name="Calm")
    """

    def __init__(self, path: str, source: str) -> None:
        """Prepare a folder.

        Args:
            path: folder to write. The files of an earlier import in it are replaced.
            source: folder or file that is read.

        Raises:
            UsageError: the folder cannot be written, or is in the source.
        """
        check_output_folder(path, [source])
        self.path = Path(path)
        self.counts = ImportCounts()
        with path_errors(path, "give a folder to write"):
            self.path.mkdir(parents=True, exist_ok=True)
        if foreign := sorted({entry.name for entry in self.path.iterdir()} - _OURS):
            raise UsageError(f"{path} has other files ({foreign[0]}): give a new folder, or one of an earlier import")
        self._partial = TemporaryDirectory(dir=self.path, prefix=".import-")
        folder = Path(self._partial.name)
        self._tracks = _TableWriter(folder / TRACKS_FILE, TRACKS)
        self._playlists = _TableWriter(folder / PLAYLISTS_FILE, WRITTEN_PLAYLISTS)
        self._rejects = _TableWriter(folder / REJECTS_FILE, IMPORT_REJECTS)
        self.summary: dict[str, Any] = {}

    def add_track(self, **row: Any) -> None:
        """Write a track: columns of ``TRACKS``; those that are left out are null."""
        self._tracks.add(row)
        self.counts.written[TRACKS_TABLE] += 1

    def add_playlist(self, playlist_id: str, track_ids: Sequence[str], name: str | None = None) -> None:
        """Write a playlist."""
        self._playlists.add({PLAYLIST_ID: playlist_id, "track_ids": track_ids, "name": name}, len(track_ids))
        self.counts.written[PLAYLISTS_TABLE] += 1
        self.counts.entries += len(track_ids)

    def reject(self, table: str, reason: str, file: str, **known: str | int | None) -> None:
        """Write a reject.

        Args:
            table: table that lacks the row or the value.
            reason: one of :mod:`tracktokens.schemas.tables.import_rejects`.
            file: file of the source.
            known: ``line``, ``id`` and ``detail``, as far as they are known.
        """
        self._rejects.add({"file": file, "table": table, "reason": reason, **known})
        self.counts.rejected[reason] += 1

    def __enter__(self) -> CatalogFolder:
        """Return the folder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the files their names, or remove them if the block raised."""
        try:
            for table in (self._tracks, self._playlists, self._rejects):
                table.close()
            if kind is None:
                self._publish()
        finally:
            self._partial.cleanup()

    def _publish(self) -> None:
        partial = Path(self._partial.name)
        content = json.dumps(self.summary | {"counts": self.counts.to_json()}, indent=1, ensure_ascii=False)
        (partial / IMPORT_FILE).write_text(content + "\n", encoding="utf-8")
        (self.path / IMPORT_FILE).unlink(missing_ok=True)  # without it, a folder is not complete
        for name in (TRACKS_FILE, PLAYLISTS_FILE, REJECTS_FILE, IMPORT_FILE):
            (partial / name).replace(self.path / name)


_OURS = {TRACKS_FILE, PLAYLISTS_FILE, REJECTS_FILE, IMPORT_FILE}


class _TableWriter:
    """Writes rows into a Parquet file, a row group at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._rows: list[Mapping[str, Any]] = []
        self._entries = 0

    def add(self, row: Mapping[str, Any], entries: int = 0) -> None:
        self._rows.append(row)
        self._entries += entries
        if len(self._rows) >= ROWS_PER_GROUP or self._entries >= ENTRIES_PER_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self._rows, self._entries = [], 0
