"""Vector tables: Parquet files with one vector per track. Check them, read them, and scale vectors to unit length.

Only the direction of a vector matters. It is scaled to unit length before it is rounded to float16, the stored type, so
neither its scale nor its input type changes its key, or decides if it can be stored.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables.column_hints import suggest_column
from tracktokens.schemas.tables.records import KEY, KEY_BYTES
from tracktokens.schemas.tables.rejects import NOT_FINITE, VECTOR_DIMENSION, VECTOR_ZERO
from tracktokens.schemas.tables.tracks import TRACK_ID
from tracktokens.schemas.tables.vectors import VECTOR
from tracktokens.transforms.readers.coercion import Problem, coerce_column
from tracktokens.transforms.readers.file_discovery import PARQUET, corrupt_file_errors
from tracktokens.transforms.readers.fragments import Fragment, find_fragments
from tracktokens.transforms.readers.parquet_reader import open_row_groups, parquet_columns
from tracktokens.transforms.readers.row_assembly import row_problem
from tracktokens.transforms.readers.validation import id_problems
from tracktokens.transforms.runtime.threads import read_ahead
from tracktokens.transforms.store import files
from tracktokens.transforms.values.arrow_types import is_list, plain_column, plain_type

BATCH_ROWS = 1024
"""Rows per read; they fit into the cache of a core."""
_BLOCK_VALUES = 1 << 17
"""Values that are scaled at a time. The memory of a larger array is mapped again, page by page, each time."""

_READ_BYTES = 1 << 20
_IO_THREADS = 16
_SAMPLED_VECTORS = 1 << 16

_DETAILS = {
    NOT_FINITE: "the vector has values that are null, NaN or infinite",
    VECTOR_ZERO: "the vector is zero, which has no direction",
    VECTOR_DIMENSION: "the vector has {} values, which is not the dimension of the table",
}

Reals = npt.NDArray[np.float16] | npt.NDArray[np.float32] | npt.NDArray[np.float64]

UnitVectors = npt.NDArray[np.float16]
"""Vectors of unit length, shape (n, dim), in the stored type."""


@dataclass(frozen=True)
class VectorTable:
    """Vector table that was checked.

    Attributes:
        fragments: row groups of the files, in order.
        column: column of the vectors.
        dim: dimension of the vectors.
    """

    fragments: Sequence[Fragment]
    column: str
    dim: int


@dataclass(frozen=True, eq=False)
class VectorRows:
    """Consecutive rows of a row group.

    Attributes:
        start: index of the first row within the row group.
        track_ids: string array, null where the id is missing.
        units: float16 (rows, dim), unit vectors; zero where a row has none.
        faults: row to the problem of its id or vector, for rows that cannot be used.
        absent: bool (rows,), True where a row has no vector, which is allowed.
    """

    start: int
    track_ids: pa.StringArray
    units: UnitVectors
    faults: dict[int, Problem]
    absent: npt.NDArray[np.bool_]

    @property
    def usable(self) -> npt.NDArray[np.int64]:
        """Indices within this batch of the rows that have an id and a vector."""
        usable = ~self.absent
        usable[list(self.faults)] = False
        return np.flatnonzero(usable)


def open_vector_table(pattern: str, column: str = VECTOR) -> VectorTable:
    """Find and check the files of a vectors table.

    The dimension is that of the column's type, or else the most frequent length of the first vectors of its row groups.

    Args:
        pattern: a Parquet file, a folder or a glob.
        column: column of the vectors.

    Raises:
        UsageError: no file matches, or a file is not Parquet.
        InvalidDataError: a file is corrupt or lacks a column, the column has no vectors, or dimensions differ.
    """
    fragments = tuple(find_fragments(files.absolute(pattern), "vectors"))
    other = next((fragment.path for fragment in fragments if fragment.format != PARQUET), None)
    if other is not None:
        raise UsageError(f"{other} is not Parquet: vectors are read from Parquet, so convert it")
    dims: dict[int, str] = {}
    for path in dict.fromkeys(fragment.path for fragment in fragments):
        dims.setdefault(_declared_dim(path, column), path)
    fixed = sorted(dims.keys() - {0})
    if len(fixed) > 1:
        raise InvalidDataError(
            f"{dims[fixed[0]]} has vectors of {fixed[0]} dimensions, {dims[fixed[1]]} of {fixed[1]}: "
            "all vectors of a table need the same dimension"
        )
    dim = fixed[0] if fixed else _most_frequent_dim(fragments, column)
    if not dim:
        raise InvalidDataError(f"{pattern} has no vector in its column {column}; use a table with at least one")
    return VectorTable(fragments, column, dim)


def read_vector_rows(table: VectorTable, fragment: Fragment) -> Iterator[VectorRows]:
    """Read a row group in batches of at most ``BATCH_ROWS`` rows.

    Raises:
        InvalidDataError: the file cannot be read.
    """
    start = 0
    for batch in _batches(fragment, [TRACK_ID, table.column]):
        yield _vector_rows(start, batch.column(TRACK_ID), plain_column(batch.column(table.column)), table.dim)
        start += batch.num_rows


def read_unit_vectors(table: VectorTable, fragment: Fragment, wanted: npt.NDArray[np.int64]) -> Iterator[UnitVectors]:
    """Read some vectors of a row group, and scale them to unit length.

    Args:
        table: the table.
        fragment: the row group.
        wanted: indices of rows that have a usable vector, ascending.

    Yields:
        float16 of shape (rows, dim), in the order of ``wanted``; each a part of them.

    Raises:
        InvalidDataError: the file cannot be read.
    """
    start = 0
    for batch in _batches(fragment, [table.column]):
        first, last = np.searchsorted(wanted, [start, start + batch.num_rows])
        if first < last:
            lists = plain_column(batch.column(0))
            rows = lists if last - first == len(lists) else lists.take(pa.array(wanted[first:last] - start))
            yield _unit_rows(rows, table.dim).units
        start += batch.num_rows


def ignored_vector_columns(table: VectorTable) -> list[str]:
    """List the columns of the files that are not read."""
    paths = list(dict.fromkeys(fragment.path for fragment in table.fragments))
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        names = {name for columns in threads.map(parquet_columns, paths) for name in columns}
    return sorted(names - {TRACK_ID, table.column})


def vector_keys(units: UnitVectors) -> pa.FixedSizeBinaryArray:
    """Hash each vector: 16-byte BLAKE2b of its float16 values."""
    width = units.shape[1] * units.itemsize
    data = np.ascontiguousarray(units).view(np.uint8).reshape(-1).data
    digests = b"".join(
        hashlib.blake2b(data[start : start + width], digest_size=KEY_BYTES).digest()
        for start in range(0, len(data), width)
    )
    return pa.FixedSizeBinaryArray.from_buffers(KEY.type, len(units), [None, pa.py_buffer(digests)])


def hash_files(paths: Sequence[str]) -> str:
    """Hash the contents of files, independent of their names and order: 32 hex digits of BLAKE2b."""
    with ThreadPoolExecutor(_IO_THREADS) as threads:
        digests = sorted(threads.map(_hash_file, paths))
    return hashlib.blake2b(b"".join(digests), digest_size=16).hexdigest()


def _hash_file(path: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with corrupt_file_errors(path), files.open_bytes(path) as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.digest()


def _declared_dim(path: str, column: str) -> int:
    """Dimension in the type of a file's column, 0 for lists of any length."""
    with open_row_groups(path) as parquet:
        schema = parquet.schema_arrow
    for name in (TRACK_ID, column):
        if schema.names.count(name) != 1:
            meant = next((other for other in schema.names if suggest_column(other, [name])), None)
            hint = "" if meant in (None, name) else f"; rename {meant} if it contains it"
            raise InvalidDataError(
                f"{path} has {schema.names.count(name)} columns {name}, and one is needed; "
                f"its columns are {', '.join(schema.names)}{hint}"
            )
    kind = plain_type(schema.field(column).type)
    if not is_list(kind) or not pa.types.is_floating(kind.value_type):
        raise InvalidDataError(
            f"{path}: column {column} is {kind}, not a list of float16, float32 or float64; "
            "write the vectors as lists of float32"
        )
    return int(kind.list_size) if pa.types.is_fixed_size_list(kind) else 0


