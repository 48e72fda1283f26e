"""Rows of CSV and TSV files in several encodings, and rows that are none."""

import csv
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.delimited_rows import MAX_FIELD_CHARACTERS, DelimitedFile
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables.rejects import TRACKS_TABLE

Read = tuple[list[tuple[int, dict[str, str | None]]], list[tuple[int, str]]]


def read(path: Path, **options: Any) -> Read:
    """Read rows of the columns a and b; return them, and the lines and details of the rejects."""
    with CatalogFolder(str(path.parent / "out"), str(path)) as out:
        file = DelimitedFile(path=path, table=TRACKS_TABLE, **options)
        found = [(line, dict(row)) for line, row in file.rows(out, ("a", "b"))]
    rejects = pq.read_table(path.parent / "out/rejects.parquet").to_pylist()
    return found, [(row["line"], row["detail"]) for row in rejects]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_row_is_the_same_in_each_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes("a\tb\r\n\r\nCafé\t \r\n".encode(encoding))
    assert read(tmp_path / "a.csv") == ([(3, {"a": "Café", "b": None})], [])


def test_a_row_over_several_lines_has_the_number_of_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('a,b\n"x\ny",1\nz,2\nshort\n', encoding="utf-8")
    found, lost = read(tmp_path / "a.csv", delimiter=",")
    assert found == [(2, {"a": "x\ny", "b": "1"}), (4, {"a": "z", "b": "2"})]
    assert lost == [(5, "1 fields, not 2")]


def test_the_limit_of_a_field_is_that_of_the_process_again_after_a_file(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("a\tb\n1\t2\n", encoding="utf-8")
    read(tmp_path / "a.csv")
    assert csv.field_size_limit() == before


def test_an_open_quote_does_not_swallow_the_file(tmp_path: Path) -> None:
    line = "x" * 99 + "\t1\n"
    count = MAX_FIELD_CHARACTERS // len(line) + 10
    (tmp_path / "a.csv").write_text('a\tb\n"open\t1\n' + line * count + "last\t2\n", encoding="utf-8")
    found, lost = read(tmp_path / "a.csv")
    assert found[-1] == (count + 3, {"a": "last", "b": "2"})
    assert lost[0] == (2, f"field larger than field limit ({MAX_FIELD_CHARACTERS})")
    found, lost = read(tmp_path / "a.csv", quoted=False)
    assert (len(found), found[0], lost) == (count + 2, (2, {"a": '"open', "b": "1"}), [])


def test_a_file_that_is_missing_or_of_another_kind_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "missing.csv")
    (tmp_path / "a.csv").write_text("", encoding="utf-8")
    with pytest.raises(InvalidDataError, match="has no column a "):
        read(tmp_path / "a.csv")
