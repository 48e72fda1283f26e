"""Remote files: list them with Beam, and match them as local files are matched."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tracktokens.transforms.listing.found_files import FoundFiles, is_noise
from tracktokens.transforms.listing.patterns import EVERYTHING, Pattern, is_hidden, split_wildcards
from tracktokens.transforms.store.layout import STORE_MANIFEST

RemoteFile = tuple[str, int]
"""Path and bytes."""


def list_remote(pattern: str, is_table: Callable[[str], bool]) -> tuple[FoundFiles, bool]:
    """List the files of a remote path, folder or glob, and return whether it is the path of one file.

    Raises:
        ValueError: Beam does not know the filesystem.
        BeamIOError: it cannot be listed.
    """
    if not glob.has_magic(pattern):
        exact = [] if pattern.endswith("/") else match_remote(pattern)
        if exact:
            return FoundFiles(exact), True
        folder = pattern.rstrip("/")
        return _Matches(folder, EVERYTHING, is_table).select(match_remote(f"{folder}/**")), False
    folder, rest = split_wildcards(pattern)
    # Beam's own `**` needs a folder, so a wider listing is filtered here. Both list everything with the same prefix.
    prefix = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return _Matches(folder, Pattern.of(rest), is_table).select(match_remote(f"{prefix}**")), False


def match_remote(pattern: str) -> list[RemoteFile]:
    """List the files that match a pattern of Beam; see :func:`list_remote`."""
    from apache_beam.io.filesystems import FileSystems

    (matched,) = FileSystems.match([pattern])
    return [(file.path, file.size_in_bytes) for file in matched.metadata_list]


@dataclass
class _Matches:
    """Remote files that match a pattern, sorted out from a wider listing.

    Attributes:
        folder: the folder that the pattern is below.
        pattern: the pattern.
        is_table: returns whether a name has the ending of a table.
    """

    folder: str
    pattern: Pattern
    is_table: Callable[[str], bool]
    _below: dict[str, list[RemoteFile]] = field(default_factory=dict)

    def select(self, listed: list[RemoteFile]) -> FoundFiles:
        """Select files as :func:`.local_files.list_glob` does."""
        found = FoundFiles()
        for path, size in listed:
            name = path.removeprefix(f"{self.folder}/")
            if name == path or path.endswith("/"):  # beside the folder, or the marker of a folder
                continue
            if self.pattern.matches(name):
                found.files.append((path, size))
            elif (matched := self._matched_folder(name)) is not None:
                self._below.setdefault(f"{self.folder}/{matched}", []).append((path, size))
            elif self._is_hidden_table(name):
                found.hidden.append(path)
        every = not found.files
        for folder, below in self._below.items():
            if any(path == f"{folder}/{STORE_MANIFEST}" for path, _ in below):
                continue
            if every or self.is_table(folder):
                found.files += below
            else:
                found.folders.append(folder)
        return found

    def _matched_folder(self, name: str) -> str | None:
        """Return the folder of a file that matches, if there is one and nothing below it is hidden."""
        names = name.split("/")
        for depth in range(1, len(names)):
            folder = "/".join(names[:depth])
            if self.pattern.matches(folder) and EVERYTHING.matches("/".join(names[depth:])):
                return folder
        return None

    def _is_hidden_table(self, name: str) -> bool:
        noise = any(is_hidden(part) and is_noise(part) for part in name.split("/"))
        return not noise and self.is_table(name) and self.pattern.matches(name, hidden=True)
