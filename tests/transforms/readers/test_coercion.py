"""Values of three sources take the type of a column, and those that do not fit are reported."""

import datetime as dt
import decimal

import numpy as np
import orjson
import pyarrow as pa
import pytest

from tracktokens.schemas.tables.rejects import NOT_FINITE, NOT_UTF8, WRONG_TYPE, make_rejects
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.readers.coercion import CoercedColumn, coerce_column, coerce_text, coerce_values

TITLE, YEAR, TAGS, POPULARITY = (TRACKS.field(name) for name in ("title", "year", "tags", "popularity"))


def invalid_strings(*values):
    """A string column with unchecked bytes, as in some Parquet files."""
    binary = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


def found(coerced):
    return coerced.column.to_pylist(), [(p.row, p.reason, p.detail) for p in coerced.problems]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.dictionary(pa.int8(), pa.string()),
    ],
)
def test_every_kind_of_text_is_a_string(kind):
    coerced = coerce_column(pa.array(["ä", None, "b"], pa.string()).cast(kind), TITLE)
    assert coerced.column.type == pa.string()
    assert found(coerced) == (["ä", None, "b"], [])


def test_bytes_of_a_fixed_size_are_text():
    assert found(coerce_column(pa.array([b"ab", None], pa.binary(2)), TITLE)) == (["ab", None], [])


def test_a_number_is_not_a_string():
    values, problems = found(coerce_column(pa.array([5, None], pa.int64()), TITLE))
    assert values == [None, None]
    assert problems == [(0, WRONG_TYPE, "title: int64 5 is not a string: cast it to text")]


@pytest.mark.parametrize("value", [True, decimal.Decimal("1.5"), {"a": 1}, ["x"]])
def test_other_types_are_not_strings_either(value):
    values, [(row, reason, _)] = found(coerce_column(pa.array([value]), TITLE))
    assert (values, row, reason) == ([None], 0, WRONG_TYPE)


def test_a_column_of_nulls_is_null_in_any_type():
    for field in TRACKS:
        coerced = coerce_column(pa.nulls(2), field)
        assert coerced.column.type == field.type
        assert found(coerced) == ([None, None], [])


def test_text_that_is_not_utf8_is_null_and_reported():
    values, problems = found(coerce_column(invalid_strings(b"caf\xe9", b"fine", None, b"\xed\xa0\x80"), TITLE))
    assert values == [None, "fine", None, None]
    assert problems[0] == (0, NOT_UTF8, "title: b'caf\\xe9' is not UTF-8")
    assert [problem[0] for problem in problems] == [0, 3]


def test_bytes_of_a_null_are_not_decoded():
    column = pa.Array.from_buffers(
        pa.string(), 2, [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xffa")]
    )
    assert found(coerce_column(column, TITLE)) == ([None, "a"], [])


def test_a_long_value_is_truncated_in_the_detail():
    [(_, _, detail)] = found(coerce_column(invalid_strings(b"\xff" * 1_000_000), TITLE))[1]
    assert len(detail) < 120


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2001.0, None], pa.float64()),
        pa.array([2001.0, float("nan")], pa.float32()),
        pa.array([2001, None], pa.uint64()),
        pa.array([2001, None], pa.int16()),
        pa.array([decimal.Decimal("2001.00"), None]),
        pa.array([2001, None]).dictionary_encode(),
    ],
)
def test_a_year_may_be_any_whole_number(column):
    coerced = coerce_column(column, YEAR)
    assert coerced.column.type == pa.int32()
    assert found(coerced) == ([2001, None], [])


def test_a_year_that_would_lose_something_is_rejected():
    values, problems = found(coerce_column(pa.array([2001.5, 2**31 - 1, 2**31, float("-inf")]), YEAR))
    assert values == [None, 2**31 - 1, None, None]
    assert problems == [
        (0, WRONG_TYPE, "year: double 2001.5 is not a 32-bit integer"),
        (2, WRONG_TYPE, "year: double 2147483648.0 is not a 32-bit integer"),
        (3, WRONG_TYPE, "year: double -inf is not a 32-bit integer"),
    ]


@pytest.mark.parametrize("column", [pa.array(["MMI"]), pa.array([True]), pa.array([[1]]), pa.array([dt.date.min])])
def test_a_column_of_another_type_is_not_a_year(column):
    assert [problem.reason for problem in coerce_column(column, YEAR).problems] == [WRONG_TYPE]


def test_a_popularity_of_nan_is_null_and_an_infinite_one_is_rejected():
    values, problems = found(coerce_column(pa.array([float("nan"), 3.5, float("inf")]), POPULARITY))
    assert values == [None, 3.5, None]
    assert problems == [(2, NOT_FINITE, "popularity: inf is not finite")]


