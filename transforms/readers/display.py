"""Values of input files as messages show them: truncated, and always valid UTF-8."""

from __future__ import annotations

MAX_SHOWN = 80
"""Characters of a value that a message shows."""

_MAX_TEXT_BYTES = 400


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
    return name if name.strip() == name and name.isprintable() and 0 < len(name) <= MAX_SHOWN else show_value(name)


def escape_surrogates(text: str) -> str:
    """Escape lone surrogates, which names from corrupt files contain and which UTF-8 cannot encode."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
