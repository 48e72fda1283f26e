"""Run a Beam pipeline: in this process, in worker processes, or on whatever runner the Beam options name."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from tracktokens.schemas import errors
from tracktokens.schemas.errors import TracktokensError, UsageError
from tracktokens.transforms.runtime.progress import ProgressReporter

_STEP = " [while running '"
_OURS = re.compile(rf"(?:^|\n)tracktokens\.schemas\.errors\.(\w+): (.*?)(?:{re.escape(_STEP)}.*)?(?:\n|$)")
_SYSTEMS = re.compile(rf"(?:^|\n)\w*Error: \[Errno (\d+)\] (.*?)(?:{re.escape(_STEP)}.*)?(?:\n|$)")


@dataclass(frozen=True)
class PipelineRunner:
    """How jobs are run.

    Attributes:
        workers: worker processes on this machine; 1 runs in this process.
        beam_options: Beam's own options. When they name a runner, it decides how many workers there are, and
            ``workers`` says how many of them share the cores of a machine.
        board: where workers leave their progress.
    """

    workers: int = 1
    beam_options: tuple[str, ...] = ()
    progress: ProgressReporter = field(default_factory=ProgressReporter)

    def run(self, build: Callable[[beam.Pipeline], object]) -> None:
        """Build a pipeline, run it, and wait for its end.

        Raises:
            TracktokensError: what a step of ours raised, in whichever process; or that the job failed.
            OSError: what the system told a step: that the disk is full, say.
        """
        try:
            with self._pipeline() as pipeline:
                build(pipeline)
        except Exception as error:
            if "KeyboardInterrupt" in str(error):  # Beam wraps what a user does in what a step does
                raise KeyboardInterrupt from error
            raise unwrap_error(error) from error

    def _pipeline(self) -> beam.Pipeline:
        options = PipelineOptions([*self._local_options(), *self.beam_options])
        if self.names_runner:
            try:
                return beam.Pipeline(options=options)
            except ValueError as error:
                raise UsageError(f"Beam does not take these options: {str(error).splitlines()[0]}") from error
        # Not DirectRunner: it may go to another runner, with other guarantees, wherever it can download one.
        from apache_beam.portability.api import beam_provision_api_pb2
        from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo, FnApiRunner
        from apache_beam.runners.portability.portable_runner import JobServiceHandle

        # Without it worker processes do not see the options, the level of their logs among them.
        told = beam_provision_api_pb2.ProvisionInfo(
            pipeline_options=JobServiceHandle.encode_pipeline_options(options.get_all_options())
        )
        return beam.Pipeline(runner=FnApiRunner(provision_info=ExtendedProvisionInfo(told)), options=options)

    def in_process(self) -> "PipelineRunner":
        """How a job is run again of which something was lost: in this process, where no message can be.

        Beam 2.77's local runner with several workers loses one in rare cases, out of some hundreds of megabytes.
        """
        return self if self.names_runner else replace(self, workers=1)

    @property
    def names_runner(self) -> bool:
        """Whether the jobs run where a runner of the user's choice puts them, and not on this machine."""
        return any(option.split("=")[0] == "--runner" for option in self.beam_options)

    def _local_options(self) -> list[str]:
        if self.workers == 1 or self.names_runner:
            return []
        processes = ["--direct_running_mode=multi_processing", f"--direct_num_workers={self.workers}"]
        return [*processes, "--default_sdk_harness_log_level=CRITICAL"]


def unwrap_error(error: Exception) -> Exception:
    """Find our own error, or the system's, in what a runner raises: a worker's exception, or its printed traceback.

    Beam appends the step's name to the message in both.
    """
    if isinstance(error, TracktokensError):
        return type(error)(str(error).partition(_STEP)[0])
    found = _OURS.findall(str(error))
    if not found:
        return _unwrap_os_error(error)
    name, message = found[-1]
    kind = getattr(errors, name, TracktokensError)
    return kind(message) if issubclass(kind, TracktokensError) else error


def _unwrap_os_error(error: Exception) -> Exception:
    """Find what the system said; of another error, that error."""
    found = _SYSTEMS.findall(str(error))
    if not found or isinstance(error, OSError):
        return error
    number, message = found[-1]
    return OSError(int(number), message)
