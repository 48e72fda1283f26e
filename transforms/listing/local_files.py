"""Local files: walk folders and links to folders, and fail for each folder that cannot be listed.

What a folder holds is unknown if a part of it cannot be listed, so no error is skipped. Each real folder is listed
once, also if several links lead to it, and a link to a folder above itself is ignored.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from tracktokens.schemas.display import printable
from tracktokens.schemas.errors import TracktokensError, UsageError
from tracktokens.transforms.listing.found_files import FoundFiles, is_noise
from tracktokens.transforms.listing.path_errors import path_error
from tracktokens.transforms.listing.patterns import EVERYTHING, Pattern, States, is_hidden
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import CATALOGS, STORE_MANIFEST

IsTable = Callable[[str], bool]
"""Returns whether a file's name has the ending of a table."""


@dataclass(frozen=True)
class LocalPattern:
    """A glob on the local filesystem.

    Attributes:
        folder: absolute path of the folder that the glob is below; no wildcard in it counts.
        pattern: the glob below it.
    """

    folder: str
    pattern: Pattern

    @classmethod
    def of(cls, text: str) -> LocalPattern:
        """Parse a path or a glob. A name that exists as it is written is not a wildcard."""
        folder, *names = os.path.abspath(text).split("/")  # noqa: PTH100 - pathlib keeps ".."
        while len(names) > 1 and os.path.lexists(f"{folder}/{names[0]}"):
            folder = f"{folder}/{names.pop(0)}"
        return cls(folder or "/", Pattern.of("/".join(names)))


def list_folder(folder: str, is_table: IsTable) -> FoundFiles:
    """List all files below a folder.

    Raises:
        UsageError, TracktokensError: a part of it cannot be listed.
    """
    walk = _Walk(EVERYTHING, is_table)
    walk.run(folder)
    return walk.found


def list_glob(wanted: LocalPattern, is_table: IsTable) -> FoundFiles:
    """List the files that match a glob.

    A folder that matches is listed with all below it if it is named like a table, as Spark names folders, or if no file
    matches.

    Raises:
        UsageError, TracktokensError: a folder that the glob leads through cannot be listed.
    """
    walk = _Walk(wanted.pattern, is_table)
    walk.run(wanted.folder)
    below = _Walk(EVERYTHING, is_table, walk.found, real_files=walk.real_files)
    matched, walk.found.folders = [path for path in walk.found.folders if not _is_store(path)], []
    every = not walk.found.files
    for folder in matched:
        if every or is_table(folder):
            below.run(folder)
        else:
            walk.found.folders.append(folder)
    return walk.found


@dataclass(frozen=True)
class _Folder:
    """A folder to list.

    Attributes:
        path: path by which it was reached.
        real: its path without links.
        states: how far the path has matched.
        store: the store that contains it, or None.
    """

    path: str
    real: str
    states: States
    store: str | None = None

    def is_below(self, real: str) -> bool:
        """Return whether a real folder is this one or above it."""
        return files.is_below(self.real, real)


