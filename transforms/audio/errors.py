"""Errors of decoding."""

import errno
import os

from tracktokens.schemas.tables import rejects

_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EISDIR}


class AudioDecodeError(Exception):
    """A file has no usable window.

    Attributes:
        reason: ``AUDIO_MISSING``, ``AUDIO_UNREADABLE``, ``AUDIO_UNDECODABLE``, ``AUDIO_EMPTY`` or ``NOT_FINITE`` of
            ``schemas.tables.rejects``.
        detail: one line for people. It does not name the file, so that it is the same on every machine.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def read_error(error: OSError) -> AudioDecodeError:
    """Convert an error of the system: the file is missing, or cannot be read now. Neither is a property of its content.

    >>> read_error(PermissionError(errno.EACCES, "any text", "a.mp3"))
    AudioDecodeError('audio_unreadable: Permission denied')
    """
    if error.errno in _MISSING:
        return AudioDecodeError(rejects.AUDIO_MISSING, "no such file")
    return AudioDecodeError(rejects.AUDIO_UNREADABLE, os.strerror(error.errno) if error.errno else one_line(str(error)))


def one_line(text: str) -> str:
    r"""Join the lines of a library's message.

    >>> one_line("Format not recognised.\n  (code 1)")
    'Format not recognised. (code 1)'
    """
    return " ".join(text.split())
