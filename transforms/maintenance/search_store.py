"""Search every file of a store for tracks: ids in the columns of tables and the bytes of other files, keys in all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.records import KEY_BYTES
from tracktokens.serving.layout import TRACK_IDS
from tracktokens.transforms.maintenance.scrub_folder import rows_with
from tracktokens.transforms.maintenance.scrub_rows import SHORT_ID, ScrubbedTracks, any_of
from tracktokens.transforms.runtime.forgotten_tracks import JOURNAL
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import LOCK, Store

NOT_SEARCHED = (LOCK, JOURNAL)
"""Files of a store that exist only while a job runs. They have hashes of ids, and names of processes."""

BLOCK = 1 << 24
"""Bytes that are searched at once."""


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        files: number of files that were searched by their bytes.
        bytes: their size.
        tables: number of these that were decoded and searched by their columns.
        found: path below the store to what was found there; empty if nothing was.
    """

    files: int
    bytes: int
    tables: int
    found: Mapping[str, str]


@dataclass(frozen=True)
class StoreSearch:
    """Search for tracks in a store.

    Attributes:
        store: the store.
        tracks: the tracks.
    """

    store: Store
    tracks: ScrubbedTracks

    def run(self) -> SearchResult:
        """Search all files but the lock and the journal of the takedown."""
        sizes = {name: size for name, size in files.list_all(self.store.root).items() if name not in NOT_SEARCHED}
        tables = [name for name in sizes if name.endswith((files.PARQUET, TRACK_IDS))]
        found = {name: problem for name in sizes if (problem := self._search(name, name in set(tables)))}
        return SearchResult(len(sizes), sum(sizes.values()), len(tables), found)

    def _search(self, name: str, is_table: bool) -> str | None:
        path = files.join(self.store.root, name)
        if is_table:
            try:
                rows = self._rows(path)
            except (InvalidDataError, OSError, pa.ArrowException) as error:
                return f"cannot be read: {error}"
            if rows:
                return f"{rows} rows name a track"
        patterns = self._keys if is_table else [*self._keys, *self._ids]
        return "its bytes have an id or a key" if self._has_bytes(path, patterns) else None

    def _rows(self, path: str) -> int:
        if path.endswith(files.PARQUET):
            return rows_with(path, self.tracks)
        with pa.ipc.open_file(pa.BufferReader(files.read_bytes(path))) as reader:
            batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        return sum(int(self.tracks.mask(batch).sum()) for batch in batches)

    @cached_property
    def _keys(self) -> list[str]:
        """Regular expressions of the keys of the tracks, and of their numbers as Arrow stores them."""
        numbers = (int(number).to_bytes(8, "little") for number in self.tracks.numbers)
        return any_of([_escape(key) for key in (*self.tracks.keys.to_pylist(), *numbers)], "", "")

    @cached_property
    def _ids(self) -> list[str]:
        """Regular expressions of the ids as words, without those that occur by chance."""
        ids = [name.encode() for name in self.tracks.ids]
        return any_of([_escape(name) for name in ids if len(name) >= SHORT_ID], r"(?:^|[^\w-])", r"(?:$|[^\w-])")

    def _has_bytes(self, path: str, patterns: Sequence[str]) -> bool:
        overlap = max(len(name.encode()) for name in self.tracks.ids) + KEY_BYTES
        return any(_matches(block, patterns) for block in _blocks(path, overlap))


def _escape(needle: bytes) -> str:
    """Make a regular expression of bytes."""
    return "".join(f"\\x{byte:02x}" for byte in needle)


def _matches(block: bytes, patterns: Sequence[str]) -> bool:
    content = pa.array([block], pa.binary())
    return any(pc.match_substring_regex(content, pattern)[0].as_py() for pattern in patterns)


def _blocks(path: str, overlap: int) -> Iterator[bytes]:
    """Read a file in blocks; each begins with the end of the one before."""
    end = b""
    with files.open_bytes(path) as file:
        while block := file.read(BLOCK):
            yield end + block
            end = (end + block)[-overlap:]


def hash_files(store: Store) -> dict[str, str]:
    """Hash every file of a store but the lock and the journal of the takedown: path below it to SHA-256."""
    sizes = {name: size for name, size in files.list_all(store.root).items() if name not in NOT_SEARCHED}
    return {name: files.sha256(files.join(store.root, name), size) for name, size in sizes.items()}
