"""XML files of any size, element by element; hostile ones are refused by defusedxml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element

from tracktokens.pipelines.catalog_import.libraries.library_tables import LibraryTables
from tracktokens.transforms.store.user_files import path_errors

CONTROL_CHARACTERS = bytes(code for code in range(32) if code not in b"\t\n\r")
"""Bytes that XML does not allow. Programs write them out of tags nevertheless."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class XmlEvent:
    """The start or the end of an element.

    Attributes:
        is_end: True if the element is complete; at its start it has attributes alone.
        element: the element.
        parents: the elements around it, the root first.
    """

    is_end: bool
    element: Element
    parents: list[Element] = field(repr=False)

    def forget(self) -> None:
        """Remove a complete element from its parent, which frees its memory."""
        self.parents[-1].remove(self.element)


def read_xml(source: str, tables: LibraryTables) -> Iterator[XmlEvent]:
    """Read the elements of a file up to its end or its first fault, which is rejected.

    Raises:
        UsageError: the file cannot be opened.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import ParseError, iterparse

    with path_errors(source, "give the XML file that the program exported"), Path(source).open("rb") as file:
        stack: list[Element] = []
        try:
            for event, element in iterparse(_XmlBytes(file), events=("start", "end")):
                if event == "start":
                    yield XmlEvent(False, element, stack)
                    stack.append(element)
                else:
                    stack.pop()
                    yield XmlEvent(True, element, stack)
        except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
            tables.lose_rest(str(error) or type(error).__name__)


class _XmlBytes:
    """A file without control characters."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._removed = b"" if file.read(2) in _UTF_16 else CONTROL_CHARACTERS
        file.seek(0)

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        while content and not (cleaned := content.translate(None, self._removed)):
            content = self._file.read(size)
        return cleaned if content else b""
