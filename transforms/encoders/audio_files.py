"""What all audio encoders do first: read the windows of a file, or say why it has none."""

from tracktokens.transforms.audio_windows import AudioRefusedError, Signal, Windows, read_windows
from tracktokens.transforms.encoders.base import Failure


def windows_or_failure(root: str, path: str, windows: Windows) -> list[Signal] | Failure:
    """Read the windows of the file at ``path`` below ``root``; see :func:`read_windows`.

    Raises:
        OSError: a remote file is there and cannot be fetched now.
    """
    try:
        return read_windows(f"{root.rstrip('/')}/{path}", windows)
    except AudioRefusedError as error:
        return Failure(error.reason, error.detail)
