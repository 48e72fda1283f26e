"""Rows that cannot be used are rejected: ids, blank text, audio paths."""

import pyarrow as pa
import pytest

from tracktokens.schemas.tables.rejects import (
    AUDIO_MISSING,
    AUDIO_OUTSIDE_ROOT,
    ID_EMPTY,
    ID_MISSING,
    ID_TOO_LONG,
    REJECTS,
)
from tracktokens.schemas.tables.tracks import SCANNED_TRACKS
from tracktokens.transforms.readers.audio_root import AudioRoot
from tracktokens.transforms.readers.validation import blank_to_null, validate_audio, validate_ids

BLANKS = ["", " ", "\t\r\n\x0b\x0c", "\u3000\u00a0\u2009\u2028", "\u200b\ufeff", "\x85\x1c", "\u200e \u2060"]


def tracks(*rows):
    rows = [{"track_id": f"t{number}", "position": number} | row for number, row in enumerate(rows)]
    return pa.RecordBatch.from_pylist(rows, SCANNED_TRACKS)


def test_valid_ids_pass_unchanged():
    batch = tracks({"track_id": " a "}, {"track_id": "歌" * 85 + "x"}, {"track_id": "."})
    validated = validate_ids(batch)
    assert (validated.rows, validated.rejects.num_rows) == (batch, 0)
    assert validated.rejects.schema == REJECTS


def test_a_missing_id_is_a_reject_and_not_a_row():
    validated = validate_ids(tracks({"track_id": None, "position": (2 << 40) + 4}, {}))
    assert validated.rows.column("track_id").to_pylist() == ["t1"]
    assert validated.rejects.to_pylist() == [
        dict.fromkeys(REJECTS.names)
        | {
            "table": "tracks",
            "stage": "validate",
            "reason": ID_MISSING,
            "detail": "input part 3, row 5: track_id is null",
        }
    ]


@pytest.mark.parametrize("blank", BLANKS)
def test_a_blank_id_is_empty(blank):
    validated = validate_ids(tracks({}, {"track_id": blank}))
    assert validated.rows.num_rows == 1
    assert validated.rejects.column("reason").to_pylist() == [ID_EMPTY]


def test_the_length_of_an_id_counts_in_bytes():
    validated = validate_ids(tracks({"track_id": "x" * 256}, {"track_id": "x" * 257}, {"track_id": "歌" * 86}))
    assert validated.rows.column("position").to_pylist() == [0]
    assert validated.rejects.column("reason").to_pylist() == [ID_TOO_LONG] * 2
    assert validated.rejects.column("detail")[1].as_py().endswith("has 258 bytes, over 256")


def test_an_empty_batch_stays_empty():
    batch = SCANNED_TRACKS.empty_table().to_batches() or [pa.RecordBatch.from_pylist([], SCANNED_TRACKS)]
    assert validate_ids(batch[0]).rows.num_rows == blank_to_null(batch[0]).num_rows == 0
    assert validate_audio(batch[0], AudioRoot("nowhere")).rows == batch[0]


# Blank text


@pytest.mark.parametrize("blank", BLANKS)
def test_blank_text_is_missing(blank):
    text = ("title", "artist", "album", "lyrics", "audio_path", "audio_version")
    [row] = blank_to_null(tracks(dict.fromkeys(text, blank) | {"year": 1, "popularity": 0.0})).to_pylist()
    assert [row[name] for name in text] == [None] * 6
    assert (row["track_id"], row["year"], row["popularity"]) == ("t0", 1, 0.0)


def test_text_with_a_visible_character_is_unchanged():
    for title in (" x ", "\u200b歌\n", "0", "-", "\u0301"):
        assert blank_to_null(tracks({"title": title})).column("title").to_pylist() == [title]


def test_blank_tags_are_removed_and_an_empty_list_is_null():
    batch = tracks({"tags": ["a", " ", "b"]}, {"tags": ["\u200b"]}, {"tags": []}, {"tags": None}, {"tags": ["c"]})
    cleaned = blank_to_null(batch)
    assert cleaned.schema == SCANNED_TRACKS
    assert cleaned.column("tags").to_pylist() == [["a", "b"], None, None, None, ["c"]]
    assert blank_to_null(batch.slice(2, 3)).column("tags").to_pylist() == [None, None, ["c"]]


# Audio paths


def test_a_batch_loses_paths_and_keeps_rows(tmp_path):
    (tmp_path / "a.ogg").write_bytes(b"12345")
    batch = tracks(
        {"audio_path": "a.ogg", "audio_version": "v"},
        {"audio_version": "lonely"},
        {"audio_path": "no.ogg"},
        {"audio_path": "/x"},
        {"audio_path": f"{tmp_path}/a.ogg", "audio_version": "v"},
    )
    validated = validate_audio(batch, AudioRoot(str(tmp_path)))
    assert validated.rows.schema == SCANNED_TRACKS
    assert validated.rows.column("audio_path").to_pylist() == ["a.ogg", None, None, None, "a.ogg"]
    assert validated.rows.column("audio_version").to_pylist() == ["v", None, None, None, "v"]
    assert [(r["track_id"], r["modality"], r["reason"], r["detail"]) for r in validated.rejects.to_pylist()] == [
        ("t2", "audio", AUDIO_MISSING, "audio_path: 'no.ogg' is missing: No such file or directory"),
        ("t3", "audio", AUDIO_OUTSIDE_ROOT, "audio_path: '/x' leaves the root"),
    ]
