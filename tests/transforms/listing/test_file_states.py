"""States of files, by which a job recognises that none changed."""

import os
from pathlib import Path

import pytest

from tracktokens.transforms.listing import file_states

LONG_AGO = 1_700_000_000


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    folder = tmp_path / "songs"
    (folder / "album").mkdir(parents=True)
    for name in ("a.wav", "album/b.wav"):
        (folder / name).write_bytes(name.encode())
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


def test_states_of_a_folder_are_those_of_its_files(songs: Path) -> None:
    (songs / "album" / "loop").symlink_to(songs)
    (songs / "nowhere").symlink_to(songs / "missing")
    (songs / "more").symlink_to(songs / "album")
    found = {state.path: state.size for state in file_states.list_states(str(songs))}
    assert {path: size for path, size in found.items() if "/" not in path} == {"a.wav": 5}
    assert [path for path in found if path.endswith("b.wav")] in (["album/b.wav"], ["more/b.wav"]), "once"
    assert len(found) == 2
    (songs / "missing").write_bytes(b"there")
    assert {"nowhere", "missing"} <= {state.path for state in file_states.list_states(str(songs))}


@pytest.mark.parametrize("by_beam", [False, True])
def test_names_that_look_like_patterns_are_names(songs: Path, monkeypatch: pytest.MonkeyPatch, by_beam: bool) -> None:
    folder = songs / "a[1]*"
    folder.mkdir()
    (folder / "b[2]?.wav").write_bytes(b"song")
    if by_beam:  # Beam lists local files as it lists remote ones
        monkeypatch.setattr(file_states.files, "is_remote", lambda path: True)
    assert file_states.file_state(str(folder / "b[2]?.wav")).size == 4
    assert [state[:2] for state in file_states.list_states(str(folder))] == [("b[2]?.wav", 4)]
    with pytest.raises(FileNotFoundError):
        file_states.file_state(str(folder / "b2x.wav"))


def test_states_differ_where_size_or_time_does(songs: Path) -> None:
    path = songs / "a.wav"
    before = file_states.file_state(str(path))
    assert before.is_settled
    os.utime(path, ns=(0, LONG_AGO * 10**9 + 1))
    assert file_states.file_state(str(path)).modified == before.modified + 1
    path.write_bytes(b"longer")
    now = file_states.file_state(str(path))
    assert (now.size, now.is_settled) == (6, False)
    assert file_states.file_states([str(path), str(path)]) == [now, now]
    assert now.modified == path.stat().st_mtime_ns
