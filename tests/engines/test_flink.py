"""The demo's jobs on Apache Flink: two task managers, with Python workers from another environment."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.demo_run import DemoRun, counted, demo_job, token_table
from tests.support.flink import JARS, WORKER, FlinkCluster, flink_cluster
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.retrain import RetrainJob
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.maintenance.garbage_collection import GcJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner

pytestmark = [
    pytest.mark.disturbed,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not (JARS.exists() and WORKER.exists()), reason="make test-flink fetches Flink"),
]

LOCAL = PipelineRunner()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    with flink_cluster(tmp_path_factory.mktemp("flink")) as running:
        yield running


@pytest.fixture(scope="module")
def on_flink(cluster: FlinkCluster) -> PipelineRunner:
    return PipelineRunner(beam_options=cluster.options)


@pytest.fixture(scope="module")
def flink_run(demo_run: DemoRun, on_flink: PipelineRunner, tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    store = tmp_path_factory.mktemp("on-flink") / "store"
    return DemoRun(demo_run.catalog, store, demo_job(demo_run.catalog, store).run(on_flink))


def require_equal(one: RunResult, other: RunResult) -> None:
    assert one.bundle.bundle_id == other.bundle.bundle_id
    assert token_table(one).equals(token_table(other))
    assert counted(one) == pytest.approx(counted(other))  # means are sums of parts, in the order in which they come


def test_run_gives_the_same_table(demo_run: DemoRun, flink_run: DemoRun) -> None:
    require_equal(flink_run.outcome, demo_run.outcome)


def test_verify_finds_nothing(flink_run: DemoRun, on_flink: PipelineRunner) -> None:
    assert verify_store(str(flink_run.store), on_flink) == []


def test_retrain_gives_the_same_bundle(flink_run: DemoRun, on_flink: PipelineRunner, tmp_path: Path) -> None:
    bundles = []
    for name, runner in (("flink", on_flink), ("local", LOCAL)):
        store = shutil.copytree(flink_run.store, tmp_path / name)
        bundles.append(RetrainJob(str(store), flink_run.outcome.bundle.bundle_id, seed=1).run(runner))
    assert bundles[0].bundle.bundle_id == bundles[1].bundle.bundle_id != flink_run.outcome.bundle.bundle_id
    assert bundles[0].kept == bundles[1].kept


def test_refresh_gives_the_same_table(flink_run: DemoRun, on_flink: PipelineRunner, tmp_path: Path) -> None:
    tracks = tmp_path / "tracks.jsonl"
    lines = flink_run.catalog.tracks.read_bytes().splitlines(keepends=True)
    tracks.write_bytes(b"".join(lines[10:50] + [line.replace(b"pop", b"jazz") for line in lines[50:]]))
    outcomes = []
    for name, runner in (("flink", on_flink), ("local", LOCAL)):
        store = shutil.copytree(flink_run.store, tmp_path / name)
        source = replace(demo_job(flink_run.catalog, store).source, tracks=str(tracks))
        outcomes.append(RefreshJob(source=source, store=str(store)).run(runner))
    require_equal(*outcomes)
    assert not token_table(outcomes[0]).equals(token_table(flink_run.outcome))


def test_gc_removes_the_same(flink_run: DemoRun, on_flink: PipelineRunner, tmp_path: Path) -> None:
    removed = []
    for name, runner in (("flink", on_flink), ("local", LOCAL)):
        store = shutil.copytree(flink_run.store, tmp_path / name)
        tracks = tmp_path / f"{name}.jsonl"
        tracks.write_bytes(b"".join(flink_run.catalog.tracks.read_bytes().splitlines(keepends=True)[10:]))
        source = replace(demo_job(flink_run.catalog, store).source, tracks=str(tracks))
        RefreshJob(source=source, store=str(store)).run(LOCAL)
        removed.append(GcJob(str(store), keep=1, delete=True).run(runner).rows)
        assert verify_store(str(store), LOCAL) == []
    assert removed[0] == removed[1]
    assert sum(removed[0].values()) > 0


@pytest.mark.parametrize(
    ("written", "victim"),
    [
        ("vectors/*/*/bucket=*/*.parquet", lambda cluster: cluster.workers()[0]),
        ("codes/*/*/bucket=*/*.parquet", lambda cluster: cluster.task_managers[0].pid),
    ],
    ids=["a worker, while it encodes", "a task manager, while codes are assigned"],
)
def test_a_killed_process_changes_nothing(
    written: str,
    victim: Callable[[FlinkCluster], int],
    demo_run: DemoRun,
    cluster: FlinkCluster,
    on_flink: PipelineRunner,
    tmp_path: Path,
) -> None:
    before = cluster.restarts()
    _when(tmp_path / "store", written, lambda: os.kill(victim(cluster), signal.SIGKILL))
    outcome = demo_job(demo_run.catalog, tmp_path / "store").run(on_flink)
    assert cluster.restarts() > before
    require_equal(outcome, demo_run.outcome)
    assert verify_store(str(tmp_path / "store"), LOCAL) == []


def _when(store: Path, pattern: str, act: Callable[[], None]) -> None:
    """Act when the store has a file of this pattern."""

    def wait() -> None:
        while not any(store.glob(pattern)):
            time.sleep(0.05)
        act()

    threading.Thread(target=wait, daemon=True).start()
