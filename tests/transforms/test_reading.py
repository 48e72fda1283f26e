import bz2
import csv
import gzip
import io
import json
import os
import random
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystem import FileMetadata, FileSystem

from tracktokens.schemas.errors import DataRefusedError, UsageError
from tracktokens.schemas.playlists import PLAYLISTS, SCANNED_PLAYLISTS
from tracktokens.schemas.rejects import (
    ID_NOT_UTF8,
    ID_WRONG_TYPE,
    MALFORMED_ROW,
    NOT_FINITE,
    NOT_UTF8,
    REJECTS,
    ROW_REASONS,
    WRONG_TYPE,
)
from tracktokens.schemas.tracks import SCANNED_TRACKS, TRACKS
from tracktokens.transforms import reading
from tracktokens.transforms.reading import check_table, estimate_rows, find_fragments, read_fragment

ROWS = [
    {"track_id": "a", "title": 'The "7" single', "year": 2001, "tags": ["rock", "r&b, soul"], "popularity": 1.5},
    {"track_id": "ä", "title": "two\nlines", "artist": "歌手", "lyrics": 'la\r\nla,\n"la"', "year": -5},
    {"track_id": " c ", "album": "x,y", "audio_path": "d/e f.ogg", "audio_version": "etag", "tags": ["[live]"]},
    {"track_id": "d"},
]
ROWS = [{name: row.get(name) for name in TRACKS.names} for row in ROWS]


def csv_bytes(rows, delimiter=","):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([json.dumps(v) if isinstance(v, list) else v for v in row.values()])
    return text.getvalue().encode()


def jsonl_bytes(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def zstd(data):
    return pa.compress(data, "zstd", asbytes=True)


def scan(path, schema=TRACKS, batch_rows=4096):
    """Read all of a table; checks on every batch what must hold for any input."""
    batches = []
    for fragment in find_fragments(str(path), "tracks"):
        for batch in read_fragment(fragment, schema, batch_rows):
            batch.rows.validate(full=True)
            batch.rejects.validate(full=True)
            assert batch.rejects.schema == REJECTS
            lost = sum(reason in ROW_REASONS for reason in batch.rejects.column("reason").to_pylist())
            assert batch.rows_read == batch.rows.num_rows + lost <= batch_rows
            batches.append(batch)
    return batches


def rows_of(batches):
    return [row for batch in batches for row in batch.rows.to_pylist()]


def reasons_of(batches):
    return [reason for batch in batches for reason in batch.rejects.column("reason").to_pylist()]


def details_of(batches):
    return [detail for batch in batches for detail in batch.rejects.column("detail").to_pylist()]


def scan_bytes(folder, name, data, schema=TRACKS, **settings):
    (folder / name).write_bytes(data)
    return scan(folder / name, schema, **settings)


# The same in every format


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", csv_bytes),
        ("t.CSV.GZ", lambda rows: gzip.compress(csv_bytes(rows))),
        ("t.tsv", lambda rows: csv_bytes(rows, "\t")),
        ("t.tsv.bz2", lambda rows: bz2.compress(csv_bytes(rows, "\t"))),
        ("t.csv.zst", lambda rows: zstd(csv_bytes(rows))),
        ("t.jsonl", jsonl_bytes),
        ("t.ndjson", jsonl_bytes),
        ("t.json.gz", lambda rows: gzip.compress(jsonl_bytes(rows))),
        ("t.jsonl.bz2", lambda rows: bz2.compress(jsonl_bytes(rows))),
        ("t.jsonl.zst", lambda rows: zstd(jsonl_bytes(rows))),
        ("t.bom.csv", lambda rows: b"\xef\xbb\xbf" + csv_bytes(rows)),
        ("t.bom.jsonl", lambda rows: b"\xef\xbb\xbf" + jsonl_bytes(rows)),
        ("t.joined.jsonl.gz", lambda rows: gzip.compress(jsonl_bytes(rows[:2])) + gzip.compress(jsonl_bytes(rows[2:]))),
    ],
)
@pytest.mark.parametrize("batch_rows", [1, 3, 100])
def test_a_catalog_reads_the_same_in_every_format(tmp_path, name, write, batch_rows):
    pq.write_table(pa.Table.from_pylist(ROWS, TRACKS), tmp_path / "t.parquet")
    expected = scan(tmp_path / "t.parquet", batch_rows=batch_rows)
    assert rows_of(expected) == [row | {"position": number} for number, row in enumerate(ROWS)]
    batches = scan_bytes(tmp_path, name, write(ROWS), batch_rows=batch_rows)
    assert [batch.rows for batch in batches] == [batch.rows for batch in expected]
    assert all(batch.rows.schema == SCANNED_TRACKS and not batch.rejects.num_rows for batch in batches)


