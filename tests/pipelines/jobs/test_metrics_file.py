"""The figures of a release for Prometheus: parsed by its own client, and written only when a release is published."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from tests.support.vector_catalog import job, write_catalog
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.jobs.metrics_file import write_metrics_file
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import MODALITIES

pytestmark = pytest.mark.job


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return job(write_catalog(tmp_path_factory.mktemp("catalog"), 40), *MODALITIES).run(PipelineRunner())


def read(path: Path) -> dict[str, dict[tuple[str, ...], float]]:
    """Read each metric: the values of its labels, in the order of their names, to its value."""
    return {
        family.name: {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value for sample in family.samples
        }
        for family in text_string_to_metric_families(path.read_text())
    }


def test_figures_are_those_of_the_release(outcome: RunResult, tmp_path: Path) -> None:
    path = tmp_path / "tracktokens.prom"
    path.write_text("of before")
    write_metrics_file(str(path), outcome)
    found = read(path)
    release = outcome.release
    assert found["tracktokens_rows"] == {("read",): 40, ("published",): 40, ("rejected",): 0}
    assert found["tracktokens_release_info"] == {(release.manifest.bundle_id, release.manifest.release_id): 1}
    assert set(found["tracktokens_coverage_ratio"]) == {(modality,) for modality in MODALITIES}
    assert found["tracktokens_coverage_ratio"]["tags",] == release.metrics["modalities"]["tags"]["coverage"]
    assert found["tracktokens_stage_seconds"] == {(stage,): seconds for stage, seconds in outcome.seconds.items()}
    assert found["tracktokens_last_success_timestamp_seconds"][()] > 1.7e9
    assert "tracktokens_stability_index" not in found  # the first release of a bundle


def test_rejects_and_drift_are_labelled(outcome: RunResult, tmp_path: Path) -> None:
    metrics = outcome.release.metrics
    changed = {
        **metrics,
        "rejects": {"audio": {"audio_missing": 3}, 'of "hand"': {"a\\b\nc": 1}},
        "drift": {"modalities": {"audio": {"stability_index": 0.25}}},
        "changes": {"audio": {"new": 2, "removed": 1}},
    }
    object.__setattr__(outcome.release, "metrics", changed)
    try:
        write_metrics_file(str(tmp_path / "t.prom"), outcome)
    finally:
        object.__setattr__(outcome.release, "metrics", metrics)
    found = read(tmp_path / "t.prom")
    assert found["tracktokens_rejects"] == {("audio_missing", "audio"): 3, ("a\\b\nc", 'of "hand"'): 1}
    assert found["tracktokens_stability_index"] == {("audio",): 0.25}
    assert found["tracktokens_changed_tokens"] == {("audio", "new"): 2, ("audio", "removed"): 1}


def test_a_file_that_is_not_read_or_cannot_be_written_is_refused_before_the_job(
    outcome: RunResult, tmp_path: Path
) -> None:
    store = str(Path(outcome.release.folder).parents[1])
    (tmp_path / "folder.prom").mkdir()
    for path, message in (("figures.txt", "end with .prom only"), ("folder.prom", "is a folder")):
        ended = CliRunner().invoke(main, ["refresh", "--store", store, "--metrics-file", str(tmp_path / path)])
        assert ended.exit_code == 2
        assert message in ended.output


def test_a_refresh_writes_the_file(outcome: RunResult, tmp_path: Path) -> None:
    store = str(Path(outcome.release.folder).parents[1])
    path = tmp_path / "t.prom"
    ended = CliRunner().invoke(main, ["refresh", "--store", store, "--metrics-file", str(path)])
    assert ended.exit_code == 0, ended.output
    ((_, release),) = read(path)["tracktokens_release_info"]
    assert ended.output.splitlines()[-1].endswith(release)
