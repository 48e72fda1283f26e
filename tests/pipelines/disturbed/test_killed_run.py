"""A job that is killed leaves a store on which the next run succeeds."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.demo_run import CODES, DemoRun, token_table
from tests.support.warm_command import PROGRAM, Command, start_command
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.runner import PipelineRunner

pytestmark = pytest.mark.disturbed

PATIENCE_SECONDS = 240


def some_vectors(store: Path) -> bool:
    return any(store.glob("vectors/metadata/*/bucket=*/*.parquet"))


def some_codes(store: Path) -> bool:
    return any(store.glob("codes/*/*/bucket=*/*.parquet"))


def some_tokens(store: Path) -> bool:
    return any(store.glob("releases/*/tokens/*"))


@pytest.mark.parametrize("moment", [some_vectors, some_codes, some_tokens])
def test_the_run_after_a_kill_gives_the_undisturbed_table(
    demo_run: DemoRun, tmp_path: Path, moment: Callable[[Path], bool]
) -> None:
    demo, store = demo_run.catalog, tmp_path / "store"
    options = ["--playlists", str(demo.playlists), "--store", str(store), "--codebook-size", str(CODES)]
    process = start_command(PROGRAM, "run", "--tracks", str(demo.tracks), *options, new_session=True)
    kill_at(process, lambda: moment(store))
    assert not (store / "LATEST").exists()

    source = CatalogSource(tracks=str(demo.tracks), playlists=str(demo.playlists))
    job = RunJob(source=source, store=str(store), codebook_size=CODES)
    again = token_table(job.run(PipelineRunner())).drop_columns(["audio", "tokens"])
    assert again.equals(token_table(demo_run.outcome).drop_columns(["audio", "tokens"]))
    assert len(pq.read_table(f"{store}/releases/{(store / 'LATEST').read_text().strip()}/tokens")) == len(again)


def kill_at(process: Command, moment: Callable[[], bool]) -> None:
    for _ in range(100 * PATIENCE_SECONDS):
        if moment():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return
        assert process.poll() is None, "the job ended before it could be killed"
        time.sleep(0.01)
    raise TimeoutError("the moment never came")
