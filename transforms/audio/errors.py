"""Why no window of a file can be had."""


class AudioDecodeError(Exception):
    """A file of which no window can be had.

    Attributes:
        reason: ``AUDIO_MISSING``, ``AUDIO_UNDECODABLE``, ``AUDIO_EMPTY`` or ``NOT_FINITE`` of ``schemas.rejects``.
        detail: one line for people. It never names the file, so that it holds on any machine.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def one_line(text: str) -> str:
    """Bring a library's message onto one line."""
    return " ".join(text.split())
