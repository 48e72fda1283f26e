"""Row assembly: combine coerced columns into rows, and convert their problems into rejects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.display import show_value
from tracktokens.schemas.modalities import MODALITY_OF_COLUMN
from tracktokens.schemas.tables.rejects import (
    ID_NOT_UTF8,
    ID_WRONG_TYPE,
    NOT_UTF8,
    PLAYLISTS_TABLE,
    READ,
    TRACKS_TABLE,
    WRONG_TYPE,
)
from tracktokens.schemas.tables.tracks import POSITION, TRACK_ID
from tracktokens.transforms.readers.coercion import CoercedColumn, Problem

Reject = dict[str, str | None]
"""A row of the rejects table, as ``schemas.tables.rejects.make_rejects`` takes it."""

_ROW_REASON = {WRONG_TYPE: ID_WRONG_TYPE, NOT_UTF8: ID_NOT_UTF8}


@dataclass(frozen=True)
class ColumnCounts:
    """Counts of the values of one column, over rows whose id has the right type.

    Attributes:
        kept: values that can be used; a list without elements is none.
        lost: position of each row of whose value nothing is left, to the reason of the first problem.
        rejected: reason to number of rejects, of values and of elements of lists.
        null_elements: null elements of lists, which are dropped.
    """

    kept: int
    lost: Mapping[int, str]
    rejected: Mapping[str, int]
    null_elements: int


@dataclass(frozen=True)
class AssembledRows:
    """Rows whose id has the right type, and rejects of everything that was lost.

    Attributes:
        rows: batch of the schema with ``position``.
        rejects: one per lost row or value, in the order of the rows.
        columns: counts of each column that the input has, without the id.
    """

    rows: pa.RecordBatch
    rejects: list[Reject]
    columns: Mapping[str, ColumnCounts]


def assemble_rows(
    columns: Mapping[str, CoercedColumn],
    schema: pa.Schema,
    positions: npt.NDArray[np.int64],
    name_row: Callable[[int], str],
) -> AssembledRows:
    """Combine coerced columns into rows; a row whose id did not fit is dropped, with one reject.

    Args:
        columns: the columns that the input has; other columns of the schema become null.
        schema: ``TRACKS`` or ``PLAYLISTS``, whose first column is the id.
        positions: ``position`` of each row: int64 (rows,).
        name_row: returns the name of a row for people, given its row index in the columns.
    """
    id_column = schema.field(0).name
    lost_rows = {problem.row for problem in columns[id_column].problems}
    batch = _batch(columns, schema, positions)
    rejects = []
    for row, name, problem in _problems_in_order(columns):
        if name == id_column:
            rejects.append(_row_reject(schema, problem, name_row(row)))
        elif row not in lost_rows:
            rejects.append(_value_reject(schema, name, problem, batch.column(0)[row].as_py()))
    counts = {name: _count(column, positions, lost_rows) for name, column in columns.items() if name != id_column}
    return AssembledRows(_drop_rows(batch, lost_rows), rejects, counts)


def row_problem(problem: Problem) -> Problem:
    """Return the problem of a row whose id has a problem."""
    return replace(problem, reason=_ROW_REASON[problem.reason])


def table_of(schema: pa.Schema) -> str:
    """Return the name of the input table of a schema."""
    return TRACKS_TABLE if TRACK_ID in schema.names else PLAYLISTS_TABLE


def _batch(columns: Mapping[str, CoercedColumn], schema: pa.Schema, positions: npt.NDArray[np.int64]) -> pa.RecordBatch:
    arrays = [
        columns[field.name].column if field.name in columns else pa.nulls(len(positions), field.type)
        for field in schema
    ]
    # The id may be null until ids are validated, although the schema does not allow it.
    return pa.RecordBatch.from_arrays([*arrays, pa.array(positions, pa.int64())], schema=schema.append(POSITION))


def _count(column: CoercedColumn, positions: npt.NDArray[np.int64], lost_rows: set[int]) -> ColumnCounts:
    usable = column.column.is_valid()
    if pa.types.is_list(column.column.type):
        usable = pc.fill_null(pc.greater(pc.list_value_length(column.column), 0), False)
    problems = [problem for problem in column.problems if problem.row not in lost_rows]
    first = {problem.row: problem.reason for problem in reversed(problems)}
    return ColumnCounts(
        kept=usable.true_count,
        lost={int(positions[row]): reason for row, reason in first.items() if not usable[row].as_py()},
        rejected=Counter(problem.reason for problem in problems),
        null_elements=column.null_elements,
    )


def _drop_rows(batch: pa.RecordBatch, lost: set[int]) -> pa.RecordBatch:
    if not lost:
        return batch
    kept = np.ones(batch.num_rows, np.bool_)
    kept[list(lost)] = False
    return batch.filter(pa.array(kept))


def _problems_in_order(columns: Mapping[str, CoercedColumn]) -> list[tuple[int, str, Problem]]:
    problems = [(problem.row, name, problem) for name, column in columns.items() for problem in column.problems]
    return sorted(problems, key=lambda entry: entry[0])


def _row_reject(schema: pa.Schema, problem: Problem, row_name: str) -> Reject:
    reason = row_problem(problem).reason
    return {"table": table_of(schema), "stage": READ, "reason": reason, "detail": f"{row_name}: {problem.detail}"}


def _value_reject(schema: pa.Schema, column: str, problem: Problem, row_id: str | None) -> Reject:
    reject: Reject = {"table": table_of(schema), "stage": READ, "reason": problem.reason, "detail": problem.detail}
    if reject["table"] == TRACKS_TABLE:
        reject["track_id"] = row_id
    else:
        reject["detail"] = f"playlist {show_value(row_id)}: {problem.detail}"
    reject["modality"] = MODALITY_OF_COLUMN.get(column)
    return reject
