"""Work that is done more than once, in part at the same time, changes no table, no count and no file."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.demo_run import DemoRun, counted, demo_job, token_table
from tests.support.duplicate_work import COMPANY, RUNNER, duplicate_work
from tests.support.refreshes import changes, refresh_job, release_first_version
from tracktokens.pipelines.jobs.retrain import RetrainJob
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.maintenance.compaction import compact_store
from tracktokens.pipelines.maintenance.garbage_collection import GcJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.transforms.store.layout import Store

pytestmark = pytest.mark.disturbed

ONCE = PipelineRunner()


def require_equal(one: RunResult, other: RunResult) -> None:
    assert one.bundle.bundle_id == other.bundle.bundle_id
    assert token_table(one).equals(token_table(other))
    assert counted(one) == pytest.approx(counted(other))  # the order of sums differs
    assert rejects(one) == rejects(other)


def rejects(outcome: RunResult) -> list[dict[str, object]]:
    rows = pq.read_table(f"{outcome.release.folder}/rejects").to_pylist()
    return sorted(rows, key=lambda row: json.dumps(row, default=str))


def test_run(demo_run: DemoRun, tmp_path: Path) -> None:
    with duplicate_work() as done:
        outcome = demo_job(demo_run.catalog, tmp_path / "store").run(RUNNER)
        for kind in COMPANY:
            assert done[f"{kind} WriteEncoded"]
    require_equal(outcome, demo_run.outcome)
    assert verify_store(str(tmp_path / "store"), ONCE) == []
    assert leftovers(tmp_path / "store") == []


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A store with one release, beside the second version of its catalog."""
    return release_first_version(tmp_path_factory.mktemp("released"))


def two_stores(released: tuple[Path, RunResult], folder: Path) -> tuple[Path, Path]:
    return tuple(shutil.copytree(released[0], folder / name) for name in ("twice", "once"))  # type: ignore[return-value]


def test_refresh(released: tuple[Path, RunResult], tmp_path: Path) -> None:
    twice, once = two_stores(released, tmp_path)
    second = released[0].with_name("second")
    with duplicate_work() as done:
        outcome = refresh_job(second, twice).run(RUNNER)
    expected = refresh_job(second, once).run(ONCE)
    assert done.total() > 20
    require_equal(outcome, expected)
    assert changes(outcome) == changes(expected)
    assert verify_store(str(twice), ONCE) == []
    assert leftovers(twice) == []


def test_retrain(released: tuple[Path, RunResult], tmp_path: Path) -> None:
    twice, once = two_stores(released, tmp_path)
    bundle = released[1].bundle.bundle_id
    with duplicate_work():
        outcome = RetrainJob(str(twice), bundle, seed=1).run(RUNNER)
    expected = RetrainJob(str(once), bundle, seed=1).run(ONCE)
    assert outcome.bundle.bundle_id == expected.bundle.bundle_id
    assert (outcome.kept, outcome.kept_without) == (expected.kept, expected.kept_without)
    assert verify_store(str(twice), ONCE) == []


def test_compact_and_gc(released: tuple[Path, RunResult], tmp_path: Path) -> None:
    """Compaction merges copies of records, and gc counts removed rows once."""
    twice, _ = two_stores(released, tmp_path)
    refresh_job(released[0].with_name("second"), twice).run(ONCE)
    for path in [*twice.glob("vectors/audio/*/*/*.parquet"), *twice.glob("codes/*/lyrics/*/*.parquet")]:
        for number in range(8):
            shutil.copy(path, path.with_name(f"again-{number}-{path.name}"))
    once = shutil.copytree(twice, tmp_path / "single")
    with duplicate_work() as done:
        merged = compact_store(Store.open(str(twice)), RUNNER)
        garbage = GcJob(str(twice), keep=1, delete=True).run(RUNNER)
    assert merged == compact_store(Store.open(str(once)), ONCE)
    assert merged.buckets
    assert merged.files_after < merged.files_before
    expected = GcJob(str(once), keep=1, delete=True).run(ONCE)
    assert {"CompactBucket", "PurgeRecords"} <= {name.split()[1] for name in done}
    assert garbage.rows == expected.rows
    assert keys(twice) == keys(once)
    assert verify_store(str(twice), ONCE) == []
    assert leftovers(twice) == []


def keys(store: Path) -> dict[str, list[bytes]]:
    """Read the keys of the records, per folder of an encoder or a bundle."""
    folders = [*store.glob("vectors/*/*"), *store.glob("codes/*/*")]
    tables = {
        folder: [pq.read_table(path, columns=["key"]) for path in folder.rglob("*.parquet")] for folder in folders
    }
    return {
        str(folder.relative_to(store)): sorted({key for table in read for key in table["key"].to_pylist()})
        for folder, read in tables.items()
    }


def leftovers(store: Path) -> list[Path]:
    """List files that no reader reads: half-written files, and work that no manifest describes."""
    return [*store.rglob("*.partial"), *(path for path in store.glob("working/**/*") if path.is_file())]
