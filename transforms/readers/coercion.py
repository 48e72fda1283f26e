"""Coercion: convert the values of a column to the type of a schema; report each value that does not fit.

A column comes from one of three sources, each with its own entry point and the same result:

* :func:`coerce_column`: a typed Arrow column, from Parquet;
* :func:`coerce_text`: text that is not parsed yet, from CSV;
* :func:`coerce_values`: Python values as a JSON parser returns them.

The contract is strict. A string column accepts text and nothing else. An integer column accepts every number that it
can hold without loss (2001.0 in an int32 column is 2001), and a float column every number in the range of float32. A
list column accepts lists. Text in a column of numbers or lists is parsed, and means the same in every format. A value
that does not fit becomes null and is reported as a :class:`Problem`; in a list, only the element is removed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.display import escape_surrogates, show_value
from tracktokens.schemas.tables.rejects import NOT_FINITE, NOT_UTF8, WRONG_TYPE
from tracktokens.transforms.readers.list_arrays import build_lists, list_lengths, row_of_elements
from tracktokens.transforms.values.arrow_types import is_list, is_text, plain_column
from tracktokens.transforms.values.list_text import parse_list

LARGEST_FLOAT = float(np.finfo(np.float32).max)
"""Largest absolute value of a float column: sums of float64 would overflow with larger ones."""

_KINDS: dict[type, str] = {bool: "boolean", int: "number", float: "number", str: "text", list: "list"}
_NESTED_KINDS = ("list", "large_list", "fixed_size_list", "struct", "map", "object")


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

    Dictionaries and extension types are decoded, see :mod:`~tracktokens.transforms.values.arrow_types`, and binary is
    read as text. NaN becomes null.
    """
    column = plain_column(column)
    if pa.types.is_null(column.type):
        return CoercedColumn(pa.nulls(len(column), field.type))
    if is_text(column.type):
        return coerce_text(column.cast(pa.binary()), field)
    if pa.types.is_list(field.type) and is_list(column.type):
        return _coerce_lists(column, field)
    if _is_number(field.type) and _is_number(column.type):
        return _coerce_numbers(column, field)
    return _all_wrong(column, field)


def coerce_text(column: pa.BinaryArray, field: pa.Field) -> CoercedColumn:
    """Parse a column of text to the type of ``field``. White space around numbers and list elements is ignored.

    :func:`~tracktokens.transforms.values.list_text.parse_list` describes the text of a list.
    """
    return _parse_text(_decode_utf8(column, field), field)


