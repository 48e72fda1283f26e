"""Beam's runner on this machine, with workers that end with this process, and whose end it notices."""

import contextlib
import signal
import threading
from collections.abc import Iterator

import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_provision_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo, FnApiRunner, RunnerResult
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    BeamFnControlServicer,
    GrpcServer,
    GrpcWorkerHandler,
    StateServicer,
    WorkerHandler,
)
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from google.protobuf.json_format import MessageToJson
from google.protobuf.text_format import MessageToString

from tracktokens.pipelines.local_worker import fork_server
from tracktokens.schemas.errors import TracktokensError

LOCAL_WORKER = "tracktokens:env:local_worker:v1"
"""URN of the environment of :class:`LocalWorkerHandler`."""

ABORT_SECONDS = 0.1
"""Time between two looks for requests to a worker that has ended."""


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
                environment.urn = LOCAL_WORKER
                environment.payload = b""
        with _quiet_connections():
            return super().run_via_runner_api(pipeline_proto, options)


@contextlib.contextmanager
def _quiet_connections() -> Iterator[None]:
    """Print no traceback of the threads that read from a worker when it ends: the job has its error."""
    print_traceback = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not issubclass(arguments.exc_type, grpc.RpcError):
            print_traceback(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        if threading.excepthook is hook:
            threading.excepthook = print_traceback


@WorkerHandler.register_environment(LOCAL_WORKER, bytes)
class LocalWorkerHandler(GrpcWorkerHandler):
    """The handler of a worker process.

    Beam's own waits forever in two cases. Here a worker that connects when the job has already failed is sent the end,
    and a worker that dies, such as when memory is short, or never starts, fails the job.
    """

    def __init__(
        self, payload: bytes, state: StateServicer, provision_info: ExtendedProvisionInfo, grpc_server: GrpcServer
    ) -> None:
        super().__init__(state, provision_info, grpc_server)
        self._closing = threading.Event()
        self._thread = threading.Thread(name="run_worker", target=self._run)

    def start_worker(self) -> None:
        """Start the process, and the thread that waits for its end."""
        self._thread.start()

    def stop_worker(self) -> None:
        """Wait until the process has ended."""
        self._thread.join()

    def _run(self) -> None:
        """Run the worker until it ends; where that is too early, fail the requests to it."""
        reason = self._run_to_its_end()
        error = TracktokensError(f"a worker process stopped before its work was done: {reason}")
        while not self._closing.wait(ABORT_SECONDS):
            self.data_conn._exception = error  # for those that wait for elements of a worker that never connected
            for request in list(self.control_conn._futures_by_id.values()):
                request.abort(error)

    def _run_to_its_end(self) -> str:
        """Run the worker, and explain its end."""
        try:
            exit_code = fork_server.fork(self._environment()).result()
        except OSError as error:
            return f"it could not be started: {error}"
        if exit_code is None:
            return "so did the process that forks all workers"
        if exit_code == -signal.SIGKILL:
            return "the system killed it, which it does when memory is short: use fewer --workers"
        return f"its exit code was {exit_code}" if exit_code else "it ended by itself"

    def _environment(self) -> dict[str, str]:
        """Return the variables that Beam's worker reads."""
        return {
            "CONTROL_API_SERVICE_DESCRIPTOR": MessageToString(self.control_api_service_descriptor()),
            "LOGGING_API_SERVICE_DESCRIPTOR": MessageToString(self.logging_api_service_descriptor()),
            "PIPELINE_OPTIONS": MessageToJson(self.provision_info.provision_info.pipeline_options),
            "WORKER_ID": self.worker_id,
        }

    def close(self) -> None:
        """End the worker, also if it has not connected yet, and wait until it has ended."""
        self._closing.set()
        self.control_conn.push(BeamFnControlServicer._DONE_MARKER)
        super().close()
