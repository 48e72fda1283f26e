"""Inputs that failed to encode stay rejected until ``retry_rejects``."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.fussy_encoder import ASKED, CODEC, FussyEncoder
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import TAGS

pytestmark = pytest.mark.job

TRACKS = 60


@pytest.fixture
def job(tmp_path: Path) -> RefreshJob:
    tags = [[f"{'odd' if n % 20 == 0 else 'even'} {n}"] for n in range(TRACKS)]
    table = pa.table({"track_id": [f"t{n}" for n in range(TRACKS)], "tags": tags})
    pq.write_table(table, tmp_path / "tracks.parquet")
    source = CatalogSource(tracks=str(tmp_path / "tracks.parquet"), encoders={TAGS: FussyEncoder(str(tmp_path))})
    RunJob(source=source, store=str(tmp_path / "store"), codebook_size=8).run(PipelineRunner())
    (tmp_path / ASKED).unlink()
    return RefreshJob(source=source, store=str(tmp_path / "store"))


def asked(folder: Path) -> list[str]:
    log = folder / ASKED
    return sorted(log.read_text().splitlines()) if log.exists() else []


def test_a_refresh_leaves_lasting_rejects_alone(job: RefreshJob, tmp_path: Path) -> None:
    (tmp_path / CODEC).touch()
    metrics = job.run(PipelineRunner()).release.metrics
    assert asked(tmp_path) == []
    assert metrics["rejects"] == {"tracks": {"encoder_failed": 3}}


def test_a_retry_encodes_the_rejected_inputs_only_and_their_tracks_get_tokens(job: RefreshJob, tmp_path: Path) -> None:
    (tmp_path / CODEC).touch()
    outcome = replace(job, retry_rejects=True).run(PipelineRunner())
    assert asked(tmp_path) == ["odd 0", "odd 20", "odd 40"]
    assert outcome.release.metrics["rejects"] == {}
    changes = pq.read_table(f"{outcome.release.folder}/changes").to_pylist()
    assert [(row["track_id"], row["modality"], row["why"]) for row in changes] == [
        (track_id, TAGS, "input changed") for track_id in ("t0", "t20", "t40")
    ]
    again = job.run(PipelineRunner())
    assert again.release.metrics["rejects"] == {}


def test_an_input_that_fails_again_stays_rejected_once(job: RefreshJob, tmp_path: Path) -> None:
    metrics = replace(job, retry_rejects=True).run(PipelineRunner()).release.metrics
    assert asked(tmp_path) == ["odd 0", "odd 20", "odd 40"]
    assert metrics["rejects"] == {"tracks": {"encoder_failed": 3}}
