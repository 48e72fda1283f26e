"""Shared by all tests: the demo catalog, and one run over it."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tracktokens.pipelines.demo.catalog import DemoCatalog, make_demo
from tracktokens.pipelines.encoder_config import VectorSources
from tracktokens.pipelines.jobs.run import RunJob, RunResult
from tracktokens.pipelines.runner import PipelineRunner

CODES = 32


@dataclass(frozen=True)
class DemoRun:
    """The demo catalog, the store that a run made of it, and what the run came to."""

    catalog: DemoCatalog
    store: Path
    outcome: RunResult


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    return make_demo(tmp_path_factory.mktemp("demo") / "catalog")


@pytest.fixture(scope="session")
def demo_run(demo: DemoCatalog, tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    store = tmp_path_factory.mktemp("run") / "store"
    return DemoRun(demo, store, demo_job(demo, store).run(PipelineRunner()))


def demo_job(demo: DemoCatalog, store: Path) -> RunJob:
    root = str(demo.audio_root)
    encoders = VectorSources(audio_root=root).encoders()
    return RunJob(str(demo.tracks), str(store), encoders, str(demo.playlists), root, CODES)


def token_table(outcome: RunResult) -> pa.Table:
    return pq.read_table(f"{outcome.release.folder}/tokens").sort_by("track_id")
