"""Audio paths are checked below a root, and each file has a version."""

import os
import pickle
from typing import ClassVar

import pyarrow as pa
import pytest
from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables.rejects import AUDIO_MISSING, AUDIO_OUTSIDE_ROOT
from tracktokens.transforms.readers.audio_root import AudioRoot, check_audio_root


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "audio"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.ogg").write_bytes(b"12345")
    (folder / "sub" / "ü [1].ogg").write_bytes(b"1")
    (tmp_path / "secret.ogg").write_bytes(b"secret")
    (tmp_path / "audio2").mkdir()
    (tmp_path / "audio2" / "a.ogg").write_bytes(b"x")
    return folder


def check(root, *paths, versions=None):
    checked = AudioRoot(str(root)).check(
        pa.array(paths, pa.string()), pa.array(versions or [None] * len(paths), pa.string())
    )
    assert len(checked.versions) == len(paths)
    return checked.versions.to_pylist(), [(problem.row, problem.reason) for problem in checked.problems]


def test_the_version_of_a_file_is_its_size_and_time(root):
    os.utime(root / "a.ogg", ns=(0, 1_234_567_890))
    assert check(root, "a.ogg", None) == (["5:1234567890", None], [])


def test_a_version_of_the_input_is_kept(root):
    assert check(root, "a.ogg", None, "no.ogg", versions=["etag", "x", "y"]) == (
        ["etag", None, None],
        [(2, AUDIO_MISSING)],
    )


def test_odd_names_are_found(root):
    for name in ("sub/ü [1].ogg", "./a.ogg", "sub//ü [1].ogg"):
        assert check(root, name)[1] == []


def test_absolute_paths_below_the_root_become_relative_ones(root, tmp_path):
    (tmp_path / "link").symlink_to(root)
    paths = [f"{root}/a.ogg", f"{root}//sub/b.ogg", f"{root}/../a.ogg", f"{root}2/a.ogg", "audio/a.ogg", None]
    expected = ["a.ogg", "sub/b.ogg", "../a.ogg", f"{root}2/a.ogg", "audio/a.ogg", None]
    for folder in (root, f"{root}/", tmp_path / "link"):  # a link's target is the root too
        assert AudioRoot(str(folder)).relative(pa.array(paths)).to_pylist() == expected
    assert AudioRoot(str(tmp_path / "link")).relative(pa.array([f"{tmp_path}/link/a.ogg"])).to_pylist() == ["a.ogg"]
    remote = AudioRoot("gs://a+b/c/").relative(pa.array(["gs://a+b/c/d.ogg", "gs://aab/c/d.ogg"]))
    assert remote.to_pylist() == ["d.ogg", "gs://aab/c/d.ogg"]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../secret.ogg",
        "sub/../../secret.ogg",
        "sub/../a.ogg",
        "..",
        "file:///etc/passwd",
        "http://x/a.ogg",
        "a.ogg\0.txt",
        "\0",
    ],
)
def test_paths_that_could_leave_the_root_are_outside(root, path):
    assert check(root, path) == ([None], [(0, AUDIO_OUTSIDE_ROOT)])


@pytest.mark.parametrize(
    "path",
    [
        "no.ogg",
        "sub",
        ".",
        "a.ogg/",
        "a.ogg/b",
        "x" * 300,
        "x/" * 3000,
        "..a",
        "a...",
        "C:\\a.ogg",
        "pipe",
        "loop",
        "\n",
    ],
)
def test_a_path_that_is_not_a_regular_file_is_missing(root, path):
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to(root / "loop")
    assert check(root, path) == ([None], [(0, AUDIO_MISSING)])


def test_links_may_stay_below_the_root_and_not_leave_it(root):
    (root / "file_in").symlink_to("sub/ü [1].ogg")
    (root / "folder_in").symlink_to(root / "sub")
    (root / "file_out").symlink_to("../secret.ogg")
    (root / "folder_out").symlink_to(root.parent)
    (root / "folder_beside").symlink_to(root.parent / "audio2")
    (root / "gone_in").symlink_to("nowhere")
    (root / "gone_out").symlink_to("/nowhere/at/all")
    versions, problems = check(
        root,
        *("file_in", "folder_in/ü [1].ogg", "file_out", "folder_out/secret.ogg", "folder_beside/a.ogg"),
        *("gone_in", "gone_out", "folder_out/audio/a.ogg", "folder_out/nothing"),
    )
    assert [version is not None for version in versions] == [True, True] + [False] * 5 + [True, False]
    assert problems == [(row, AUDIO_OUTSIDE_ROOT) for row in (2, 3, 4)] + [
        (5, AUDIO_MISSING),
        (6, AUDIO_OUTSIDE_ROOT),
        (8, AUDIO_OUTSIDE_ROOT),
    ]


