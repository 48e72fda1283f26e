"""Locations in libraries lead to files below the audio root, wherever the library was written."""

import unicodedata
from pathlib import Path

import pytest

from tracktokens.pipelines.catalog_import.libraries.audio_locations import AudioRoot
from tracktokens.schemas.errors import UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("A/b c.mp3", "A/100% d.mp3", "A/Zoë.mp3", "b c.mp3"):
        (tmp_path / "music" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "music" / name).write_bytes(b"")
    (tmp_path / "secret.mp3").write_bytes(b"")
    (tmp_path / "music/A/link.mp3").symlink_to(tmp_path / "secret.mp3")
    return tmp_path / "music"


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("file:///Users/me/Music/A/b%20c.mp3", "A/b c.mp3"),
        ("file://localhost/C:/Users/me/Music/A/b%20c.mp3", "A/b c.mp3"),
        ("file://nas/share/A/b%20c.mp3", "A/b c.mp3"),
        (r"D:\Music\A\100% d.mp3", "A/100% d.mp3"),
        (r"\\nas\share\A\b c.mp3", "A/b c.mp3"),
        (r"\\?\D:\Music\A\b c.mp3", "A/b c.mp3"),
        ("A/b c.mp3", "A/b c.mp3"),
        ("/elsewhere/b c.mp3", "b c.mp3"),
        ("file:///A/" + unicodedata.normalize("NFD", "Zoë") + ".mp3", "A/Zoë.mp3"),
        ("file:///A/Zoe%CC%88.mp3", "A/Zoë.mp3"),
    ],
)
def test_the_longest_end_that_is_a_file_is_found(root: Path, location: str, path: str) -> None:
    assert AudioRoot(str(root)).find(location) == path


@pytest.mark.parametrize(
    "location",
    [
        "/A",
        "/A/none.mp3",
        "../secret.mp3",
        "/music/../../secret.mp3",
        "A/link.mp3",
        "",
        "/",
        "a\0b",
        "x" * 5000,
        "\udcff",
    ],
)
def test_nothing_else_is_found(root: Path, location: str) -> None:
    assert AudioRoot(str(root)).find(location) is None


def test_a_path_of_this_machine_is_found(root: Path) -> None:
    assert AudioRoot(str(root)).find(str(root / "A/b c.mp3")) == "A/b c.mp3"
    assert AudioRoot(f"{root}/").find((root / "A/b c.mp3").as_uri()) == "A/b c.mp3"


def test_the_root_has_to_be_a_folder(root: Path) -> None:
    with pytest.raises(UsageError, match="--audio-root"):
        AudioRoot(str(root / "b c.mp3"))
