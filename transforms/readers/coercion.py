"""Conforming: columns as they were read take the types of a schema, and what does not fit becomes a reject.

A column comes from one of three sources, each with its own entry point and the same result:

* :func:`conform`: a typed Arrow column, out of Parquet;
* :func:`conform_text`: text that still has to be parsed, out of CSV;
* :func:`conform_values`: Python values as a JSON parser makes them.

The contract is strict. A string column takes text and nothing else. A number column takes every number that it can hold
without loss (2001.0 in an int32 column is 2001). A list column takes lists. A value that does not fit is null in the
result and a :class:`Problem` beside it; in a list it is one element that goes, and the others stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.modalities import MODALITY_OF_COLUMN
from tracktokens.schemas.tables.rejects import (
    ID_NOT_UTF8,
    ID_WRONG_TYPE,
    NOT_FINITE,
    NOT_UTF8,
    PLAYLISTS_TABLE,
    READ,
    TRACKS_TABLE,
    WRONG_TYPE,
)
from tracktokens.schemas.tables.tracks import POSITION, TRACK_ID

Reject = dict[str, str | None]
"""A row of the rejects table on its way there, as ``schemas.rejects.make_rejects`` takes it."""

LIST_SEPARATORS = ("|", ";", ",")
"""What may stand between the elements of a list in a CSV field, in order of preference."""

MAX_SHOWN = 80
"""Characters of a value that a detail shows."""

_EXACT_INTEGERS = 2.0**53
_JSON_KINDS: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "string", list: "list"}
_ROW_REASON = {WRONG_TYPE: ID_WRONG_TYPE, NOT_UTF8: ID_NOT_UTF8}


@dataclass(frozen=True)
class Problem:
    """A value that did not fit its column.

    Attributes:
        row: number of the row in the column.
        reason: ``WRONG_TYPE``, ``NOT_UTF8`` or ``NOT_FINITE`` of ``schemas.rejects``.
        detail: column, value (cut) and what was expected, for people.
    """

    row: int
    reason: str
    detail: str


@dataclass(frozen=True)
class Conformed:
    """A column of the wanted type, and the values that it lost.

    Attributes:
        column: as long as the source; null where the source is null or where a value was lost.
        problems: one a lost value or list element.
    """

    column: pa.Array
    problems: tuple[Problem, ...] = ()


def conform(column: pa.Array, field: pa.Field) -> Conformed:
    """Take a typed Arrow column to the type of ``field``: string, int32, float64 or list<string>.

    Dictionaries are decoded and an extension type counts as its storage. Binary counts as text. NaN is null.
    """
    column = _plain(column)
    if pa.types.is_null(column.type):
        return Conformed(pa.nulls(len(column), field.type))
    if pa.types.is_list(field.type):
        return _conform_lists(column, field)
    if pa.types.is_string(field.type):
        return _utf8(column.cast(pa.binary()), field) if _is_text(column.type) else _all_wrong(column, field)
    return _conform_numbers(column, field) if _is_number(column.type) else _all_wrong(column, field)


def conform_text(column: pa.BinaryArray, field: pa.Field) -> Conformed:
    """Parse a column of CSV text to the type of ``field``. Around numbers and list elements white space does not count.

    A list is a JSON array (whatever starts with ``[`` and ends with ``]`` has to be one), or elements with
    :data:`LIST_SEPARATORS` between them: the first of these that occurs in the value separates it.
    """
    text = _utf8(column, field)
    if pa.types.is_string(field.type):
        return text
    trimmed = pc.utf8_trim_whitespace(text.column)
    trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if pa.types.is_list(field.type):
        parsed = conform_values([_listed(value) for value in trimmed.to_pylist()], field)
    else:
        parsed = _parse_numbers(trimmed, field)
    return Conformed(parsed.column, text.problems + parsed.problems)


def conform_values(values: Sequence[object], field: pa.Field) -> Conformed:
    """Take values of a JSON parser (None, bool, int, float, str, list, dict) to the type of ``field``.

    A string with lone surrogates, which is how bytes that are not UTF-8 come out of a lenient parser, is ``NOT_UTF8``.
    """
    if pa.types.is_string(field.type):
        return _string_values(values, field)
    if pa.types.is_list(field.type):
        return _list_values(values, field)
    fitting, problems = _without_unfit(values, _is_json_number, field)
    numbers = _conform_numbers(pa.array([None if v is None else float(v) for v in fitting], pa.float64()), field)  # type: ignore[arg-type]
    return Conformed(numbers.column, problems + numbers.problems)


def keep_elements(lists: pa.ListArray, kept: npt.NDArray[np.bool_]) -> pa.ListArray:
    """Keep the elements for which ``kept`` is true, a bool array of shape (elements of ``lists.flatten()``,)."""
    return _lists_of(lists.is_valid(), _lengths(lists), lists.flatten(), kept, lists.type)


@dataclass(frozen=True)
class ConformedRows:
    """Rows that have an id of the right type, and what was lost on the way.

    Attributes:
        rows: batch of the schema with ``position``.
        rejects: one a lost row or value, in the order of the rows.
    """

    rows: pa.RecordBatch
    rejects: list[Reject]


def conform_rows(
    columns: Mapping[str, Conformed], schema: pa.Schema, positions: npt.NDArray[np.int64], where: Callable[[int], str]
) -> ConformedRows:
    """Put conformed columns together; a row whose id did not fit is lost whole, with one reject.

    Args:
        columns: the columns that the input has; the others of the schema become null.
        schema: ``TRACKS`` or ``PLAYLISTS``, whose first column is the id.
        positions: int64 array of shape (rows,), the ``position`` of every row.
        where: names a row, by its number in the columns, for people.
    """
    id_column = schema.field(0).name
    lost_rows = {problem.row for problem in columns[id_column].problems}
    batch = _batch(columns, schema, positions)
    rejects = []
    for row, name, problem in _problems_in_order(columns):
        if name == id_column:
            rejects.append(_row_reject(schema, problem, where(row)))
        elif row not in lost_rows:
            rejects.append(_value_reject(schema, name, problem, batch.column(0)[row].as_py()))
    return ConformedRows(_without_rows(batch, lost_rows), rejects)


def table_of(schema: pa.Schema) -> str:
    """Name the input table that a schema belongs to."""
    return TRACKS_TABLE if TRACK_ID in schema.names else PLAYLISTS_TABLE


def shown(value: object) -> str:
    """Show a value to people: its ``repr``, cut at :data:`MAX_SHOWN` characters."""
    # A long text is cut before its repr is made, so that a lyric of megabytes costs nothing.
    text = repr(value[: MAX_SHOWN + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def encodable(text: str) -> str:
    """Escape lone surrogates, which names out of broken files hold and which UTF-8 has no bytes for."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