def test_the_root_itself_may_be_a_link_or_relative(root, monkeypatch):
    (root.parent / "link").symlink_to(root)
    monkeypatch.chdir(root.parent)
    for name in (root.parent / "link", "audio", "./audio/", f"{root}/"):
        assert check(name, "a.ogg", "../secret.ogg")[1] == [(1, AUDIO_OUTSIDE_ROOT)], name


def test_a_folder_without_permission_is_missing(root, monkeypatch):
    def refuse(path):
        raise PermissionError(
            13, "Permission denied", path
        )  # root may enter every folder, so that chmod proves nothing

    monkeypatch.setattr(os, "lstat", refuse)
    assert check(root, "a.ogg")[1] == [(0, AUDIO_MISSING)]


def test_a_failing_disk_is_not_a_reject(root, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(os, "lstat", fail)
    with pytest.raises(OSError, match="Input/output error"):
        check(root, "a.ogg")


def test_a_root_is_pickled_as_its_path():
    assert pickle.loads(pickle.dumps(AudioRoot("x"))) == AudioRoot("x")  # noqa: S301  our own bytes


def test_an_audio_root_that_is_not_a_folder_is_a_usage_error(root):
    check_audio_root(str(root))
    with pytest.raises(UsageError, match=r"no such folder: .*/nowhere; give the folder"):
        check_audio_root(str(root / "nowhere"))
    with pytest.raises(UsageError, match=r"a\.ogg is not a folder"):
        check_audio_root(str(root / "a.ogg"))
    with pytest.raises(UsageError, match="the audio root nosuch://x cannot be listed"):
        check_audio_root("nosuch://x")


def test_an_audio_root_with_nothing_in_it_is_refused(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / ".Trash").mkdir()
    for hidden in (".keep", ".Trash/x.ogg"):
        (tmp_path / hidden).touch()
    with pytest.raises(UsageError, match=r"the audio root .* has no file in it; mount its disk"):
        check_audio_root(str(tmp_path))
    (tmp_path / "a" / "b" / "c.ogg").touch()
    check_audio_root(str(tmp_path))


@pytest.mark.parametrize("may_enter", [False, True])
def test_an_audio_root_that_cannot_be_listed_counts_if_its_files_can_be_opened(tmp_path, monkeypatch, may_enter):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "access", lambda *_: may_enter)
    if may_enter:
        check_audio_root(str(tmp_path))
    else:
        with pytest.raises(UsageError, match="cannot be listed: Permission denied; give this user the right"):
            check_audio_root(str(tmp_path))


# Audio on a filesystem of Beam


class MemoryFileSystem(FileSystem):
    """The part of a remote filesystem that validation uses: two files, one of which cannot be inspected."""

    files: ClassVar = {
        "memtest://bucket/audio/a.ogg": FileMetadata("a", 7, 12.5),
        "memtest://bucket/audio/broken.ogg": None,
    }

    @classmethod
    def scheme(cls):
        return "memtest"

    def metadata(self, path):
        if self.files.get(path) is None:
            raise BeamIOError("no metadata")
        return self.files[path]

    def exists(self, path):
        return path in self.files

    def _list(self, dir_or_prefix):
        return (FileMetadata(path, 1, 1) for path in self.files if path.startswith(dir_or_prefix))

    def has_dirs(self):
        return False

    def join(self, basepath, *paths):
        return "/".join([basepath, *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def _unused(self, *args, **kwargs):
        raise NotImplementedError

    mkdirs = create = open = copy = rename = size = last_updated = checksum = delete = _unused


def test_remote_audio_is_looked_up_through_beam():
    check_audio_root("memtest://bucket/audio/")
    with pytest.raises(UsageError, match="no such folder, or an empty one"):
        check_audio_root("memtest://bucket/other")
    versions, problems = check("memtest://bucket/audio/", "a.ogg", "no.ogg", "../audio/a.ogg", None)
    assert versions == ["7:12.5", None, None, None]
    assert problems == [(1, AUDIO_MISSING), (2, AUDIO_OUTSIDE_ROOT)]


def test_remote_audio_without_metadata_is_not_a_reject():
    with pytest.raises(BeamIOError):
        check("memtest://bucket/audio", "broken.ogg")
