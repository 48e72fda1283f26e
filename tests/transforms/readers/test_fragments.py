import gzip
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.readers.fragments import check_table, estimate_rows, find_fragments


def test_fragments_are_numbered_by_path_and_row_group(scan, tmp_path):
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
    rows = scan(tmp_path).rows
    assert [row["track_id"] for row in rows] == list("edabc")
    assert [row["position"] for row in rows] == [0, 1 << 40, 2 << 40, (2 << 40) + 1, 3 << 40]
    assert estimate_rows(fragments) == 5


@pytest.mark.parametrize(
    ("name", "data"),
    [("t.csv", b"id,Track_ID\n1,2\n"), ("t.tsv", b"id\tTrack_ID\n"), ("t.jsonl", b'{"id":1,"Track_ID":2}\n')],
)
def test_a_table_without_its_id_column_is_refused(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidDataError, match=f"{name} has no column track_id; its columns are id, Track_ID; rename"):
        check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)


def test_every_file_is_checked_and_not_only_the_first(tmp_path):
    pq.write_table(pa.table({"track_id": ["a"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"id": ["b"]}), tmp_path / "b.parquet")
    with pytest.raises(InvalidDataError, match=r"b\.parquet has no column track_id; its columns are id; rename"):
        check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)


def test_playlists_need_their_tracks_too(tmp_path):
    (tmp_path / "p.csv").write_bytes(b"playlist_id,tracks\np,a\n")
    with pytest.raises(InvalidDataError, match="has no column track_ids; its columns are playlist_id, tracks"):
        check_table(find_fragments(str(tmp_path), "playlists"), PLAYLISTS)


@pytest.mark.parametrize(
    ("header", "remedy"),
    [
        ("Track ID,title", "rename Track ID if it contains it"),
        ("x,y", "rename the one that contains it"),
    ],
)
def test_a_missing_id_column_has_a_hint(tmp_path, header, remedy):
    (tmp_path / "t.csv").write_text(f"{header}\na,b\n")
    with pytest.raises(InvalidDataError, match=f"has no column track_id; .*; {remedy}"):
        check_table(find_fragments(str(tmp_path / "t.csv"), "tracks"), TRACKS)


def test_a_duplicate_column_is_refused_when_it_is_read(scan, tmp_path):
    (tmp_path / "t.csv").write_bytes(b"track_id,title,title\na,b,c\n")
    pq.write_table(pa.table([pa.array(["a"])] * 2, ["track_id", "track_id"]), tmp_path / "t.parquet")
    for name, column in (("t.csv", "title"), ("t.parquet", "track_id")):
        with pytest.raises(InvalidDataError, match=f"{name} has the column {column} more than once"):
            check_table(find_fragments(str(tmp_path / name), "tracks"), TRACKS)
        with pytest.raises(InvalidDataError, match="more than once"):
            scan(tmp_path / name)
    (tmp_path / "u.csv").write_bytes(b"track_id,,\na,,\n")
    check_table(find_fragments(str(tmp_path / "u.csv"), "tracks"), TRACKS)
    assert scan(tmp_path / "u.csv")[0].ignored_columns == ("",)


@pytest.mark.parametrize(
    ("name", "data"),
    [("t.csv", b"track_id,title\n"), ("t.csv", b""), ("t.jsonl", b"\n\n"), ("t.csv.gz", gzip.compress(b"", mtime=0))],
)
def test_a_table_without_rows_is_refused(scan, tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert scan(tmp_path) == []
    with pytest.raises(InvalidDataError, match="the tracks table has no rows"):
        check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)


def test_an_empty_parquet_file_is_refused_alone_and_accepted_with_others(scan, tmp_path):
    pq.write_table(TRACKS.empty_table(), tmp_path / "a.parquet")
    assert scan(tmp_path) == []
    with pytest.raises(InvalidDataError, match="has no rows"):
        check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)
    pq.write_table(pa.table({"track_id": ["b"]}), tmp_path / "b.parquet")
    check_table(find_fragments(str(tmp_path), "tracks"), TRACKS)
    assert [row["track_id"] for row in scan(tmp_path).rows] == ["b"]


def test_text_of_another_format_is_refused_with_what_to_do(tmp_path):
    for name, data, message in (
        ("t.json", b'[\n{"track_id":\n"a"\n}\n]', "is a JSON array; write one object per line"),
        ("t.csv", "track_id\na\n".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidDataError, match=message):
            check_table(find_fragments(str(tmp_path / name), "tracks"), TRACKS)
