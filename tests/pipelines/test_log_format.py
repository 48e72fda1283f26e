"""``--log-format json``: each line of standard error is a record with a time."""

import io
import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from rich.table import Table

from tracktokens.pipelines.cli import main
from tracktokens.pipelines.log_format import JsonFormatter, JsonStream, json_line
from tracktokens.pipelines.terminal import make_console


def records(text: str) -> list[dict[str, Any]]:
    """Parse lines, and check that their times are in UTC."""
    found = [json.loads(line) for line in text.splitlines()]
    for record in found:
        assert datetime.fromisoformat(record.pop("time")).utcoffset() == datetime.now(UTC).utcoffset()
    return found


def test_a_record_has_the_time_that_is_given() -> None:
    assert json_line("a\n\u2028b", "info", 1.5) == (
        '{"time": "1970-01-01T00:00:01.500+00:00", "level": "info", "message": "a\\n\\u2028b"}'
    )


def test_a_stream_makes_a_record_of_each_line_once_it_is_complete() -> None:
    target = io.StringIO()
    stream = JsonStream(target)
    stream.write("stage em")
    assert not target.getvalue()
    stream.write("bed\n\n  scan: 1 of 2\nerror: no\nWARNING: hm\n")
    assert records(target.getvalue()) == [
        {"level": "info", "message": "stage embed"},
        {"level": "info", "message": "scan: 1 of 2"},
        {"level": "error", "message": "no"},
        {"level": "warning", "message": "hm"},
    ]


def test_a_traceback_is_in_the_message_of_its_record() -> None:
    try:
        raise ValueError("cause")
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "failed %s", ("here",), None)
        record.exc_info = sys.exc_info()
    [found] = records(JsonFormatter().format(record))
    assert found["level"] == "error"
    assert found["message"].startswith("failed here\nTraceback ")


def test_a_table_is_a_line_per_row(monkeypatch: pytest.MonkeyPatch) -> None:
    target = io.StringIO()
    monkeypatch.setattr("sys.stderr", JsonStream(target))
    table = Table("modality", "", "tracks")
    table.add_row("tags", "", "7")
    table.add_row("[b]audio", "x", "8")
    make_console(stderr=True).print(table)
    assert [record["message"] for record in records(target.getvalue())] == [
        "modality: tags; tracks: 7",
        "modality: [b]audio; x; tracks: 8",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "--store", "/no/such/store"], "/no/such/store is not a store"),
        (["gc", "--store", "x"], "Missing option '--keep'."),
    ],
)
def test_errors_of_commands_are_records(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["--log-format", "json", *arguments])
    assert result.exit_code == 2
    assert not result.stdout
    last = records(result.stderr)[-1]
    assert last["level"] == "error"
    assert last["message"].startswith(message)
