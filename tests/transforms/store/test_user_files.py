"""Inputs and outputs that a user names."""

import os
import stat
import threading
from pathlib import Path

import pytest

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store.user_files import (
    check_input,
    check_output,
    check_output_folder,
    check_outside,
    is_standard_output,
    is_stream,
    open_output,
)


def write(path: Path, content: bytes = b"new") -> None:
    with open_output(str(path)) as file:
        file.write(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("target", ["disk/a", "none"])
def test_a_link_is_refused_and_its_file_stays_as_it_was(tmp_path: Path, target: str) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a").write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    for use in (write, lambda path: check_output(str(path))):
        with pytest.raises(UsageError, match=f"link is a link to {tmp_path / target}: give the path of that file"):
            use(link)
    assert link.is_symlink()
    assert (tmp_path / "disk" / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["disk", "link"]


def test_a_file_in_a_folder_that_is_a_link_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    target = tmp_path / "disk" / "a"
    target.write_bytes(b"old")
    target.chmod(0o640)
    write(tmp_path / "link" / "a")
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert names(tmp_path / "disk") == ["a"]


def test_every_name_of_a_file_gets_the_new_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"old and long")
    second.hardlink_to(first)
    write(first)
    assert second.read_bytes() == b"new"
    assert names(tmp_path) == ["a", "b"]


def test_a_file_whose_writer_fails_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), open_output(str(path)) as file:
        file.write(b"half")
        raise RuntimeError("killed")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_new_file_gets_its_folders(tmp_path: Path) -> None:
    write(tmp_path / "new" / "deep" / "a")
    assert (tmp_path / "new" / "deep" / "a").read_bytes() == b"new"


@pytest.mark.parametrize("through_link", [False, True])
def test_a_pipe_is_written_and_stays(tmp_path: Path, through_link: bool) -> None:
    pipe, path = tmp_path / "pipe", tmp_path / "link" if through_link else tmp_path / "pipe"
    os.mkfifo(pipe)
    if through_link:
        path.symlink_to(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    assert is_stream(str(path))
    write(path)
    reader.join()
    assert received == [b"new"]
    assert pipe.is_fifo()
    assert len(names(tmp_path)) == 1 + through_link


def test_an_open_file_is_written_and_stays(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    write(Path(f"/dev/fd/{writing}"))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"new"


def test_a_terminal_is_written_and_stays() -> None:
    ours, terminal = os.openpty()
    path = os.ttyname(terminal)
    write(Path(path))
    assert os.read(ours, 9) == b"new"
    assert stat.S_ISCHR(Path(path).stat().st_mode)
    os.close(terminal)
    os.close(ours)


def test_standard_output_is_known_by_any_name(tmp_path: Path) -> None:
    assert is_standard_output("/dev/fd/1")
    assert is_stream("/dev/fd/1")
    (tmp_path / "a").write_bytes(b"")
    assert not is_standard_output(str(tmp_path / "a"))
    assert not is_stream(str(tmp_path / "a"))
    assert not is_stream(str(tmp_path / "none"))


def test_an_output_that_is_an_input_is_refused_by_any_name(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"mine")
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "name").hardlink_to(source)
    for name in ("in", "link", "name", "../" + tmp_path.name + "/in"):
        with pytest.raises(UsageError, match="is the input"):
            check_output(str(tmp_path / name), [str(source)])
    check_output(str(tmp_path / "other"), [str(source)])


def test_an_output_in_the_store_is_refused_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to("store")
    for name in ("store/LATEST", "link/a", "store/new/a"):
        with pytest.raises(UsageError, match="which is read"):
            check_output(str(tmp_path / name), store=str(tmp_path / "store"))
    check_output(str(tmp_path / "storeroom"), store=str(tmp_path / "store"))
    with pytest.raises(UsageError, match="which is read"):
        check_outside("gs://bucket/store/a", "gs://bucket/store")


@pytest.mark.parametrize("name", ["folder", "new/", "file/below", "loop", "n" * 300])
def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path, name: str) -> None:
    _odd_paths(tmp_path)
    with pytest.raises(UsageError):
        check_output(f"{tmp_path}/{name}")


@pytest.mark.parametrize("name", ["file", "file/below", "loop", "n" * 300])
def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    _odd_paths(tmp_path)
    with pytest.raises(UsageError):
        check_output_folder(f"{tmp_path}/{name}")


@pytest.mark.parametrize("name", ["none", "folder", "file/below", "loop", "n" * 300])
def test_an_input_that_is_not_a_file_is_refused(tmp_path: Path, name: str) -> None:
    _odd_paths(tmp_path)
    with pytest.raises(UsageError, match="give the file of the conversations"):
        check_input(f"{tmp_path}/{name}", "conversations")


def test_a_filesystem_that_beam_does_not_have_is_refused() -> None:
    for check in (check_output, check_output_folder, lambda path: check_input(path, "conversations")):
        with pytest.raises(UsageError):
            check("unknown://bucket/a")


def test_a_folder_of_an_output_is_not_in_an_input(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="which is read"):
        check_output_folder(str(tmp_path / "new"), [str(tmp_path)])
    check_output_folder(str(tmp_path / "new"), [str(tmp_path / "model")])


def _odd_paths(folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "file").write_bytes(b"mine")
    (folder / "loop").symlink_to("loop")
