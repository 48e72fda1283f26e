"""A decoder that misbehaves as the name of the file requests; runs in decoder processes."""

import fcntl
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from tracktokens.transforms.audio.errors import AudioDecodeError

HEAVY = {"apache_beam", "torch", "librosa", "scipy", "av", "faiss", "gensim"}

poisoned = False
locks = []


def decode(path, windows):
    name = Path(path).name
    if name in ACTIONS:
        return ACTIONS[name](path)
    return [np.full(windows.count, float(name), np.float32)]


def crash(path):
    os.kill(os.getpid(), signal.SIGSEGV)


def kill(path):
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(path):
    raise PermissionError(13, "Permission denied", path)


def vanish(path):
    raise FileNotFoundError(2, "No such file or directory", path)


def leave(path):
    os._exit(3)


def hang(path):
    time.sleep(600)


def doze(path):
    time.sleep(0.2)
    return [np.zeros(1, np.float32)]


def doze_and_crash(path):
    doze(path)
    crash(path)


def eat(path):
    return [np.ones(1 << 30, np.float32)]


def want(path):
    import no_such_library  # noqa: F401


def churn(path):
    """Count the page faults of temporary arrays, once as much memory has been in use."""
    faults = [faults_of(lambda: [np.ones(1 << 18, np.float32) for _ in range(16)]) for _ in range(10)]
    return [np.array(faults[1:], np.float32)]


def faults_of(allocate):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    allocate()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def stumble(path):
    raise IndexError(f"nothing\nat all in {path}")


def poison(path):
    global poisoned
    poisoned = True
    return [np.zeros(1, np.float32)]


def suffer(path):
    if poisoned:
        crash(path)
    return [np.zeros(1, np.float32)]


def list_heavy_modules(path):
    raise AudioDecodeError("imported", " ".join(sorted(HEAVY & sys.modules.keys())))


def lock(path):
    locks.append(Path(path).open("a"))  # noqa: SIM115
    fcntl.flock(locks[-1], fcntl.LOCK_EX)
    return [np.zeros(1, np.float32)]


def lock_and_hang(path):
    lock(path)
    hang(path)


ACTIONS = {
    "crash": crash,
    "leave": leave,
    "kill": kill,
    "refuse": refuse,
    "vanish": vanish,
    "hang": hang,
    "want": want,
    "churn": churn,
    "doze": doze,
    "doze-and-crash": doze_and_crash,
    "eat": eat,
    "stumble": stumble,
    "poison": poison,
    "suffer": suffer,
    "heavy": list_heavy_modules,
    "lock": lock,
    "lock-and-hang": lock_and_hang,
}
