"""Row estimates: how many rows a text file has, told from samples of it.

Of a file that is not compressed, samples are read at places spread evenly over it, as a catalog may be sorted and its
long rows come first. Of a compressed file only the beginning can be had cheaply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from tracktokens.transforms.readers.csv_reader import csv_columns, csv_rows, delimiter_of
from tracktokens.transforms.readers.file_discovery import CSV, codec_of, format_of
from tracktokens.transforms.readers.jsonl_reader import json_lines
from tracktokens.transforms.readers.text_stream import TextFile, open_text

SAMPLE_BYTES = 4 << 20
"""Text of a file that is looked at; a file with no more is counted."""

SAMPLE_PLACES = 8
"""Samples that are taken of an uncompressed file."""

_SKIPPED_BYTES = 64 << 10


@dataclass(frozen=True)
class _SampledRow:
    """Length of a row in bytes, and whether it can be taken apart."""

    length: int
    whole: bool


_Measure = Callable[[Iterator[bytes]], Iterator[_SampledRow]]


def estimate_text_rows(path: str, size: int) -> int:
    """Estimate the rows of a CSV or JSON Lines file of ``size`` bytes; exact where it has less than 4 MiB of text.

    Raises:
        InvalidDataError: when the file cannot be read.
    """
    measure = _measure_of(path)
    with open_text(path) as text:
        if codec_of(path) is None and size > SAMPLE_BYTES:
            return _extrapolated(_samples(text, size, measure), size)
        rows = list(_until(SAMPLE_BYTES, _first_rows(text, measure)))
        if sum(row.length for row in rows) < SAMPLE_BYTES:
            return len(rows)
        return _extrapolated(rows, size * text.expansion())


def _extrapolated(rows: Sequence[_SampledRow], size: float) -> int:
    return max(1, round(size * len(rows) / sum(row.length for row in rows))) if rows else 0


def _samples(text: TextFile, size: int, measure: _Measure) -> list[_SampledRow]:
    length = SAMPLE_BYTES // SAMPLE_PLACES
    rows = list(_until(length, _first_rows(text, measure)))
    for number in range(1, SAMPLE_PLACES):
        place = (size - length) * number // (SAMPLE_PLACES - 1)
        rows += _until(length, _from_a_whole_row(measure(text.lines_after(place))))
    return rows


def _from_a_whole_row(rows: Iterator[_SampledRow]) -> Iterator[_SampledRow]:
    """Skip to the first whole row: in the midst of a quoted text of CSV, lines look like rows with too few fields.

    No rows where it does not come soon: lines of one text of megabytes are not worth the time.
    """
    for row in _until(_SKIPPED_BYTES, rows):
        if row.whole:
            return chain([row], rows)
    return iter(())


def _first_rows(text: TextFile, measure: _Measure) -> Iterator[_SampledRow]:
    rows = measure(text.lines())
    if format_of(text.path) == CSV:
        next(rows, None)  # the header
    return rows


def _measure_of(path: str) -> _Measure:
    """Make the function that takes lines of a file and measures its rows."""
    if format_of(path) != CSV:
        return lambda lines: (_SampledRow(len(line), True) for line in json_lines(lines))
    delimiter, width = delimiter_of(path), len(csv_columns(path) or ())
    return lambda lines: (
        _SampledRow(len(row), row.fields is not None and len(row.fields) == width) for row in csv_rows(lines, delimiter)
    )


def _until(limit: int, rows: Iterable[_SampledRow]) -> Iterator[_SampledRow]:
    """Take rows until they have so many bytes; the last may go beyond."""
    seen = 0
    for row in rows:
        yield row
        seen += row.length
        if seen >= limit:
            return