def test_a_long_count_is_rounded_to_a_float_in_every_source():
    counts = [2**53 - 1, 2**53 + 1, 10**30]
    sources = (
        coerce_column(pa.array([decimal.Decimal(count) for count in counts]), POPULARITY),
        coerce_text(text(*(str(count).encode() for count in counts)), POPULARITY),
        coerce_values(counts, POPULARITY),
    )
    assert [found(coerced) for coerced in sources] == [([2.0**53 - 1, 2.0**53, 1e30], [])] * 3


@pytest.mark.parametrize("value", [1.7976931348623157e308, -3.5e38, float("inf"), float("-inf")])
def test_a_popularity_beyond_float32_is_rejected_in_every_source(value):
    sources = (
        coerce_column(pa.array([3.4e38, value]), POPULARITY),
        coerce_text(text(b"3.4e38", repr(value).encode()), POPULARITY),
        coerce_values([3.4e38, value], POPULARITY),
    )
    cause = "finite" if np.isinf(value) else "within 3.4e+38 of 0"
    expected = [3.4e38, None], [(1, NOT_FINITE, f"popularity: {value} is not {cause}")]
    assert [found(coerced) for coerced in sources] == [expected] * 3


def test_an_integer_of_any_length_is_out_of_range():
    assert found(coerce_values([10**400], POPULARITY))[1] == [(0, NOT_FINITE, "popularity: inf is not finite")]
    wide = pa.array([decimal.Decimal(10**60)], pa.decimal256(70, 2))
    assert [reason for _, reason, _ in found(coerce_column(wide, POPULARITY))[1]] == [NOT_FINITE]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.large_string()),
        pa.large_list(pa.string()),
        pa.list_(pa.string(), 2),
        pa.list_view(pa.string()),
        pa.large_list_view(pa.string_view()),
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
    ],
)
def test_every_kind_of_list_is_a_list_without_null_elements(kind):
    coerced = coerce_column(pa.array([["a", None], None, ["b", "c"]], kind), TAGS)
    assert coerced.column.type == pa.list_(pa.string())
    assert found(coerced) == ([["a"], None, ["b", "c"]], [])


def test_a_slice_of_lists_keeps_its_rows():
    column = pa.array([["x"], ["a", None], None, ["b"]]).slice(1)
    assert found(coerce_column(column, TAGS)) == ([["a"], None, ["b"]], [])


def test_wrong_elements_are_removed_one_by_one():
    values, problems = found(coerce_column(pa.array([[1], None, [2, 3]]), TAGS))
    assert values == [[], None, []]
    assert [(row, detail) for row, _, detail in problems] == [
        (0, "tags: int64 1 is not a string: cast it to text"),
        (2, "tags: int64 2 is not a string: cast it to text"),
        (2, "tags: int64 3 is not a string: cast it to text"),
    ]


def test_an_element_that_is_not_utf8_is_removed_from_its_list():
    elements = invalid_strings(b"rock", b"\xff", b"pop")
    values, problems = found(coerce_column(pa.ListArray.from_arrays([0, 2, 3], elements), TAGS))
    assert values == [["rock"], ["pop"]]
    assert problems == [(0, NOT_UTF8, "tags: b'\\xff' is not UTF-8")]


def test_neither_a_map_nor_a_nested_list_is_a_list_of_strings():
    maps = pa.array([[("rock", 1)]], pa.map_(pa.string(), pa.int64()))
    assert found(coerce_column(maps, TAGS)) == (
        [None],
        [(0, WRONG_TYPE, "tags: map<string, int64> [('rock', 1)] is not a list of strings")],
    )
    values, [(_, _, detail)] = found(coerce_column(pa.array([[["rock"]]]), TAGS))
    assert values == [[]]
    assert detail.endswith("['rock'] is not a string")


def text(*values):
    return pa.array(values, pa.binary())


@pytest.mark.parametrize(
    ("value", "field"),
    [("rock|pop", TAGS), (" {rock,pop} ", TAGS), ("c(rock, pop)", TAGS), ("2001", YEAR), ("x", YEAR), ("", POPULARITY)],
)
def test_text_of_lists_and_numbers_means_the_same_in_every_source(value, field):
    parsed = found(coerce_text(text(value.encode()), field))
    assert found(coerce_column(pa.array([value]), field)) == parsed
    assert found(coerce_values([value], field)) == parsed


def test_numbers_and_text_in_one_column_of_json_are_both_read():
    values, problems = found(coerce_values(["2001", 2002, None, "x", True], YEAR))
    assert values == [2001, 2002, None, None, None]
    assert sorted(row for row, _, _ in problems) == [3, 4]


def test_numbers_are_parsed_from_text():
    column = text(b"2001", b" 2001 ", b"2001.0", b"2e3", b"  ", None, b"nan")
    assert found(coerce_text(column, YEAR)) == ([2001, 2001, 2001, 2000, None, None, None], [])


