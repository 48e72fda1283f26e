"""Texts of users, catalogs and stores as they are shown: on one line, harmless to a terminal, always valid UTF-8."""

from __future__ import annotations

import re

UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters
    "\u2028\u2029"  # line ends
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # characters that turn the direction of writing (Bidi_Control)
    "\ud800-\udfff]"  # lone surrogates
)
"""Characters that :func:`printable` escapes."""

MAX_SHOWN = 80
"""Characters of a value that a message shows."""

_MAX_TEXT_BYTES = 400


def printable(text: str) -> str:
    r"""Escape the characters that end a line or control a terminal: the text is one harmless line.

    Example:
        >>> print(printable("Intro [/b]\x1b[31m\nred"))
        Intro [/b]\x1b[31m\nred
    """
    return UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def printable_lines(text: str) -> str:
    """Escape as :func:`printable` does, and keep the line ends of a text that has several lines."""
    return "\n".join(map(printable, text.split("\n")))


def show_value(value: object) -> str:
    """Return the ``repr`` of a value, truncated to :data:`MAX_SHOWN` characters."""
    # A long text is truncated before its repr is computed, so that lyrics of megabytes cost nothing.
    text = repr(value[: MAX_SHOWN + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def show_text(text: bytes) -> str:
    """Show the beginning of a row of text, whatever its bytes; see :func:`show_value`."""
    return show_value(text[:_MAX_TEXT_BYTES].rstrip(b"\r\n").decode("utf-8", "backslashreplace"))


def show_name(name: str) -> str:
    """Show the name of a column: as it is, or as :func:`show_value` where it is empty, long or not printable."""
    return name if name.strip() == printable(name) and 0 < len(name) <= MAX_SHOWN else show_value(name)


def escape_surrogates(text: str) -> str:
    """Escape lone surrogates, which names from corrupt files contain and which UTF-8 cannot encode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
