"""Run a Beam pipeline: in this process, in worker processes, or on the runner that the Beam options name."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from tracktokens.pipelines.beam_options import check_beam_options
from tracktokens.schemas import errors
from tracktokens.schemas.errors import TracktokensError, UsageError
from tracktokens.transforms.runtime.environment import send_environment
from tracktokens.transforms.runtime.progress import ProgressReporter

_STEP = " [while running '"
_OURS = re.compile(rf"(?:^|\n)tracktokens\.schemas\.errors\.(\w+): (.*?)(?:{re.escape(_STEP)}.*)?(?:\n|$)")
_SYSTEMS = re.compile(rf"(?:^|\n)\w*Error: \[Errno (\d+)\] (.*?)(?:{re.escape(_STEP)}.*)?(?:\n|$)")


@dataclass(frozen=True)
class PipelineRunner:
    """The way in which jobs run their pipelines.

    Attributes:
        workers: worker processes on this machine; 1 runs in this process.
        beam_options: Beam's own options. If they name a runner, that runner chooses the number of workers, and
            ``workers`` is the number that share the cores of one machine.
        progress: reporter that workers send their progress to.
    """

    workers: int = 1
    beam_options: tuple[str, ...] = ()
    progress: ProgressReporter = field(default_factory=ProgressReporter)

    def __post_init__(self) -> None:
        """Check the Beam options.

        Raises:
            UsageError: Beam does not know one of them, or its value is invalid.
        """
        check_beam_options(self.beam_options)

    def run(self, build: Callable[[beam.Pipeline], object]) -> None:
        """Build a pipeline, run it, and wait until it ends.

        Raises:
            TracktokensError: a step raised it, in any process, or the pipeline failed.
            OSError: a step failed on the operating system, for example on a full disk.
        """
        try:
            with self._pipeline() as pipeline:
                build(pipeline)
                send_environment(pipeline)
        except Exception as error:
            if "KeyboardInterrupt" in str(error):  # Beam wraps an interrupt in a step's error
                raise KeyboardInterrupt from error
            raise unwrap_error(error) from error

    def _pipeline(self) -> beam.Pipeline:
        from tracktokens.pipelines.beam_streams import lock_streams

        lock_streams()  # a runner that the options name may be a local one too
        options = PipelineOptions([*self._local_options(), *self.beam_options])
        if self.names_runner:
            try:
                return beam.Pipeline(options=options)
            except ValueError as error:
                raise UsageError(f"Beam does not accept these options: {str(error).splitlines()[0]}") from error
        # Not DirectRunner: it switches to another runner, with other guarantees, when it can download one.
        from apache_beam.portability.api import beam_provision_api_pb2
        from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo, FnApiRunner
        from apache_beam.runners.portability.portable_runner import JobServiceHandle

        # Worker processes get the options, and the level of their logs, only from here.
        provision = beam_provision_api_pb2.ProvisionInfo(
            pipeline_options=JobServiceHandle.encode_pipeline_options(options.get_all_options())
        )
        return beam.Pipeline(runner=FnApiRunner(provision_info=ExtendedProvisionInfo(provision)), options=options)

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


def unwrap_error(error: Exception) -> Exception:
    """Find our own error, or the system's, in the error of a runner: a worker's exception, or its printed traceback.

    Beam appends the step's name to the message of both.
    """
    if isinstance(error, TracktokensError):
        return type(error)(str(error).partition(_STEP)[0])
    errors_of_ours = _OURS.findall(str(error))
    if not errors_of_ours:
        return _unwrap_os_error(error)
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
