"""Beam's worker pool, for several task managers: run it with the Python of the workers' own environment.

Beam's pool knows a worker by its id, and each task manager counts from 1. When one stops its worker 1-1, the pool ends
the other's, which then waits for ever. Here a worker ends when the task manager closes its channel.
"""

import sys
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.worker import worker_pool_main


class SharedPool(worker_pool_main.BeamFnExternalWorkerPoolServicer):
    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - Beam's name
        return beam_fn_api_pb2.StopWorkerResponse()


if __name__ == "__main__":
    worker_pool_main.BeamFnExternalWorkerPoolServicer = SharedPool
    worker_pool_main.main(sys.argv)
