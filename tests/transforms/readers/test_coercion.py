import decimal

import numpy as np
import orjson
import pyarrow as pa
import pytest

from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.schemas.tables.rejects import (
    ID_NOT_UTF8,
    ID_WRONG_TYPE,
    NOT_FINITE,
    NOT_UTF8,
    WRONG_TYPE,
    make_rejects,
)
from tracktokens.schemas.tables.tracks import SCANNED_TRACKS, TRACKS
from tracktokens.transforms.readers.coercion import (
    Conformed,
    conform,
    conform_rows,
    conform_text,
    conform_values,
    keep_elements,
)

TITLE, YEAR, TAGS, POPULARITY = (TRACKS.field(name) for name in ("title", "year", "tags", "popularity"))


def invalid_strings(*values):
    """A string column with unchecked bytes, as in some Parquet files."""
    binary = pa.array(values, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


def found(conformed):
    return conformed.column.to_pylist(), [(p.row, p.reason, p.detail) for p in conformed.problems]


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
    conformed = conform(pa.array(["ä", None, "b"], pa.string()).cast(kind), TITLE)
    assert conformed.column.type == pa.string()
    assert found(conformed) == (["ä", None, "b"], [])


def test_bytes_of_a_fixed_size_are_text():
    assert found(conform(pa.array([b"ab", None], pa.binary(2)), TITLE)) == (["ab", None], [])


def test_a_number_is_not_a_string():
    values, problems = found(conform(pa.array([5, None], pa.int64()), TITLE))
    assert values == [None, None]
    assert problems == [(0, WRONG_TYPE, "title: int64 5 is not a string")]


@pytest.mark.parametrize("value", [True, decimal.Decimal("1.5"), {"a": 1}, ["x"]])
def test_other_types_are_not_strings_either(value):
    values, [(row, reason, _)] = found(conform(pa.array([value]), TITLE))
    assert (values, row, reason) == ([None], 0, WRONG_TYPE)


def test_a_column_of_nulls_is_null_in_any_type():
    for field in TRACKS:
        conformed = conform(pa.nulls(2), field)
        assert conformed.column.type == field.type
        assert found(conformed) == ([None, None], [])


def test_text_that_is_not_utf8_is_null_and_named():
    values, problems = found(conform(invalid_strings(b"caf\xe9", b"fine", None, b"\xed\xa0\x80"), TITLE))
    assert values == [None, "fine", None, None]
    assert problems[0] == (0, NOT_UTF8, "title: b'caf\\xe9' is not UTF-8")
    assert [problem[0] for problem in problems] == [0, 3]


def test_bytes_behind_a_null_are_not_looked_at():
    column = pa.Array.from_buffers(
        pa.string(), 2, [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xffa")]
    )
    assert found(conform(column, TITLE)) == ([None, "a"], [])


def test_a_long_value_is_cut_in_the_detail():
    [(_, _, detail)] = found(conform(invalid_strings(b"\xff" * 1_000_000), TITLE))[1]
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
    conformed = conform(column, YEAR)
    assert conformed.column.type == pa.int32()
    assert found(conformed) == ([2001, None], [])


def test_a_year_that_would_lose_something_is_rejected():
    values, problems = found(conform(pa.array([2001.5, 2**31 - 1, 2**31, float("-inf")]), YEAR))
    assert values == [None, 2**31 - 1, None, None]
    assert problems == [
        (0, WRONG_TYPE, "year: double 2001.5 is not a whole number of 32 bits"),
        (2, WRONG_TYPE, "year: double 2147483648.0 is not a whole number of 32 bits"),
        (3, WRONG_TYPE, "year: double -inf is not a whole number of 32 bits"),
    ]


@pytest.mark.parametrize("column", [pa.array(["2001"]), pa.array([True]), pa.array([[1]])])
def test_a_typed_column_is_not_parsed(column):
    assert [problem.reason for problem in conform(column, YEAR).problems] == [WRONG_TYPE]


def test_a_popularity_that_is_no_number_is_null_and_one_without_bound_is_rejected():
    values, problems = found(conform(pa.array([float("nan"), 3.5, float("inf")]), POPULARITY))
    assert values == [None, 3.5, None]
    assert problems == [(2, NOT_FINITE, "popularity: inf is not finite")]


def test_a_count_that_a_float_cannot_hold_is_rejected():
    values, problems = found(conform(pa.array([2**53 - 1, 2**53 + 1]), POPULARITY))
    assert values == [2.0**53 - 1, None]
    assert [problem[:2] for problem in problems] == [(1, WRONG_TYPE)]


@pytest.mark.parametrize("kind", [pa.list_(pa.large_string()), pa.large_list(pa.string()), pa.list_(pa.string(), 2)])
def test_every_kind_of_list_is_a_list_and_null_elements_go(kind):
    conformed = conform(pa.array([["a", None], None, ["b", "c"]], kind), TAGS)
    assert conformed.column.type == pa.list_(pa.string())
    assert found(conformed) == ([["a"], None, ["b", "c"]], [])


def test_a_slice_of_lists_keeps_its_rows():
    column = pa.array([["x"], ["a", None], None, ["b"]]).slice(1)
    assert found(conform(column, TAGS)) == ([["a"], None, ["b"]], [])


def test_wrong_elements_go_one_by_one():
    values, problems = found(conform(pa.array([[1], None, [2, 3]]), TAGS))
    assert values == [[], None, []]
    assert [(row, detail) for row, _, detail in problems] == [
        (0, "tags: int64 1 is not a string"),
        (2, "tags: int64 2 is not a string"),
        (2, "tags: int64 3 is not a string"),
    ]


def test_an_element_that_is_not_utf8_leaves_its_list_standing():
    elements = invalid_strings(b"rock", b"\xff", b"pop")
    values, problems = found(conform(pa.ListArray.from_arrays([0, 2, 3], elements), TAGS))
    assert values == [["rock"], ["pop"]]
    assert problems == [(0, NOT_UTF8, "tags: b'\\xff' is not UTF-8")]


def test_a_string_is_not_a_list():
    assert [p.detail for p in conform(pa.array(["rock"]), TAGS).problems] == [
        "tags: string 'rock' is not a list of strings"
    ]


def text(*values):
    return pa.array(values, pa.binary())


def test_numbers_are_parsed_from_text():
    column = text(b"2001", b" 2001 ", b"2001.0", b"2e3", b"  ", None, b"nan")
    assert found(conform_text(column, YEAR)) == ([2001, 2001, 2001, 2000, None, None, None], [])


def test_text_that_is_no_number_is_named_and_the_others_stay():
    values, problems = found(conform_text(text(b"abc", b"1999", b"\xff", b"1999.5", b"0x10", b"1_0"), YEAR))
    assert values == [None, 1999, None, None, None, None]
    assert sorted((row, reason) for row, reason, _ in problems) == [
        (0, WRONG_TYPE),
        (2, NOT_UTF8),
        (3, WRONG_TYPE),
        (4, WRONG_TYPE),
        (5, WRONG_TYPE),
    ]
    assert "year: text 'abc' is not a whole number of 32 bits" in [detail for _, _, detail in problems]


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
    assert found(conform_text(text(value, None), TAGS)) == ([tags, None], [])


def test_brackets_that_hold_no_json_are_rejected():
    values, problems = found(conform_text(text(b"['rock', 'pop']", b'["ok", 1, null]'), TAGS))
    assert values == [None, ["ok"]]
    assert problems[0][2] == "tags: string \"['rock', 'pop']\" is not a list of strings"
    assert problems[1][2] == "tags: number 1 is not a string"


def test_json_values_are_taken_by_their_types():
    assert found(conform_values(["a", None], TITLE)) == (["a", None], [])
    assert found(conform_values([2001, 2001.0, None, float("nan")], YEAR)) == ([2001, 2001, None, None], [])
    assert found(conform_values([["a", None], None, []], TAGS)) == ([["a"], None, []], [])


@pytest.mark.parametrize(
    ("value", "field", "detail"),
    [
        (5, TITLE, "title: number 5 is not a string"),
        (True, TITLE, "title: boolean True is not a string"),
        ({"a": 1}, TITLE, "title: object {'a': 1} is not a string"),
        ("2001", YEAR, "year: string '2001' is not a whole number of 32 bits"),
        (True, YEAR, "year: boolean True is not a whole number of 32 bits"),
        (10**30, POPULARITY, f"popularity: number {10**30} is not a number"),
        ("rock", TAGS, "tags: string 'rock' is not a list of strings"),
        ([["rock"]], TAGS, "tags: list ['rock'] is not a string"),
    ],
)
def test_json_values_of_another_type_are_rejected(value, field, detail):
    conformed = conform_values([None, value], field)
    assert [(p.row, p.reason, p.detail) for p in conformed.problems] == [(1, WRONG_TYPE, detail)]
    assert conformed.column[1].as_py() in (None, [])


def test_a_lone_surrogate_is_not_utf8():
    values, problems = found(conform_values(["ok", "\udce9", None], TITLE))
    assert values == ["ok", None, None]
    assert [problem[:2] for problem in problems] == [(1, NOT_UTF8)]
    make_rejects([{"table": "tracks", "stage": "read", "reason": NOT_UTF8, "detail": problems[0][2]}])


def test_lists_keep_the_selected_elements():
    lists = pa.array([["a", "b"], None, [], ["c"]])
    assert keep_elements(lists, np.array([False, True, False])).to_pylist() == [["b"], None, [], []]


def rows_of(columns, schema=TRACKS):
    length = len(next(iter(columns.values())))
    conformed = {name: conform(column, schema.field(name)) for name, column in columns.items()}
    return conform_rows(conformed, schema, np.arange(length, dtype=np.int64), lambda row: f"row {row + 1}")


def test_missing_columns_are_null():
    result = rows_of({"track_id": pa.array(["a"])})
    assert result.rows.schema == SCANNED_TRACKS
    assert result.rows.to_pylist() == [dict.fromkeys(SCANNED_TRACKS.names) | {"track_id": "a", "position": 0}]


@pytest.mark.parametrize(
    ("ids", "reason"), [(invalid_strings(b"\xff", b"b"), ID_NOT_UTF8), (pa.array([7, None]), ID_WRONG_TYPE)]
)
def test_a_row_whose_id_is_no_text_is_lost_with_one_reject(ids, reason):
    result = rows_of({"track_id": ids, "title": pa.array([1, None], pa.int64())})
    assert result.rows.column("position").to_pylist() == [1]
    assert [reject["reason"] for reject in result.rejects] == [reason]
    assert result.rejects[0]["detail"].startswith("row 1: track_id: ")


def test_rejects_say_who_loses_what_in_the_order_of_the_rows():
    columns = {
        "track_id": pa.array(["a", "b"]),
        "title": pa.array([None, 1]),
        "tags": pa.array([[1], None]),
        "lyrics": pa.array([2, None]),
        "audio_path": pa.array([None, 3]),
        "popularity": pa.array(["many", None]),
    }
    rejects = make_rejects(rows_of(columns).rejects).to_pylist()
    assert [(r["track_id"], r["modality"], r["reason"], r["stage"]) for r in rejects] == [
        ("a", "tags", WRONG_TYPE, "read"),
        ("a", "lyrics", WRONG_TYPE, "read"),
        ("a", None, WRONG_TYPE, "read"),
        ("b", "metadata", WRONG_TYPE, "read"),
        ("b", "audio", WRONG_TYPE, "read"),
    ]


def test_rejects_of_playlists_name_the_playlist():
    result = rows_of({"playlist_id": pa.array(["p"]), "track_ids": pa.array([["t", None]])}, PLAYLISTS)
    assert result.rows.column("track_ids").to_pylist() == [["t"]]
    [reject] = rows_of({"playlist_id": pa.array(["p"]), "track_ids": pa.array([5])}, PLAYLISTS).rejects
    assert (reject["table"], reject.get("track_id"), reject["modality"]) == ("playlists", None, "playlist")
    assert reject["detail"] == "playlist 'p': track_ids: int64 5 is not a list of strings"


def test_the_three_entries_agree_on_the_same_values():
    """Parquet, CSV and JSON of the same seeded values give the same columns."""
    random = np.random.default_rng(3)
    for _ in range(20):
        years = [int(y) if y > 0 else None for y in random.integers(-500, 2030, 50)]
        tags = [[f"t{t}" for t in random.integers(0, 9, n)] if n else None for n in random.integers(0, 4, 50)]
        for values, field in ((years, YEAR), (tags, TAGS)):
            as_text = pa.array([None if v is None else orjson.dumps(v) for v in values], pa.binary())
            typed, parsed, loaded = (
                conform(pa.array(values, field.type), field),
                conform_text(as_text, field),
                conform_values(values, field),
            )
            assert typed == Conformed(parsed.column) == Conformed(loaded.column)
            assert typed.column.to_pylist() == values
