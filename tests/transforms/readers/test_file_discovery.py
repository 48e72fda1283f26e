import os
from pathlib import Path

import pytest

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.readers.fragments import find_fragments


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
