"""Locations of audio files in libraries: addresses, paths of different machines, and what they are below a folder."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from tracktokens.pipelines.catalog_import.catalog_folder import utf8_path
from tracktokens.pipelines.catalog_import.music_folder.playlist_files import possible_paths
from tracktokens.schemas.errors import UsageError


@dataclass(frozen=True)
class AudioRoot:
    """A folder with the audio files of a library, which may have been on a different machine or drive.

    Raises:
        UsageError: it is not a folder.
    """

    folder: str

    def __post_init__(self) -> None:
        if not Path(self.folder).is_dir():
            raise UsageError(f"{self.folder} is not a folder: give the folder with the music as --audio-root")

    def find(self, location: str) -> str | None:
        r"""Find the file of a location: the longest end of it that is a file below the folder.

        Args:
            location: ``file:`` address or path, of Windows too.

        Returns:
            Its path below the folder, as the folder writes it; None if there is none.
        """
        if "\0" in location or utf8_path(location) != location:  # tables have paths in UTF-8
            return None
        for path in possible_paths(location, ""):
            for form in dict.fromkeys((path, *(unicodedata.normalize(name, path) for name in ("NFC", "NFD")))):
                if self._is_inside(form):
                    return form
        return None

    def _is_inside(self, path: str) -> bool:
        full = os.path.join(self.folder, path)  # noqa: PTH118
        try:
            if not Path(full).is_file():
                return False
        except (OSError, ValueError):  # a name that is too long, or that the filesystem cannot write
            return False
        return Path(os.path.realpath(full)).is_relative_to(os.path.realpath(self.folder))