def _most_frequent_dim(fragments: Sequence[Fragment], column: str) -> int:
    """Count the lengths of the first vectors of row groups; 0 if there are none."""
    lengths: Counter[int] = Counter()
    for part in fragments:
        for batch in _decoded_batches(part, [column]):
            lengths.update(_lengths(plain_column(batch.column(0))).tolist())
            del lengths[0]
            if lengths:
                break
        if lengths.total() >= _SAMPLED_VECTORS:
            break
    return lengths.most_common(1)[0][0] if lengths else 0


def _batches(fragment: Fragment, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read columns of a row group. The next batch is decoded while the caller uses the one before."""
    return read_ahead(_decoded_batches(fragment, columns))


def _decoded_batches(fragment: Fragment, columns: list[str]) -> Generator[pa.RecordBatch, None, None]:
    if fragment.row_group is None:  # the file has no row groups
        return
    with open_row_groups(fragment.path) as parquet:
        yield from parquet.iter_batches(BATCH_ROWS, [fragment.row_group], columns, use_threads=False)


def _lengths(lists: pa.Array) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[np.int64] = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return lengths


def _vector_rows(start: int, id_column: pa.Array, lists: pa.Array, dim: int) -> VectorRows:
    read = _unit_rows(lists, dim)
    problems = _vector_problems(read.lengths, np.flatnonzero(read.lengths == dim), read.largest)
    ids = coerce_column(id_column, pa.field(TRACK_ID, pa.string()))
    problems += [*id_problems(TRACK_ID, ids.column), *map(row_problem, ids.problems)]  # the last one of a row counts
    return VectorRows(start, ids.column, read.units, {problem.row: problem for problem in problems}, read.lengths == 0)


class _UnitRows(NamedTuple):
    """Vectors of rows: unit vectors, lengths of all lists, and largest absolute values of those of the table's length.

    Attributes:
        units: float16 (rows, dim), zero where a row has no vector of this length, or an unusable one.
        lengths: number of values of each row.
        largest: of shape (rows of length dim,).
    """

    units: UnitVectors
    lengths: npt.NDArray[np.int64]
    largest: Reals


def _unit_rows(lists: pa.Array, dim: int) -> _UnitRows:
    lengths = _lengths(lists)
    complete = lengths == dim
    if complete.all():
        units, largest = _units(_matrix(lists, dim))
        return _UnitRows(units, lengths, largest)
    complete_units, largest = _units(_matrix(lists.filter(pa.array(complete)), dim))
    units = np.zeros((len(lengths), dim), np.float16)
    units[complete] = complete_units
    return _UnitRows(units, lengths, largest)


def _vector_problems(lengths: npt.NDArray[np.int64], complete: npt.NDArray[np.int64], largest: Reals) -> list[Problem]:
    """Find vectors that cannot be used.

    Args:
        lengths: length of the vector of each row, 0 where it is absent; shape (rows,).
        complete: rows whose vector has the table's dimension; shape (complete rows,).
        largest: largest absolute value of each of these vectors; shape (complete rows,).
    """
    others = np.setdiff1d(np.flatnonzero(lengths), complete).tolist()
    return [
        *(Problem(row, VECTOR_DIMENSION, _DETAILS[VECTOR_DIMENSION].format(lengths[row])) for row in others),
        *(Problem(row, VECTOR_ZERO, _DETAILS[VECTOR_ZERO]) for row in complete[largest == 0].tolist()),
        *(Problem(row, NOT_FINITE, _DETAILS[NOT_FINITE]) for row in complete[~np.isfinite(largest)].tolist()),
    ]


def _matrix(lists: pa.Array, dim: int) -> Reals:
    """Convert lists of ``dim`` values each to an array (lists, dim). Null values become NaN."""
    values = lists.flatten().to_numpy(zero_copy_only=False)
    return np.asarray(values).reshape(-1, dim)


def _units(vectors: Reals) -> tuple[UnitVectors, Reals]:
    """Scale rows to unit length; also return their largest absolute values, 0 or not finite for unusable rows."""
    units = np.empty(vectors.shape, np.float16)
    largest: npt.NDArray[Any] = np.empty(len(vectors), vectors.dtype)
    block_rows = max(1, _BLOCK_VALUES // max(1, vectors.shape[1]))
    for start in range(0, len(vectors), block_rows):
        block = slice(start, start + block_rows)
        largest[block] = _scale(vectors[block], units[block])
    return units, largest


def _scale(vectors: Reals, units: UnitVectors) -> Reals:
    """Scale rows to unit length into ``units``, and return their largest absolute values; see :func:`_units`."""
    largest: Reals = np.abs(vectors).max(axis=1, initial=0)
    usable = (largest > 0) & np.isfinite(largest)
    divisors = np.where(usable, largest, 1)
    with np.errstate(invalid="ignore"):
        # Its squares neither overflow nor vanish.
        scaled = (vectors / divisors[:, np.newaxis]).astype(np.float32, copy=False)
        norms = np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
        scaled /= np.where(usable, norms, 1)[:, np.newaxis]
        units[:] = scaled
    units[~usable] = 0
    return largest
