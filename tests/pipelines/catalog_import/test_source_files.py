"""One file, folder or member of an archive that cannot be read does not lose the others."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.imports import read_counts, read_rows, refuse_listing, run_import
from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.source_files import SourceFiles

ENCRYPTED, LOCAL_FLAGS, CENTRAL_FLAGS = 1, 6, 8
"""Flag of a member of a zip file, and the places of the flags after the two signatures of a member."""


def read_all(source: Path, tmp_path: Path) -> tuple[dict[str, bytes], list[tuple[str, str]], dict[str, int]]:
    """Read the text files of a source: name to content, names and reasons of rejects, and counts."""
    with CatalogFolder(str(tmp_path / "out"), "source") as folder:
        files = SourceFiles(source=source, is_used=lambda name: name.endswith(".txt"))
        found = {name: stream.read() for name, stream in files.open(folder)}
    lost = [(row["file"], row["reason"]) for row in read_rows(tmp_path / "out", "rejects")]
    return found, lost, read_counts(tmp_path / "out")["found"]


def write_zip(path: Path) -> bytearray:
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a", "b", "c"):
            archive.writestr(f"{name}.txt", name * 3)
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("fault", ["encrypted", "damaged"])
def test_a_member_of_a_zip_that_cannot_be_read_is_a_reject(tmp_path: Path, fault: str) -> None:
    content = write_zip(path := tmp_path / "source.zip")
    local = content.index(b"b.txt") - 30
    if fault == "encrypted":
        central = content.rindex(b"b.txt") - 46
        content[local + LOCAL_FLAGS] |= ENCRYPTED
        content[central + CENTRAL_FLAGS] |= ENCRYPTED
    else:
        content[local : local + 4] = b"oops"
    path.write_bytes(content)
    found, lost, _ = read_all(path, tmp_path)
    assert found == {"a.txt": b"aaa", "c.txt": b"ccc"}
    assert lost == [("b.txt", "file_unreadable")]


def test_links_of_a_tar_are_counted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "source.tar", "w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"aaa"))
        link = tarfile.TarInfo("b.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "a.txt"
        archive.addfile(link)
    found, lost, counts = read_all(tmp_path / "source.tar", tmp_path)
    assert (found, lost, counts) == ({"a.txt": b"aaa"}, [], {"files": 1, "files not used": 1})


def test_what_is_not_a_regular_file_is_a_reject(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_bytes(b"aaa")
    os.mkfifo(source / "pipe.txt")
    (source / "dangling.txt").symlink_to(source / "missing")
    found, lost, _ = read_all(source, tmp_path)
    assert found == {"a.txt": b"aaa"}
    assert lost == [("dangling.txt", "file_unreadable"), ("pipe.txt", "file_unreadable")]


def test_a_folder_that_cannot_be_listed_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    (source / "closed").mkdir(parents=True)
    (source / "a.txt").write_bytes(b"aaa")
    refuse_listing(source / "closed", monkeypatch)
    found, lost, _ = read_all(source, tmp_path)
    assert found == {"a.txt": b"aaa"}
    assert lost == [("closed", "file_unreadable")]


def test_an_import_without_a_result_names_its_first_reject(tmp_path: Path) -> None:
    content = write_zip(path := tmp_path / "source.zip")
    path.write_bytes(content.replace(b".txt", b".csv").replace(b"PK\x03\x04", b"oops"))
    message = run_import("exportify", path, tmp_path / "out", code=3)
    assert "the first of 3 rejects: a.csv: file_unreadable: Bad magic number" in message
    assert not (tmp_path / "out/import.json").exists()
