"""Errors of the operating system on an input path, as one line with the remedy."""

from __future__ import annotations

import errno
import os

from tracktokens.schemas.display import printable
from tracktokens.schemas.errors import TracktokensError, UsageError

_NO_RIGHTS = {errno.EACCES, errno.EPERM}
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EISDIR}


def missing_table(path: str, table: str) -> UsageError:
    """Make the error of a path of an input table at which nothing is."""
    shown = printable(path)
    return UsageError(f"no such file or folder: {shown}; give the {table} table as a file, a folder or a glob")


def path_error(path: str, problem: str, error: OSError) -> TracktokensError:
    """Make the error of a path that exists for the user and not for the program.

    Args:
        path: the file or folder.
        problem: what does not work, for example ``"cannot be listed"``.
        error: the system's error, with its number.
    """
    cause = f"{printable(path)} {problem}: {os.strerror(error.errno or errno.EIO)}"
    if error.errno in _NO_RIGHTS:
        return UsageError(f"{cause}; give this user the right to read it, or leave it out")
    if error.errno == errno.ELOOP:
        return UsageError(f"{cause}; remove the link, or correct its target")
    if error.errno in _MISSING:
        return UsageError(f"{cause}; restore it, or remove the link to it, and run the same command again")
    return TracktokensError(f"{cause}; check the disk or the network, and run the same command again")
