"""Files that a listing finds, and what it leaves out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NOISE = re.compile(
    r"\._.*|\.nfs.*|\.Trash.*|\.git|\.snapshot|\.hoodie|\.ipynb_checkpoints"
    r"|_temporary|_spark_metadata|_symlink_format_manifest|_delta_log|_delta_index|_change_data"
    r"|_started_.*|_committed_.*|_metadata.*|_common_metadata.*|_SUCCESS.*"
)
"""Hidden names that table formats, editors and filesystems make, and that nobody expects to be read."""


@dataclass
class FoundFiles:
    """Files that match a pattern, whatever their format, and paths that were left out.

    Attributes:
        files: path and bytes.
        hidden: files of a table that match apart from a hidden name; see :func:`is_noise`.
        folders: folders that match a glob and are not read, since files match it too.
        special: pipes, sockets and devices that match.
        repeated: links to a file or a folder that is listed already.
    """

    files: list[tuple[str, int]] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)


def is_noise(name: str) -> bool:
    """Return whether a hidden name is a marker, so that nothing is lost when it is skipped without a word."""
    return _NOISE.fullmatch(name) is not None
