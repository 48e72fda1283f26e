"""Rebucketing a whole store: the same rows in another number of buckets, at every moment complete."""

import shutil
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.demo_run import token_table
from tests.support.vector_catalog import job, write_catalog, write_tracks
from tests.support.warm_command import run_command
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.maintenance.garbage_collection import GcJob
from tracktokens.pipelines.maintenance.rebucket import Rebucketing, RebucketJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.store import StoreManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import latest_release
from tracktokens.transforms.store.token_tables import TokenTable

pytestmark = pytest.mark.job

TRACKS = 120
IDS = dict.fromkeys(MODALITIES, "ours")


@pytest.fixture(scope="module")
def kept_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog, and its store of two releases in one bucket."""
    catalog = write_catalog(tmp_path_factory.mktemp("catalog"), TRACKS)
    write_tracks(catalog, TRACKS - 9)
    job(catalog, *MODALITIES, **IDS).run(PipelineRunner())
    write_tracks(catalog, TRACKS)
    job(catalog, *MODALITIES, **IDS).run(PipelineRunner())
    return catalog


@pytest.fixture
def catalog(kept_catalog: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept_catalog, tmp_path / "catalog"))


def rebucket(store: Path, buckets: int | None = None) -> Rebucketing:
    return RebucketJob(str(store), buckets).run(PipelineRunner())


def rows_by_folder(store: Path) -> dict[str, list[str]]:
    """The rows of the current division, sorted: folder of the buckets to its rows."""
    opened, rows = Store.open(str(store)), dict[str, list[str]]()
    for path in sorted(store.rglob("bucket=*/*.parquet")):
        if not opened.is_outdated(str(path)):
            folder = str(path.parent.parent.relative_to(store))
            rows.setdefault(folder, []).extend(map(str, pq.ParquetFile(path).read().to_pylist()))
    return {folder: sorted(found) for folder, found in rows.items() if found}


def tokens(store: Path) -> pa.Table:
    """The latest release as jobs read it, bucket by bucket."""
    opened = Store.open(str(store))
    release = latest_release(opened)
    assert release is not None
    table = TokenTable.of(opened, release)
    parts = [table.read(bucket) for bucket in range(opened.buckets)]
    for bucket, part in enumerate(parts):
        assert part["track_id"].to_pylist() == table.tracks(bucket, ["track_id"])["track_id"].to_pylist()
    return pa.concat_tables(parts).sort_by("track_id")


def findings(store: Path) -> list[object]:
    return list(verify_store(str(store), PipelineRunner()))


def test_a_division_into_more_and_then_fewer_buckets_keeps_every_row(catalog: Path) -> None:
    store = catalog / "store"
    before, released = rows_by_folder(store), tokens(store)
    for buckets in (8, 2, 1):
        assert rebucket(store, buckets).after == buckets
        assert Store.open(str(store)).buckets == buckets
        assert rows_by_folder(store) == before
        assert tokens(store).equals(released)
        assert findings(store) == []


def test_the_number_for_the_newest_catalog_is_the_default(catalog: Path) -> None:
    store = catalog / "store"
    rebucket(store, 4)
    assert (rebucket(store).before, Store.open(str(store)).buckets) == (4, 1)
    assert rebucket(store) == Rebucketing(1, 1, 0)


def test_a_refresh_after_it_encodes_nothing_and_changes_no_token(catalog: Path) -> None:
    store = catalog / "store"
    released = tokens(store)
    rebucket(store, 4)
    refresh = RefreshJob(source=job(catalog, *MODALITIES, **IDS).source, store=str(store))
    done = refresh.run(PipelineRunner())
    assert sum(done.catalog.encoded.values()) == 0
    assert token_table(done).equals(released)
    assert len(list(Path(done.release.folder, "tokens").iterdir())) == 4
    assert findings(store) == []


def test_a_collection_removes_the_old_division(catalog: Path) -> None:
    store = catalog / "store"
    rebucket(store, 2)
    kept = rows_by_folder(store)
    GcJob(str(store), keep=2, delete=True).run(PipelineRunner())
    assert {path.name for path in store.rglob("bucket=*")} == {"bucket=0000-of-0002", "bucket=0001-of-0002"}
    assert rows_by_folder(store) == kept
    assert findings(store) == []


def test_an_older_version_refuses_the_store(catalog: Path) -> None:
    rebucket(catalog / "store", 2)
    assert '"format": 2' in (catalog / "store" / "store.json").read_text()
    assert StoreManifest(2).format == 1


def test_a_number_that_is_not_a_power_of_two_is_wrong_usage(catalog: Path) -> None:
    with pytest.raises(UsageError, match="--buckets 3"):
        rebucket(catalog / "store", 3)


def test_a_corrupt_file_leaves_the_store_as_it_was(catalog: Path) -> None:
    store = catalog / "store"
    path = next(store.glob("codes/*/*/bucket=0000/*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InvalidDataError, match="cannot be read"):
        rebucket(store, 2)
    assert Store.open(str(store)).buckets == 1


KILLED = """
import os, signal, sys
from apache_beam.io.filesystems import FileSystems
from tracktokens.pipelines.maintenance.rebucket import RebucketJob
from tracktokens.pipelines.runner import PipelineRunner

steps, left = sys.argv[2], int(sys.argv[3])

def counted(step):
    def run(*args, **kwargs):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return step(*args, **kwargs)
    return run

setattr(FileSystems, steps, staticmethod(counted(getattr(FileSystems, steps))))
RebucketJob(sys.argv[1], 4).run(PipelineRunner())
"""


@pytest.mark.disturbed
@pytest.mark.parametrize(("step", "moment"), [("create", 5), ("rename", 0), ("rename", 40), ("rename", -1)])
def test_a_killed_job_leaves_a_complete_store_and_the_next_one_ends_it(catalog: Path, step: str, moment: int) -> None:
    store = catalog / "store"
    before, released = rows_by_folder(store), tokens(store)
    if moment < 0:  # the last file to be renamed is store.json
        copy = shutil.copytree(store, catalog / "copy")
        rebucket(copy, 4)
        moment = len(list(copy.rglob("bucket=*-of-0004/*.parquet"))) + 1  # after the counts of the pipeline
    killed = run_command("-c", KILLED, store, step, str(moment), timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert Store.open(str(store)).buckets == 1
    assert rows_by_folder(store) == before
    assert tokens(store).equals(released)
    assert findings(store) == []
    rebucket(store, 4)
    assert rows_by_folder(store) == before
    assert tokens(store).equals(released)
    assert findings(store) == []
    GcJob(str(store), keep=2, delete=True).run(PipelineRunner())
    assert not list(store.rglob("*.partial"))
