"""Errors of decoding."""


class AudioDecodeError(Exception):
    """A file has no usable window.

    Attributes:
        reason: ``AUDIO_MISSING``, ``AUDIO_UNDECODABLE``, ``AUDIO_EMPTY`` or ``NOT_FINITE`` of
            ``schemas.tables.rejects``.
        detail: one line for people. It does not name the file, so that it is the same on every machine.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def one_line(text: str) -> str:
    r"""Join the lines of a library's message.

    >>> one_line("Format not recognised.\n  (code 1)")
    'Format not recognised. (code 1)'
    """
    return " ".join(text.split())