def _is_text(kind: pa.DataType) -> bool:
    tests = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "fixed_size_binary")
    return any(getattr(pa.types, f"is_{test}")(kind) for test in tests)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _expected(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return "a list of strings"
    return {pa.string(): "a string", pa.int32(): "a whole number of 32 bits", pa.float64(): "a number"}[kind]


def _wrong_type(row: int, kind: str, value: object, field: pa.Field) -> Problem:
    detail = f"{field.name}: {kind} {shown(value)} is not {_expected(field.type)}"
    return Problem(row, WRONG_TYPE, encodable(detail))


def _not_utf8(row: int, value: object, field: pa.Field) -> Problem:
    return Problem(row, NOT_UTF8, encodable(f"{field.name}: {shown(value)} is not UTF-8"))


def _all_wrong(column: pa.Array, field: pa.Field) -> Conformed:
    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    problems = tuple(_wrong_type(int(row), str(column.type), _value(column, int(row)), field) for row in rows)
    return Conformed(pa.nulls(len(column), field.type), problems)


def _value(column: pa.Array, row: int) -> object:
    try:
        return column[row].as_py()
    except (ValueError, OverflowError):  # a date beyond Python's, or text inside a struct that is not UTF-8
        return str(column.type)


def _utf8(column: pa.BinaryArray, field: pa.Field) -> Conformed:
    try:
        return Conformed(column.cast(pa.string()))
    except pa.ArrowInvalid:  # some value is not UTF-8: find out which
        values = column.to_pylist()
    lost = {row for row, value in enumerate(values) if value is not None and not _is_utf8(value)}
    kept = pa.array([None if row in lost else value for row, value in enumerate(values)], pa.binary())
    return Conformed(kept.cast(pa.string()), tuple(_not_utf8(row, values[row], field) for row in sorted(lost)))


def _is_utf8(value: bytes | str) -> bool:
    try:
        value.encode("utf-8") if isinstance(value, str) else value.decode("utf-8")
    except UnicodeError:
        return False
    return True


def _conform_numbers(column: pa.Array, field: pa.Field) -> Conformed:
    # Every int32 is a float64, so that both number types of the schemas can be checked as float64.
    floats = column.cast(pa.float64(), safe=False)
    floats = pc.if_else(pc.is_nan(floats), pa.scalar(None, pa.float64()), floats)
    fits = pc.fill_null(_fits(floats, column.type, field.type), True)
    problems = tuple(
        _number_problem(int(row), column, field) for row in np.flatnonzero(~fits.to_numpy(zero_copy_only=False))
    )
    kept = pc.if_else(fits, floats, pa.scalar(None, pa.float64())) if problems else floats
    return Conformed(kept.cast(field.type), problems)


def _fits(floats: pa.DoubleArray, source: pa.DataType, target: pa.DataType) -> pa.BooleanArray:
    if pa.types.is_integer(target):
        whole = pc.equal(pc.floor(floats), floats)
        limits = np.iinfo(target.to_pandas_dtype())
        in_range = pc.and_(pc.greater_equal(floats, float(limits.min)), pc.less_equal(floats, float(limits.max)))
        return pc.and_(whole, in_range)
    if pa.types.is_integer(source):
        return pc.less(pc.abs(floats), _EXACT_INTEGERS)
    return pc.is_finite(floats)


def _number_problem(row: int, column: pa.Array, field: pa.Field) -> Problem:
    value = column[row].as_py()
    if pa.types.is_floating(field.type) and value in (float("inf"), float("-inf")):
        return Problem(row, NOT_FINITE, f"{field.name}: {value} is not finite")
    return _wrong_type(row, str(column.type), value, field)


def _parse_numbers(text: pa.StringArray, field: pa.Field) -> Conformed:
    try:
        return _conform_numbers(text.cast(pa.float64()), field)
    except pa.ArrowInvalid:  # some value is not a number: find out which
        values = text.to_pylist()
    lost = {row for row, value in enumerate(values) if value is not None and not _parses(value)}
    kept = pa.array([None if row in lost else value for row, value in enumerate(values)], pa.string())
    numbers = _conform_numbers(kept.cast(pa.float64()), field)
    unparsed = tuple(_wrong_type(row, "text", values[row], field) for row in sorted(lost))
    return Conformed(numbers.column, unparsed + numbers.problems)


def _parses(text: str) -> bool:
    try:
        pa.scalar(text).cast(pa.float64())  # the parser that the whole column goes through: both must agree
    except pa.ArrowInvalid:
        return False
    return True


def _listed(text: str | None) -> object:
    """Split a list out of a CSV field; text in brackets that is not a JSON array comes back as it is."""
    if text is None:
        return None
    if text[0] == "[" and text[-1] == "]":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    separator = next((separator for separator in LIST_SEPARATORS if separator in text), "|")
    return [part.strip() for part in text.split(separator) if part.strip()]


def _conform_lists(column: pa.Array, field: pa.Field) -> Conformed:
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return _all_wrong(column, field)
    elements = conform(column.flatten(), _element_field(field))
    return _gather(column.is_valid(), _lengths(column), elements, field)


def _list_values(values: Sequence[object], field: pa.Field) -> Conformed:
    lists, problems = _without_others(values, list, field)
    valid = pa.array([value is not None for value in lists], pa.bool_())
    lengths = np.array([len(value) if isinstance(value, list) else 0 for value in lists], np.int64)
    flat = [element for value in lists if isinstance(value, list) for element in value]
    gathered = _gather(valid, lengths, _string_values(flat, _element_field(field)), field)
    return Conformed(gathered.column, problems + gathered.problems)


def _element_field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, field.type.value_type)


