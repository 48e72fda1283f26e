import csv
import io
import random

import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.rejects import MALFORMED_ROW
from tracktokens.transforms.readers import text_stream
from tracktokens.transforms.readers.csv_reader import csv_columns, csv_rows, delimiter_of


def test_csv_rows_of_the_wrong_width_are_malformed_alone(scan_bytes, tmp_path):
    batches = scan_bytes(tmp_path, "t.csv", b"track_id,title\na,1\nb\nc,2,3\n\xff,\xff,\xff\n\nd,4\n")
    assert [(row["track_id"], row["position"]) for row in batches.rows] == [("a", 0), ("d", 4)]
    assert batches.reasons == [MALFORMED_ROW] * 3
    assert batches.details == [
        "t.csv, row 2: 1 columns instead of 2 in 'b'",
        "t.csv, row 3: 3 columns instead of 2 in 'c,2,3'",
        "t.csv, row 4: 3 columns instead of 2 in '\\\\xff,\\\\xff,\\\\xff'",
    ]


@pytest.mark.parametrize(
    "bad", [b'x,"open\n', b'x,"text"after\n', b'x,"a""\n', b'"x,y\n'], ids=["open", "after", "doubled", "first"]
)
def test_an_unbalanced_quote_loses_one_line(scan_bytes, tmp_path, bad):
    batches = scan_bytes(tmp_path, "t.csv", b"track_id,title\na,1\n" + bad + b"b,2\nc,3\n")
    assert [row["track_id"] for row in batches.rows] == ["a", "b", "c"]
    assert batches.reasons == [MALFORMED_ROW]
    assert "t.csv, row 2: unbalanced quotes" in batches.details[0]


def test_quotes_line_ends_and_empty_fields_of_csv(scan_bytes, tmp_path):
    data = b'track_id, title \r\n"a","x ""y"""\r\n\r\nb,7" single\rc,""\nd,"two\r\nlines"\n"e",'
    titles = {row["track_id"]: row["title"] for row in scan_bytes(tmp_path, "t.csv", data).rows}
    assert titles == {"a": 'x "y"', "b": '7" single', "c": None, "d": "two\r\nlines", "e": None}


def test_an_error_on_a_later_line_loses_the_first_line_only(scan_bytes, tmp_path):
    batches = scan_bytes(tmp_path, "t.csv", b'track_id,title\nx,"open\nb,2\nc,"3"\nd,4\n')
    assert [(row["track_id"], row["title"], row["position"]) for row in batches.rows] == [
        ("b", "2", 1),
        ("c", "3", 2),
        ("d", "4", 3),
    ]
    assert batches.details == ["t.csv, row 1: unbalanced quotes in 'x,\"open'"]


def test_quoted_lines_beyond_the_longest_row_are_rows_of_their_own(scan_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(text_stream, "MAX_ROW_BYTES", 20)
    batches = scan_bytes(tmp_path, "t.csv", b'track_id,title\nx,"1\n' + b"b,12345\n" * 3 + b'c,"\n')
    assert [row["track_id"] for row in batches.rows] == ["b"] * 3
    assert [detail[:12] for detail in batches.details] == ["t.csv, row 1", "t.csv, row 5"]


def test_a_field_may_be_as_long_as_a_row_and_have_many_lines(scan_bytes, tmp_path):
    text = 'la "la"\n' * 100_000
    [row] = scan_bytes(tmp_path, "t.csv", f'track_id,title\na,"{text}"\n'.replace('"la"', '""la""').encode()).rows
    assert row["title"] == text


def test_a_nul_byte_loses_its_row_at_most(scan_bytes, tmp_path):
    batches = scan_bytes(tmp_path, "t.csv", b"track_id,title\na,1\nb,\x00\nc,3\n")
    assert [row["track_id"] for row in batches.rows if row["track_id"] != "b"] == ["a", "c"]
    assert sum(batch.rows_read for batch in batches) == 3
    assert all("a NUL byte in" in detail for detail in batches.details)


def test_a_tab_is_the_delimiter_of_tsv_files():
    delimiters = {"a.csv": ",", "a.CSV.GZ": ",", "a.tsv": "\t", "a.TSV.bz2": "\t", "a.tsv.zst": "\t", "tsv.csv": ","}
    assert {path: delimiter_of(path) for path in delimiters} == delimiters


def parsed_at_once(data):
    """Rows that the parser reads from the whole text at once, as lists of bytes, without blank lines."""
    reader = csv.reader(io.StringIO(data.decode("latin-1"), newline=""), strict=True)
    return [[cell.encode("latin-1") for cell in row] for row in reader if row]


def test_rows_parsed_one_by_one_are_those_of_the_whole_text():
    pieces = [b"a", b",", b'"', b'""', b"\n", b"\r\n", b"\xff", b" "]
    compared, source = 0, random.Random(5)
    for _ in range(20_000):
        data = b"".join(source.choice(pieces) for _ in range(source.randrange(14)))
        try:
            expected = parsed_at_once(data)
        except csv.Error:
            continue
        rows = [row.fields for row in csv_rows(iter(data.splitlines(keepends=True)), ",")]
        assert [[field.encode("utf-8", "surrogateescape") for field in fields] for fields in rows] == expected, data
        compared += 1
    assert compared > 5_000


def test_empty_fields_beyond_the_last_column_are_dropped(scan_bytes, tmp_path):
    batches = scan_bytes(tmp_path, "t.csv", b"track_id,title\na,1,\nb,2,,\nc,3,,x\n")
    assert [row["title"] for row in batches.rows] == ["1", "2"]
    assert batches.details == ["t.csv, row 3: 4 columns instead of 2 in 'c,3,,x'"]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        (
            "t.csv",
            b"track_id;title\na;1\n",
            "only column is 'track_id;title'; write the file with ',' as delimiter$",
        ),
        ("t.csv", b"track_id\ttitle\na\t1\n", "or name it .tsv"),
        ("t.tsv", b"track_id,title\na,1\n", r"only column is 'track_id,title'; write the file with '\\t' as delimiter"),
        ("t.csv", b"sep=,\ntrack_id,title\na,1\n", "first line is 'sep=', a note for Excel; remove it"),
        ("t.csv", "track_id,title\n".encode("utf-16-le"), "NUL bytes, as in UTF-16; save it as UTF-8"),
    ],
)
def test_a_first_row_that_is_not_column_names_is_refused_with_the_remedy(tmp_path, name, text, fault):
    (tmp_path / name).write_bytes(text)
    with pytest.raises(InvalidDataError, match=fault):
        csv_columns(str(tmp_path / name))


def test_a_second_byte_order_mark_is_not_part_of_a_column_name(scan_bytes, tmp_path):
    [row] = scan_bytes(tmp_path, "t.csv", "\ufeff\ufefftrack_id,title\na,1\n".encode()).rows
    assert row["track_id"] == "a"
