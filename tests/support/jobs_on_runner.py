"""Tests of the jobs after the first one, on any runner: each gives what it gives in this process."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.demo_run import token_table
from tests.support.made_once import made_once
from tests.support.refreshes import changes, refresh_job, release_first_version
from tracktokens.pipelines.jobs.retrain import RetrainJob
from tracktokens.pipelines.maintenance.garbage_collection import GcJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner

LOCAL = PipelineRunner()


@dataclass(frozen=True)
class JobsHere:
    """A store with one release, and what the jobs give that run on a copy of it in this process.

    Attributes:
        store: the store, which no job has changed.
        second: the second version of its catalog.
        bundle_id: the bundle of the release.
        tokens: token table of the refresh.
        changes: changes of the refresh.
        retrained: bundle of the retraining, and what it kept with and without alignment.
        garbage: rows that gc removed.
    """

    store: Path
    second: Path
    bundle_id: str
    tokens: pa.Table
    changes: list[dict[str, object]]
    retrained: tuple[object, ...]
    garbage: dict[str, int]


def run_jobs_here(folder: Path) -> JobsHere:
    """Run the jobs on a store below an empty folder."""
    store, released = release_first_version(folder)
    second, bundle_id, here = folder / "second", released.bundle.bundle_id, str(folder / "here")
    shutil.copytree(store, here)
    refreshed = refresh_job(second, Path(here)).run(LOCAL)
    trained = RetrainJob(here, bundle_id, seed=1).run(LOCAL)
    garbage = GcJob(here, keep=1, delete=True).run(LOCAL)
    return JobsHere(
        store=store,
        second=second,
        bundle_id=bundle_id,
        tokens=token_table(refreshed),
        changes=changes(refreshed),
        retrained=(trained.bundle.bundle_id, trained.kept, trained.kept_without),
        garbage=dict(garbage.rows),
    )


class JobsOnRunner:
    """Jobs over a small catalog. A subclass, or the module of it, has a fixture ``runner``."""

    @pytest.fixture(scope="class")
    def here(self, tmp_path_factory: pytest.TempPathFactory) -> JobsHere:
        return made_once(tmp_path_factory, "jobs-here", run_jobs_here)

    def test_refresh_retrain_gc_and_verify(self, here: JobsHere, tmp_path: Path, runner: PipelineRunner) -> None:
        there = Path(shutil.copytree(here.store, tmp_path / "there"))
        outcome = refresh_job(here.second, there).run(runner)
        assert token_table(outcome).equals(here.tokens)
        assert changes(outcome) == here.changes != []
        trained = RetrainJob(str(there), here.bundle_id, seed=1).run(runner)
        assert trained.bundle.bundle_id != here.bundle_id
        assert (trained.bundle.bundle_id, trained.kept, trained.kept_without) == here.retrained
        garbage = GcJob(str(there), keep=1, delete=True).run(runner)
        assert garbage.rows == here.garbage
        assert sum(garbage.rows.values()) > 0
        assert verify_store(str(there), runner) == []
        [damaged, *_] = there.glob("codes/*/lyrics/*/*.parquet")
        damaged.write_bytes(damaged.read_bytes()[:-9])
        assert verify_store(str(there), runner) == verify_store(str(there), LOCAL) != []
