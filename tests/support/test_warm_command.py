"""A forked command ends, prints and finds things as one that is started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.warm_command import PROGRAM, run_command, start_command

pytestmark = pytest.mark.job

SURROUNDINGS = """
import json, os, sys
print(json.dumps([
    sys.argv, sys.path, sys.stdin.read(), __name__, globals().get("__file__"),
    os.getcwd(), dict(os.environ), os.getpgid(0), os.getsid(0), sorted(os.listdir("/proc/self/fd")),
    [
        (stream.encoding, stream.errors, stream.line_buffering, stream.write_through)
        for stream in (sys.stdin, sys.stdout, sys.stderr)
    ],
]))
"""


def started(*arguments: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a command as a new process."""
    command, variables = [sys.executable, *map(str, arguments)], dict(os.environ)
    return subprocess.run(command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def ends(done: "subprocess.CompletedProcess[str]") -> tuple[int, str, str]:
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (PROGRAM, "--version"),
        (PROGRAM, "verify", "store"),
        (PROGRAM, "render", "tracks", "--typo"),
        ("-c", SURROUNDINGS, "one", "two"),
        ("surroundings.py", "one", "two"),
        ("-c", "import sys; sys.exit(7)"),
        ("-c", "import atexit; atexit.register(print, 'last'); raise SystemExit('an error')"),
        ("-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
        ("-c", "import threading; threading.Timer(0.2, print, ['of a thread']).start()"),
    ],
)
def test_it_is_as_one_that_is_started(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "surroundings.py").write_text(SURROUNDINGS)
    given = [str(tmp_path / word) if word == "surroundings.py" else word for word in arguments]
    assert ends(run_command(*given, folder=tmp_path)) == ends(started(*given, folder=tmp_path))


def test_it_has_the_variables_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    show = ("-c", "import os; print(os.environ.get('FRUIT'), os.getppid())")
    before, parent = run_command(*show).stdout.split()
    monkeypatch.setenv("FRUIT", "pear")
    after, other_parent = run_command(*show).stdout.split()
    assert (before, after) == ("None", "pear")
    assert parent != other_parent, "modules may have read a variable when they were imported"


def test_its_pipes_and_signals_are_those_of_a_process() -> None:
    echo = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"
    command = start_command("-c", echo, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert command.stdin is not None
    assert command.stdout is not None
    command.stdin.write("pear\n")
    command.stdin.flush()
    assert command.stdout.readline() == "PEAR\n"
    assert command.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(0.1)
    command.stdin.write("plum\n")
    assert command.communicate() == ("PLUM\n", "")
    assert command.returncode == 0


def test_one_that_takes_too_long_is_killed() -> None:
    show = "import os, sys, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        run_command("-c", show, timeout=0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(int(raised.value.cmd), 0)


def test_commands_run_at_the_same_time_and_lead_groups() -> None:
    wait = ("-c", "import sys\nprint('started', flush=True)\nsys.stdin.read()")
    pipe = subprocess.PIPE
    one, other = (start_command(*wait, stdin=pipe, stdout=pipe, new_session=True) for _ in range(2))
    for command in (one, other):
        assert command.stdout is not None
        assert command.stdout.readline() == "started\n"
    os.killpg(one.pid, signal.SIGTERM)
    assert one.wait() == -signal.SIGTERM
    assert other.communicate() == ("", "")
    assert other.wait() == 0
