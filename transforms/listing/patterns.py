"""Patterns: match paths against a glob, one name at a time, so that no folder out of its reach is listed.

``*`` and ``?`` match within a name, and ``[...]`` matches one of several characters. ``**`` as a whole name matches any
number of folders, none included; at the end it matches every file below. ``**`` beside other characters matches across
folders.

A name that starts with ``_`` or ``.`` is hidden. It matches only a part of the pattern that starts with the same
character.
"""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

States = frozenset[tuple[int, int]]
"""State of a match: for each alternative of a pattern, the part that the next name of the path has to match."""

Names = tuple[str, ...]

HIDDEN = ("_", ".")
"""First characters of the names that a pattern does not match by a wildcard."""

_ANY_FOLDERS = "**"


@dataclass(frozen=True)
class Pattern:
    """A glob below a folder.

    Attributes:
        alternatives: patterns that together mean the glob. Each is a tuple of parts, one per name or ``**``, and ends
            with a part for the name of a file.
    """

    alternatives: tuple[Names, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Parse a glob that is relative to a folder, with ``/`` between names."""
        return cls(tuple(_alternatives(tuple(re.sub(r"\*{3,}", _ANY_FOLDERS, text).split("/")))))

    @property
    def start(self) -> States:
        """State before the first name."""
        return self._skipping_folders((number, 0) for number in range(len(self.alternatives)))

    @property
    def takes_everything(self) -> bool:
        """True if a folder that matches has only files that match too."""
        return all(parts[-2:] == (_ANY_FOLDERS, "*") for parts in self.alternatives)

    def enter(self, states: States, folder: str, hidden: bool = False) -> States:
        """Return the state after the name of a folder; empty if no file below it can match.

        Args:
            states: state before the folder.
            folder: its name.
            hidden: whether wildcards match hidden names too.
        """
        return self._skipping_folders(
            (number, part if self.alternatives[number][part] == _ANY_FOLDERS else part + 1)
            for number, part in states
            if part + 1 < len(self.alternatives[number]) and _fits(self.alternatives[number][part], folder, hidden)
        )

    def accepts(self, states: States, name: str, hidden: bool = False) -> bool:
        """Return whether a name completes a match; see :meth:`enter`."""
        return any(
            part + 1 == len(self.alternatives[number]) and _fits(self.alternatives[number][part], name, hidden)
            for number, part in states
        )

    def matches(self, path: str, hidden: bool = False) -> bool:
        """Return whether the path of a file below the folder matches."""
        *folders, name = path.split("/")
        states = self.start
        for folder in folders:
            states = self.enter(states, folder, hidden)
        return self.accepts(states, name, hidden)

    def _skipping_folders(self, states: Iterable[tuple[int, int]]) -> States:
        """Add the states in which a ``**`` matches no folder."""
        reached = set()
        for number, part in states:
            reached.add((number, part))
            while self.alternatives[number][part] == _ANY_FOLDERS:
                part += 1
                reached.add((number, part))
        return frozenset(reached)


EVERYTHING = Pattern(((_ANY_FOLDERS, "*"),))
"""Pattern of all files below a folder."""


def is_hidden(name: str) -> bool:
    """Return whether a name starts with ``_`` or ``.``, as markers and drafts do."""
    return name.startswith(HIDDEN)


def split_wildcards(pattern: str) -> tuple[str, str]:
    """Split a pattern into the folder before its first name with a wildcard, and the rest."""
    names = pattern.split("/")
    fixed = next((number for number, name in enumerate(names) if glob.has_magic(name)), len(names) - 1)
    return "/".join(names[:fixed]), "/".join(names[fixed:])


def _alternatives(parts: Names) -> Iterator[Names]:
    """List the patterns that together mean a pattern, without ``**`` beside other characters or at the end."""
    for number, part in enumerate(parts):
        if part != _ANY_FOLDERS and _ANY_FOLDERS in part:
            before, _, after = part.partition(_ANY_FOLDERS)
            yield from _alternatives((*parts[:number], f"{before}*{after}", *parts[number + 1 :]))
            across = (f"{before}*", _ANY_FOLDERS, f"*{after}")
            yield from _alternatives((*parts[:number], *across, *parts[number + 1 :]))
            return
    yield (*parts, "*") if parts[-1] == _ANY_FOLDERS else parts


def _fits(part: str, name: str, hidden: bool) -> bool:
    if is_hidden(name) and not hidden and part[:1] != name[:1]:
        return False
    return part == _ANY_FOLDERS or _compiled(part)(name) is not None


@lru_cache
def _compiled(part: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(fnmatch.translate(part)).match
