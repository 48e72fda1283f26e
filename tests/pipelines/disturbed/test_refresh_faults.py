"""A refresh that is killed, meets a second one, or has a store that is damaged, full or read-only."""

import errno
import io
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq
import pytest
from apache_beam.io.filesystems import FileSystems
from click.testing import CliRunner, Result

from tests.support.refreshes import TRACKS, first_job, options, write_catalog_version
from tests.support.vector_catalog import DIMS, group_vectors
from tests.support.warm_command import PROGRAM, run_command, start_command
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import LYRICS
from tracktokens.transforms.store import files

pytestmark = pytest.mark.disturbed

MORE = 10


@dataclass(frozen=True)
class TwoVersions:
    """Two catalogs, a store with a release of the first, and the tables of the second's release."""

    first: Path
    second: Path
    store: Path
    expected: dict[str, Any]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> TwoVersions:
    folder = tmp_path_factory.mktemp("versions")
    lyrics = group_vectors(3, DIMS[LYRICS], TRACKS + MORE)
    first = write_catalog_version(folder / "first", range(TRACKS), lyrics)
    second = write_catalog_version(folder / "second", range(MORE, TRACKS + MORE), lyrics)
    store = folder / "store"
    first_job(first, store).run(PipelineRunner())
    undisturbed = shutil.copytree(store, folder / "undisturbed")
    assert refresh(second, undisturbed).exit_code == 0
    return TwoVersions(first, second, store, published(undisturbed))


@pytest.fixture
def store(versions: TwoVersions, tmp_path: Path) -> Path:
    return Path(shutil.copytree(versions.store, tmp_path / "store"))


def refresh(catalog: Path, store: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["refresh", *options(catalog, store), *more])


def latest(store: Path) -> str:
    return (store / "LATEST").read_text().strip()


def complete_releases(store: Path) -> list[Path]:
    return sorted(store.glob("releases/*/manifest.json"))


def published(store: Path) -> dict[str, Any]:
    release = store / "releases" / latest(store)
    names = ("tokens", "rejects", "changes")
    return {name: sorted(map(str, pq.read_table(release / name).to_pylist())) for name in names}


def refused(result: Result, code: int, *parts: str) -> None:
    """Check that a command ended with one line that contains all of this, and without a traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for part in parts:
        assert part in line


KILLED = """
import os, signal, sys
from apache_beam.io.filesystems import FileSystems
from tracktokens.pipelines.cli.main import main

rename, last = FileSystems.rename, sys.argv.pop(1)

def until(sources, targets):
    if last in targets[0]:
        os.killpg(0, signal.SIGKILL)
    rename(sources, targets)

