"""Texts on the terminal: what a catalog holds is shown as it is, never taken as markup or as control codes."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line ends, characters that turn the direction of writing, and lone surrogates."""


def printable(text: str) -> str:
    r"""Escape the characters that end a line or control a terminal: the text is one harmless line.

    Example:
        >>> print(printable("Intro [/b]\x1b[31m\nred"))
        Intro [/b]\x1b[31m\nred
    """
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def catalog_text(text: str) -> Text:
    """Make a cell of a table from a text of a catalog; rich takes a plain ``str`` as markup."""
    from rich.text import Text

    return Text(printable(text))


def make_console(stderr: bool = False) -> Console:
    """Open a console that prints every text as it is: ``[b]`` is not bold, and ``:smile:`` is not an emoji."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def format_json(content: object) -> str:
    """Format indented JSON, with escapes if standard output cannot encode its characters."""
    text = json.dumps(content, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(content, indent=2)
    return text


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
