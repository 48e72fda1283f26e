"""The job that the demo catalog's shared run is made by, and its token table."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.pipelines.demo.catalog import DemoCatalog
from tracktokens.pipelines.encoder_config import VectorSources
from tracktokens.pipelines.jobs.run import RunJob, RunResult

CODES = 32


@dataclass(frozen=True)
class DemoRun:
    """The demo catalog, the store of its run, and the run's result."""

    catalog: DemoCatalog
    store: Path
    outcome: RunResult


def demo_job(demo: DemoCatalog, store: Path) -> RunJob:
    root = str(demo.audio_root)
    encoders = VectorSources(audio_root=root).encoders()
    return RunJob(str(demo.tracks), str(store), encoders, str(demo.playlists), root, CODES)


def token_table(outcome: RunResult) -> pa.Table:
    return pq.read_table(f"{outcome.release.folder}/tokens").sort_by("track_id")
