"""Writer lock: one process at a time writes a store.

On a local filesystem the kernel locks ``STORE/writer.lock``, so the lock ends with the process that holds it, even if
that is killed. The file names this process for messages. A symbolic link in its place is refused, as it would empty
the file that it leads to; a file with a second name, as in a backup of hard links, is replaced. On an object store, a
lease takes the place of the lock, see :mod:`tracktokens.transforms.store.lease`. Other filesystems have no lock: there,
publishing compares ``LATEST`` with its value at the start of the work.
"""

import errno
import fcntl
import functools
import logging
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from tracktokens.schemas.errors import StoreBusyError, UsageError
from tracktokens.transforms.store import files
from tracktokens.transforms.store.conditional import NotConditionalError, check_access, object_store
from tracktokens.transforms.store.layout import LOCK, STORE_MANIFEST, store_manifest, store_root
from tracktokens.transforms.store.lease import Holder, Lease

_logger = logging.getLogger(__name__)

UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""Error numbers of filesystems without locks, such as some network filesystems."""

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
"""Flags of the lock file: no link is followed, and a pipe is opened without waiting for its reader."""


class Job(Protocol):
    """A class whose methods :func:`writes` decorates."""

    @property
    def store(self) -> str:
        """Root of the store."""


AnyJob = TypeVar("AnyJob", bound=Job)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


_held: dict[tuple[str, int], int] = {}
"""Locks that this process holds: root and thread to file descriptor."""

_leases: dict[tuple[str, int], Lease | None] = {}
"""Leases that this process holds: root and thread to lease; None on a filesystem without."""


def writes(
    command: str, *, creates: bool = False
) -> Callable[[Callable[Concatenate[AnyJob, Arguments], Result]], Callable[Concatenate[AnyJob, Arguments], Result]]:
    """Decorate a job's method to hold the lock of the job's store while it runs; see :func:`writer`."""

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
    """Hold the lock of a store during a block.

    The lock is reentrant per thread, since jobs call jobs. Child processes do not inherit it. A remote filesystem
    without locks causes a warning.

    Args:
        root: root of the store.
        command: name of the job, for the message to other writers.
        creates: whether the block may create the store. If not, a folder without a store is not locked.

    Raises:
        StoreBusyError: another process or thread holds the lock.
        UsageError: the folder cannot be written, or the credentials or the bucket are missing.
    """
    root = store_root(root)
    with _lease(root, command, creates) if files.is_remote(root) else _local_lock(root, command, creates):
        yield


def lock_error(folder: Path) -> OSError | None:
    """Try a lock in a local folder; return why its filesystem has none, or None.

    Raises:
        OSError: the folder cannot be written.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            return error
    return None


def require_writer(root: str) -> None:
    """Check that no other process took over the lease of a store, before something is done that it must not overlap.

    Without a lease on the store, nothing is checked.

    Raises:
        StoreBusyError: another process took it over.
    """
    lease = _leases.get((store_root(root), threading.get_ident()))
    if lease is not None:
        lease.renew()


def release_leases() -> None:
    """Release the leases that this process holds, from any thread, before the process ends within their blocks."""
    for lease in list(_leases.values()):
        if lease is not None:
            lease.release()


@contextmanager
def _lease(root: str, command: str, creates: bool) -> Iterator[None]:
    """Hold the lease of a store on an object store."""
    owner = (root, threading.get_ident())
    if owner in _leases or not (creates or _remote_exists(root)):
        yield
        return
    _leases[owner] = lease = _acquire_lease(root, command)
    try:
        yield
    finally:
        del _leases[owner]
        if lease is not None:
            lease.release()


def _remote_exists(root: str) -> bool:
    check_access(root)
    return files.exists(store_manifest(root))


def _acquire_lease(root: str, command: str) -> Lease | None:
    store = object_store(root)
    if store is not None:
        lease = Lease(store, root, command)
        with suppress(NotConditionalError):
            lease.acquire()
            return lease
    _logger.warning("%s is on a filesystem without locks: make sure that no other process writes it now", root)
    return None


@contextmanager
def _local_lock(root: str, command: str, creates: bool) -> Iterator[None]:
    """Hold the lock of a store on a local filesystem."""
    owner = (os.path.realpath(root), threading.get_ident())
    if owner in _held or not (creates or Path(root, STORE_MANIFEST).exists()):
        yield
        return
    new_folders = [folder for folder in (Path(root), *Path(root).parents) if not folder.exists()]
    _held[owner] = _acquire(root, command)
    try:
        yield
    finally:
        _release(root, _held.pop(owner), new_folders)


def _acquire(root: str, command: str) -> int:
    """Open and lock the file; the lock belongs to the descriptor that is returned."""
    path = Path(root, LOCK)
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, _OPEN, 0o666)
        except OSError as error:
            if path.is_symlink():
                raise _not_ours(path) from error
            raise UsageError(f"{root} cannot be written ({error}): give a writable folder") from error
        try:
            _check_regular(path, descriptor)
            _lock(root, descriptor)
            if _is_same(path, descriptor) and not _replace_shared(root, path, descriptor):
                _sign(descriptor, command)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the file was replaced, or its last holder created no store and deleted it


def _check_regular(path: Path, descriptor: int) -> None:
    """Check that the open file is a regular one: its content is replaced."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise _not_ours(path)


def _replace_shared(root: str, path: Path, descriptor: int) -> bool:
    """Put a new file in the place of the locked one if that has other names, whose content must stay."""
    if os.fstat(descriptor).st_nlink == 1:
        return False
    try:
        new, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        os.close(new)
        Path(name).chmod(stat.S_IMODE(os.fstat(descriptor).st_mode))
        Path(name).replace(path)
    except OSError as error:
        raise UsageError(f"{root} cannot be written ({error}): give a writable folder") from error
    return True


def _not_ours(path: Path) -> UsageError:
    return UsageError(f"{path} is a link, or not a regular file: remove it, and run the same command again")


def _lock(root: str, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            raise StoreBusyError(_busy_message(root, descriptor)) from error
        if error.errno not in UNSUPPORTED:
            raise
        _logger.warning("%s cannot be locked (%s): make sure that no other process writes it now", root, error)


def _is_same(path: Path, descriptor: int) -> bool:
    """Return whether the open file still has that path."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    return False


def _sign(descriptor: int, command: str) -> None:
    with suppress(OSError):  # on a full disk the lock is held without it, so that gc can free space
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, Holder.this_process(command).content(), 0)


def _busy_message(root: str, descriptor: int) -> str:
    holder = Holder.parse(os.pread(descriptor, 1 << 12, 0))
    if holder is None:  # it holds the lock and has not written its name yet
        return f"{root} is being written by another process: wait until it ends"
    return f"{root} is being written by {holder.describe()}: wait, or end that process"


def _release(root: str, descriptor: int, new_folders: list[Path]) -> None:
    """Release the lock; if no store was created, delete the lock file and the new folders."""
    if not Path(root, STORE_MANIFEST).exists():
        with suppress(OSError):
            Path(root, LOCK).unlink()
        for folder in new_folders:
            with suppress(OSError):  # the folder is not empty
                folder.rmdir()
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def _close_in_child() -> None:
    """Close the descriptors of a forked child, which would keep the lock after the holder ends."""
    for descriptor in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_close_in_child)
