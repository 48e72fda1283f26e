"""Texts on the terminal: what a catalog holds is shown as it is, never taken as markup or as control codes."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from tracktokens.schemas.display import UNPRINTABLE, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


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
    """Open a console that prints every text as it is, see :func:`echo`: ``[b]`` is not bold, ``:smile:`` no emoji."""
    from rich.console import Console

    class PlainConsole(Console):
        def render_str(self, text: str, **settings: Any) -> Text:
            return super().render_str(printable_lines(text), **settings)

    return PlainConsole(stderr=stderr, markup=False, emoji=False, highlight=False)


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