@dataclass
class _Walk:
    """A walk, which collects what it finds.

    Folders that are reached through links are listed last, so that a file counts under its own path.

    Attributes:
        pattern: what matches, below the folder where the walk starts.
        is_table: returns whether a name has the ending of a table.
        found: the files that match.
        real_files: path without links to the path under which the file counts.
    """

    pattern: Pattern
    is_table: IsTable
    found: FoundFiles = field(default_factory=FoundFiles)
    real_files: dict[str, str] = field(default_factory=dict)
    _listed: set[tuple[str, States]] = field(default_factory=set)

    def run(self, root: str) -> None:
        """List a folder and the folders below it, as far as the pattern reaches."""
        links: deque[tuple[os.DirEntry[str], _Folder]] = deque()
        folders: list[_Folder | None] = [_Folder(root, os.path.realpath(root), self.pattern.start)]
        while folders or links:
            folder = folders.pop() if folders else self._follow(*links.popleft())
            for entry, parent in self._new_entries(folder):
                if entry.is_symlink():
                    links.append((entry, parent))
                else:
                    folders.append(self._child(entry, parent))

    def _new_entries(self, folder: _Folder | None) -> Iterator[tuple[os.DirEntry[str], _Folder]]:
        """List the entries of a folder that could match, unless the folder was listed before."""
        if folder is None or (folder.real, folder.states) in self._listed:
            return
        self._listed.add((folder.real, folder.states))
        for entry in _entries(folder.path):
            if self.pattern.accepts(folder.states, entry.name) or self.pattern.enter(folder.states, entry.name):
                yield entry, folder
            elif is_hidden(entry.name):
                self._add_hidden(entry, folder.states)

    def _child(self, entry: os.DirEntry[str], folder: _Folder) -> _Folder | None:
        """Add an entry that is not a link, and return it if it is a folder to list."""
        real = f"{folder.real.rstrip('/')}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            return self._enter(entry, real, folder)
        self._add(entry, real, folder)
        return None

    def _follow(self, entry: os.DirEntry[str], folder: _Folder) -> _Folder | None:
        """Add the target of a link, and return it if it is a folder to list."""
        real = os.path.realpath(entry.path)
        if not stat.S_ISDIR(_status(entry).st_mode):
            self._add(entry, real, folder)
            return None
        target = None if folder.is_below(real) else self._enter(entry, real, folder)
        if target is not None and (real, target.states) in self._listed:
            self.found.repeated.append(entry.path)
        return target

    def _enter(self, entry: os.DirEntry[str], real: str, folder: _Folder) -> _Folder | None:
        if self.pattern.accepts(folder.states, entry.name) and not self.pattern.takes_everything:
            self.found.folders.append(entry.path)
        states = self.pattern.enter(folder.states, entry.name)
        store = folder.store or (entry.path if _is_store(entry.path) else None)
        return _Folder(entry.path, real, states, store) if states else None

    def _add(self, entry: os.DirEntry[str], real: str, folder: _Folder) -> None:
        if not self.pattern.accepts(folder.states, entry.name):
            return
        if folder.store is not None and self.is_table(entry.name):
            raise UsageError(f"{printable(folder.store)} is a store, not a part of a table: give a path without it")
        status = _status(entry)
        if not stat.S_ISREG(status.st_mode):
            self.found.special += [entry.path] if self.is_table(entry.name) else []
        elif real not in self.real_files:
            self.real_files[real] = entry.path
            self.found.files.append((entry.path, status.st_size))
        elif self.real_files[real] != entry.path:
            self.found.repeated.append(entry.path)

    def _add_hidden(self, entry: os.DirEntry[str], states: States) -> None:
        """Collect the tables that only a hidden name keeps from matching; errors do not matter there."""
        if is_noise(entry.name):
            return
        if entry.is_dir(follow_symlinks=False):
            below = self.pattern.enter(states, entry.name, hidden=True)
            for inner in _hidden_entries(entry.path) if below else ():
                self._add_hidden(inner, below)
        elif self.is_table(entry.name) and self.pattern.accepts(states, entry.name, hidden=True):
            self.found.hidden.append(entry.path)


def _is_store(folder: str) -> bool:
    return all(os.path.lexists(f"{folder}/{name}") for name in (STORE_MANIFEST, CATALOGS))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise path_error(folder, "cannot be listed", error) from error


def _hidden_entries(folder: str) -> list[os.DirEntry[str]]:
    """List a hidden folder; nothing if it cannot be listed, or is a store."""
    with suppress(TracktokensError):
        return [] if _is_store(folder) else _entries(folder)
    return []


def _status(entry: os.DirEntry[str]) -> os.stat_result:
    try:
        return entry.stat()
    except OSError as error:
        problem = "is a link that leads nowhere" if entry.is_symlink() else "cannot be examined"
        raise path_error(entry.path, problem, error) from error
