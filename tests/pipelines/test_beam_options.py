"""Options after ``--``: one that Beam would ignore is an error."""

import pickle

import joblib
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions, WorkerOptions

from tracktokens.pipelines.beam_options import JobOptions
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.runtime.threads import ONE_PER_CORE, thread_share


@pytest.mark.parametrize(
    "flags",
    [
        ["--direct_num_workers=2"],
        ["--direct_num_workers", "2"],
        ["--experiments=a,b", "--experiments", "c"],
        ["--no_use_public_ips"],
        ["--runner=DataflowRunner", "--project=p", "--region=r", "--temp_location=gs://x", "--max_num_workers=3"],
        ["--runner=FlinkRunner", "--flink_master=local", "--parallelism=2", "--environment_type=LOOPBACK"],
    ],
)
def test_options_of_every_runner_are_known(flags: list[str]) -> None:
    assert PipelineRunner(1, tuple(flags)).beam_options == tuple(flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--direct_num_wokers=2"], "no option --direct_num_wokers; the nearest is --direct_num_workers"),
        (["--direct_num", "2"], "no option --direct_num;"),
        (["-runner=DataflowRunner"], "no option -runner; the nearest is --runner"),
        (["--runner=DataflowRunner", "--sdk_container_imag=x"], "the nearest is --sdk_container_image"),
        (["--direct-num-workers=2"], "the nearest is --direct_num_workers"),
        (["--direct_num_workers=two"], "--direct_num_workers: invalid int value: 'two'"),
        (["--direct_running_mode=x"], "--direct_running_mode: invalid choice: 'x'"),
        (["--runner"], "--runner: expected one argument"),
        (["--gcs_custom_audit_entries=x"], "Beam does not accept these options"),
        (["--streaming", "yes"], "'yes' belongs to no Beam option"),
        (["--runner=FlinkRunner", "-parallelism=2"], "no option -parallelism; the nearest is --parallelism"),
        (["--help"], "--help is not an option of a pipeline"),
        (["--runner=DataflowRunner", "--template_location=gs://x/y"], "--template_location: a command runs several"),
        (["--runner=DataflowRunner", "--dry_run=true"], "--dry_run: a command runs several pipelines"),
    ],
)
def test_other_options_are_an_error_of_one_line(flags: list[str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        PipelineRunner(1, tuple(flags))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("runner", ["FlinkRunner", "apache_beam.runners.portability.flink_runner.FlinkRunner"])
def test_a_job_server_may_have_options_that_beam_does_not_know(runner: str, caplog: pytest.LogCaptureFixture) -> None:
    PipelineRunner(1, (f"--runner={runner}", "--checkpointing_interval=1000"))
    assert "Beam has no option --checkpointing_interval" in caplog.text


DATAFLOW = ("--runner=DataflowRunner", "--project=p", "--region=r", "--temp_location=gs://b/t")


@pytest.mark.parametrize(
    ("workers", "flags", "processes"),
    [
        (3, (), 3),
        (1, DATAFLOW, ONE_PER_CORE),
        (4, DATAFLOW, 4),
        (1, (*DATAFLOW, "--experiments=use_runner_v2,no_use_multiple_sdk_containers"), 1),
        (1, ("--runner=FlinkRunner",), ONE_PER_CORE),
        (1, ("--runner=FlinkRunner", "--sdk_worker_parallelism=2"), 2),
        (1, ("--runner=FlinkRunner", "--sdk_worker_parallelism=0"), ONE_PER_CORE),
    ],
)
def test_worker_processes_share_the_cores_of_their_machine(
    workers: int, flags: tuple[str, ...], processes: int
) -> None:
    assert PipelineRunner(workers, flags).processes_per_machine == processes


def test_processes_that_cannot_know_of_each_other_take_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 8)
    assert [thread_share(processes) for processes in (ONE_PER_CORE, 1, 3, 16)] == [1, 8, 2, 1]


def test_views_of_options_are_made_once_and_share_their_values() -> None:
    options = JobOptions(["--runner=FlinkRunner", "--max_num_workers=3"])
    standard = options.view_as(StandardOptions)
    assert options.view_as(StandardOptions) is standard
    standard.no_wait_until_finish = True
    assert options.get_all_options() == {
        **PipelineOptions(["--runner=FlinkRunner", "--max_num_workers=3"]).get_all_options(),
        "no_wait_until_finish": True,
    }
    copied = pickle.loads(pickle.dumps(options))  # noqa: S301 - our own
    assert copied.view_as(StandardOptions).runner == "FlinkRunner"
    assert copied.view_as(WorkerOptions).max_num_workers == 3
