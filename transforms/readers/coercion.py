"""Coercion: convert the values of a column to the type of a schema; report each value that does not fit.

A column comes from one of three sources, each with its own entry point and the same result:

* :func:`coerce_column`: a typed Arrow column, from Parquet;
* :func:`coerce_text`: text that is not parsed yet, from CSV;
* :func:`coerce_values`: Python values as a JSON parser returns them.

The contract is strict. A string column accepts text and nothing else. A number column accepts every number that it can
hold without loss (2001.0 in an int32 column is 2001). A list column accepts lists. A value that does not fit becomes
null and is reported as a :class:`Problem`; in a list, only the element is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.tables.rejects import NOT_FINITE, NOT_UTF8, WRONG_TYPE
from tracktokens.transforms.readers.display import escape_surrogates, show_value
from tracktokens.transforms.readers.list_arrays import build_lists, list_lengths, row_of_elements

LIST_SEPARATORS = ("|", ";", ",")
"""Separators between the elements of a list in a CSV field, in order of preference."""

_EXACT_INTEGERS = 2.0**53
_JSON_KINDS: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "string", list: "list"}


@dataclass(frozen=True)
class Problem:
    """A value that does not fit its column.

    Attributes:
        row: row index in the column.
        reason: ``WRONG_TYPE``, ``NOT_UTF8`` or ``NOT_FINITE`` of ``schemas.tables.rejects``.
        detail: column, value (truncated) and expected type, for people.
    """

    row: int
    reason: str
    detail: str


@dataclass(frozen=True)
class CoercedColumn:
    """A column of the wanted type, and the values that it lost.

    Attributes:
        column: as long as the source; null where the source is null or a value was lost.
        problems: one per lost value or list element.
        null_elements: null elements of lists, which are dropped.
    """

    column: pa.Array
    problems: tuple[Problem, ...] = ()
    null_elements: int = 0


def coerce_column(column: pa.Array, field: pa.Field) -> CoercedColumn:
    """Convert a typed Arrow column to the type of ``field``: string, int32, float64 or list<string>.

    Dictionaries are decoded, extension types are read as their storage, and binary is read as text. NaN becomes null.
    """
    column = _decode_storage(column)
    if pa.types.is_null(column.type):
        return CoercedColumn(pa.nulls(len(column), field.type))
    if pa.types.is_list(field.type):
        return _coerce_lists(column, field)
    if pa.types.is_string(field.type):
        return _decode_utf8(column.cast(pa.binary()), field) if _is_text(column.type) else _all_wrong(column, field)
    return _coerce_numbers(column, field) if _is_number(column.type) else _all_wrong(column, field)


def coerce_text(column: pa.BinaryArray, field: pa.Field) -> CoercedColumn:
    """Parse a column of CSV text to the type of ``field``. White space around numbers and list elements is ignored.

    A list is a JSON array (text from ``[`` to ``]`` must be one), or elements with one of :data:`LIST_SEPARATORS`
    between them: the first that occurs in the value.
    """
    text = _decode_utf8(column, field)
    if pa.types.is_string(field.type):
        return text
    trimmed = pc.utf8_trim_whitespace(text.column)
    trimmed = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if pa.types.is_list(field.type):
        parsed = coerce_values([_parse_list(value) for value in trimmed.to_pylist()], field)
    else:
        parsed = _parse_numbers(trimmed, field)
    return replace(parsed, problems=text.problems + parsed.problems)


def coerce_values(values: Sequence[object], field: pa.Field) -> CoercedColumn:
    """Convert values of a JSON parser (None, bool, int, float, str, list, dict) to the type of ``field``.

    A string with lone surrogates is ``NOT_UTF8``: a lenient parser returns invalid bytes that way.
    """
    if pa.types.is_string(field.type):
        return _string_values(values, field)
    if pa.types.is_list(field.type):
        return _list_values(values, field)
    fitting, problems = _drop_unfit(values, _is_json_number, field)
    numbers = _coerce_numbers(pa.array([None if v is None else float(v) for v in fitting], pa.float64()), field)  # type: ignore[arg-type]
    return CoercedColumn(numbers.column, problems + numbers.problems)


def _decode_storage(column: pa.Array) -> pa.Array:
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
    return {pa.string(): "a string", pa.int32(): "a 32-bit integer", pa.float64(): "a number"}[kind]


def _wrong_type(row: int, kind: str, value: object, field: pa.Field) -> Problem:
    detail = f"{field.name}: {kind} {show_value(value)} is not {_expected(field.type)}"
    return Problem(row, WRONG_TYPE, escape_surrogates(detail))


def _not_utf8(row: int, value: object, field: pa.Field) -> Problem:
    return Problem(row, NOT_UTF8, escape_surrogates(f"{field.name}: {show_value(value)} is not UTF-8"))


def _all_wrong(column: pa.Array, field: pa.Field) -> CoercedColumn:
    """Report every value of a column whose type does not fit."""
    rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
    problems = tuple(_wrong_type(int(row), str(column.type), _value(column, int(row)), field) for row in rows)
    return CoercedColumn(pa.nulls(len(column), field.type), problems)


def _value(column: pa.Array, row: int) -> object:
    try:
        return column[row].as_py()
    except (ValueError, OverflowError):  # a date out of Python's range, or text in a struct that is not UTF-8
        return str(column.type)


def _decode_utf8(column: pa.BinaryArray, field: pa.Field) -> CoercedColumn:
    try:
        return CoercedColumn(column.cast(pa.string()))
    except pa.ArrowInvalid:  # some value is not UTF-8: find out which
        values = column.to_pylist()
    lost = {row for row, value in enumerate(values) if value is not None and not _is_utf8(value)}
    kept = pa.array([None if row in lost else value for row, value in enumerate(values)], pa.binary())
    return CoercedColumn(kept.cast(pa.string()), tuple(_not_utf8(row, values[row], field) for row in sorted(lost)))


def _is_utf8(value: bytes | str) -> bool:
    try:
        value.encode("utf-8") if isinstance(value, str) else value.decode("utf-8")
    except UnicodeError:
        return False
    return True


def _coerce_numbers(column: pa.Array, field: pa.Field) -> CoercedColumn:
    # Every int32 is a float64, so both number types of the schemas are checked as float64.
    floats = column.cast(pa.float64(), safe=False)
    floats = pc.if_else(pc.is_nan(floats), pa.scalar(None, pa.float64()), floats)
    fits = pc.fill_null(_fits(floats, column.type, field.type), True)
    problems = tuple(
        _number_problem(int(row), column, field) for row in np.flatnonzero(~fits.to_numpy(zero_copy_only=False))
    )
    kept = pc.if_else(fits, floats, pa.scalar(None, pa.float64())) if problems else floats
    return CoercedColumn(kept.cast(field.type), problems)


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


def _parse_numbers(text: pa.StringArray, field: pa.Field) -> CoercedColumn:
    try:
        return _coerce_numbers(text.cast(pa.float64()), field)
    except pa.ArrowInvalid:  # some value is not a number: find out which
        values = text.to_pylist()
    lost = {row for row, value in enumerate(values) if value is not None and not _parses(value)}
    kept = pa.array([None if row in lost else value for row, value in enumerate(values)], pa.string())
    numbers = _coerce_numbers(kept.cast(pa.float64()), field)
    unparsed = tuple(_wrong_type(row, "text", values[row], field) for row in sorted(lost))
    return CoercedColumn(numbers.column, unparsed + numbers.problems)


def _parses(text: str) -> bool:
    try:
        pa.scalar(text).cast(pa.float64())  # the same parser as for the whole column: both must agree
    except pa.ArrowInvalid:
        return False
    return True


def _parse_list(text: str | None) -> object:
    """Parse a list from a CSV field; return text in brackets unchanged if it is not a JSON array."""
    if text is None:
        return None
    if text[0] == "[" and text[-1] == "]":
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return text
    separator = next((separator for separator in LIST_SEPARATORS if separator in text), "|")
    return [part.strip() for part in text.split(separator) if part.strip()]


def _coerce_lists(column: pa.Array, field: pa.Field) -> CoercedColumn:
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return _all_wrong(column, field)
    elements = coerce_column(column.flatten(), _element_field(field))
    return _regroup(column.is_valid(), list_lengths(column), elements, field)


def _list_values(values: Sequence[object], field: pa.Field) -> CoercedColumn:
    lists, problems = _drop_other_types(values, list, field)
    valid = pa.array([value is not None for value in lists], pa.bool_())
    lengths = np.array([len(value) if isinstance(value, list) else 0 for value in lists], np.int64)
    flat = [element for value in lists if isinstance(value, list) for element in value]
    regrouped = _regroup(valid, lengths, _string_values(flat, _element_field(field)), field)
    return replace(regrouped, problems=problems + regrouped.problems)


def _element_field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, field.type.value_type)


def _regroup(
    valid: pa.BooleanArray, lengths: npt.NDArray[np.int64], elements: CoercedColumn, field: pa.Field
) -> CoercedColumn:
    """Group coerced elements into lists again, without null elements."""
    rows = row_of_elements(lengths)
    problems = tuple(Problem(int(rows[p.row]), p.reason, p.detail) for p in elements.problems)
    kept = elements.column.is_valid().to_numpy(zero_copy_only=False)
    lists = build_lists(valid, lengths, elements.column, kept, field.type)
    return CoercedColumn(lists, problems, null_elements=len(kept) - int(kept.sum()) - len(problems))


def _drop_other_types(
    values: Sequence[object], kind: type, field: pa.Field
) -> tuple[Sequence[object], tuple[Problem, ...]]:
    if set(map(type, values)) <= {kind, type(None)}:  # the common case, without a call per value
        return values, ()
    return _drop_unfit(values, lambda value: type(value) is kind, field)


def _drop_unfit(
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


def _string_values(values: Sequence[object], field: pa.Field) -> CoercedColumn:
    strings, problems = _drop_other_types(values, str, field)
    try:
        return CoercedColumn(pa.array(strings, pa.string()), problems)
    except UnicodeEncodeError:  # some string holds a lone surrogate: find out which
        lost = {row for row, value in enumerate(strings) if isinstance(value, str) and not _is_utf8(value)}
    kept = pa.array([None if row in lost else value for row, value in enumerate(strings)], pa.string())
    return CoercedColumn(kept, problems + tuple(_not_utf8(row, strings[row], field) for row in sorted(lost)))