def coerce_values(values: Sequence[object], field: pa.Field) -> CoercedColumn:
    """Convert values of a JSON parser (None, bool, int, float, str, list, dict) to the type of ``field``.

    A string with lone surrogates is ``NOT_UTF8``: a lenient parser returns invalid bytes that way.
    """
    if pa.types.is_string(field.type):
        return _string_values(values, field)
    if pa.types.is_list(field.type):
        return _list_values(values, field)
    return _number_values(values, field)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _expected(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return "a list of strings"
    return {pa.string(): "a string", pa.int32(): "a 32-bit integer", pa.float64(): "a number"}[kind]


def _remedy(value: object, kind: str, field: pa.Field) -> str:
    if pa.types.is_list(field.type) and isinstance(value, str):
        return ": write a JSON array, or the elements with | between them"
    return ": cast it to text" if pa.types.is_string(field.type) and not kind.startswith(_NESTED_KINDS) else ""


def _wrong_type(row: int, kind: str, value: object, field: pa.Field) -> Problem:
    remedy = _remedy(value, kind, field)
    detail = f"{field.name}: {kind} {show_value(value)} is not {_expected(field.type)}{remedy}"
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
    fits = pc.fill_null(_fits(floats, field.type), True)
    problems = tuple(
        _number_problem(int(row), column, field) for row in np.flatnonzero(~fits.to_numpy(zero_copy_only=False))
    )
    kept = pc.if_else(fits, floats, pa.scalar(None, pa.float64())) if problems else floats
    return CoercedColumn(kept.cast(field.type), problems)


def _fits(floats: pa.DoubleArray, target: pa.DataType) -> pa.BooleanArray:
    if pa.types.is_floating(target):
        return pc.less_equal(pc.abs(floats), LARGEST_FLOAT)
    whole = pc.equal(pc.floor(floats), floats)
    limits = np.iinfo(target.to_pandas_dtype())
    in_range = pc.and_(pc.greater_equal(floats, float(limits.min)), pc.less_equal(floats, float(limits.max)))
    return pc.and_(whole, in_range)


def _number_problem(row: int, column: pa.Array, field: pa.Field) -> Problem:
    value = column[row].as_py()
    if not pa.types.is_floating(field.type):
        return _wrong_type(row, str(column.type), value, field)
    cause = "not finite" if value in (float("inf"), float("-inf")) else f"not within {LARGEST_FLOAT:.2g} of 0"
    return Problem(row, NOT_FINITE, f"{field.name}: {show_value(value)} is {cause}")


def _parse_text(text: CoercedColumn, field: pa.Field) -> CoercedColumn:
    if pa.types.is_string(field.type):
        return text
    if pa.types.is_list(field.type):
        parsed = _list_values(text.column.to_pylist(), field)
    else:
        parsed = _parse_numbers(text.column, field)
    return replace(parsed, problems=text.problems + parsed.problems)


def _parse_numbers(text: pa.StringArray, field: pa.Field) -> CoercedColumn:
    text = pc.utf8_trim_whitespace(text)
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
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


def _parse_list(text: str) -> object:
    """Parse a list from text; return text that cannot be read unchanged, and None for blank text."""
    trimmed = text.strip()
    if not trimmed:
        return None
    elements = parse_list(trimmed)
    return text if elements is None else elements


def _coerce_lists(column: pa.Array, field: pa.Field) -> CoercedColumn:
    elements = coerce_column(column.flatten(), _element_field(field))
    return _regroup(column.is_valid(), list_lengths(column), elements, field)


def _list_values(values: Sequence[object], field: pa.Field) -> CoercedColumn:
    parsed = [_parse_list(value) if isinstance(value, str) else value for value in values]
    lists, problems = _drop_other_types(parsed, list, field)
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
        _wrong_type(row, _KINDS.get(type(values[row]), "object"), values[row], field) for row in sorted(lost)
    )
    return [None if row in lost else value for row, value in enumerate(values)], problems


def _number_values(values: Sequence[object], field: pa.Field) -> CoercedColumn:
    if set(map(type, values)) <= {int, float, type(None)}:  # the common case, without a text to parse
        return _coerce_numbers(_float_array(values), field)
    texts = _string_values([value if isinstance(value, str) else None for value in values], field)
    others, problems = _drop_unfit(values, lambda value: type(value) in (int, float, str), field)
    parsed = _parse_text(texts, field)
    numbers = _coerce_numbers(_float_array(others), field)
    column = pc.coalesce(numbers.column, parsed.column)
    return CoercedColumn(column, problems + parsed.problems + numbers.problems)


def _float_array(values: Sequence[object]) -> pa.DoubleArray:
    return pa.array([value if type(value) is float else _to_float(value) for value in values], pa.float64())


def _to_float(value: object) -> float | None:
    """Convert a number; text becomes None, and an integer beyond float64 infinite."""
    if not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _string_values(values: Sequence[object], field: pa.Field) -> CoercedColumn:
    strings, problems = _drop_other_types(values, str, field)
    try:
        return CoercedColumn(pa.array(strings, pa.string()), problems)
    except UnicodeEncodeError:  # some string holds a lone surrogate: find out which
        lost = {row for row, value in enumerate(strings) if isinstance(value, str) and not _is_utf8(value)}
    kept = pa.array([None if row in lost else value for row, value in enumerate(strings)], pa.string())
    return CoercedColumn(kept, problems + tuple(_not_utf8(row, strings[row], field) for row in sorted(lost)))
