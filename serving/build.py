"""Build a serving table in a local folder, in bounded memory.

All arrays are memory-mapped files, and all sorts are sorts in files: the memory is that of some millions of rows, and
that of the tracks of the largest tuple. See :mod:`tracktokens.serving.layout` for the files.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tracktokens.codebooks.matching.weights import MATCHING_WEIGHTS, column_weights
from tracktokens.codebooks.numerics.arrays import CodeColumns, CodeMatrix, Codes, Integers
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.codebooks.tokens.vocabulary import token_strings
from tracktokens.schemas.manifests.serving import ServingManifest
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.serving import layout
from tracktokens.serving.external_sort import RANGE_ROWS, SortKeys, sort_in_ranges

BLOCK_ROWS = 1 << 20
"""Rows of an array that are read at a time."""

RANK: SortKeys = [("popularity", "descending"), ("track_id", "ascending")]
"""Order of the rows, which breaks ties."""

Rows = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ServingBuild:
    """A serving table to build.

    Attributes:
        folder: local folder of the table, which exists.
        scratch: local folder for temporary files, which exists.
        token_format: token columns.
        tracks: number of tracks.
        range_rows: rows that are sorted in memory at a time, on average.
    """

    folder: Path
    scratch: Path
    token_format: TokenFormat
    tracks: int
    range_rows: int = RANGE_ROWS

    def write(self, tables: Iterable[pa.Table], release_id: str, bundle_id: str) -> ServingManifest:
        """Write all files, the header last, and return the header.

        Args:
            tables: ``track_id``, one nullable int16 column per token column, and ``popularity`` (float64), in any order
                of the rows.
            release_id: release of the tracks.
            bundle_id: bundle of their codes.
        """
        self._write_ranked(tables)
        self._write_postings()
        self._write_rows_by_id()
        nodes = self._write_tuples()
        manifest = ServingManifest(
            release_id=release_id,
            bundle_id=bundle_id,
            codebook_size=self.token_format.codebook_size,
            tracks=self.tracks,
            tuples=nodes[-1],
            columns=self.token_format.names,
            tokens=self.token_format.to_json(),
            weights=column_weights(MATCHING_WEIGHTS, self.token_format).tolist(),
            nodes=nodes,
        )
        (self.folder / layout.HEADER).write_text(manifest.to_json(), encoding="utf-8")
        return manifest

    def _write_ranked(self, tables: Iterable[pa.Table]) -> None:
        """Write track ids and codes in order of popularity."""
        codes = self._create(layout.CODES, np.int16, (len(self.token_format), self.tracks))
        offsets = _create(self.scratch / "offsets.npy", np.int64, (self.tracks + 1,))
        row, data = 0, self.scratch / "ids"
        with data.open("wb") as file:
            for part in self._sorted(tables, RANK):
                stop = row + part.num_rows
                for values, name in zip(codes, self.token_format.names, strict=True):
                    values[row:stop] = pc.fill_null(part[name], NONE).to_numpy()
                ids = part["track_id"].combine_chunks().cast(pa.large_binary())
                lengths = pc.binary_length(ids).to_numpy()
                offsets[row + 1 : stop + 1] = offsets[row] + np.cumsum(lengths)
                file.write(b"".join(ids.to_pylist()))
                row = stop
        self._write_ids(offsets, data)
        data.unlink()

    def _write_ids(self, offsets: Integers, data: Path) -> None:
        """Write the track ids as one batch, so that readers map them as one array."""
        schema = pa.schema([pa.field("track_id", pa.large_string(), nullable=False)])
        with (
            pa.OSFile(str(data)) if not data.stat().st_size else pa.memory_map(str(data)) as source,
            pa.ipc.new_file(str(self.folder / layout.TRACK_IDS), schema) as writer,
        ):
            buffers = [None, pa.py_buffer(offsets), source.read_buffer()]
            ids = pa.Array.from_buffers(pa.large_string(), self.tracks, buffers)
            writer.write_batch(pa.record_batch([ids], schema=schema))

    def _write_postings(self) -> None:
        """Write, per column, the rows in order of their codes: a counting sort, block by block."""
        codes = self._read(layout.CODES)
        largest = max(column.size for column in self.token_format.columns)
        counts = np.zeros((len(self.token_format), largest + 1), np.int64)
        for _, block in _blocks(codes):
            for total, values in zip(counts, block, strict=True):
                total += np.bincount(values.astype(np.int64) - NONE, minlength=len(total))
        starts = np.concatenate([np.zeros((len(counts), 1), np.int64), np.cumsum(counts, axis=1)], axis=1)
        np.save(self.folder / layout.POSTING_STARTS, starts)
        postings = self._create(layout.POSTINGS, np.int32, codes.shape)
        filled = starts[:, :-1].copy()
        for row, block in _blocks(codes):
            for target, free, values in zip(postings, filled, block, strict=True):
                _scatter(target, free, values.astype(np.int64) - NONE, row)

    def _write_rows_by_id(self) -> None:
        rows = self._create(layout.ROWS_BY_ID, np.int32, (self.tracks,))
        first = 0
        with pa.memory_map(str(self.folder / layout.TRACK_IDS)) as source:
            ids = pa.ipc.open_file(source).read_all()
            tables = (_numbered(ids.slice(row, BLOCK_ROWS), row) for row in _starts(self.tracks))
            for part in self._sorted(tables, [("track_id", "ascending")]):
                rows[first : first + part.num_rows] = part["row"].to_numpy()
                first += part.num_rows

    def _write_tuples(self) -> list[int]:
        """Write the tuples, their rows and the trie; return the number of nodes per depth."""
        codes = self._read(layout.CODES)
        names = self.token_format.names
        tables = (_numbered(pa.table(list(block), names=list(names)), row) for row, block in _blocks(codes))
        rows = self._create(layout.ROWS_BY_TUPLE, np.int32, (self.tracks,))
        with TupleWriter(self.folder, self.scratch, self.token_format) as writer:
            for part in self._sorted(tables, [(name, "ascending") for name in names]):
                first = writer.rows
                matrix = np.stack([part[name].to_numpy() for name in names], axis=1)
                rows[first : first + part.num_rows] = part["row"].to_numpy()
                writer.add(matrix, rows[first : first + part.num_rows])
            return writer.finish()

    def _sorted(self, tables: Iterable[pa.Table], keys: SortKeys) -> Iterator[pa.Table]:
        return sort_in_ranges(tables, keys, self.scratch, self.range_rows)

    def _create(self, name: str, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return _create(self.folder / name, dtype, shape)

    def _read(self, name: str) -> npt.NDArray[Any]:
        array: npt.NDArray[Any] = np.load(self.folder / name, mmap_mode="r")
        return array


class TupleWriter:
    """Writer of the tuples of a table and of their trie, from rows in order of the tuple.

    Attributes:
        rows: rows so far.
    """

    def __init__(self, folder: Path, scratch: Path, token_format: TokenFormat) -> None:
        """Open the files; ``track_ids.arrow`` must exist in the folder."""
        self.rows = 0
        self._tuples = 0
        self._nodes = [0] * len(token_format)
        self._previous: Codes | None = None
        self._folder, self._scratch, self._format = folder, scratch, token_format
        self._stack = ExitStack()
        source = self._stack.enter_context(pa.memory_map(str(folder / layout.TRACK_IDS)))
        self._ids = pa.ipc.open_file(source).get_batch(0).column(0)
        self._parquet = self._stack.enter_context(pq.ParquetWriter(folder / layout.TUPLES, tuples_schema(token_format)))
        self._starts = self._open("tuple_starts")
        self._codes = [self._open(f"codes_{depth}") for depth in range(len(token_format))]
        self._firsts = [self._open(f"firsts_{depth}") for depth in range(len(token_format))]

    def __enter__(self) -> "TupleWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, codes: CodeMatrix, rows: Rows) -> None:
        """Add the next tuples with all of their tracks.

        Args:
            codes: int16 (n, columns), in ascending order; no tuple of an earlier call.
            rows: int32 (n,), row of each track, ascending within a tuple.
        """
        if not len(rows):
            return
        begins = np.ones(len(codes), bool)
        begins[1:] = (codes[1:] != codes[:-1]).any(axis=1)
        firsts = np.flatnonzero(begins)
        self._write_trie(codes[firsts])
        self._write_table(codes[firsts], np.append(firsts, len(rows)), rows)
        self._starts.write((self.rows + firsts).astype(np.int32).tobytes())
        self._tuples += len(firsts)
        self.rows += len(rows)

    def finish(self) -> list[int]:
        """Write the arrays and return the number of nodes per depth; the last is the number of tuples."""
        self._starts.write(np.array([self.rows], np.int32).tobytes())
        self._stack.close()
        self._gather(layout.TUPLE_STARTS, ["tuple_starts"], np.int32)
        depths = range(len(self._format))
        self._gather(layout.TRIE_CODES, [f"codes_{depth}" for depth in depths], np.int16)
        self._gather(layout.TRIE_STARTS, [f"firsts_{depth}" for depth in depths], np.int32)
        return self._nodes

    def _write_trie(self, tuples: CodeMatrix) -> None:
        """Append the nodes of new tuples. The first tuple shares with the last one before it the nodes of a prefix."""
        begins = np.zeros(len(tuples), bool)
        for depth, column in enumerate(tuples.T):
            begins[1:] |= column[1:] != column[:-1]
            begins[:1] |= self._previous is None or column[:1] != self._previous[depth]
            starts = np.flatnonzero(begins)
            self._codes[depth].write(column[starts].tobytes())
            self._firsts[depth].write((self._tuples + starts).astype(np.int32).tobytes())
            self._nodes[depth] += len(starts)
        self._previous = tuples[-1].copy()

    def _write_table(self, tuples: CodeMatrix, bounds: Integers, rows: Rows) -> None:
        columns = [pa.array(np.ascontiguousarray(column), mask=column == NONE) for column in tuples.T]
        lists = pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), self._ids.take(pa.array(rows)).cast(pa.string()))
        texts = token_strings(pa.record_batch(columns, names=list(self._format.names)), self._format)
        self._parquet.write_table(pa.table([*columns, texts, lists], schema=tuples_schema(self._format)))

    def _open(self, name: str) -> IO[bytes]:
        return self._stack.enter_context((self._scratch / name).open("wb"))

    def _gather(self, name: str, parts: list[str], dtype: type[np.generic]) -> None:
        """Write the values of some files as one array, and remove the files."""
        paths = [self._scratch / part for part in parts]
        total = sum(path.stat().st_size for path in paths) // np.dtype(dtype).itemsize
        array = _create(self._folder / name, dtype, (total,))
        first = 0
        for path in paths:
            with path.open("rb") as file:
                while len(values := np.fromfile(file, dtype, BLOCK_ROWS)):
                    array[first : first + len(values)] = values
                    first += len(values)
            path.unlink()


def tuples_schema(token_format: TokenFormat) -> pa.Schema:
    """Return the schema of ``tuples.parquet``: codes, null for none; ``tokens``; ``track_ids``, most popular first."""
    codes = [pa.field(name, pa.int16()) for name in token_format.names]
    ids = pa.field("track_ids", pa.list_(pa.string()), nullable=False)
    return pa.schema([*codes, pa.field("tokens", pa.string(), nullable=False), ids])


def _create(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Create an array of zeros as a memory-mapped file."""
    array: npt.NDArray[Any] = np.lib.format.open_memmap(path, "w+", dtype, shape)  # type: ignore[no-untyped-call]
    return array


def _starts(rows: int) -> range:
    return range(0, max(rows, 1), BLOCK_ROWS)


def _blocks(codes: CodeColumns) -> Iterator[tuple[int, CodeColumns]]:
    """Yield the first row of each block, and its columns; one empty block without rows."""
    for row in _starts(codes.shape[1]):
        yield row, codes[:, row : row + BLOCK_ROWS]


def _numbered(table: pa.Table, first: int) -> pa.Table:
    return table.append_column("row", pa.array(np.arange(first, first + table.num_rows, dtype=np.int32)))


def _scatter(target: Rows, free: Integers, keys: Integers, first: int) -> None:
    """Write the rows of a block to the next free places of their keys, and advance these places."""
    order = np.argsort(keys, kind="stable")
    arranged = keys[order]
    counts = np.bincount(keys, minlength=len(free))
    within = np.arange(len(keys)) - np.repeat(np.cumsum(counts) - counts, counts)
    target[free[arranged] + within] = first + order
    free += counts
