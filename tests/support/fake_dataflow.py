"""A Dataflow service on loopback: it creates a job, answers with states and metrics, and runs nothing."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from apache_beam.runners.dataflow import dataflow_runner
from apache_beam.runners.dataflow.dataflow_runner import DataflowPipelineResult
from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient
from google.cloud.dataflow import JobState

JOB = "2026-11-28_02_00_00-42"
REGION, PROJECT = "europe-west4", "music"


@dataclass
class FakeDataflow:
    """A service with one job.

    Attributes:
        states: states of the job, one per request; the last one stays.
        metrics: names of counters to their values.
        errors: texts of error messages of the job.
        on_state: called with each request for the state.
        cancels: whether the job ends when a client cancels it.
        created: jobs that were created, as JSON.
        requested: states that a client asked for.
        is_followed: whether a client waits for the job: a signal before that starts no job.
        port: port on loopback.
    """

    states: list[str]
    metrics: dict[str, int] = field(default_factory=dict)
    errors: Sequence[str] = ()
    on_state: Callable[[], None] = lambda: None
    cancels: bool = True
    created: list[Any] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    is_followed: bool = False
    port: int = 0

    @property
    def options(self) -> tuple[str, ...]:
        """Beam options that send a job to this service."""
        return (
            "--runner=DataflowRunner",
            f"--project={PROJECT}",
            f"--region={REGION}",
            "--temp_location=gs://music/tmp",
            "--sdk_container_image=europe-docker.pkg.dev/music/tracktokens:1",
            "--sdk_location=container",
            "--no_auth",
            f"--dataflow_endpoint=http://localhost:{self.port}",
        )

    def answer(self, method: str, path: str, body: Any) -> Any:
        """Answer a request of the client."""
        if method == "POST":
            self.created.append(body)
        elif method == "PUT":
            self.requested.append(JobState(body["requestedState"]).name)
            self.states[:] = self.requested[-1:] if self.cancels else self.states
        elif path.endswith("/metrics"):
            return {"metrics": [part for name, value in self.metrics.items() for part in _metric(name, value)]}
        elif path.endswith("/messages"):
            return {"jobMessages": [_message(text) for text in self.errors]}
        else:
            self.on_state()
        return {"id": JOB, "currentState": self.states.pop(0) if len(self.states) > 1 else self.states[0]}


def _metric(name: str, value: int) -> Iterator[dict[str, Any]]:
    """A counter as the service reports it: tentative, and committed, which lags behind."""
    context = {"namespace": "tracktokens.progress", "step": "scan"}
    yield {"name": {"origin": "user", "name": name, "context": {**context, "tentative": "true"}}, "scalar": value}
    yield {"name": {"origin": "user", "name": name, "context": context}, "scalar": value // 2}


def _message(text: str) -> dict[str, str]:
    stamp = "2026-11-28T02:00:00Z"
    return {"id": "1", "time": stamp, "messageText": text, "messageImportance": "JOB_MESSAGE_ERROR"}


@contextmanager
def serving(service: FakeDataflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDataflow]:
    """Serve while a block runs. Beam stages no files, and polls every few milliseconds."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            content = json.dumps(service.answer(self.command, self.path.partition("?")[0], body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = _reply  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Stay silent where a client left before it was answered: tests read what the client prints."""

    wait_until_finish = DataflowPipelineResult.wait_until_finish

    def follow(result: DataflowPipelineResult, duration: int | None = None) -> str:
        service.is_followed = True
        return wait_until_finish(result, duration)

    monkeypatch.setattr(DataflowPipelineResult, "wait_until_finish", follow)
    monkeypatch.setattr(DataflowApplicationClient, "stage_file_with_retry", lambda *args, **kwargs: None)
    quick = SimpleNamespace(sleep=lambda seconds: time.sleep(0.02), time=time.time)
    monkeypatch.setattr(dataflow_runner, "time", quick)
    server = Server(("127.0.0.1", 0), Handler)
    service.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
