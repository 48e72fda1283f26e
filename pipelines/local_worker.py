"""A worker process on this machine: Beam's, which ends silently with the process that started it.

``python -m tracktokens.pipelines.local_worker PARENT`` is started with Beam's environment variables. It ignores the
signals that end the parent from its first instruction on: each of its threads would print a traceback.
"""

import ctypes
import os
import shlex
import signal
import sys
import threading

PARENT_SECONDS = 1.0
"""Time between two looks at the parent, where the system sends no signal when it ends."""

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


def worker_command() -> str:
    """Return the command, for a shell, that starts a worker of this process."""
    return f"trap '' INT TERM; exec {shlex.join([sys.executable, '-m', __name__, str(os.getpid())])}"


def main() -> None:
    """Run a worker until its parent ends."""
    _end_with(int(sys.argv[1]))
    from apache_beam.runners.worker import sdk_worker_main

    from tracktokens.pipelines.beam_patches import keep_specs

    keep_specs()
    sdk_worker_main.main(sys.argv[:1])


def _end_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End this process when its parent has ended, also if that was before this process asked for the signal."""
    while os.getppid() == parent:
        threading.Event().wait(PARENT_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