def test_text_that_is_not_a_number_is_reported_and_the_others_are_kept():
    values, problems = found(coerce_text(text(b"abc", b"1999", b"\xff", b"1999.5", b"0x10", b"1_0"), YEAR))
    assert values == [None, 1999, None, None, None, None]
    assert sorted((row, reason) for row, reason, _ in problems) == [
        (0, WRONG_TYPE),
        (2, NOT_UTF8),
        (3, WRONG_TYPE),
        (4, WRONG_TYPE),
        (5, WRONG_TYPE),
    ]
    assert "year: text 'abc' is not a 32-bit integer" in [detail for _, _, detail in problems]


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (b'["rock", "a|b"]', ["rock", "a|b"]),
        (b"[]", []),
        (b"rock|r&b; soul, funk", ["rock", "r&b; soul, funk"]),
        (b"r&b; soul, funk ", ["r&b", "soul, funk"]),
        (b"soul, funk,", ["soul", "funk"]),
        (b"soul", ["soul"]),
        (b"[live] soul", ["[live] soul"]),
        (b"|", []),
        ("Größe|歌".encode(), ["Größe", "歌"]),
    ],
)
def test_lists_are_parsed_from_text(value, tags):
    assert found(coerce_text(text(value, None), TAGS)) == ([tags, None], [])


def test_brackets_without_json_are_rejected():
    values, problems = found(coerce_text(text(b"['rock' 'pop']", b'["ok", 1, null]'), TAGS))
    assert values == [None, ["ok"]]
    assert problems[0][2] == (
        "tags: text \"['rock' 'pop']\" is not a list of strings: "
        "write a JSON array, or the elements with | between them"
    )
    assert problems[1][2] == "tags: number 1 is not a string: cast it to text"


def test_json_values_are_taken_by_their_types():
    assert found(coerce_values(["a", None], TITLE)) == (["a", None], [])
    assert found(coerce_values([2001, 2001.0, None, float("nan")], YEAR)) == ([2001, 2001, None, None], [])
    assert found(coerce_values([["a", None], None, []], TAGS)) == ([["a"], None, []], [])


@pytest.mark.parametrize(
    ("value", "field", "detail"),
    [
        (5, TITLE, "title: number 5 is not a string: cast it to text"),
        (True, TITLE, "title: boolean True is not a string: cast it to text"),
        ({"a": 1}, TITLE, "title: object {'a': 1} is not a string"),
        ("MMI", YEAR, "year: text 'MMI' is not a 32-bit integer"),
        (True, YEAR, "year: boolean True is not a 32-bit integer"),
        ({"rock": 1}, TAGS, "tags: object {'rock': 1} is not a list of strings"),
        ([["rock"]], TAGS, "tags: list ['rock'] is not a string"),
    ],
)
def test_json_values_of_another_type_are_rejected(value, field, detail):
    coerced = coerce_values([None, value], field)
    assert [(p.row, p.reason, p.detail) for p in coerced.problems] == [(1, WRONG_TYPE, detail)]
    assert coerced.column[1].as_py() in (None, [])


def test_a_lone_surrogate_is_not_utf8():
    values, problems = found(coerce_values(["ok", "\udce9", None], TITLE))
    assert values == ["ok", None, None]
    assert [problem[:2] for problem in problems] == [(1, NOT_UTF8)]
    make_rejects([{"table": "tracks", "stage": "read", "reason": NOT_UTF8, "detail": problems[0][2]}])


def test_the_three_entries_agree_on_the_same_values():
    """Parquet, CSV and JSON of the same seeded values give the same columns."""
    random = np.random.default_rng(3)
    for _ in range(20):
        years = [int(y) if y > 0 else None for y in random.integers(-500, 2030, 50)]
        tags = [[f"t{t}" for t in random.integers(0, 9, n)] if n else None for n in random.integers(0, 4, 50)]
        for values, field in ((years, YEAR), (tags, TAGS)):
            as_text = pa.array([None if v is None else orjson.dumps(v) for v in values], pa.binary())
            typed, parsed, loaded = (
                coerce_column(pa.array(values, field.type), field),
                coerce_text(as_text, field),
                coerce_values(values, field),
            )
            assert typed == CoercedColumn(parsed.column) == CoercedColumn(loaded.column)
            assert typed.column.to_pylist() == values


def test_white_space_of_an_id_is_kept_in_every_source():
    ids = [" a", "b ", "a", "\tc\n"]
    field = TRACKS.field("track_id")
    assert found(coerce_column(pa.array(ids), field)) == (ids, [])
    assert found(coerce_text(text(*(value.encode() for value in ids)), field)) == (ids, [])
    assert found(coerce_values(ids, field)) == (ids, [])
