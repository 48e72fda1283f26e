"""The folder that an import writes: tables of tracks, playlists and rejects, and ``import.json``."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.pipelines.catalog_import.key_index import key_index
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables import import_rejects as reasons
from tracktokens.schemas.tables.import_rejects import IMPORT_REJECTS
from tracktokens.schemas.tables.playlists import PLAYLIST_ID, PLAYLISTS
from tracktokens.schemas.tables.rejects import PLAYLISTS_TABLE, TRACKS_TABLE
from tracktokens.schemas.tables.tracks import TRACK_ID, TRACKS
from tracktokens.transforms.store.user_files import check_output_folder, path_errors

TRACKS_FILE, PLAYLISTS_FILE, REJECTS_FILE = "tracks.parquet", "playlists.parquet", "rejects.parquet"
IMPORT_FILE, MATCHES_FILE = "import.json", "matches.parquet"

WRITTEN_PLAYLISTS = pa.schema([*PLAYLISTS, pa.field("name", pa.string())])
"""``playlists.parquet``: the input table, and the names of the playlists."""

MATCHES = pa.schema(
    [
        pa.field("source_id", pa.string(), nullable=False),
        ("source_title", pa.string()),
        ("source_artist", pa.string()),
        pa.field(TRACK_ID, pa.string(), nullable=False),
        ("title", pa.string()),
        ("artist", pa.string()),
        pa.field("matched_by", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)
"""``matches.parquet``: tracks of the source, the tracks of a catalog that they are, and how they were found."""

STAGED_TRACKS = TRACKS.append(pa.field("isrc", pa.string()))
"""Tracks that are looked up in a catalog: with the ISRC, which a catalog does not have."""

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
        first_reject: file, reason and detail of the first reject.
    """

    written: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    first_reject: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values, in the order of their names."""
        counters = {"found": self.found, "written": self.written, "rejected": self.rejected}
        return {"entries": self.entries} | {name: dict(sorted(counts.items())) for name, counts in counters.items()}


def utf8_path(path: str) -> str:
    """Convert a path to valid Unicode: bytes that are not UTF-8 become U+FFFD."""
    return path if path.isascii() else os.fsencode(path).decode("utf-8", "replace")


class CatalogFolder:
    """Writes the tables of an import row by row; they get their names together when the ``with`` block ends.

    Memory does not grow with the number of rows. The same calls write the same bytes. A folder has either the table of
    tracks, or matches with those of a catalog that exists.

    Example:
        with CatalogFolder("catalog") as folder:
            folder.add_track(track_id="t1", title="Blue")
            folder.add_playlist("p1", ["t1"], name="Calm", file="calm.m3u")
    """

    def __init__(self, path: str, source: str, tracks: pa.Schema | None = TRACKS) -> None:
        """Prepare a folder.

        Args:
            path: folder to write. The files of an earlier import in it are replaced.
            source: folder or file that is read.
            tracks: columns of the tracks; None for matches in place of tracks.

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
        self._stack = ExitStack()
        self._partial = Path(self._stack.enter_context(TemporaryDirectory(dir=self.path, prefix=".import-")))
        self._playlist_ids = self._stack.enter_context(key_index())
        folder = self._partial
        first = (MATCHES_FILE, MATCHES) if tracks is None else (TRACKS_FILE, tracks)
        schemas = dict((first, (PLAYLISTS_FILE, WRITTEN_PLAYLISTS), (REJECTS_FILE, IMPORT_REJECTS)))
        self._tables = {name: _TableWriter(folder / name, schema) for name, schema in schemas.items()}
        self.summary: dict[str, Any] = {}

    def add_track(self, **row: Any) -> None:
        """Write a track: columns of ``TRACKS``; those that are left out are null."""
        self._tables[TRACKS_FILE].add(row)
        self.counts.written[TRACKS_TABLE] += 1

    def add_match(self, **row: Any) -> None:
        """Write a match: columns of ``MATCHES``."""
        self._tables[MATCHES_FILE].add(row)
        self.counts.written["matches"] += 1

    def add_playlist(
        self, playlist_id: str, track_ids: Iterable[str], name: str | None = None, *, file: str, line: int | None = None
    ) -> Sequence[str]:
        """Write a playlist; one without tracks, or whose id a playlist before it has, is rejected.

        Args:
            playlist_id: its id.
            track_ids: its tracks in order. Of a playlist whose id is taken, they are not read.
            name: its name.
            file: file of the source.
            line: its line or number in the file.

        Returns:
            The tracks; empty if the playlist was rejected.
        """
        playlist_id, file = utf8_path(playlist_id), utf8_path(file)
        place = file if line is None else f"{file}:{line}"
        if first := self._playlist_ids.claim(playlist_id, place):
            detail = f"the same as in {first}"
            self.reject(PLAYLISTS_TABLE, reasons.SAME_ID, file, line=line, id=playlist_id, detail=detail)
            return ()
        if not (written := list(track_ids)):
            self.reject(PLAYLISTS_TABLE, reasons.PLAYLIST_EMPTY, file, line=line, id=playlist_id)
            return ()
        self._tables[PLAYLISTS_FILE].add({PLAYLIST_ID: playlist_id, "track_ids": written, "name": name}, len(written))
        self.counts.written[PLAYLISTS_TABLE] += 1
        self.counts.entries += len(written)
        return written

    def free_playlist_id(self, playlist_id: str) -> str:
        """Return an id that no playlist has yet: with a number, if one before it has this id."""
        free, number = playlist_id, 1
        while self._playlist_ids.get(free) is not None:
            number += 1
            free = f"{playlist_id} ({number})"
        return free

    def reject(self, table: str, reason: str, file: str, **known: str | int | None) -> None:
        """Write a reject.

        Args:
            table: table that lacks the row or the value.
            reason: one of :mod:`tracktokens.schemas.tables.import_rejects`.
            file: file of the source.
            known: ``line``, ``id`` and ``detail``, as far as they are known.
        """
        texts = {name: utf8_path(value) if isinstance(value, str) else value for name, value in known.items()}
        self._tables[REJECTS_FILE].add({"file": utf8_path(file), "table": table, "reason": reason, **texts})
        self.counts.rejected[reason] += 1
        if not self.counts.first_reject:
            self.counts.first_reject = ": ".join(str(text) for text in (file, reason, known.get("detail")) if text)

    def __enter__(self) -> CatalogFolder:
        """Return the folder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the files their names, or remove them if the block raised."""
        try:
            for table in self._tables.values():
                table.close()
            if kind is None:
                self._publish()
        finally:
            self._stack.close()

    def _publish(self) -> None:
        partial = self._partial
        content = json.dumps(self.summary | {"counts": self.counts.to_json()}, indent=1, ensure_ascii=False)
        (partial / IMPORT_FILE).write_text(content + "\n", encoding="utf-8")
        (self.path / IMPORT_FILE).unlink(missing_ok=True)  # without it, a folder is not complete
        for name in _OURS - self._tables.keys():
            (self.path / name).unlink(missing_ok=True)
        for name in (*self._tables, IMPORT_FILE):
            (partial / name).replace(self.path / name)


_OURS = {TRACKS_FILE, PLAYLISTS_FILE, REJECTS_FILE, MATCHES_FILE, IMPORT_FILE}


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
