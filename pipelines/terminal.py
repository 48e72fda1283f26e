"""Texts on the terminal: what a catalog holds is shown as it is, never taken as markup or as control codes."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Any

import click

from tracktokens.pipelines.log_format import JsonStream
from tracktokens.schemas.display import UNPRINTABLE, printable, printable_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, Group, RenderableType
    from rich.segment import Segment
    from rich.table import Table
    from rich.text import Text

UNLIMITED = 10_000
"""Width of a console that is not a terminal, in characters."""


def echo(text: object = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text of one or several lines, to standard output or standard error.

    Commands print in no other way: nothing in a catalog or a store controls the terminal, whoever wrote it.
    """
    click.echo(printable_lines(str(text)), err=err, nl=nl)


def catalog_text(text: str) -> Text:
    """Make a cell of a table from a text of a catalog; rich takes a plain ``str`` as markup."""
    from rich.text import Text

    return Text(printable(text))


def make_console(stderr: bool = False) -> Console:
    """Open a console that prints every text as it is, see :func:`echo`: ``[b]`` is not bold, ``:smile:`` no emoji.

    Tables are never cut: where a terminal, or the variable ``COLUMNS``, is too narrow for one, it is printed as a list,
    and in a log of JSON lines as a line per row.
    """
    from rich.console import Console
    from rich.table import Table

    class PlainConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            room = options or self.options
            if isinstance(renderable, Table):
                for column in renderable.columns:
                    column.overflow = "fold"
                if stderr and isinstance(sys.stderr, JsonStream):
                    renderable = table_as_lines(renderable)
                elif _narrowest(renderable, self, room) > room.max_width:
                    renderable = table_as_list(renderable)
            return super().render(renderable, options)

        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(printable_lines(text), **settings)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # as `echo` does

    console = PlainConsole(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNLIMITED
    return console


def _narrowest(table: Table, console: Console, options: ConsoleOptions) -> int:
    """Return the width of a table, in characters, of which no word is cut."""
    return table.__rich_measure__(console, options.update(width=UNLIMITED)).minimum


def table_as_list(table: Table) -> Group:
    """Convert a table to a list: a line per cell with its column, indented after the first of a row; no blank cells."""
    from rich.console import Group
    from rich.text import Text

    columns = [(column.header, list(column.cells)) for column in table.columns]
    lines = [Text.assemble(_text(table.title))] if table.title else []
    for row in range(table.row_count):
        cells = [(_text(header), _text(cells[row])) for header, cells in columns]
        for position, (header, cell) in enumerate(cells):
            if cell.plain:
                lines.append(Text.assemble("  " if position else "", header, ": " if header.plain else "", cell))
    return Group(*lines)


def table_as_lines(table: Table) -> Group:
    """Convert a table to a line per row: each cell that is not blank, after its heading."""
    from rich.console import Group

    headers = [_text(column.header).plain for column in table.columns]
    rows = zip(*([_text(cell).plain for cell in column.cells] for column in table.columns), strict=True)
    lines = (
        [f"{header}: {cell}".removeprefix(": ") for header, cell in zip(headers, row, strict=True) if cell]
        for row in rows
    )
    return Group(*(_text("; ".join(line)) for line in lines))


def _text(content: RenderableType) -> Text:
    """Convert a heading or a cell, which is a ``str`` or a ``Text``."""
    from rich.text import Text

    return content if isinstance(content, Text) else Text(printable_lines(str(content)))


def format_json(content: object) -> str:
    """Format indented JSON that :func:`echo` prints unchanged; with escapes if standard output lacks its characters."""
    text = UNPRINTABLE.sub(_json_escape, json.dumps(content, ensure_ascii=False, indent=2))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(content, indent=2)
    return text


def _json_escape(character: re.Match[str]) -> str:
    """Escape a character in a string of JSON; line ends are between the strings."""
    return character[0] if character[0] == "\n" else f"\\u{ord(character[0]):04x}"


def discard_output() -> None:
    """Discard what standard output and error still buffer, and all that follows: nobody reads it."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a test replaces it
            if stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
                os.dup2(null, stream.fileno())
    os.close(null)


def allow_any_text() -> None:
    """Escape what the terminal's encoding lacks, on standard output and error, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class OneLineFormatter(logging.Formatter):
    """Format log records whose message is one harmless line; see :func:`printable`."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name in logging
        """Format the message of a record; a traceback follows it as it is."""
        return printable(super().formatMessage(record))
