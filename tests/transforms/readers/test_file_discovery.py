import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracktokens.schemas.errors import InvalidDataError, TracktokensError, UsageError
from tracktokens.schemas.tables.tracks import TRACKS
from tracktokens.transforms.readers.file_discovery import corrupt_file_errors, find_files
from tracktokens.transforms.readers.fragment_reader import read_fragment
from tracktokens.transforms.readers.fragments import check_table, find_fragments


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
    (tmp_path / ".dangling.csv").symlink_to(tmp_path / "nowhere")
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


def test_a_hidden_file_or_folder_is_read_when_named(tmp_path):
    (tmp_path / "_out").mkdir()
    (tmp_path / "_out" / "_x.csv").write_bytes(b"track_id\na\n")
    (tmp_path / "_out" / "y.csv").write_bytes(b"track_id\na\n")
    assert len(find_fragments(str(tmp_path / "_out" / "_x.csv"), "tracks")) == 1
    assert len(find_fragments(str(tmp_path / "_out"), "tracks")) == 1


def test_a_missing_file_or_an_unknown_format_is_a_usage_error(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"x")
    for pattern, message in (
        (tmp_path / "no.csv", r"no such file or folder: .*no\.csv; give the tracks table as"),
        (tmp_path / "*.csv", "no such file or folder"),
        (tmp_path / "t.xlsx", r"t\.xlsx: unknown format for the tracks table; use \.parquet, .*\.jsonl.*\.gz"),
        (tmp_path, r"contains no file of the tracks table; use \.parquet"),
        ("nosuch://bucket/t.csv", "the tracks table cannot be listed at 'nosuch://bucket/t.csv'"),
        ("a\0b.csv", "tracks table"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            find_fragments(str(pattern), "tracks")
        assert "\n" not in str(error.value)


def write(path, ids="a"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("track_id\n" + "".join(f"{track_id}\n" for track_id in ids))


def found(pattern, folder):
    return [os.path.relpath(path, folder) for path, _ in find_files(str(pattern), "tracks")]


def test_two_stars_match_no_folder_too(tmp_path):
    for name in ("a.csv", "2024/b.csv", "2024/01/c.csv", "2024/01/c.txt"):
        write(tmp_path / name)
    every = ["2024/01/c.csv", "2024/b.csv", "a.csv"]
    for pattern, names in (
        ("**/*.csv", every),
        ("**.csv", every),
        ("**", every),
        ("**/", every),
        ("2024/**/*.csv", every[:2]),
        ("**/01/*.csv", every[:1]),
        ("*/**/c.csv", every[:1]),
        ("*.csv", ["a.csv"]),
    ):
        assert found(f"{tmp_path}/{pattern}", tmp_path) == names, pattern


def test_a_folder_that_is_named_like_a_table_is_read_as_a_folder(tmp_path):
    for name in ("x.csv/part-0.csv", "x.csv/_SUCCESS", "y.csv", "old/z.csv"):
        write(tmp_path / name)
    assert found(tmp_path / "x.csv", tmp_path) == ["x.csv/part-0.csv"]
    assert found(tmp_path / "*.csv", tmp_path) == ["x.csv/part-0.csv", "y.csv"]
    assert found(tmp_path / "*", tmp_path) == ["x.csv/part-0.csv", "y.csv"]


def test_folders_that_match_a_glob_are_read_if_no_file_matches_and_named_if_not(tmp_path, caplog):
    for name in ("year=1/a.csv", "year=2/b/c.csv", "other/d.csv"):
        write(tmp_path / name)
    assert found(tmp_path / "year=*", tmp_path) == ["year=1/a.csv", "year=2/b/c.csv"]
    assert caplog.messages == []
    write(tmp_path / "e.csv")
    assert found(tmp_path / "*", tmp_path) == ["e.csv"]
    assert "skipping 3 folders that match beside files (add /** to read them), such as" in caplog.text


def test_links_to_folders_are_followed_and_each_folder_is_read_once(tmp_path, caplog):
    for name in ("tracks/a.csv", "tracks/sub/b.csv", "elsewhere/c.csv"):
        write(tmp_path / name)
    (tmp_path / "tracks" / "new").symlink_to("../elsewhere")
    (tmp_path / "tracks" / "sub" / "up").symlink_to(tmp_path / "tracks")
    (tmp_path / "elsewhere" / "back").symlink_to("../tracks/sub")
    for pattern in ("tracks", "tracks/**/*.csv"):
        caplog.clear()
        assert found(tmp_path / pattern, tmp_path) == ["tracks/a.csv", "tracks/new/c.csv", "tracks/sub/b.csv"]
        assert "reading once what 1 links lead to again" in caplog.text


def test_a_file_that_is_also_linked_is_read_once_under_its_own_name(tmp_path, caplog):
    write(tmp_path / "b.csv")
    (tmp_path / "a.csv").symlink_to("b.csv")
    (tmp_path / "c").symlink_to(".")
    assert found(tmp_path, tmp_path) == ["b.csv"]
    assert caplog.messages == [f"{tmp_path}: reading once what 1 links lead to again, such as {tmp_path}/a.csv"]


@pytest.mark.parametrize("pattern", ["", "*.csv", "**/*.csv", "new"])
def test_a_link_that_leads_nowhere_is_an_error(tmp_path, pattern):
    write(tmp_path / "a.csv")
    (tmp_path / "new").symlink_to("nowhere")
    (tmp_path / "b.csv").symlink_to("b.csv")
    with pytest.raises(UsageError, match=r"(new|b\.csv) (is a link that leads nowhere|cannot be read): .*link"):
        found(tmp_path / pattern, tmp_path)


def test_a_link_that_leads_nowhere_out_of_the_reach_of_a_glob_does_not_matter(tmp_path):
    write(tmp_path / "a.csv")
    (tmp_path / "b.txt").symlink_to("nowhere")
    assert found(tmp_path / "*.csv", tmp_path) == ["a.csv"]


def unlistable(monkeypatch, folder, number=13):
    scandir = os.scandir  # root may list every folder, so that chmod proves nothing

    def refuse(path="."):
        if str(path) == str(folder):
            raise OSError(number, os.strerror(number), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    for name in ("a/t.csv", "b/t.csv", "_c/t.csv"):
        write(tmp_path / name)
    unlistable(monkeypatch, tmp_path / "b")
    for pattern in ("", "*/t.csv", "**", "b", "b/*.csv"):
        with pytest.raises(UsageError, match=r"/b cannot be listed: Permission denied; give this user the right"):
            found(tmp_path / pattern, tmp_path)
    assert found(tmp_path / "a*" / "t.csv", tmp_path) == ["a/t.csv"]
    unlistable(monkeypatch, tmp_path / "_c")
    assert found(tmp_path / "a", tmp_path) == ["a/t.csv"]


def test_a_disk_that_fails_is_not_a_wrong_path(tmp_path, monkeypatch):
    write(tmp_path / "a.csv")
    unlistable(monkeypatch, tmp_path, 5)
    with pytest.raises(TracktokensError, match="cannot be listed: Input/output error; check the disk") as error:
        found(tmp_path, tmp_path)
    assert error.value.exit_code == 1


def test_tables_that_are_skipped_for_a_hidden_name_are_counted(tmp_path, caplog):
    for name in ("a.csv", "_b.csv", ".c/d.csv", "_delta_log/0.json", "._a.csv", "_SUCCESS", ".git/x.json", ".e.txt"):
        write(tmp_path / name)
    assert found(tmp_path, tmp_path) == ["a.csv"]
    assert caplog.messages == [
        f"{tmp_path}: skipping 2 files since their name, or a folder's name, starts with _ or ., "
        f"such as {tmp_path}/.c/d.csv"
    ]


def test_only_hidden_files_are_an_error_that_names_one(tmp_path):
    write(tmp_path / "_2024" / "a.csv")
    with pytest.raises(UsageError, match=r"only files that are skipped, .* such as .*/_2024/a\.csv; rename it"):
        found(tmp_path, tmp_path)
    assert found(tmp_path / "_*" / "*.csv", tmp_path) == ["_2024/a.csv"]


def test_a_hidden_store_is_no_table(tmp_path, caplog):
    for name in ("a.csv", "_store/store.json", "_store/catalogs/b.parquet"):
        write(tmp_path / name)
    assert found(tmp_path, tmp_path) == ["a.csv"]
    assert caplog.messages == []


def test_a_store_behind_a_link_is_not_read(tmp_path):
    for name in ("tracks/a.csv", "other/store/store.json", "other/store/catalogs/b.parquet"):
        write(tmp_path / name)
    (tmp_path / "tracks" / "link").symlink_to("../other")
    for pattern in ("tracks", "tracks/**/*.parquet"):
        with pytest.raises(UsageError, match="tracks/link/store is a store, not a part of a table"):
            found(tmp_path / pattern, tmp_path)
    assert found(tmp_path / "tracks" / "**" / "*.csv", tmp_path) == ["tracks/a.csv"]


def test_a_pipe_is_not_read(tmp_path, caplog):
    write(tmp_path / "a.csv")
    os.mkfifo(tmp_path / "b.csv")
    assert found(tmp_path, tmp_path) == ["a.csv"]
    assert "skipping 1 pipes, sockets or devices, such as" in caplog.text
    with pytest.raises(UsageError, match=r"b\.csv is a pipe or a device: write the rows to a file"):
        found(tmp_path / "b.csv", tmp_path)


@pytest.mark.parametrize("name", [b"musiqu\xe9", b"two\nlines", b"a b%20#?=;", b"[x]*"])
def test_odd_names_are_read_in_every_format(tmp_path, name, caplog):
    folder = tmp_path / os.fsdecode(name)
    write(folder / "a.csv")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b'{"track_id":"b"}\n'))
    pq.write_table(pa.table({"track_id": ["c"]}), tmp_path / "c")
    (tmp_path / "c").rename(folder / "c.zstd.PARQUET")
    os.mkfifo(folder / "d.csv")
    for pattern in (folder, folder / "**", f"{folder}/*.*"):
        fragments = find_fragments(str(pattern), "tracks")
        rows = [row for part in fragments for batch in read_fragment(part, TRACKS) for row in batch.rows.to_pylist()]
        assert [row["track_id"] for row in rows] == ["a", "b", "c"]
        check_table(fragments, TRACKS)
    assert all("\n" not in message and message.isprintable() for message in caplog.messages)


def test_errors_of_the_system_are_not_corrupt_files(tmp_path):
    for number, kind, message in (
        (13, UsageError, "x.csv cannot be read: Permission denied; give this user the right to read it"),
        (2, UsageError, "x.csv cannot be read: No such file or directory; restore it"),
        (5, TracktokensError, "x.csv cannot be read: Input/output error; check the disk or the network"),
        (None, InvalidDataError, "x.csv cannot be read: zlib inflate failed; write the file again"),
    ):
        with pytest.raises(TracktokensError, match=message) as caught, corrupt_file_errors("x.csv"):
            raise OSError(number, "x") if number else OSError("zlib inflate failed")
        assert type(caught.value) is kind


def test_a_lack_of_memory_is_not_a_corrupt_file():
    failed = pytest.raises(TracktokensError, match="malloc of size 9 failed; check the machine")
    with failed as caught, corrupt_file_errors("x.parquet"):
        raise pa.ArrowMemoryError("malloc of size 9 failed")
    assert caught.value.exit_code == 1


def test_a_file_that_vanishes_is_missing(tmp_path):
    pq.write_table(pa.table({"track_id": ["c"]}), tmp_path / "a.parquet")
    write(tmp_path / "b.csv")
    fragments = find_fragments(str(tmp_path), "tracks")
    for fragment in fragments:
        Path(fragment.path).unlink()
        with pytest.raises(UsageError, match=r"cannot be read: No such file or directory; restore it"):
            list(read_fragment(fragment, TRACKS))
