"""Texts on the terminal: neither markup, nor control codes, nor an encoding that lacks their characters."""

import io
import json
import logging
import sys

import pytest
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tracktokens.codebooks.metrics.churn import AffectedTrack, Churn
from tracktokens.pipelines.analysis.diff import Diff, diff_report
from tracktokens.pipelines.analysis.inspect import CodeSummary, CodeView, NearTrack, code_report
from tracktokens.pipelines.terminal import OneLineFormatter, allow_any_text, echo, format_json, make_console
from tracktokens.schemas.display import printable, printable_lines

ODD = ["Intro [/b]", "[/live] Remix", "[red]x[/red]", ":smile:", "[link=http://x]y", "naïve 日本語", "a\u200db"]


@pytest.mark.parametrize("text", ODD)
def test_a_harmless_text_is_printed_as_it_is(text: str) -> None:
    assert printable(text) == text
    console = make_console()
    with console.capture() as shown:
        console.print(text)
    assert shown.get() == f"{text}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\nb\r\tc\x00", r"a\nb\r\tc\x00"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("\u202eabc\u2069", r"\u202eabc\u2069"),
        ("a\u2028b\udcff", r"a\u2028b\udcff"),
        ("\u061ca\u200eb\u200f", r"\u061ca\u200eb\u200f"),
    ],
)
def test_characters_that_control_a_terminal_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


HOSTILE = "[/b]\x1b[31m\x9b2J\r\u202e\u2028\x7f"
SHOWN = r"[/b]\x1b[31m\x9b2J\r\u202e\u2028\x7f"


def test_every_printed_text_is_harmless_and_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    echo(f"{HOSTILE}\n{HOSTILE}")
    echo(HOSTILE, err=True)
    assert capsys.readouterr() == (f"{SHOWN}\n{SHOWN}\n", f"{SHOWN}\n")


def test_a_plain_cell_of_a_table_is_harmless() -> None:
    console = make_console()
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE)
    with console.capture() as shown:
        console.print(table, HOSTILE)
    assert shown.get().count(SHOWN) == 4
    assert not set(HOSTILE[4:]) & set(shown.get()) - set("[31m2J")


def test_json_is_harmless_and_means_the_same() -> None:
    text = format_json({HOSTILE: [HOSTILE, "日本語"]})
    assert printable_lines(text) == text
    assert "日本語" in text
    assert json.loads(text) == {HOSTILE: [HOSTILE, "日本語"]}


@pytest.mark.parametrize("text", ODD)
def test_reports_show_texts_of_a_catalog_on_any_console(text: str) -> None:
    summary = CodeSummary(0, 1, (text,))
    view = CodeView(summary, 1.0, (NearTrack(text, text, 0.0),), (summary,))
    console = Console(width=200)
    with console.capture() as shown:
        console.print(code_report("metadata", view))
    assert shown.get().count(text) == 4


def test_a_diff_shows_texts_of_a_catalog_on_any_console() -> None:
    worst = (AffectedTrack("[/id]", ("audio",), None),)
    churn = Churn(1, 1, 1.0, None, (0, 1), {}, worst)
    diff = Diff("a", "b", "c", "d", churn, {}, {"[/id]": "[/live] :smile:"})
    console = Console(width=200)
    with console.capture() as shown:
        console.print(diff_report(diff))
    assert "[/id]" in shown.get()
    assert "[/live] :smile:" in shown.get()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_text_can_be_written_in_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    allow_any_text()
    make_console().print("日本語 é")
    print(format_json({"title": "日本語 é \udcff"}))
    sys.stdout.flush()
    first, rest = written.getvalue().decode(encoding).split("\n", 1)
    assert first == "日本語 é".encode(encoding, "backslashreplace").decode(encoding)
    assert json.loads(rest) == {"title": "日本語 é \udcff"}


def test_a_warning_is_one_line_whatever_it_names() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "skipping %s", ("a\nb\x1b",), None)
    assert OneLineFormatter("%(levelname)s: %(message)s").format(record) == r"WARNING: skipping a\nb\x1b"


def printed(columns: int | None, monkeypatch: pytest.MonkeyPatch) -> str:
    """Print a table on a console that is not a terminal, with so many columns."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", str(columns))
    table = Table("modality", "", "tracks that keep their code", title="a title")
    table.add_row("metadata", "x", Text("光のトンネル [b]"))
    table.add_row("audio", "", "12")
    console = make_console()
    with console.capture() as capture:
        console.print(Group(table), "end")
    return capture.get()


def test_a_piped_table_is_as_wide_as_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(None, monkeypatch)
    assert "tracks that keep their code" in text
    assert max(map(len, text.splitlines())) < 60


def test_a_table_wraps_where_its_words_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(40, monkeypatch)
    assert "tracks that keep their code" not in text
    assert "modality" in text
    assert "…" not in text
    assert all(character in text for character in "光のトンネル")


def test_a_table_is_a_list_on_a_narrow_console(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(18, monkeypatch).split("\n") == [
        "a title",
        "modality: metadata",
        "  x",
        "  tracks that keep",
        "their code: ",
        "光のトンネル [b]",
        "modality: audio",
        "  tracks that keep",
        "their code: 12",
        "end",
        "",
    ]
