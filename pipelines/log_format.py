"""Standard error for machines: each line is a JSON object with a time and a level."""

import io
import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

TEXT, JSON = "text", "json"
LOG_FORMATS = (TEXT, JSON)

_LEVEL = re.compile(r"^(error|warning): ", re.IGNORECASE)


def json_line(message: str, level: str, time: float | None = None) -> str:
    """Format a record: ``time`` in ISO 8601 and UTC, ``level`` in lower case, and ``message``.

    Args:
        message: the text.
        level: ``info``, ``warning`` or ``error``.
        time: seconds since 1970; now by default.
    """
    moment = datetime.now(UTC) if time is None else datetime.fromtimestamp(time, UTC)
    record = {"time": moment.isoformat(timespec="milliseconds"), "level": level, "message": message}
    return json.dumps(record, ensure_ascii=True)


class JsonFormatter(logging.Formatter):
    """Formats log records as :func:`json_line` does, with a traceback in ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return json_line(super().format(record), record.levelname.lower(), record.created)


class JsonStream(io.TextIOBase):
    """A text stream whose lines become records. A line that begins with ``error: `` or ``warning: `` has that level."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._rest = ""

    def write(self, text: str) -> int:
        """Write the lines that are complete, apart from blank ones."""
        *lines, self._rest = (self._rest + text).split("\n")
        self.stream.write("".join(f"{_line_record(line)}\n" for line in lines if line.strip()))
        return len(text)

    def flush(self) -> None:
        """Flush the stream; a line that is not complete waits for its end."""
        self.stream.flush()

    def fileno(self) -> int:
        """Return the file descriptor of the stream."""
        return self.stream.fileno()


def _line_record(line: str) -> str:
    found = _LEVEL.match(line)
    return json_line(line[found.end() :] if found else line.strip(), found[1].lower() if found else "info")


def write_json_lines() -> logging.Handler:
    """Make standard error a :class:`JsonStream`, and return the handler of log records."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    sys.stderr = JsonStream(sys.stderr)
    return handler
