"""Files of a store."""

from pathlib import Path

import pyarrow as pa
import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.store import files

SCHEMA = pa.schema([("number", pa.int64())])


def test_a_file_whose_writer_fails_does_not_exist(tmp_path: Path) -> None:
    path = str(tmp_path / "folder" / "a.bin")
    with pytest.raises(RuntimeError), files.atomic_writer(path) as file:
        file.write(b"half")
        raise RuntimeError("killed")
    assert list((tmp_path / "folder").iterdir()) == []


def test_partial_files_of_a_killed_writer_are_not_listed(tmp_path: Path) -> None:
    files.write_batches(str(tmp_path / "a.parquet"), SCHEMA, [pa.record_batch({"number": [1]})])
    (tmp_path / f"b.parquet.0123{files.PARTIAL}").write_bytes(b"half")
    assert files.list_files(str(tmp_path), ".parquet") == [str(tmp_path / "a.parquet")]
    assert list(files.list_tree(str(tmp_path))) == ["a.parquet"]


def test_folders_whose_names_look_like_patterns_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "songs [live] *"
    files.write_batches(str(folder / "a.parquet"), SCHEMA, [pa.record_batch({"number": [1, 2]})])
    assert files.read_table(str(folder), SCHEMA)["number"].to_pylist() == [1, 2]


def test_a_folder_that_is_moved_replaces_its_target(tmp_path: Path) -> None:
    for path in ("old/a.bin", "new/b/c.bin"):
        files.write_bytes(str(tmp_path / path), path.encode())
    files.move_tree(str(tmp_path / "new"), str(tmp_path / "old"))
    assert list(files.list_all(str(tmp_path))) == ["old/b/c.bin"]


def test_a_missing_folder_has_no_files(tmp_path: Path) -> None:
    assert files.list_files(str(tmp_path / "none"), ".parquet") == []
    assert files.list_tree(str(tmp_path / "none")) == {}
    assert files.read_table(str(tmp_path / "none"), SCHEMA).num_rows == 0


def test_a_file_with_other_columns_is_refused_by_name(tmp_path: Path) -> None:
    other = pa.schema([("text", pa.string())])
    files.write_batches(str(tmp_path / "a.parquet"), other, [])
    with pytest.raises(InvalidDataError, match=r"a\.parquet has the columns text"):
        files.read_table(str(tmp_path), SCHEMA)


def test_a_truncated_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    files.write_batches(str(path), SCHEMA, [pa.record_batch({"number": [1] * 1000})])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidDataError, match=r"a\.parquet cannot be read"):
        files.read_table(str(tmp_path), SCHEMA)


def test_only_the_columns_asked_for_are_read(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    files.write_batches(str(tmp_path / "a.parquet"), schema, [pa.record_batch({"a": [1], "b": ["x"]})])
    assert files.read_table(str(tmp_path), schema, ["b"]).to_pylist() == [{"b": "x"}]


def test_a_folder_is_listed_again_when_a_listed_file_has_vanished(tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 2), ("c", 3)):
        files.write_batches(str(tmp_path / f"{name}.parquet"), SCHEMA, [pa.record_batch({"number": [number]})])
    reading = files.read_folder(str(tmp_path), SCHEMA)
    found = next(reading)["number"].to_pylist()
    files.write_batches(str(tmp_path / "merged.parquet"), SCHEMA, [pa.record_batch({"number": [2, 3]})])
    for name in ("b", "c"):
        (tmp_path / f"{name}.parquet").unlink()
    assert found + [number for batch in reading for number in batch["number"].to_pylist()] == [1, 2, 3]


def test_a_missing_file_is_an_error_and_a_missing_folder_is_empty(tmp_path: Path) -> None:
    assert list(files.read_folder(str(tmp_path / "none"), SCHEMA)) == []
    with pytest.raises(FileNotFoundError):
        list(files.read_batches(str(tmp_path / "none.parquet"), SCHEMA))


def test_a_file_that_is_listed_and_missing_twice_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "list_files", lambda folder, ending: [str(tmp_path / "ghost.parquet")])
    with pytest.raises(FileNotFoundError, match="ghost"):
        list(files.read_folder(str(tmp_path), SCHEMA))
