"""One writer at a time: who holds a store, and how a second writer finds out.

On a local filesystem the kernel locks ``STORE/writer.lock``, so the lock ends with its owner, however that ends. The
file's contents only tell who it is. Other filesystems have no lock: there, publishing compares ``LATEST`` with what it
was when the work began.
"""

import errno
import fcntl
import functools
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from tracktokens.schemas.errors import StoreBusyError, UsageError
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import LOCK, STORE_MANIFEST

_logger = logging.getLogger(__name__)

UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What filesystems answer that know no locks, some network filesystems among them."""


class Job(Protocol):
    """What :func:`writes` decorates methods of."""

    @property
    def store(self) -> str:
        """Root of the store."""


AnyJob = TypeVar("AnyJob", bound=Job)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Holder:
    """Who writes a store.

    Attributes:
        host: name of the machine.
        pid: process id there.
        command: what runs, as ``tracktokens`` calls it.
        since: time in UTC, ISO 8601 to the second.
    """

    host: str
    pid: int
    command: str
    since: str


_held: dict[tuple[str, int], int] = {}
"""Lock files that this process holds: root and thread to descriptor."""


def writes(
    command: str, *, creates: bool = False
) -> Callable[[Callable[Concatenate[AnyJob, Arguments], Result]], Callable[Concatenate[AnyJob, Arguments], Result]]:
    """Decorate a job's method so that it holds the job's store while it runs; see :func:`writer`."""

    def decorate(
        method: Callable[Concatenate[AnyJob, Arguments], Result],
    ) -> Callable[Concatenate[AnyJob, Arguments], Result]:
        @functools.wraps(method)
        def locked(job: AnyJob, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            with writer(job.store, command, creates=creates):
                return method(job, *args, **kwargs)

        return locked

    return decorate


@contextmanager
def writer(root: str, command: str, *, creates: bool = False) -> Iterator[None]:
    """Hold a store for the length of a block, as its only writer.

    A thread that holds it may enter again: jobs call jobs. Child processes do not inherit it.

    Args:
        root: root of the store.
        command: the job's name, for whoever is turned away.
        creates: whether the block may make the store. Otherwise there is nothing to hold where there is none.

    Raises:
        StoreBusyError: somebody else holds it.
        UsageError: no store can be made there.
    """
    root = files.absolute(root)
    mine = (os.path.realpath(root), threading.get_ident())
    if files.is_remote(root) or mine in _held or not (creates or Path(root, STORE_MANIFEST).exists()):
        yield
        return
    made = [folder for folder in (Path(root), *Path(root).parents) if not folder.exists()]
    _held[mine] = _acquire(root, command)
    try:
        yield
    finally:
        _release(root, _held.pop(mine), made)


def _acquire(root: str, command: str) -> int:
    """Open and lock the file; the lock is bound to the descriptor."""
    path = Path(root, LOCK)
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UsageError(f"{root} cannot be written ({error}): give a folder that can be") from error
        try:
            _lock(root, descriptor)
            if _is_same(path, descriptor):
                _sign(descriptor, command)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last owner made no store of the folder and took it away


def _lock(root: str, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            raise StoreBusyError(_told(root, descriptor)) from error
        if error.errno not in UNSUPPORTED:
            raise
        _logger.warning("%s cannot be locked (%s): see to it that nothing else writes it now", root, error)


def _is_same(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one of that name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _sign(descriptor: int, command: str) -> None:
    since = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    holder = Holder(socket.gethostname(), os.getpid(), command, since)
    with suppress(OSError):  # on a full disk the lock holds without it, so that gc can make room
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode() + b"\n", 0)


def _told(root: str, descriptor: int) -> str:
    holder = _read(descriptor)
    if holder is None:  # it has the lock and has not signed yet
        return f"{root} is being written by another process: wait until it is done"
    since = holder.since.replace("T", " ").removesuffix(":00Z").removesuffix("Z")
    return (
        f"{root} is being written by `tracktokens {holder.command}` (process {holder.pid} on {holder.host}) "
        f"since {since} UTC: wait, or end that process"
    )


def _read(descriptor: int) -> Holder | None:
    with suppress(ValueError, TypeError):
        return Holder(**json.loads(os.pread(descriptor, 1 << 12, 0)))
    return None


def _release(root: str, descriptor: int, made: list[Path]) -> None:
    """Let go; where no store was made, leave the place as it was."""
    if not Path(root, STORE_MANIFEST).exists():
        with suppress(OSError):
            Path(root, LOCK).unlink()
        for folder in made:
            with suppress(OSError):  # something else is in it
                folder.rmdir()
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def _forget() -> None:
    """In a forked child: its copy of a descriptor would keep the lock when the owner is dead."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
