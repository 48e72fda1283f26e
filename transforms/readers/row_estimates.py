"""Row estimates: estimate the number of rows of a text file from samples.

An uncompressed file is sampled at evenly spaced offsets, since a sorted catalog may begin with its long rows. A
compressed file is sampled at its beginning only: other offsets would require decompression up to them.
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
"""Bytes of text to sample per file; the rows of a smaller file are counted."""

NUM_SAMPLES = 8
"""Samples per uncompressed file."""

_SKIPPED_BYTES = 64 << 10


@dataclass(frozen=True)
class _SampledRow:
    """Length of a row in bytes, and whether it can be parsed."""

    length: int
    complete: bool


_Measure = Callable[[Iterator[bytes]], Iterator[_SampledRow]]


def estimate_text_rows(path: str, size: int) -> int:
    """Estimate the rows of a CSV or JSON Lines file of ``size`` bytes; exact for less than 4 MiB of text.

    Raises:
        InvalidDataError: the file cannot be read.
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
    length = SAMPLE_BYTES // NUM_SAMPLES
    rows = list(_until(length, _first_rows(text, measure)))
    for number in range(1, NUM_SAMPLES):
        offset = (size - length) * number // (NUM_SAMPLES - 1)
        rows += _until(length, _from_complete_row(measure(text.lines_after(offset))))
    return rows


def _from_complete_row(rows: Iterator[_SampledRow]) -> Iterator[_SampledRow]:
    """Skip to the first complete row: lines inside a quoted CSV field look like rows with too few fields.

    Return no rows if none is complete within 64 KiB: a text of megabytes is not worth scanning.
    """
    for row in _until(_SKIPPED_BYTES, rows):
        if row.complete:
            return chain([row], rows)
    return iter(())


def _first_rows(text: TextFile, measure: _Measure) -> Iterator[_SampledRow]:
    rows = measure(text.lines())
    if format_of(text.path) == CSV:
        next(rows, None)  # the header
    return rows


def _measure_of(path: str) -> _Measure:
    """Return the function that converts lines of a file into sampled rows."""
    if format_of(path) != CSV:
        return lambda lines: (_SampledRow(len(line), True) for line in json_lines(lines))
    delimiter, width = delimiter_of(path), len(csv_columns(path) or ())
    return lambda lines: (
        _SampledRow(len(row), row.fields is not None and len(row.fields) == width) for row in csv_rows(lines, delimiter)
    )


def _until(limit: int, rows: Iterable[_SampledRow]) -> Iterator[_SampledRow]:
    """Take rows until they have ``limit`` bytes; the last row may exceed it."""
    size = 0
    for row in rows:
        yield row
        size += row.length
        if size >= limit:
            return
