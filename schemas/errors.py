"""Errors that a user can act on. Each class has the exit code of the command line."""


class TracktokensError(Exception):
    """Base of all errors. The message is one line: the fault, and what to do."""

    exit_code = 1


class UsageError(TracktokensError):
    """The command was called with wrong options, or an input that they name does not exist."""

    exit_code = 2


class UnknownTrackError(UsageError, LookupError):
    """The release does not have the track."""


class DriftError(TracktokensError):
    """The catalog differs from what the codebooks were trained on by more than the limits allow."""

    exit_code = 4


class InvalidDataError(TracktokensError):
    """The input exists but cannot be used: a release made from it would be wrong."""

    exit_code = 3


class StoreBusyError(TracktokensError):
    """Another job is writing to the store, or has published in the meantime. Run the command again later."""

    exit_code = 5
