"""Errors that a user can act on. Each class has the exit code with which the command line ends."""


class TracktokensError(Exception):
    """A fault: one line that says what is wrong and what to do."""

    exit_code = 1


class UsageError(TracktokensError):
    """The command was called wrongly, or an input that it names is not there."""

    exit_code = 2


class DriftError(TracktokensError):
    """The catalog has moved away from what the codebooks were learned from, further than the user wants."""

    exit_code = 4


class InvalidDataError(TracktokensError):
    """The input is there and cannot be used: publishing from it would mislead."""

    exit_code = 3


class StoreBusyError(TracktokensError):
    """Another job writes the store, or has published in the meantime. The same command may work later."""

    exit_code = 5
