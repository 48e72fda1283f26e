"""Training a codebook bundle."""

import logging
from pathlib import Path

import pytest

from tests.support.demo_run import DemoRun
from tracktokens.pipelines.jobs.train import TrainJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError

pytestmark = pytest.mark.job


def test_few_vectors_give_few_centroids_and_a_warning(demo_run: DemoRun, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tracktokens"):
        bundle = TrainJob(str(demo_run.store), codebook_size=500).run(PipelineRunner())
    lyrics = bundle.codebooks["lyrics"]
    distinct = demo_run.outcome.catalog.inputs["lyrics"]
    assert lyrics["centroids"] == distinct
    assert lyrics["training"]["distinct_vectors"] == distinct
    assert f"lyrics: {distinct} distinct vectors give {distinct} centroids" in caplog.text


def test_the_same_vectors_give_the_same_bundle_and_another_seed_another(demo_run: DemoRun) -> None:
    job = TrainJob(str(demo_run.store), codebook_size=32)
    assert job.run(PipelineRunner()).bundle_id == demo_run.outcome.bundle.bundle_id
    other = TrainJob(str(demo_run.store), codebook_size=32, seed=1).run(PipelineRunner())
    assert other.bundle_id != demo_run.outcome.bundle.bundle_id


def test_working_files_of_the_training_are_removed(demo_run: DemoRun) -> None:
    assert not list(Path(demo_run.store, "codebooks").glob("training-*"))


def test_a_catalog_that_is_not_there_is_wrong_usage(demo_run: DemoRun) -> None:
    with pytest.raises(UsageError, match="has no complete catalog none"):
        TrainJob(str(demo_run.store), catalog_id="none").run(PipelineRunner())
