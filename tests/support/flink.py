"""A Flink cluster on loopback: a job manager, two task managers, Beam's job server, and a pool of Python workers."""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.servers import START_SECONDS, free_port, server, wait_for_port

ENGINES = Path(__file__).parents[2] / "build" / "engines"
"""Folder of the jars, of Prism, and of the workers' environment, which ``make test-flink`` fetches."""

JARS = ENGINES / "flink"
WORKER = ENGINES / "worker"
POOL = Path(__file__).with_name("worker_pool.py")
TASK_MANAGERS = 2

PACKAGES = ("lang", "lang.reflect", "util", "util.concurrent", "util.concurrent.atomic", "net", "io", "nio", "text")
OPENS = [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in (*PACKAGES, "time")]
"""Packages of Java 17 that the serializers of Flink open."""

CONFIG = """
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: {rest}
taskmanager.bind-host: 127.0.0.1
taskmanager.host: 127.0.0.1
taskmanager.numberOfTaskSlots: 2
taskmanager.cpu.cores: 2
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 512m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.network.min: 256m
taskmanager.memory.network.max: 256m
taskmanager.memory.managed.size: 256m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
cluster.evenly-spread-out-slots: true
parallelism.default: 2
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 10
restart-strategy.fixed-delay.delay: 1 s
heartbeat.interval: 1000
heartbeat.timeout: 8000
"""
"""Two slots in each of two task managers: a job on two slots continues when one of them is lost."""


@dataclass(frozen=True)
class FlinkCluster:
    """A cluster that runs.

    Attributes:
        options: Beam's options for a job on it.
        rest: port of the job manager's REST interface.
        task_managers: their processes.
        pool: process of the worker pool, whose children are the workers.
    """

    options: tuple[str, ...]
    rest: int
    task_managers: Sequence["subprocess.Popen[bytes]"]
    pool: "subprocess.Popen[bytes]"

    def read(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.rest}{path}") as answer:
            content: dict[str, Any] = json.load(answer)
            return content

    def workers(self) -> list[int]:
        """Return the process ids of the Python workers that run; those that ended stay as zombies."""
        command = ["ps", "--ppid", str(self.pool.pid), "-o", "pid=,stat="]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
        return [int(pid) for pid, state in map(str.split, found) if not state.startswith("Z")]

    def restarts(self) -> int:
        """Return how often a job of this cluster was started again, after an exception that Flink keeps."""
        return sum(
            len(self.read(f"/jobs/{job['jid']}/exceptions")["exceptionHistory"]["entries"])
            for job in self.read("/jobs/overview")["jobs"]
        )


@contextmanager
def flink_cluster(folder: Path) -> Iterator[FlinkCluster]:
    """Start a cluster whose configuration and logs are in a folder, and end it."""
    rpc, rest, jobs, pool_port = (free_port() for _ in range(4))
    (folder / "config.yaml").write_text(CONFIG.format(rpc=rpc, rest=rest))
    with ExitStack() as stack:
        manager = stack.enter_context(
            _java(folder, "job-manager", 512, "flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint")
        )
        task_managers = [
            stack.enter_context(
                _java(folder, f"task-manager-{number}", 640, "flink.runtime.taskexecutor.TaskManagerRunner")
            )
            for number in range(TASK_MANAGERS)
        ]
        job_server = stack.enter_context(_job_server(folder, rest, jobs))
        pool = stack.enter_context(python_pool(folder, pool_port))
        for port, process in ((rest, manager), (jobs, job_server), (pool_port, pool)):
            wait_for_port(port, process)
        cluster = FlinkCluster(_options(jobs, pool_port), rest, task_managers, pool)
        _wait_for_task_managers(cluster)
        yield cluster


def _options(jobs: int, pool: int) -> tuple[str, ...]:
    return (
        "--runner=PortableRunner",
        f"--job_endpoint=127.0.0.1:{jobs}",
        "--environment_type=EXTERNAL",
        f"--environment_config=127.0.0.1:{pool}",
        "--parallelism=2",
    )


@contextmanager
def _java(folder: Path, name: str, megabytes: int, main: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    memory = [f"-Xmx{megabytes}m", "-XX:MaxDirectMemorySize=512m", "-XX:TieredStopAtLevel=1"]
    configuration = arguments or ("--configDir", str(folder))
    command = ["java", *OPENS, *memory, "-cp", f"{JARS}/*", f"org.apache.{main}", *configuration]
    with server(command, folder / f"{name}.log", folder) as process:
        yield process


def _job_server(folder: Path, rest: int, port: int):  # type: ignore[no-untyped-def]
    return _java(
        folder,
        "job-server",
        512,
        "beam.runners.flink.FlinkJobServerDriver",
        f"--flink-master=127.0.0.1:{rest}",
        f"--flink-conf-dir={folder}",
        "--job-host=127.0.0.1",
        f"--job-port={port}",
        "--artifact-port=0",
        "--expansion-port=0",
        f"--artifacts-dir={folder / 'artifacts'}",
    )


@contextmanager
def python_pool(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a worker pool from the workers' own environment, in a folder of its own."""
    home = folder / "workers"
    home.mkdir()
    binaries = WORKER / ".venv" / "bin"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["PATH"] = f"{binaries}{os.pathsep}{environment['PATH']}"
    command = [str(binaries / "python"), str(POOL), f"--service_port={port}"]
    with server(command, folder / "pool.log", home, environment) as process:
        yield process


def _wait_for_task_managers(cluster: FlinkCluster) -> None:
    for _ in range(10 * START_SECONDS):
        if cluster.read("/overview")["taskmanagers"] == TASK_MANAGERS:
            return
        time.sleep(0.1)
    raise TimeoutError("a task manager did not start")
