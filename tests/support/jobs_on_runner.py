"""Tests of the jobs after the first one, on any runner: each gives what it gives in this process."""

import shutil
from pathlib import Path

import pytest

from tests.support.demo_run import token_table
from tests.support.refreshes import changes, refresh_job, release_first_version
from tracktokens.pipelines.jobs.retrain import RetrainJob
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.maintenance.garbage_collection import GcJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner

LOCAL = PipelineRunner()


class JobsOnRunner:
    """Jobs over a small catalog. A subclass, or the module of it, has a fixture ``runner``."""

    @pytest.fixture(scope="class")
    def released(self, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
        return release_first_version(tmp_path_factory.mktemp("released"))

    @pytest.fixture
    def stores(self, released: tuple[Path, RunResult], tmp_path: Path) -> tuple[Path, Path]:
        """Two copies of a store with one release: for the runner, and for this process."""
        return shutil.copytree(released[0], tmp_path / "there"), shutil.copytree(released[0], tmp_path / "here")

    def test_refresh_retrain_gc_and_verify(
        self, released: tuple[Path, RunResult], stores: tuple[Path, Path], runner: PipelineRunner
    ) -> None:
        there, here = stores
        second, bundle = released[0].with_name("second"), released[1].bundle.bundle_id
        outcome, expected = refresh_job(second, there).run(runner), refresh_job(second, here).run(LOCAL)
        assert token_table(outcome).equals(token_table(expected))
        assert changes(outcome) == changes(expected) != []
        trained, by_us = (RetrainJob(str(s), bundle, seed=1).run(r) for s, r in ((there, runner), (here, LOCAL)))
        assert trained.bundle.bundle_id == by_us.bundle.bundle_id != bundle
        assert (trained.kept, trained.kept_without) == (by_us.kept, by_us.kept_without)
        garbage = GcJob(str(there), keep=1, delete=True).run(runner)
        assert garbage.rows == GcJob(str(here), keep=1, delete=True).run(LOCAL).rows
        assert sum(garbage.rows.values()) > 0
        assert verify_store(str(there), runner) == []
        [damaged, *_] = there.glob("codes/*/lyrics/*/*.parquet")
        damaged.write_bytes(damaged.read_bytes()[:-9])
        assert verify_store(str(there), runner) == verify_store(str(there), LOCAL) != []
