"""Beam's runner on this machine, with workers that end with this process."""

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_provision_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo, FnApiRunner, RunnerResult
from apache_beam.runners.portability.portable_runner import JobServiceHandle

from tracktokens.pipelines.local_worker import worker_command


class LocalRunner(FnApiRunner):
    """Runs a pipeline in this process, or in worker processes.

    Not DirectRunner: it switches to another runner, with other guarantees, when it can download one.
    """

    def __init__(self, options: PipelineOptions) -> None:
        # Worker processes get the options, and the level of their logs, only from here.
        provision = beam_provision_api_pb2.ProvisionInfo(
            pipeline_options=JobServiceHandle.encode_pipeline_options(options.get_all_options())
        )
        super().__init__(provision_info=ExtendedProvisionInfo(provision))

    def run_via_runner_api(
        self, pipeline_proto: beam_runner_api_pb2.Pipeline, options: PipelineOptions
    ) -> RunnerResult:
        """Run a pipeline whose worker processes are :mod:`~tracktokens.pipelines.local_worker`."""
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.payload = worker_command().encode()
        return super().run_via_runner_api(pipeline_proto, options)