FileSystems.rename = staticmethod(until)
main()
"""


@pytest.mark.parametrize("last", ["/vectors/audio/", "/catalog.json", "/playlists.json", "/tokens/part-", "LATEST"])
def test_the_refresh_after_a_kill_equals_an_undisturbed_one(versions: TwoVersions, store: Path, last: str) -> None:
    before = latest(store)
    killed = run_command("-c", KILLED, last, "refresh", *options(versions.second, store), new_session=True)
    assert killed.returncode == -signal.SIGKILL
    assert latest(store) == before
    assert verify_store(str(store), PipelineRunner()) == []
    assert refresh(versions.second, store).exit_code == 0
    assert published(store) == versions.expected


def test_of_two_refreshes_at_once_one_publishes_and_the_other_names_it(versions: TwoVersions, store: Path) -> None:
    command = (PROGRAM, "refresh", *options(versions.second, store))
    first = start_command(*command)
    try:
        while f'"pid": {first.pid}' not in (store / "writer.lock").read_text():
            assert first.poll() is None
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)  # so that it is still at work when the second comes
        second = run_command(*command)
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 5
    assert f"is being written by `tracktokens refresh` (process {first.pid} on " in second.stderr
    assert "Traceback" not in second.stderr
    assert first.wait() == 0
    assert len(complete_releases(store)) == 2
    assert published(store) == versions.expected


def test_latest_moves_when_all_of_the_release_is_on_the_disk(
    versions: TwoVersions, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = latest(store)
    synced: list[str] = []

    def sync(paths: Iterable[str]) -> None:
        assert latest(store) == before
        synced.extend(paths)

    monkeypatch.setattr(files, "sync", sync)
    assert refresh(versions.second, store).exit_code == 0
    release = store / "releases" / latest(store)
    assert sorted(synced) == sorted(str(path) for path in release.rglob("*") if path.is_file())


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


ROLLBACK = "`tracktokens releases rollback`"

REFUSED: list[tuple[str, Callable[[Path], object], str]] = [
    ("store.json", Path.unlink, "restore it from a backup"),
    ("store.json", truncate, "restore it from a backup"),
    ("LATEST", Path.unlink, ROLLBACK),
    ("LATEST", lambda path: path.write_text("nobody\n"), ROLLBACK),
    ("releases/*/manifest.json", Path.unlink, ROLLBACK),
    ("releases/*/manifest.json", truncate, "restore it from a backup"),
    ("releases/*/tokens/part-0000.parquet", flip, "cannot be read"),
    ("catalogs/*/catalog.json", Path.unlink, ROLLBACK),
    ("codebooks/*/manifest.json", Path.unlink, ROLLBACK),
    ("codebooks/*/lyrics.safetensors", Path.unlink, "restore it"),
    ("codebooks/*/lyrics.safetensors", flip, "restore it"),
    ("codebooks/*/use.json", truncate, "restore it from a backup"),
    ("vectors/lyrics/*/encoder.json", truncate, "restore it from a backup"),
    ("vectors/playlist/*/encoder.json", Path.unlink, "restore it from a backup"),
    ("vectors/lyrics/*/*/*.parquet", truncate, "remove or restore the file"),
    ("catalogs/*/keys/lyrics/*/*.parquet", flip, "remove or restore the file"),
    ("codes/*/lyrics/*/*.parquet", truncate, "remove or restore the file"),
]


@pytest.mark.parametrize(("pattern", "spoil", "remedy"), REFUSED)
def test_damage_is_refused_and_found(
    versions: TwoVersions, store: Path, pattern: str, spoil: Callable[[Path], object], remedy: str
) -> None:
    path = min(store.glob(pattern))
    spoil(path)
    before = complete_releases(store)
    refused(refresh(versions.second, store), 3, str(path), remedy)
    assert complete_releases(store) == before
    assert CliRunner().invoke(main, ["verify", str(store)]).exit_code == 3


def test_a_flipped_bit_is_not_published_and_after_removal_the_refresh_succeeds(
    versions: TwoVersions, store: Path
) -> None:
    path = min(store.glob("codes/*/lyrics/*/*.parquet"))
    before = latest(store)
    flip(path)
    refused(refresh(versions.second, store), 3, str(path), "remove or restore the file")
    assert CliRunner().invoke(main, ["verify", str(store)]).exit_code == 3
    assert latest(store) == before
    path.unlink()
    assert refresh(versions.second, store).exit_code == 0
    assert published(store) == versions.expected


REPAIRED = [
    "vectors/lyrics/*/*/*.parquet",
    "vectors/lyrics/*/encoder.json",
    "codes/*/lyrics/*/*.parquet",
    "codebooks/*/use.json",
    "catalogs/*/playlists/playlists.json",
    "catalogs/*/tracks/*/*.parquet",
    "catalogs/*/keys/lyrics/*/*.parquet",
    "catalogs/*/keys/playlist/*/*.parquet",
    "catalogs/*/places/*/*.parquet",
    "catalogs/*/counts.json",
]


@pytest.mark.parametrize("pattern", REPAIRED)
def test_missing_files_are_made_again_where_possible(versions: TwoVersions, store: Path, pattern: str) -> None:
    min(store.glob(pattern)).unlink()
    assert refresh(versions.second, store).exit_code == 0
    assert published(store) == versions.expected


def test_lost_playlists_are_found_and_no_playlist_token_is_lost_with_them(versions: TwoVersions, store: Path) -> None:
    [path] = store.glob("catalogs/*/playlists/playlists.json")
    path.unlink()
    [finding] = verify_store(str(store), PipelineRunner())
    assert finding.path == str(path)
    # A release of an older version keeps no options, so the path of the playlists is not known either.
    [manifest] = store.glob("releases/*/manifest.json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "options": None}))
    given = options(versions.second, store)
    place = given.index("--playlists")
    without = given[:place] + given[place + 2 :]
    refused(CliRunner().invoke(main, ["refresh", *without]), 3, str(path), "give --playlists")


def test_a_lost_measure_of_drift_is_found_and_warned_of(
    versions: TwoVersions, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    [path] = store.glob("codebooks/*/use.json")
    path.unlink()
    assert [finding.path for finding in verify_store(str(store), PipelineRunner())] == [str(path)]
    with caplog.at_level(logging.WARNING):
        assert refresh(versions.second, store).exit_code == 0
    assert "drift is measured from this release on" in caplog.text


def test_a_run_without_latest_keeps_the_tokens_of_the_release_that_is_there(versions: TwoVersions, store: Path) -> None:
    """It would train new codebooks if it took the store for an empty one."""
    [path] = store.glob("codebooks/*/manifest.json")
    before = json.loads(path.read_text())["codebooks"][LYRICS]["content_hash"]
    (store / "LATEST").unlink()
    job = replace(first_job(versions.second, store), new_vocabulary=True)  # since the playlists changed
    bundle = job.run(PipelineRunner()).bundle
    assert bundle.codebooks[LYRICS]["content_hash"] == before


def test_small_files_that_cannot_be_merged_do_not_fail_a_release(
    versions: TwoVersions, store: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def merge(store: object, runner: object) -> None:
        raise InvalidDataError("part-a.parquet cannot be read: remove or restore the file")

    monkeypatch.setattr("tracktokens.pipelines.maintenance.compaction.compact_store", merge)
    with caplog.at_level(logging.WARNING):
        assert refresh(versions.second, store).exit_code == 0
    assert published(store) == versions.expected
    assert "the release is published" in caplog.text
    assert "part-a.parquet cannot be read" in caplog.text


class Disk:
    """A disk that accepts this many bytes in files of the store, and then is full."""

    def __init__(self, room: float) -> None:
        self.room = room
        self.used = 0

    def create(self, path: str, **options: Any) -> IO[bytes]:
        return Limited(path, self)

    def take(self, size: int) -> None:
        self.used += size
        if self.used > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Limited(io.FileIO):
    """A new file on a limited disk."""

    def __init__(self, path: str, disk: Disk) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        super().__init__(path, "wb")
        self._disk = disk

    def write(self, content: Any) -> int:
        self._disk.take(len(memoryview(content).cast("B")))
        return super().write(content)


@pytest.fixture(scope="module")
def written(versions: TwoVersions, tmp_path_factory: pytest.TempPathFactory) -> int:
    """Number of bytes that a refresh writes."""
    disk = Disk(math.inf)
    store = Path(shutil.copytree(versions.store, tmp_path_factory.mktemp("disk") / "store"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileSystems, "create", disk.create)
        assert refresh(versions.second, store).exit_code == 0
    return disk.used


@pytest.mark.parametrize("share", [0, 0.3, 0.7, 0.999])
def test_a_full_disk_is_an_error_and_with_room_the_refresh_succeeds(
    versions: TwoVersions, store: Path, written: int, share: float
) -> None:
    before = latest(store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileSystems, "create", Disk(share * written).create)
        refused(refresh(versions.second, store), 1, "No space left on device", "free space and run the same command")
    assert latest(store) == before
    assert not list(store.rglob("*.partial"))
    assert verify_store(str(store), PipelineRunner()) == []
    assert refresh(versions.second, store).exit_code == 0
    assert published(store) == versions.expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_store_that_is_read_only_can_be_verified_and_not_refreshed(versions: TwoVersions, store: Path) -> None:
    """Root ignores ``chmod``, so the store is mounted read-only."""
    mounted = [["mount", "--bind", store, store], ["mount", "-o", "remount,bind,ro", store]]
    if any(subprocess.run(command, capture_output=True).returncode for command in mounted):
        pytest.skip("mounts are not allowed here")
    try:
        refused(refresh(versions.second, store), 2, "Read-only file system", "give a writable folder")
        assert verify_store(str(store), PipelineRunner()) == []
    finally:
        subprocess.run(["umount", store], check=True)
    assert refresh(versions.second, store).exit_code == 0
    assert published(store) == versions.expected
