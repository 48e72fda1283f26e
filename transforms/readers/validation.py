"""Validation: reject rows whose values have the right types and cannot be used: ids, audio paths; drop blank text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.display import show_value
from tracktokens.schemas.modalities import AUDIO
from tracktokens.schemas.tables.rejects import (
    ID_EMPTY,
    ID_MISSING,
    ID_TOO_LONG,
    PLAYLISTS_TABLE,
    TRACKS_TABLE,
    VALIDATE,
    make_rejects,
)
from tracktokens.schemas.tables.tracks import MAX_ID_BYTES, TRACK_ID, describe_position
from tracktokens.transforms.readers.audio_root import AudioRoot
from tracktokens.transforms.readers.coercion import Problem
from tracktokens.transforms.readers.list_arrays import keep_elements
from tracktokens.transforms.readers.row_assembly import Reject

# White space as in Python, and characters without width or meaning.
_BLANK = r"\A[\s\pZ\x0b\x1c-\x1f\x{85}\x{ad}\x{180e}\x{200b}-\x{200f}\x{2060}-\x{2064}\x{feff}]*\z"


@dataclass(frozen=True)
class ValidatedRows:
    """A batch after validation.

    Attributes:
        rows: the accepted rows, with columns and types unchanged.
        rejects: batch of ``REJECTS``, stage ``validate``.
    """

    rows: pa.RecordBatch
    rejects: pa.RecordBatch


def validate_ids(batch: pa.RecordBatch) -> ValidatedRows:
    """Reject rows whose id, the first column, has one of the :func:`id_problems`.

    Duplicate ids are not detected here: they may be in different batches.
    """
    name = batch.schema.names[0]
    problems = id_problems(name, batch.column(name))
    if not problems:
        return ValidatedRows(batch, make_rejects([]))
    kept = np.ones(batch.num_rows, np.bool_)
    kept[[problem.row for problem in problems]] = False
    rejects = [_row_reject(name, problem, batch.column("position")[problem.row].as_py()) for problem in problems]
    return ValidatedRows(batch.filter(pa.array(kept)), make_rejects(rejects))


def id_problems(name: str, ids: pa.StringArray) -> list[Problem]:
    """Find the ids that are missing, blank or longer than ``MAX_ID_BYTES`` bytes of UTF-8.

    Args:
        name: column of the ids.
        ids: the ids, null where they are missing.
    """
    bad = pc.or_(_is_blank(ids), pc.greater(pc.binary_length(ids), MAX_ID_BYTES))
    rows = np.flatnonzero(pc.fill_null(bad, True).to_numpy(zero_copy_only=False))
    return [_id_problem(int(row), name, ids[int(row)].as_py()) for row in rows]


def blank_to_null(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Replace blank text by null in every column except the id; text of spaces or zero-width characters is blank.

    Blank elements of a list are removed, and an empty list becomes null.
    """
    columns = [
        column if field.name == TRACK_ID else _without_blanks(column)
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def validate_audio(batch: pa.RecordBatch, root: AudioRoot) -> ValidatedRows:
    """Check the audio paths of a batch of ``SCANNED_TRACKS`` and fill in ``audio_version``.

    Every row is kept. ``audio_path`` and ``audio_version`` are both null if the path is missing or was rejected;
    otherwise both are set, and the path is relative.
    """
    relative = root.relative(batch.column("audio_path"))
    checked = root.check(relative, batch.column("audio_version"))
    paths = pc.if_else(checked.versions.is_valid(), relative, pa.scalar(None, pa.string()))
    rows = _with_column(_with_column(batch, "audio_path", paths), "audio_version", checked.versions)
    ids = batch.column(TRACK_ID)
    rejects: list[Reject] = [
        {
            "table": TRACKS_TABLE,
            "track_id": ids[problem.row].as_py(),
            "modality": AUDIO,
            "stage": VALIDATE,
            "reason": problem.reason,
            "detail": problem.detail,
        }
        for problem in checked.problems
    ]
    return ValidatedRows(rows, make_rejects(rejects))


def _is_blank(text: pa.StringArray) -> pa.BooleanArray:
    return pc.match_substring_regex(text, _BLANK)


def _id_problem(row: int, name: str, value: str | None) -> Problem:
    if value is None:
        return Problem(row, ID_MISSING, f"{name} is null")
    size = len(value.encode("utf-8"))
    if size > MAX_ID_BYTES:
        return Problem(row, ID_TOO_LONG, f"{name} {show_value(value)} has {size} bytes, over {MAX_ID_BYTES}")
    return Problem(row, ID_EMPTY, f"{name} {show_value(value)} is blank")


def _row_reject(name: str, problem: Problem, position: int) -> Reject:
    table = TRACKS_TABLE if name == TRACK_ID else PLAYLISTS_TABLE
    detail = f"{describe_position(position)}: {problem.detail}"
    return {"table": table, "stage": VALIDATE, "reason": problem.reason, "detail": detail}


def _without_blanks(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return pc.if_else(_is_blank(column), pa.scalar(None, column.type), column)
    if pa.types.is_list(column.type):
        blank = pc.fill_null(_is_blank(column.flatten()), True).to_numpy(zero_copy_only=False)
        kept = keep_elements(column, ~blank) if blank.any() else column
        return pc.if_else(pc.equal(pc.list_value_length(kept), 0), pa.scalar(None, column.type), kept)
    return column


def _with_column(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    columns = [column if field.name == name else batch.column(field.name) for field in batch.schema]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
