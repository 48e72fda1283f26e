"""XML files of any size, element by element; hostile ones are refused by defusedxml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple
from xml.etree.ElementTree import Element

from tracktokens.pipelines.catalog_import.libraries.library_tables import LibraryTables
from tracktokens.transforms.store.user_files import path_errors

CONTROL_CHARACTERS = bytes(code for code in range(32) if code not in b"\t\n\r")
"""Bytes that XML does not allow. Programs write them out of tags nevertheless."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class XmlElement(NamedTuple):
    """An element that is complete.

    Attributes:
        element: the element.
        parents: the elements around it, the root first; their attributes are known, their other children may not be.
    """

    element: Element
    parents: list[Element]

    def forget(self) -> None:
        """Remove the element from its parent, which frees its memory."""
        self.parents[-1].remove(self.element)


def read_xml(source: str, tables: LibraryTables) -> Iterator[XmlElement]:
    """Read the elements of a file but for the root, up to its end or its first fault, which is rejected.

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
                    stack.append(element)
                else:
                    stack.pop()
                    if stack:
                        yield XmlElement(element, stack)
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
