import bz2
import csv
import gzip
import io
import json
import random
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystem import FileMetadata, FileSystem

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables.playlists import PLAYLISTS, SCANNED_PLAYLISTS
from tracktokens.schemas.tables.rejects import (
    ID_NOT_UTF8,
    ID_WRONG_TYPE,
    MALFORMED_ROW,
    NOT_FINITE,
    NOT_UTF8,
    WRONG_TYPE,
)
from tracktokens.schemas.tables.tracks import SCANNED_TRACKS, TRACKS
from tracktokens.transforms.readers import text_stream
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import check_table, find_fragments

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
def test_a_catalog_reads_the_same_in_every_format(scan, scan_bytes, tmp_path, name, write, batch_rows):
    pq.write_table(pa.Table.from_pylist(ROWS, TRACKS), tmp_path / "t.parquet")
    expected = scan(tmp_path / "t.parquet", batch_rows=batch_rows)
    assert expected.rows == [row | {"position": number} for number, row in enumerate(ROWS)]
    batches = scan_bytes(tmp_path, name, write(ROWS), batch_rows=batch_rows)
    assert [batch.rows for batch in batches] == [batch.rows for batch in expected]
    assert all(batch.rows.schema == SCANNED_TRACKS and not batch.rejects.num_rows for batch in batches)


def test_playlists_read_the_same_in_every_format(scan, scan_bytes, tmp_path):
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


def test_missing_columns_are_null_and_unknown_ones_are_reported(scan, scan_bytes, tmp_path):
    rows = [{"track_id": "a", "position": 7, "mood": "sad"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    for name, data in (("t.parquet", None), ("t.csv", csv_bytes(rows)), ("t.jsonl", jsonl_bytes(rows))):
        [batch] = scan_bytes(tmp_path, name, data) if data else scan(tmp_path / name)
        assert sorted(batch.ignored_columns) == ["mood", "position"]
        assert batch.rows.to_pylist() == [dict.fromkeys(SCANNED_TRACKS.names) | {"track_id": "a", "position": 0}]


def write_binary_parquet(path, columns):
    """Write string columns with unchecked bytes."""
    arrays = []
    for values in columns.values():
        binary = pa.array(values, pa.binary())
        arrays.append(pa.Array.from_buffers(pa.string(), len(binary), binary.buffers()))
    pq.write_table(pa.table(arrays, list(columns)), path)


def test_text_that_is_not_utf8_loses_the_value_in_every_format(scan, tmp_path):
    write_binary_parquet(tmp_path / "t.parquet", {"track_id": [b"a", b"b"], "title": [b"caf\xe9", b"ok"]})
    (tmp_path / "t.csv").write_bytes(b"track_id,title\na,caf\xe9\nb,ok\n")
    (tmp_path / "t.jsonl").write_bytes(b'{"track_id":"a","title":"caf\xe9"}\n{"track_id":"b","title":"ok"}\n')
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        batches = scan(tmp_path / name)
        assert [row["title"] for row in batches.rows] == [None, "ok"], name
        [reject] = batches[0].rejects.to_pylist()
        assert (reject["track_id"], reject["modality"], reject["reason"]) == ("a", "metadata", NOT_UTF8)


def test_an_id_that_is_not_utf8_loses_the_row_in_every_format(scan, tmp_path):
    write_binary_parquet(tmp_path / "t.parquet", {"track_id": [b"\xff", b"b"]})
    (tmp_path / "t.csv").write_bytes(b"track_id,x\n\xff,\nb,\n")
    (tmp_path / "t.jsonl").write_bytes(b'{"track_id":"\xff"}\n{"track_id":"b"}\n')
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        batches = scan(tmp_path / name)
        assert [row["position"] for row in batches.rows] == [1], name
        assert batches.reasons == [ID_NOT_UTF8]
        assert "row 1: track_id: " in batches.details[0]


def test_an_id_of_another_type_loses_the_row(scan, tmp_path):
    pq.write_table(pa.table({"track_id": [5, None]}), tmp_path / "t.parquet", row_group_size=1)
    (tmp_path / "t.jsonl").write_bytes(b'{"track_id":5}\n{"track_id":null}\n')
    for name, where in (("t.parquet", "t.parquet, row group 1, row 1: "), ("t.jsonl", "t.jsonl, row 1: ")):
        batches = scan(tmp_path / name)
        assert [row["track_id"] for row in batches.rows] == [None]
        assert batches.reasons == [ID_WRONG_TYPE]
        assert batches.details[0].startswith(where)


def test_values_of_the_wrong_type_are_lost_in_every_format(scan, tmp_path):
    pq.write_table(
        pa.table({"track_id": ["a"], "year": ["abc"], "tags": [[1]], "popularity": [float("inf")]}),
        tmp_path / "t.parquet",
    )
    (tmp_path / "t.csv").write_bytes(b"track_id,year,tags,popularity\na,abc,[1],inf\n")
    (tmp_path / "t.jsonl").write_bytes(b'{"track_id":"a","year":"abc","tags":[1],"popularity":Infinity}\n')
    for name in ("t.parquet", "t.csv", "t.jsonl"):
        batches = scan(tmp_path / name)
        [row] = batches.rows
        assert (row["track_id"], row["year"], row["tags"], row["popularity"]) == ("a", None, [], None)
        assert sorted(batches.reasons) == sorted([WRONG_TYPE, WRONG_TYPE, NOT_FINITE]), name


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_blocks_may_end_anywhere(scan, scan_bytes, tmp_path, monkeypatch, block):
    names = {"t.csv": b"\xef\xbb\xbf" * (block > 2) + csv_bytes(ROWS) + b'x,"\n', "t.jsonl": jsonl_bytes(ROWS) + b"{\n"}
    for name, data in names.items():
        whole = scan_bytes(tmp_path, name, data)
        with monkeypatch.context() as patch:
            patch.setattr(text_stream, "BLOCK_BYTES", block)
            assert scan(tmp_path / name) == whole


def test_a_row_that_is_too_long_is_malformed_and_the_next_is_read(scan_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(text_stream, "MAX_ROW_BYTES", 100)
    monkeypatch.setattr(text_stream, "BLOCK_BYTES", 64)
    long = b"x" * 1000
    for name, data in (
        ("t.csv", b"track_id,title\na,1\n" + long + b",z\nb,2\n"),
        ("u.csv", b'track_id,title\na,1\nx,"' + long + b"\nb,2\n"),
        ("t.jsonl", b'{"track_id":"a"}\n{"track_id":"' + long + b'"}\n{"track_id":"b"}\n'),
        ("u.jsonl", b'{"track_id":"a"}\n{"track_id":"b"}\n{"track_id":"' + long),
    ):
        batches = scan_bytes(tmp_path, name, data)
        assert [row["track_id"] for row in batches.rows] == ["a", "b"], name
        assert batches.reasons == [MALFORMED_ROW], name


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_random_bytes_never_lose_count(scan_bytes, tmp_path, ending):
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
        numbers = [row["position"] for row in batches.rows]
        assert numbers == sorted(set(numbers))
        assert all(number < sum(batch.rows_read for batch in batches) for number in numbers)


class MemoryFileSystem(FileSystem):
    """The part of a remote filesystem that reading uses; like a bucket, it has prefixes instead of folders."""

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
    return [
        [row for batch in read_fragment(fragment, TRACKS) for row in batch.rows.to_pylist()] for fragment in fragments
    ]


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
    with pytest.raises(InvalidDataError, match=r"memread://bucket/in/t\.parquet cannot be read"):
        find_fragments(f"{bucket}/in", "tracks")


# Columns in the path

PATH = "year=1999/artist=AC%2FDC/tags=rock%7Chard/album=__HIVE_DEFAULT_PARTITION__/day=2024-01-01"


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", lambda path: path.write_text("track_id,title\na,x\nb,\n")),
        ("t.jsonl", lambda path: path.write_text('{"track_id":"a","title":"x"}\n{"track_id":"b"}\n')),
        (
            "t.parquet",
            lambda path: pq.write_table(pa.table({"track_id": ["a", "b"], "title": ["x", None]}), path),
        ),
    ],
)
def test_columns_of_the_path_fill_what_a_file_lacks(scan, tmp_path, name, write):
    folder = tmp_path / PATH
    folder.mkdir(parents=True)
    write(folder / name)
    batches = scan(tmp_path)
    common = {"year": 1999, "artist": "AC/DC", "tags": ["rock", "hard"], "album": None}
    assert [{key: row[key] for key in ("track_id", "title", *common)} for row in batches.rows] == [
        {"track_id": "a", "title": "x", **common},
        {"track_id": "b", "title": None, **common},
    ]
    assert batches[0].ignored_columns == ("day",)
    assert batches.reasons == []
    check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)


