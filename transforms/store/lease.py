"""Lease of a store on an object store: an object that names the writer, and that the writer renews while it works.

The object is ``STORE/writer.lock``. It is created and renewed by conditional writes, so two processes never hold it at
once. Its age is measured by the clock of the object store alone. A lease that was not renewed for its number of seconds
belongs to a process that was killed, and the next writer takes it over.
"""

import json
import logging
import os
import socket
import threading
import uuid
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone

from tracktokens.schemas.errors import StoreBusyError
from tracktokens.schemas.filesystem_errors import converted_errors
from tracktokens.transforms.store import conditional, files
from tracktokens.transforms.store.conditional import ConflictError, ObjectStore, StoredObject
from tracktokens.transforms.store.layout import LOCK, store_file

_logger = logging.getLogger(__name__)

SECONDS = 300.0
"""Time after its last renewal at which a lease ends."""

RENEWALS = 5
"""Renewals in the time of a lease: it survives that several of them fail."""


@dataclass(frozen=True)
class Holder:
    """The process that writes a store.

    Attributes:
        host: name of the machine.
        pid: process id on it.
        command: the ``tracktokens`` command that runs.
        since: start time in UTC, ISO 8601 to the second.
        owner: random id of a lease; empty for a local lock.
        renewals: number of renewals of a lease, so that each write of it is a new version.
        seconds: time after its last renewal at which a lease ends; 0 for a local lock.
    """

    host: str
    pid: int
    command: str
    since: str
    owner: str = ""
    renewals: int = 0
    seconds: float = 0.0

    @classmethod
    def this_process(cls, command: str) -> "Holder":
        """Name this process."""
        since = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return cls(socket.gethostname(), os.getpid(), command, since)

    @classmethod
    def parse(cls, content: bytes) -> "Holder | None":
        """Parse the content of a lock; None if it is empty or has another form."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError):
            return None

    def content(self) -> bytes:
        """Return the content of a lock."""
        return json.dumps(asdict(self)).encode() + b"\n"

    def describe(self) -> str:
        """Describe the process for a message."""
        since = self.since.replace("T", " ").removesuffix(":00Z").removesuffix("Z")
        return f"`tracktokens {self.command}` (process {self.pid} on {self.host}) since {since} UTC"


class Lease:
    """A lease that this process holds, from :meth:`acquire` to :meth:`release`."""

    def __init__(self, store: ObjectStore, root: str, command: str) -> None:
        self._store = store
        self._root = root
        self._path = store_file(root, LOCK)
        self._holder = replace(Holder.this_process(command), owner=uuid.uuid4().hex, seconds=SECONDS)
        self._version = ""
        self._taken = False
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def acquire(self) -> None:
        """Take the lease, and renew it in a thread from now on.

        Raises:
            StoreBusyError: another process holds it.
            NotConditionalError: the object store has no conditional writes.
        """
        while not self._version:
            with converted_errors(self._path):
                found = self._store.read(self._path)
                if found is not None and found.content.strip():
                    self._require_expired(found)
            try:
                version = found.version if found else None
                self._version = conditional.replace(self._store, self._path, self._holder.content(), version)
            except ConflictError:
                continue  # another process was faster: it is the holder now
        self._check_conditions()
        self._thread.start()

    def renew(self) -> None:
        """Renew the lease.

        Raises:
            StoreBusyError: another process took it over.
        """
        with self._lock:
            if self._taken:
                raise self._lost()
            self._holder = replace(self._holder, renewals=self._holder.renewals + 1)
            try:
                self._version = conditional.replace(self._store, self._path, self._holder.content(), self._version)
            except ConflictError as error:
                self._taken = True
                raise self._lost() from error

    def release(self) -> None:
        """Stop the renewals, and empty the object. An error is a warning: the lease then ends by itself."""
        self._end.set()
        self._thread.join()
        try:
            if not self._taken:
                conditional.replace(self._store, self._path, b"\n", self._version)
        except ConflictError:
            _logger.warning("%s was taken over by another process", self._path)
        except Exception as error:  # the job's own outcome is the one to show
            _logger.warning("%s cannot be released (%s): it ends in %.0f s", self._path, error, self._holder.seconds)

    def _require_expired(self, found: StoredObject) -> None:
        """Raise a StoreBusyError if a lease has not ended yet."""
        holder = Holder.parse(found.content)
        name = holder.describe() if holder else "another process"
        left = found.updated + (holder.seconds if holder else SECONDS) - self._time()
        if left > 0:
            raise StoreBusyError(
                f"{self._root} is being written by {name}: wait, or end that process. If it was killed, its lock ends "
                f"in {left:.0f} seconds; to free the store now, delete {self._path}"
            )
        _logger.warning("%s: taking over the lock of %s, which ended %.0f seconds ago", self._root, name, -left)

    def _time(self) -> float:
        """Return the time of the object store's clock: that of an object which is written now."""
        probe = f"{self._path}.{self._holder.owner}{files.PARTIAL}"  # gc removes it if this process is killed now
        conditional.replace(self._store, probe, self._holder.owner.encode(), None)
        written = self._store.read(probe)
        self._store.delete(probe)
        return written.updated if written else 0.0

    def _check_conditions(self) -> None:
        """Warn if the object store ignores the condition of a write."""
        try:
            self._version = self._store.write(self._path, self._holder.content(), None)
        except ConflictError:
            return
        _logger.warning(
            "%s: this object store ignores conditional writes: make sure that no other process writes it",
            self._root,
        )

    def _keep(self) -> None:
        while not self._end.wait(self._holder.seconds / RENEWALS):
            try:
                self.renew()
            except StoreBusyError as error:
                _logger.warning("%s", error)
                return
            except Exception as error:  # the next renewal may succeed
                _logger.warning("%s cannot be renewed: %s", self._path, str(error).partition("\n")[0])

    def _lost(self) -> StoreBusyError:
        return StoreBusyError(
            f"{self._root}: another process took over the lock of this job, which was not renewed for "
            f"{self._holder.seconds:.0f} seconds; nothing is published, run this job again"
        )
