"""Rows of CSV and TSV files of datasets, as text; what is not a row is rejected."""

from __future__ import annotations

import codecs
import contextlib
import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import TypeVar

from tracktokens.pipelines.catalog_import.catalog_folder import CatalogFolder
from tracktokens.pipelines.catalog_import.source_files import open_file
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.tables import import_rejects as reasons

MAX_FIELD_CHARACTERS = 1 << 20
"""Longest field: a quote that is never closed is an error here, and not at the end of the file."""

COLUMNS_NOT_USED = "columns not used"
"""Count of columns, per file, that a source has and the tables do not."""

_NOT_UTF8 = "rows not in UTF-8"
_SHOWN_CHARACTERS = 80

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class DelimitedFile:
    """A file of rows.

    Attributes:
        path: the file.
        table: table that lacks a row which is rejected.
        delimiter: character between fields.
        quoted: False if quotes are text.
        stream: bytes of the file, if it is in an archive; ``path`` is then its path below the source.
    """

    path: Path
    table: str
    delimiter: str = "\t"
    quoted: bool = True
    stream: BufferedReader | None = None

    @property
    def shown(self) -> str:
        """Name of the file in rejects."""
        return self.path.name if self.stream is None else self.path.as_posix()

    def records(self, out: CatalogFolder) -> Iterator[tuple[int, list[str]]]:
        """Read rows as they are: the line of each, from 1, and its fields. Blank lines are skipped.

        The file is UTF-8 or UTF-16. A field that is neither is read as Windows-1252, and its row counted.

        Raises:
            UsageError: the file cannot be opened.
        """
        limit = csv.field_size_limit(MAX_FIELD_CHARACTERS)  # of the whole process
        try:
            with self._open() as file:
                yield from self._parse(file, out)
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read: {error.strerror}; make it readable") from error
        except UnicodeError as error:  # UTF-16 that is cut
            out.reject(self.table, reasons.MALFORMED, self.shown, detail=f"the rest of the file is lost: {error}")
        finally:
            csv.field_size_limit(limit)

    def rows(
        self, out: CatalogFolder, required: Sequence[str], optional: Collection[str] = ()
    ) -> Iterator[tuple[int, Mapping[str, str | None]]]:
        """Read rows below a header, as maps of column names to texts; null where a field is blank.

        Args:
            out: folder of rejects and counts.
            required: columns that the file has to have.
            optional: other columns that are used. Those that are in neither are counted.

        Raises:
            UsageError: the file cannot be opened.
            InvalidDataError: it lacks a column.
        """
        records = self.records(out)
        header = [name.strip() for name in next(records, (0, []))[1]]
        if missing := [name for name in required if name not in header]:
            raise InvalidDataError(f"{self.path} has no column {missing[0]} in its first line: give the original file")
        if unused := sum(name not in {*required, *optional} for name in header):
            out.counts.found[COLUMNS_NOT_USED] += unused
        for line, fields in records:
            if len(fields) != len(header):
                detail = f"{len(fields)} fields, not {len(header)}"
                out.reject(self.table, reasons.MALFORMED, self.shown, line=line, detail=detail)
                continue
            yield line, dict(zip(header, map(text_or_null, fields), strict=True))

    @contextlib.contextmanager
    def _open(self) -> Iterator[TextIOWrapper]:
        with contextlib.nullcontext(self.stream) if self.stream else open_file(self.path) as stream:
            text = TextIOWrapper(stream, _encoding(stream), errors="surrogateescape", newline="")
            try:
                yield text
            finally:
                text.detach()

    def _parse(self, file: Iterable[str], out: CatalogFolder) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(
            file, delimiter=self.delimiter, quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        )
        line = 1
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                out.reject(self.table, reasons.MALFORMED, self.shown, line=line, detail=str(error))
            else:
                if any(fields):
                    yield line, _decoded(fields, out)
            line = reader.line_num + 1


def text_or_null(text: str) -> str | None:
    """Return a field without white space at its ends; null if nothing remains.

    Example:
        >>> text_or_null(" Blue "), text_or_null(" ")
        ('Blue', None)
    """
    return text.strip() or None


def number_or_null(text: str | None) -> float | None:
    """Return the number in a field that is finite; null without one.

    Example:
        >>> number_or_null("12.5"), number_or_null("many"), number_or_null("inf")
        (12.5, None, None)
    """
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def year_or_null(text: str | None) -> int | None:
    """Return the year that a date begins with; null without one.

    Example:
        >>> year_or_null("2009-01-05 00:00:00"), year_or_null("0000-00-00"), year_or_null("Jan 2009")
        (2009, None, None)
    """
    start = (text or "")[:4]
    return int(start) if start.isascii() and start.isdigit() and int(start) >= 1000 else None


def read_value(
    parse: Callable[[str | None], Value | None], text: str | None, reject: Callable[..., None]
) -> Value | None:
    """Parse a field; one that is not blank and has no value is rejected.

    Args:
        parse: :func:`number_or_null` or :func:`year_or_null`.
        text: the field.
        reject: called with the ``detail`` of the reject.
    """
    value = parse(text)
    if value is None and text:
        reject(detail=f"{text[:_SHOWN_CHARACTERS]!r} is not a {'year' if parse is year_or_null else 'number'}")
    return value


def _encoding(stream: BufferedReader) -> str:
    marked = stream.peek(2).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "utf-16" if marked else "utf-8-sig"


def _decoded(fields: list[str], out: CatalogFolder) -> list[str]:
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        out.counts.found[_NOT_UTF8] += 1
        return [field.encode("utf-8", "surrogateescape").decode("cp1252", "replace") for field in fields]
    return fields
