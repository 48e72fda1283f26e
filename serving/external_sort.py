"""Sort of tables that may not fit in memory: a distribution sort in files.

The rows are written to a file, and a sample of them gives splitters. Each row goes to the file of its range between two
splitters, and each range is sorted in memory. Ranges have about ``RANGE_ROWS`` rows; rows with equal keys share one.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import RowIndices

RANGE_ROWS = 1 << 21
"""Rows that are sorted in memory at a time, on average."""

SAMPLE_STRIDE = 256
"""Every row of this distance is in the sample."""

SortKeys = Sequence[tuple[str, str]]
"""Columns, each with ``ascending`` or ``descending``."""


def sort_in_ranges(
    tables: Iterable[pa.Table], keys: SortKeys, folder: Path, range_rows: int = RANGE_ROWS
) -> Iterator[pa.Table]:
    """Sort rows by columns, stably, and yield them as tables in order.

    Example:
        >>> import tempfile
        >>> parts = [pa.table({"a": [3, 1]}), pa.table({"a": [2]})]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [part["a"].to_pylist() for part in sort_in_ranges(parts, [("a", "ascending")], Path(folder))]
        [[1, 2, 3]]

    Args:
        tables: at least one table; all of one schema.
        keys: columns to sort by.
        folder: local folder for the files, which are removed as they are read.
        range_rows: rows per range.
    """
    unsorted = folder / "unsorted.arrow"
    sample, rows = _spool(tables, unsorted, [name for name, _ in keys])
    splitters = _splitters(sample, keys, max(rows - 1, 0) // range_rows)
    paths = _distribute(unsorted, splitters, keys, folder) if splitters.num_rows else [unsorted]
    for path in paths:
        yield _read(path).combine_chunks().sort_by(list(keys)).combine_chunks()
        path.unlink()


def _spool(tables: Iterable[pa.Table], path: Path, names: list[str]) -> tuple[pa.Table, int]:
    """Write tables to one file; return a sample of their keys, and the number of rows."""
    samples, rows = [], 0
    with ExitStack() as stack:
        writer: pa.ipc.RecordBatchStreamWriter | None = None
        for table in tables:
            writer = writer or stack.enter_context(pa.ipc.new_stream(str(path), table.schema))
            writer.write_table(table)
            samples.append(table.select(names).take(pa.array(np.arange(0, table.num_rows, SAMPLE_STRIDE))))
            rows += table.num_rows
    return pa.concat_tables(samples), rows


def _splitters(sample: pa.Table, keys: SortKeys, count: int) -> pa.Table:
    """Choose ``count`` rows that divide a sample into parts of about the same size."""
    ordered = sample.sort_by(list(keys))
    places = np.linspace(0, max(ordered.num_rows - 1, 0), count + 2)[1:-1].astype(np.int64)
    return ordered.take(pa.array(np.unique(places)))


def _distribute(unsorted: Path, splitters: pa.Table, keys: SortKeys, folder: Path) -> list[Path]:
    """Divide a file into one per range, each in the order of the file, and remove it."""
    paths = [folder / f"range-{number}.arrow" for number in range(splitters.num_rows + 1)]
    with ExitStack() as stack, pa.memory_map(str(unsorted)) as source, pa.ipc.open_stream(source) as batches:
        writers = [stack.enter_context(pa.ipc.new_stream(str(path), batches.schema)) for path in paths]
        for batch in batches:
            numbers = _range_numbers(pa.table(batch), splitters, keys)
            for number in np.unique(numbers).tolist():
                writers[number].write_batch(batch.take(pa.array(np.flatnonzero(numbers == number))))
    unsorted.unlink()
    return paths


def _range_numbers(rows: pa.Table, splitters: pa.Table, keys: SortKeys) -> RowIndices:
    """Number the range of each row, int64 (n,): the splitters before it. Equal rows share a range."""
    both = pa.concat_tables([rows.select(splitters.column_names), splitters]).combine_chunks()
    order = pc.sort_indices(both, list(keys)).to_numpy()
    passed = np.empty(len(order), np.int64)
    passed[order] = np.cumsum(order >= rows.num_rows)
    return passed[: rows.num_rows]


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()