def _lengths(lists: pa.Array) -> npt.NDArray[np.int64]:
    lengths: npt.NDArray[np.int64] = pc.fill_null(pc.list_value_length(lists), 0).cast(pa.int64()).to_numpy()
    return lengths


def _gather(valid: pa.BooleanArray, lengths: npt.NDArray[np.int64], elements: Conformed, field: pa.Field) -> Conformed:
    """Make lists of elements again, without the null ones."""
    rows = np.repeat(np.arange(len(lengths)), lengths)
    problems = tuple(Problem(int(rows[p.row]), p.reason, p.detail) for p in elements.problems)
    kept = elements.column.is_valid().to_numpy(zero_copy_only=False)
    return Conformed(_lists_of(valid, lengths, elements.column, kept, field.type), problems)


def _lists_of(
    valid: pa.BooleanArray,
    lengths: npt.NDArray[np.int64],
    elements: pa.Array,
    kept: npt.NDArray[np.bool_],
    kind: pa.DataType,
) -> pa.ListArray:
    rows = np.repeat(np.arange(len(lengths)), lengths)
    counts = np.bincount(rows[kept], minlength=len(lengths))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, elements.filter(pa.array(kept)), type=kind, mask=pc.invert(valid))


def _without_others(
    values: Sequence[object], kind: type, field: pa.Field
) -> tuple[Sequence[object], tuple[Problem, ...]]:
    if set(map(type, values)) <= {kind, type(None)}:  # the common case, without a call a value
        return values, ()
    return _without_unfit(values, lambda value: type(value) is kind, field)


