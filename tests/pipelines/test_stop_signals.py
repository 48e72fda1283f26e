"""Commands in processes of their own get signals and closed pipes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.servers import ended

START = """
import sys, threading, time
import click
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.stop_signals import KEPT, advise, handles, last_step
from tracktokens.pipelines.terminal import echo, make_console

@main.command()
def work():
    {body}

sys.argv = ["tracktokens", "work"]
main()
"""

STOPPED = "stopped; what was encoded is kept; run the same command again\n"


def start(*body: str) -> "subprocess.Popen[str]":
    """Start a command with this body, and wait until it prints a line."""
    command = [sys.executable, "-c", START.format(body="\n    ".join(body))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def send(process: "subprocess.Popen[str]", *numbers: signal.Signals) -> tuple[int, str, float]:
    """Send signals, and return the exit code, standard error and the seconds until the end."""
    sent = time.monotonic()
    for number in numbers:
        process.send_signal(number)
    errors = process.communicate(timeout=60)[1]
    return process.returncode, errors, time.monotonic() - sent


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_with_one_line(number: signal.Signals, code: int, tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    waiting = [f"    open({str(cleaned)!r}, 'w').close()"]
    process = start("advise(KEPT)", "try:", "    echo('ready')", "    time.sleep(60)", "finally:", *waiting)
    assert send(process, number, number)[:2] == (code, STOPPED)  # `timeout` sends it twice
    assert cleaned.exists()


def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    lease = tmp_path / "lease"
    lease.touch()
    body = [
        "while True:",
        "    try:",
        "        echo('ready')",
        "        time.sleep(60)",
        "    except BaseException: pass",
    ]
    step = f"with last_step(__import__('pathlib').Path({str(lease)!r}).unlink):"
    process = start("advise(KEPT)", step, *(f"    {line}" for line in body))
    code, errors, seconds = send(process, signal.SIGINT)
    assert (code, errors) == (130, STOPPED)
    assert seconds > 0.9
    assert not lease.exists()


def test_threads_that_go_on_are_not_waited_for() -> None:
    body = "threading.Thread(target=time.sleep, args=(60,)).start()"
    assert send(start(body, "echo('ready')", "time.sleep(60)"), signal.SIGINT)[:2] == (130, "stopped\n")


def test_a_block_may_handle_a_signal_itself() -> None:
    body = ["with handles(__import__('signal').SIGINT):", "    try:", "        echo('ready')", "        time.sleep(60)"]
    body += ["    except KeyboardInterrupt:", "        time.sleep(2)", "        echo('handled', err=True)"]
    assert send(start(*body), signal.SIGINT)[:2] == (0, "handled\n")


@pytest.mark.parametrize("output", ["echo(number)", "console.print(number)"])
def test_a_closed_output_ends_a_command_quietly(output: str) -> None:
    process = start("console = make_console()", "echo('ready')", "for number in range(100_000):", f"    {output}")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 141


@pytest.mark.disturbed
def test_a_pipeline_with_workers_stops_silently(tmp_path: Path) -> None:
    body = f"""
import os, sys, time
from pathlib import Path
import apache_beam as beam
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.cli.options.common import runner_with_progress

def wait(number):
    Path({str(tmp_path)!r}, str(os.getpid())).touch()
    time.sleep(60)

@main.command()
def work():
    with runner_with_progress(2, ()) as (runner, _):
        runner.run(lambda pipeline: pipeline | beam.Create([1, 2]) | beam.Reshuffle() | beam.Map(wait))

sys.argv = ["tracktokens", "work"]
main()
"""
    process = subprocess.Popen([sys.executable, "-c", body], stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not (workers := [int(path.name) for path in tmp_path.iterdir()]):
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.communicate(timeout=60)[1] == "stopped; run the same command again\n"
    assert process.returncode == 130
    for worker in workers:
        assert ended(worker)
