"""Coerced columns become rows, and their problems become rejects."""

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.tables.playlists import PLAYLISTS
from tracktokens.schemas.tables.rejects import ID_NOT_UTF8, ID_WRONG_TYPE, WRONG_TYPE, make_rejects
from tracktokens.schemas.tables.tracks import SCANNED_TRACKS, TRACKS
from tracktokens.transforms.readers.coercion import coerce_column
from tracktokens.transforms.readers.row_assembly import assemble_rows


def not_utf8():
    """Build a string column of which the first value is not UTF-8."""
    binary = pa.array([b"\xff", b"b"], pa.binary())
    return pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())


def rows_of(columns, schema=TRACKS):
    length = len(next(iter(columns.values())))
    coerced = {name: coerce_column(column, schema.field(name)) for name, column in columns.items()}
    return assemble_rows(coerced, schema, np.arange(length, dtype=np.int64), lambda row: f"row {row + 1}")


def test_missing_columns_are_null():
    result = rows_of({"track_id": pa.array(["a"])})
    assert result.rows.schema == SCANNED_TRACKS
    assert result.rows.to_pylist() == [dict.fromkeys(SCANNED_TRACKS.names) | {"track_id": "a", "position": 0}]


@pytest.mark.parametrize(("ids", "reason"), [(not_utf8(), ID_NOT_UTF8), (pa.array([7, None]), ID_WRONG_TYPE)])
def test_a_row_whose_id_is_not_text_is_lost_with_one_reject(ids, reason):
    result = rows_of({"track_id": ids, "title": pa.array([1, None], pa.int64())})
    assert result.rows.column("position").to_pylist() == [1]
    assert [reject["reason"] for reject in result.rejects] == [reason]
    assert result.rejects[0]["detail"].startswith("row 1: track_id: ")


def test_rejects_name_track_and_modality_in_the_order_of_the_rows():
    columns = {
        "track_id": pa.array(["a", "b"]),
        "title": pa.array([None, 1]),
        "tags": pa.array([[1], None]),
        "lyrics": pa.array([2, None]),
        "audio_path": pa.array([None, 3]),
        "popularity": pa.array(["many", None]),
    }
    rejects = make_rejects(rows_of(columns).rejects).to_pylist()
    assert [(r["track_id"], r["modality"], r["reason"], r["stage"]) for r in rejects] == [
        ("a", "tags", WRONG_TYPE, "read"),
        ("a", "lyrics", WRONG_TYPE, "read"),
        ("a", None, WRONG_TYPE, "read"),
        ("b", "metadata", WRONG_TYPE, "read"),
        ("b", "audio", WRONG_TYPE, "read"),
    ]


def test_rejects_of_playlists_name_the_playlist():
    result = rows_of({"playlist_id": pa.array(["p"]), "track_ids": pa.array([["t", None]])}, PLAYLISTS)
    assert result.rows.column("track_ids").to_pylist() == [["t"]]
    [reject] = rows_of({"playlist_id": pa.array(["p"]), "track_ids": pa.array([5])}, PLAYLISTS).rejects
    assert (reject["table"], reject.get("track_id"), reject["modality"]) == ("playlists", None, "playlist")
    assert reject["detail"] == "playlist 'p': track_ids: int64 5 is not a list of strings"
