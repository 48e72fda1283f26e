"""Servers of a test: processes on loopback that end with it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(
    command: Sequence[str], log: Path, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a process in a session of its own, and end the session with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and those that it started."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(10)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(10 * START_SECONDS):
        assert process.poll() is None, f"a server of the test ended: {process.args!r}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on port {port}: {process.args!r}")


def ended(process: int) -> bool:
    """Wait until a process that is not a child has ended."""
    for _ in range(100):
        with suppress(FileNotFoundError):
            if "State:\tZ" not in Path(f"/proc/{process}/status").read_text("ascii"):
                time.sleep(0.1)
                continue
        return True
    return False