def test_the_column_of_a_file_wins_over_its_path(scan, tmp_path):
    (tmp_path / "year=1999" / "title=p").mkdir(parents=True)
    folder = tmp_path / "year=1999" / "title=p"
    (folder / "a.csv").write_text("track_id,year,title\na,2001,x\nb,,\n")
    (folder / "b.jsonl").write_text('{"track_id":"c","year":2002}\n{"track_id":"d"}\n{"track_id":"e","year":"x"}\n')
    pq.write_table(pa.table({"track_id": ["f", "g"], "year": [2003, None]}), folder / "c.parquet")
    batches = scan(tmp_path)
    assert [(row["track_id"], row["year"], row["title"]) for row in batches.rows] == [
        ("a", 2001, "x"),
        ("b", None, None),
        ("c", 2002, "p"),
        ("d", 1999, "p"),
        ("e", None, "p"),
        ("f", 2003, "p"),
        ("g", None, "p"),
    ]
    assert batches.reasons == [WRONG_TYPE]


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", lambda path: path.write_text("title\nx\n")),
        ("t.jsonl", lambda path: path.write_text('{"title":"x"}\n')),
        ("t.parquet", lambda path: pq.write_table(pa.table({"other": [1]}), path)),
    ],
)
def test_an_id_may_be_in_the_path(scan, tmp_path, name, write):
    (tmp_path / "track_id=a%3D1").mkdir()
    write(tmp_path / "track_id=a%3D1" / name)
    check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)
    assert [row["track_id"] for row in scan(tmp_path).rows] == ["a=1"]


def test_a_value_of_the_path_that_does_not_fit_is_a_reject_per_row(scan, tmp_path):
    (tmp_path / "year=n%FFo").mkdir()
    (tmp_path / "year=n%FFo" / "a.csv").write_text("track_id\na\nb\n")
    assert scan(tmp_path).reasons == [NOT_UTF8, NOT_UTF8]
    (tmp_path / "year=n%FFo").rename(tmp_path / "year=unknown")
    assert scan(tmp_path).reasons == [WRONG_TYPE, WRONG_TYPE]


def test_playlists_have_columns_in_their_path_too(scan, tmp_path):
    (tmp_path / "playlist_id=p").mkdir()
    (tmp_path / "playlist_id=p" / "a.jsonl").write_text('{"track_ids":["a","b"]}\n')
    check_table(find_fragments(str(tmp_path), "playlists"), PLAYLISTS)
    assert [(row["playlist_id"], row["track_ids"]) for row in scan(tmp_path, PLAYLISTS).rows] == [("p", ["a", "b"])]