def test_playlists_read_the_same_in_every_format(tmp_path):
    rows = [
        {"playlist_id": "p", "track_ids": ["a", "b"], "title": "x"},
        {"playlist_id": "q", "track_ids": None, "title": ""},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    scanned = scan(tmp_path / "p.parquet", PLAYLISTS)
    assert scanned[0].rows.schema == SCANNED_PLAYLISTS
    assert scanned[0].rows.column("track_ids").to_pylist() == [["a", "b"], None]
    for name, data in (("p.csv", csv_bytes(rows)), ("p.jsonl", jsonl_bytes(rows))):
        assert scan_bytes(tmp_path, name, data, PLAYLISTS) == scanned


def test_missing_columns_are_null_and_unknown_ones_are_reported(tmp_path):
    rows = [{"track_id": "a", "position": 7, "mood": "sad"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    for name, data in (("t.parquet", None), ("t.csv", csv_bytes(rows)), ("t.jsonl", jsonl_bytes(rows))):
        [batch] = scan_bytes(tmp_path, name, data) if data else scan(tmp_path / name)
        assert sorted(batch.ignored_columns) == ["mood", "position"]
        assert batch.rows.to_pylist() == [dict.fromkeys(SCANNED_TRACKS.names) | {"track_id": "a", "position": 0}]


# Bad input, reason by reason


def test_csv_rows_of_the_wrong_width_cost_only_themselves(tmp_path):
    batches = scan_bytes(tmp_path, "t.csv", b"track_id,title\na,1\nb\nc,2,3\n\xff,\xff,\xff\n\nd,4\n")
    assert [(row["track_id"], row["position"]) for row in rows_of(batches)] == [("a", 0), ("d", 4)]
    assert reasons_of(batches) == [MALFORMED_ROW] * 3
    assert details_of(batches) == [
        "t.csv, row 2: 1 columns instead of 2 in 'b'",
        "t.csv, row 3: 3 columns instead of 2 in 'c,2,3'",
        "t.csv, row 4: 3 columns instead of 2 in '\\\\xff,\\\\xff,\\\\xff'",
    ]


@pytest.mark.parametrize(
    "bad", [b'x,"open\n', b'x,"text"after\n', b'x,"a""\n', b'"x,y\n'], ids=["open", "after", "doubled", "first"]
)
def test_a_quote_that_does_not_pair_costs_one_line(tmp_path, bad):
    batches = scan_bytes(tmp_path, "t.csv", b"track_id,title\na,1\n" + bad + b"b,2\nc,3\n")
    assert [row["track_id"] for row in rows_of(batches)] == ["a", "b", "c"]
    assert reasons_of(batches) == [MALFORMED_ROW]
    assert "t.csv, row 2: the quotes do not pair" in details_of(batches)[0]


def test_quotes_line_ends_and_empty_fields_of_csv(tmp_path):
    data = b'track_id, title \r\n"a","x ""y"""\r\n\r\nb,7" single\rc,""\nd,"two\r\nlines"\n"e",'
    titles = {row["track_id"]: row["title"] for row in rows_of(scan_bytes(tmp_path, "t.csv", data))}
    assert titles == {"a": 'x "y"', "b": '7" single', "c": None, "d": "two\r\nlines", "e": None}


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_blocks_may_end_anywhere(tmp_path, monkeypatch, block):
    names = {"t.csv": b"\xef\xbb\xbf" * (block > 2) + csv_bytes(ROWS) + b'x,"\n', "t.jsonl": jsonl_bytes(ROWS) + b"{\n"}
    for name, data in names.items():
        whole = scan_bytes(tmp_path, name, data)
        with monkeypatch.context() as patch:
            patch.setattr(reading, "_BLOCK_BYTES", block)
            assert scan(tmp_path / name) == whole


def test_a_row_that_is_too_long_is_malformed_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_ROW_BYTES", 100)
    monkeypatch.setattr(reading, "_BLOCK_BYTES", 64)
    long = b"x" * 1000
    for name, data in (
        ("t.csv", b"track_id,title\na,1\n" + long + b",z\nb,2\n"),
        ("u.csv", b'track_id,title\na,1\nx,"' + long + b"\nb,2\n"),
        ("t.jsonl", b'{"track_id":"a"}\n{"track_id":"' + long + b'"}\n{"track_id":"b"}\n'),
        ("u.jsonl", b'{"track_id":"a"}\n{"track_id":"b"}\n{"track_id":"' + long),
    ):
        batches = scan_bytes(tmp_path, name, data)
        assert [row["track_id"] for row in rows_of(batches)] == ["a", "b"], name
        assert reasons_of(batches) == [MALFORMED_ROW], name


def test_lines_that_are_no_json_objects_cost_only_themselves(tmp_path):
    bad = [b"{", b"5", b'["track_id"]', b"null", b"\xff\xfe", b'{"track_id": "x"} {}', b"[" * 100_000, b"\x00"]
    batches = scan_bytes(tmp_path, "t.jsonl", b'{"track_id":"a"}\n\n' + b"\n \n".join(bad) + b'\r\n{"track_id":"b"}')
    assert [(row["track_id"], row["position"]) for row in rows_of(batches)] == [("a", 0), ("b", 9)]
    assert reasons_of(batches) == [MALFORMED_ROW] * 8
    assert details_of(batches)[1] == "t.jsonl, row 3: '5' is not a JSON object"


def write_binary_parquet(path, columns):
    """Write string columns whose bytes nobody checked."""
    arrays = []
    for values in columns.values():
        binary = pa.array(values, pa.binary())
        arrays.append(pa.Array.from_buffers(pa.string(), len(binary), binary.buffers()))
    pq.write_table(pa.table(arrays, list(columns)), path)


def test_text_that_is_not_utf8_costs_the_value_in_every_format(tmp_path):
    write_binary_parquet(tmp_path / "t.parquet", {"track_id": [b"a", b"b"], "title": [b"caf\xe9", b"ok"]})
    (tmp_path / "t.csv").write_bytes(b"track_id,title\na,caf\xe9\nb,ok\n")
    (tmp_path / "t.jsonl").write_bytes(b'{"track_id":"a","title":"caf\xe9"}\n{"track_id":"b","title":"ok"}\n')
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        batches = scan(tmp_path / name)
        assert [row["title"] for row in rows_of(batches)] == [None, "ok"], name
        [reject] = batches[0].rejects.to_pylist()
        assert (reject["track_id"], reject["modality"], reject["reason"]) == ("a", "metadata", NOT_UTF8)


def test_an_id_that_is_not_utf8_costs_the_row_in_every_format(tmp_path):
    write_binary_parquet(tmp_path / "t.parquet", {"track_id": [b"\xff", b"b"]})
    (tmp_path / "t.csv").write_bytes(b"track_id,x\n\xff,\nb,\n")
    (tmp_path / "t.jsonl").write_bytes(b'{"track_id":"\xff"}\n{"track_id":"b"}\n')
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        batches = scan(tmp_path / name)
        assert [row["position"] for row in rows_of(batches)] == [1], name
        assert reasons_of(batches) == [ID_NOT_UTF8]
        assert "row 1: track_id: " in details_of(batches)[0]


def test_an_id_of_another_type_costs_the_row(tmp_path):
    pq.write_table(pa.table({"track_id": [5, None]}), tmp_path / "t.parquet", row_group_size=1)
    (tmp_path / "t.jsonl").write_bytes(b'{"track_id":5}\n{"track_id":null}\n')
    for name, where in (("t.parquet", "t.parquet, row group 1, row 1: "), ("t.jsonl", "t.jsonl, row 1: ")):
        batches = scan(tmp_path / name)
        assert [row["track_id"] for row in rows_of(batches)] == [None]
        assert reasons_of(batches) == [ID_WRONG_TYPE]
        assert details_of(batches)[0].startswith(where)


def test_values_of_the_wrong_type_cost_the_value_in_every_format(tmp_path):
    pq.write_table(
        pa.table({"track_id": ["a"], "year": ["abc"], "tags": [[1]], "popularity": [float("inf")]}),
        tmp_path / "t.parquet",
    )
    (tmp_path / "t.csv").write_bytes(b"track_id,year,tags,popularity\na,abc,[1],inf\n")
    (tmp_path / "t.jsonl").write_bytes(b'{"track_id":"a","year":"abc","tags":[1],"popularity":Infinity}\n')
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        batches = scan(tmp_path / name)
        [row] = rows_of(batches)
        assert (row["track_id"], row["year"], row["tags"], row["popularity"]) == ("a", None, [], None)
        assert sorted(reasons_of(batches)) == sorted([WRONG_TYPE, WRONG_TYPE, NOT_FINITE]), name


def test_nan_in_json_is_no_value(tmp_path):
    [batch] = scan_bytes(tmp_path, "t.jsonl", b'{"track_id":"a","year":NaN,"popularity":NaN}\n')
    assert (batch.rows.column("year").null_count, batch.rejects.num_rows) == (1, 0)


def test_keys_that_are_not_utf8_can_still_be_reported(tmp_path):
    [batch] = scan_bytes(tmp_path, "t.jsonl", b'{"track_id":"a","\xff":1}\n')
    assert batch.ignored_columns == ("\\udcff",)


# Random bytes


def python_csv_rows(data):
    """The standard library's idea of the same rows, as lists of bytes, without blank lines."""
    reader = csv.reader(io.StringIO(data.decode("latin-1"), newline=""), strict=True)
    return [[cell.encode("latin-1") for cell in row] for row in reader if row]


def test_csv_rows_agree_with_the_standard_library():
    compared, source = 0, random.Random(5)
    for _ in range(20_000):
        data = b"".join(
            source.choice([b"a", b",", b'"', b'""', b"\n", b"\r\n", b"\xff", b" "]) for _ in range(source.randrange(14))
        )
        rows = [reading._csv_fields(row, b",") for row in reading._csv_rows(iter([data]), b",")]
        try:
            expected = python_csv_rows(data)
        except csv.Error:
            continue
        if (
            None in rows
        ):  # an open quote, which the standard library closes at the end of the file even when strict is off
            continue
        compared += 1
        assert rows == expected, data
    assert compared > 5_000


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_random_bytes_never_lose_count(tmp_path, ending):
    source = random.Random(7)
    pieces = [
        b'{"track_id":"',
        b'"}',
        b"track_id",
        b"\xff",
        b"\xc3\xa9",
        b'"',
        b",",
        b"\t",
        b"\n",
        b"\r",
        b"\x00",
        b"[1]",
        b":",
        b"\\ud800",
    ]
    header = (
        b"" if ending == "jsonl" else b"track_id,title,tags,year\n".replace(b",", b"\t" if ending == "tsv" else b",")
    )
    for seed in range(150):
        body = b"".join(source.choice(pieces) for _ in range(200))
        batches = scan_bytes(tmp_path, f"{seed}.{ending}", header + b"x\n" * (seed % 2) + body, batch_rows=7)
        numbers = [row["position"] for row in rows_of(batches)]
        assert numbers == sorted(set(numbers))
        assert all(number < sum(batch.rows_read for batch in batches) for number in numbers)


def test_random_bytes_in_compressed_and_parquet_files_are_refused(tmp_path):
    source = random.Random(9)
    for name in ("t.parquet", "t.csv.gz", "t.jsonl.bz2", "t.jsonl.zst"):
        (tmp_path / name).write_bytes(source.randbytes(500))
        with pytest.raises(DataRefusedError, match=f"{name} cannot be read: .*; write the file again"):
            scan(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "pack"), [("t.jsonl.gz", gzip.compress), ("t.jsonl.bz2", bz2.compress), ("t.jsonl.zst", zstd)]
)
def test_a_compressed_file_that_was_cut_off_is_refused(tmp_path, name, pack):
    text = b"".join(b'{"track_id":"%d"}\n' % random.Random(row).getrandbits(256) for row in range(2000))
    with pytest.raises(DataRefusedError, match="cannot be read"):
        scan_bytes(tmp_path, name, pack(text)[:-30])


def test_a_parquet_page_that_is_damaged_is_refused(tmp_path):
    pq.write_table(
        pa.table({"track_id": [f"{n:050}" for n in range(5000)]}), tmp_path / "t.parquet", use_dictionary=False
    )
    data = bytearray((tmp_path / "t.parquet").read_bytes())
    data[4:60] = b"\xff" * 56
    with pytest.raises(DataRefusedError, match=r"t\.parquet cannot be read"):
        scan_bytes(tmp_path, "t.parquet", bytes(data))


# Finding fragments


def test_fragments_are_numbered_by_path_and_row_group(tmp_path):
    (tmp_path / "sub").mkdir()
    pq.write_table(pa.table({"track_id": list("abc")}), tmp_path / "sub" / "x.PQ", row_group_size=2)
    (tmp_path / "b.csv").write_bytes(b"track_id\nd\n")
    (tmp_path / "a.jsonl").write_bytes(b'{"track_id":"e"}\n')
    fragments = find_fragments(str(tmp_path), "tracks")
    assert [(f.number, os.path.relpath(f.path, tmp_path), f.format, f.row_group, f.rows) for f in fragments] == [
        (0, "a.jsonl", "jsonl", None, 1),
        (1, "b.csv", "csv", None, 1),
        (2, "sub/x.PQ", "parquet", 0, 2),
        (3, "sub/x.PQ", "parquet", 1, 1),
    ]
    rows = rows_of(scan(tmp_path))
    assert [row["track_id"] for row in rows] == list("edabc")
    assert [row["position"] for row in rows] == [0, 1 << 40, 2 << 40, (2 << 40) + 1, 3 << 40]
    assert estimate_rows(fragments) == 5


def test_hidden_marker_and_unknown_files_are_skipped(tmp_path):
    for name in (
        "_SUCCESS",
        "_tmp/x.csv",
        ".hidden/x.csv",
        ".x.csv",
        "_x.csv",
        "notes.txt",
        "sub/x.csv",
        "t.parquet.gz",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"track_id\na\n")
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.csv")
    for pattern in (tmp_path, f"{tmp_path}/", tmp_path / "**"):
        assert [f.path for f in find_fragments(str(pattern), "tracks")] == [str(tmp_path / "sub" / "x.csv")]


def test_globs_and_relative_paths(tmp_path, monkeypatch):
    folder = tmp_path / "odd [1] name"
    folder.mkdir()
    for name in ("a.csv", "b.csv", "c[2].csv"):
        (folder / name).write_bytes(b"track_id\na\n")
    monkeypatch.chdir(folder)
    for pattern, count in (
        ("*.csv", 3),
        ("./[ab].csv", 2),
        ("c[2].csv", 1),
        (".", 3),
        ("../odd*/a.csv", 1),
        (str(folder), 3),
    ):
        fragments = find_fragments(pattern, "tracks")
        assert len(fragments) == count, pattern
        assert all(Path(fragment.path).is_absolute() and Path(fragment.path).is_file() for fragment in fragments)


def test_a_hidden_file_or_folder_that_is_named_is_read(tmp_path):
    (tmp_path / "_out").mkdir()
    (tmp_path / "_out" / "_x.csv").write_bytes(b"track_id\na\n")
    (tmp_path / "_out" / "y.csv").write_bytes(b"track_id\na\n")
    assert len(find_fragments(str(tmp_path / "_out" / "_x.csv"), "tracks")) == 1
    assert len(find_fragments(str(tmp_path / "_out"), "tracks")) == 1


def test_what_is_not_there_or_not_known_is_a_usage_error(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"x")
    for pattern, message in (
        (tmp_path / "no.csv", r"no such file or folder: .*no\.csv; give the tracks table as"),
        (tmp_path / "*.csv", "no such file or folder"),
        (tmp_path / "t.xlsx", r"t\.xlsx: its ending tells no format .*\.parquet, .*\.jsonl.*\.gz"),
        (tmp_path, r"holds no file of the tracks table; use \.parquet"),
        ("nosuch://bucket/t.csv", "cannot look for the tracks table at 'nosuch://bucket/t.csv'"),
        ("a\0b.csv", "tracks table"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            find_fragments(str(pattern), "tracks")
        assert "\n" not in str(error.value)


def test_rows_of_long_files_are_estimated_from_their_beginning(tmp_path):
    lines = b"".join(b'{"track_id":"%030d","lyrics":"la"}\n' % row for row in range(150_000))
    cut = b"track_id,lyrics\n" + b"".join(b'%d,"%b"\n' % (row, b"la\n" * 500_000) for row in range(8))
    rows = b"track_id,lyrics\n" + b"".join(b'%030d,"la\nla\nla"\n' % row for row in range(150_000))
    files = {"t.jsonl": (lines, 150_000), "t.jsonl.gz": (gzip.compress(lines, 1), 150_000), "t.csv": (rows, 150_000)}
    for name, (data, expected) in (files | {"cut.csv": (cut, 8)}).items():
        (tmp_path / name).write_bytes(data)
        estimate = estimate_rows(find_fragments(str(tmp_path / name), "tracks"))
        assert estimate == pytest.approx(expected, rel=0.15), name
        assert estimate == estimate_rows(find_fragments(str(tmp_path / name), "tracks"))


# Checking


@pytest.mark.parametrize(
    ("name", "data"),
    [("t.csv", b"id,Track_ID\n1,2\n"), ("t.tsv", b"id\tTrack_ID\n"), ("t.jsonl", b'{"id":1,"Track_ID":2}\n')],
)
def test_a_table_without_its_id_column_is_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataRefusedError, match=f"{name} has no column track_id; its columns are id, Track_ID; rename"):
        check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)


def test_every_file_is_checked_and_not_only_the_first(tmp_path):
    pq.write_table(pa.table({"track_id": ["a"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": ["b"]}), tmp_path / "b.parquet")
    with pytest.raises(DataRefusedError, match=r"b\.parquet has no column track_id; its columns are id; rename"):
        check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)


def test_playlists_need_their_tracks_too(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"playlist_id,tracks\np,a\n")
    with pytest.raises(DataRefusedError, match="has no column track_ids; its columns are playlist_id, tracks"):
        check_table(find_fragments(str(tmp_path), "playlists"), PLAYLISTS)


def test_a_column_that_is_there_twice_is_refused_where_it_is_read(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"track_id,title,title\na,b,c\n")
    pq.write_table(pa.table([pa.array(["a"])] * 2, ["track_id", "track_id"]), tmp_path / "t.parquet")
    for name, column in (("t.csv", "title"), ("t.parquet", "track_id")):
        with pytest.raises(DataRefusedError, match=f"{name} has the column {column} more than once"):
            check_table(find_fragments(str(tmp_path / name), "tracks"), TRACKS)
        with pytest.raises(DataRefusedError, match="more than once"):
            scan(tmp_path / name)
    (tmp_path / "u.csv").write_bytes(b"track_id,,\na,,\n")
    check_table(find_fragments(str(tmp_path / "u.csv"), "tracks"), TRACKS)
    assert scan(tmp_path / "u.csv")[0].ignored_columns == ("",)


@pytest.mark.parametrize(
    ("name", "data"),
    [("t.csv", b"track_id,title\n"), ("t.csv", b""), ("t.jsonl", b"\n\n"), ("t.csv.gz", gzip.compress(b""))],
)
def test_a_table_without_rows_is_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert scan(tmp_path) == []
    with pytest.raises(DataRefusedError, match="the tracks table has no rows"):
        check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)


def test_an_empty_parquet_file_is_refused_alone_and_accepted_beside_others(tmp_path):
    pq.write_table(TRACKS.empty_table(), tmp_path / "a.parquet")
    assert scan(tmp_path) == []
    with pytest.raises(DataRefusedError, match="has no rows"):
        check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)
    pq.write_table(pa.table({"track_id": ["b"]}), tmp_path / "b.parquet")
    check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)
    assert [row["track_id"] for row in rows_of(scan(tmp_path))] == ["b"]


def test_a_file_that_is_no_parquet_is_refused_by_name(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and then nothing that belongs there")
    with pytest.raises(DataRefusedError, match=r"t\.parquet cannot be read: .*; write the file again") as error:
        find_fragments(str(tmp_path), "tracks")
    assert "\n" not in str(error.value)


def test_text_in_another_shape_is_refused_with_what_to_do(tmp_path):
    for name, data, message in (
        ("t.json", b'[\n{"track_id":\n"a"\n}\n]', "has no JSON object in its first 5 lines; write one object a line"),
        ("t.csv", "track_id\na\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataRefusedError, match=message):
            check_table(find_fragments(str(tmp_path / name), "tracks"), TRACKS)


def test_reading_a_row_group_leaves_the_others_alone(tmp_path):
    pq.write_table(pa.table({"track_id": list("abcd"), "x": [1] * 4}), tmp_path / "t.parquet", row_group_size=2)
    second = find_fragments(str(tmp_path), "tracks")[1]
    [first_batch, second_batch] = read_fragment(second, TRACKS, batch_rows=1)
    assert [b.rows.column("track_id").to_pylist() for b in (first_batch, second_batch)] == [["c"], ["d"]]
    assert first_batch.ignored_columns == ("x",)


# A filesystem of Beam that is not local


class MemoryFileSystem(FileSystem):
    """The part of a remote filesystem that reading uses; it has prefixes and no folders, like a bucket."""

    files: ClassVar[dict[str, bytes]] = {}

    @classmethod
    def scheme(cls):
        return "memread"

    def open(self, path, mime_type="application/octet-stream", compression_type="auto"):
        assert compression_type == "uncompressed"
        return io.BytesIO(self.files[path])

    def exists(self, path):
        return path in self.files

    def metadata(self, path):
        return FileMetadata(path, len(self.files[path]), 0)

    def _list(self, dir_or_prefix):
        return (self.metadata(path) for path in self.files if path.startswith(dir_or_prefix))

    def has_dirs(self):
        return False

    def _unused(self, *args, **kwargs):
        raise NotImplementedError

    join = split = mkdirs = create = copy = rename = size = last_updated = checksum = delete = _unused


@pytest.fixture
def bucket(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS, TRACKS), tmp_path / "t.parquet", row_group_size=3)
    files = {
        "in/t.parquet": (tmp_path / "t.parquet").read_bytes(),
        "in/sub/t.csv.gz": gzip.compress(csv_bytes(ROWS)),
        "in/t.jsonl": jsonl_bytes(ROWS),
        "in/_SUCCESS": b"",
        "in/_tmp/t.csv": b"",
        "in2/t.csv": b"track_id\nother\n",
    }
    MemoryFileSystem.files.update({f"memread://bucket/{name}": data for name, data in files.items()})
    yield "memread://bucket"
    MemoryFileSystem.files.clear()


def scan_remote(pattern):
    fragments = find_fragments(pattern, "tracks")
    check_table(fragments, TRACKS)
    return [rows_of(read_fragment(fragment, TRACKS)) for fragment in fragments]


def test_remote_tables_read_like_local_ones(bucket):
    for folder in ("in", "in/"):
        found = [f.path.removeprefix(f"{bucket}/in/") for f in find_fragments(f"{bucket}/{folder}", "tracks")]
        assert found == ["sub/t.csv.gz", "t.jsonl", "t.parquet", "t.parquet"]
    from_csv, from_json, group_0, group_1 = scan_remote(f"{bucket}/in")
    assert [row["track_id"] for row in from_csv] == ["a", "ä", " c ", "d"]
    for rows in (from_csv, from_json, group_0 + group_1):
        assert [row | {"position": None} for row in rows] == [row | {"position": None} for row in ROWS]


def test_remote_files_and_globs_are_found(bucket):
    assert len(scan_remote(f"{bucket}/in/t.jsonl")) == 1
    assert len(scan_remote(f"{bucket}/*/t.*")) == 4
    with pytest.raises(UsageError, match="no such file or folder: memread://bucket/no"):
        find_fragments(f"{bucket}/no", "tracks")


def test_a_remote_file_that_is_corrupt_is_refused(bucket):
    MemoryFileSystem.files[f"{bucket}/in/t.parquet"] = b"PAR1"
    with pytest.raises(DataRefusedError, match=r"memread://bucket/in/t\.parquet cannot be read"):
        find_fragments(f"{bucket}/in", "tracks")
