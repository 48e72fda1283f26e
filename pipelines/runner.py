"""Run a Beam pipeline: in this process, in worker processes, or on the runner that the Beam options name."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions, WorkerOptions

from tracktokens.pipelines.beam_options import (
    ACCELERATOR,
    DATAFLOW,
    JobOptions,
    accelerator_of,
    check_beam_options,
    runner_name,
    sdk_processes,
    use_filesystem_options,
)
from tracktokens.pipelines.input_paths import check_reachable
from tracktokens.pipelines.remote_job import RemoteJob, RemoteJobError
from tracktokens.pipelines.stop_signals import SIGNALS, handles
from tracktokens.schemas import errors
from tracktokens.schemas.errors import TracktokensError, UsageError
from tracktokens.schemas.filesystem_errors import filesystem_error
from tracktokens.transforms.runtime.environment import send_environment
from tracktokens.transforms.runtime.progress import ProgressReporter

_logger = logging.getLogger(__name__)

CHANNEL_CLOSED = "Channel closed prematurely"
"""Part of Beam's error for a message that is too large for gRPC."""

_STEP = " [while running '"
_OURS = re.compile(rf"(?:^|\n)tracktokens\.schemas\.errors\.(\w+): (.*?)(?:{re.escape(_STEP)}.*)?(?:\n|$)")
_SYSTEMS = re.compile(rf"(?:^|\n)\w*Error: \[Errno (\d+)\] (.*?)(?:{re.escape(_STEP)}.*)?(?:\n|$)")


@dataclass(frozen=True)
class PipelineRunner:
    """The way in which jobs run their pipelines.

    Attributes:
        workers: worker processes on this machine; 1 runs in this process.
        beam_options: Beam's own options. If they name a runner, that runner chooses the number of workers, and
            ``workers``, if it is more than 1, is the number that share the cores of one machine.
        progress: reporter that workers send their progress to.
    """

    workers: int = 1
    beam_options: tuple[str, ...] = ()
    progress: ProgressReporter = field(default_factory=ProgressReporter)

    def __post_init__(self) -> None:
        """Check the Beam options, and have the filesystems use them.

        Raises:
            UsageError: Beam does not know one of them, or its value is invalid.
        """
        check_beam_options(self.beam_options)
        use_filesystem_options(self.beam_options)

    def run(self, build: Callable[[beam.Pipeline], object]) -> None:
        """Build a pipeline, run it, and wait until it ends.

        Worker processes on this machine exchange messages of at most 2 GiB. A pipeline with a larger one is run again
        in this process: what it wrote has the same names.

        Raises:
            TracktokensError: a step raised it, in any process, or the pipeline failed.
            OSError: a step failed on the operating system, for example on a full disk.
        """
        options = JobOptions([*self._local_options(), *self.beam_options])
        accelerator_of(options)  # the steps that use it have it
        options.view_as(StandardOptions).no_wait_until_finish = self.names_runner  # the block below does not wait
        try:
            with self._pipeline(options) as pipeline:
                build(pipeline)
                send_environment(pipeline)
            if self.names_runner and (job := RemoteJob.of(pipeline.result, options, self.progress)) is not None:
                with handles(*SIGNALS):  # to cancel a job takes a minute
                    job.follow()
        except Exception as error:
            if "KeyboardInterrupt" in str(error):  # Beam wraps an interrupt in a step's error
                raise KeyboardInterrupt from error
            found = unwrap_error(error)
            if self.workers == 1 or self.names_runner or CHANNEL_CLOSED not in str(found):
                raise _describe(found) from error
            _logger.warning(
                "a message between the %d worker processes was larger than 2 GiB: running the step again, in-process",
                self.workers,
            )
            self.in_process().run(build)

    def _pipeline(self, options: PipelineOptions) -> beam.Pipeline:
        from tracktokens.pipelines.beam_patches import keep_specs, lock_streams

        keep_specs()
        lock_streams()  # a runner that the options name may be a local one too
        if self.names_runner:
            try:
                return beam.Pipeline(options=options)
            except ValueError as error:
                raise UsageError(f"Beam does not accept these options: {str(error).splitlines()[0]}") from error
        from tracktokens.pipelines.local_runner import LocalRunner

        return beam.Pipeline(runner=LocalRunner(options), options=options)

    def check_reachable(self, paths: Mapping[str, Any], models: Mapping[str, Any] | None = None) -> None:
        """Check, before a job, that its workers can read its inputs and write its store.

        Workers of a job server may share the filesystem of this machine: there, the first step fails where they do not.

        Args:
            paths: option to path, or to modality to path; None for an input that is not given.
            models: option to the file or folder of a model, or to its name.

        Raises:
            UsageError: the runner is Dataflow's, and a path is local.
        """
        if runner_name(self.beam_options) == DATAFLOW:
            image = PipelineOptions(list(self.beam_options)).view_as(WorkerOptions).sdk_container_image
            check_reachable(paths, models or {}, has_image=bool(image))

    @property
    def encoder_hints(self) -> dict[str, str]:
        """Beam's resource hints of the steps that encode: the accelerator of ``--resource_hints``."""
        accelerator = accelerator_of(PipelineOptions(list(self.beam_options)))
        return {ACCELERATOR: accelerator} if accelerator else {}

    @property
    def processes_per_machine(self) -> int:
        """Worker processes that share the cores of one machine, or ``ONE_PER_CORE``."""
        if self.workers > 1 or not self.names_runner:
            return self.workers
        return sdk_processes(self.beam_options)

    def in_process(self) -> "PipelineRunner":
        """Return a runner that retries a pipeline in this process, without messages between processes."""
        return self if self.names_runner else replace(self, workers=1)

    @property
    def names_runner(self) -> bool:
        """True if the Beam options name a runner, which may use other machines."""
        return any(option.split("=")[0] == "--runner" for option in self.beam_options)

    def _local_options(self) -> list[str]:
        if self.workers == 1 or self.names_runner:
            return []
        processes = ["--direct_running_mode=multi_processing", f"--direct_num_workers={self.workers}"]
        return [*processes, "--default_sdk_harness_log_level=CRITICAL"]


def _describe(error: Exception) -> Exception:
    """Make an error of ours of a remote job that failed for a reason of its own; return any other error."""
    return TracktokensError(f"{error}: nothing was published") if isinstance(error, RemoteJobError) else error


def unwrap_error(error: Exception) -> Exception:
    """Find our own error, a remote filesystem's or the system's in the error of a runner.

    The runner's error is a worker's exception, or has its printed traceback. Beam appends the step's name to both.
    """
    if isinstance(error, TracktokensError):
        return type(error)(str(error).partition(_STEP)[0])
    errors_of_ours = _OURS.findall(str(error))
    if not errors_of_ours:
        return filesystem_error(error) or _unwrap_os_error(error)
    name, message = errors_of_ours[-1]
    kind = getattr(errors, name, TracktokensError)
    return kind(message) if issubclass(kind, TracktokensError) else error


def _unwrap_os_error(error: Exception) -> Exception:
    """Find the operating system's error in another error; return that error if there is none."""
    system_errors = _SYSTEMS.findall(str(error))
    if not system_errors or isinstance(error, OSError):
        return error
    number, message = system_errors[-1]
    return OSError(int(number), message)