def _without_unfit(
    values: Sequence[object], fits: Callable[[object], bool], field: pa.Field
) -> tuple[Sequence[object], tuple[Problem, ...]]:
    lost = {row for row, value in enumerate(values) if value is not None and not fits(value)}
    if not lost:
        return values, ()
    problems = tuple(
        _wrong_type(row, _JSON_KINDS.get(type(values[row]), "object"), values[row], field) for row in sorted(lost)
    )
    return [None if row in lost else value for row, value in enumerate(values)], problems


def _is_json_number(value: object) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < _EXACT_INTEGERS)


def _string_values(values: Sequence[object], field: pa.Field) -> Conformed:
    strings, problems = _without_others(values, str, field)
    try:
        return Conformed(pa.array(strings, pa.string()), problems)
    except UnicodeEncodeError:  # some string holds a lone surrogate: find out which
        lost = {row for row, value in enumerate(strings) if isinstance(value, str) and not _is_utf8(value)}
    kept = pa.array([None if row in lost else value for row, value in enumerate(strings)], pa.string())
    return Conformed(kept, problems + tuple(_not_utf8(row, strings[row], field) for row in sorted(lost)))


def _batch(columns: Mapping[str, Conformed], schema: pa.Schema, positions: npt.NDArray[np.int64]) -> pa.RecordBatch:
    arrays = [
        columns[field.name].column if field.name in columns else pa.nulls(len(positions), field.type)
        for field in schema
    ]
    # The id may be null until ids are validated, although the schema says that it will not be in the end.
    return pa.RecordBatch.from_arrays([*arrays, pa.array(positions, pa.int64())], schema=schema.append(POSITION))


def _without_rows(batch: pa.RecordBatch, lost: set[int]) -> pa.RecordBatch:
    if not lost:
        return batch
    kept = np.ones(batch.num_rows, np.bool_)
    kept[list(lost)] = False
    return batch.filter(pa.array(kept))


def _problems_in_order(columns: Mapping[str, Conformed]) -> list[tuple[int, str, Problem]]:
    found = [(problem.row, name, problem) for name, column in columns.items() for problem in column.problems]
    return sorted(found, key=lambda entry: entry[0])


def _row_reject(schema: pa.Schema, problem: Problem, where: str) -> Reject:
    reason = _ROW_REASON[problem.reason]
    return {"table": table_of(schema), "stage": READ, "reason": reason, "detail": f"{where}: {problem.detail}"}


def _value_reject(schema: pa.Schema, column: str, problem: Problem, row_id: str | None) -> Reject:
    reject: Reject = {"table": table_of(schema), "stage": READ, "reason": problem.reason, "detail": problem.detail}
    if reject["table"] == TRACKS_TABLE:
        reject["track_id"] = row_id
    else:
        reject["detail"] = f"playlist {shown(row_id)}: {problem.detail}"
    reject["modality"] = MODALITY_OF_COLUMN.get(column)
    return reject
