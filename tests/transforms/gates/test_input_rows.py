"""The bound on the rejects of an input table."""

from dataclasses import replace

import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.gates.input_rows import (
    InputRows,
    RejectRateGate,
    input_rows,
    playlist_rows,
    playlists_refused,
)

ROWS = InputRows("rows", read=100, rejected=5, unknown=0, used=95, reasons={"id_missing": 3, "id_duplicate": 2})


def test_a_share_at_the_limit_is_accepted() -> None:
    RejectRateGate(0.05).check(ROWS)


def test_too_many_rejects_are_refused_with_their_reasons() -> None:
    message = r"^5 of 100 rows rejected, more than 4\.0% \(id_duplicate 2, id_missing 3\): .*--max-reject-rate"
    with pytest.raises(InvalidDataError, match=f"{message}; nothing was published$"):
        RejectRateGate(0.04).check(ROWS)


@pytest.mark.parametrize(
    ("reasons", "remedy"),
    [
        ({"id_wrong_type": 4, "id_missing": 1}, "write each track_id as a text"),
        ({"wrong_type": 5}, "write ids as texts"),
        ({"id_missing": 3, "id_wrong_type": 2}, "fix the input"),
        ({}, "fix the input"),
    ],
)
def test_the_most_frequent_reason_has_its_own_remedy(reasons: dict[str, int], remedy: str) -> None:
    with pytest.raises(InvalidDataError, match=remedy):
        RejectRateGate(0.5).check(InputRows("rows", read=5, rejected=5, unknown=0, used=0, reasons=reasons))


@pytest.mark.parametrize("read", [0, 5])
def test_a_table_without_a_row_that_can_be_used_is_refused_at_any_rate(read: int) -> None:
    with pytest.raises(InvalidDataError, match=f"^none of {read} rows can be used"):
        RejectRateGate(1.0).check(replace(ROWS, read=read, rejected=read, used=0))


def test_embeddings_of_other_tracks_alone_are_refused() -> None:
    with pytest.raises(InvalidDataError, match=r"is of a track of the catalog \(95 have another track_id\)"):
        RejectRateGate(1.0).check(replace(ROWS, unknown=95, used=0))


def test_each_table_of_a_scan_has_its_own_reasons() -> None:
    counts = {"rejects/id_missing": 1, "rejects/vectors/audio/id_wrong_type": 4, "rejects/vectors/tags/not_finite": 2}
    counts |= {"rows_read": 9, "rows_rejected": 1, "rows_accepted": 8}
    counts |= {"vectors_read/audio": 4, "vectors_rejected/audio": 4}
    rows, audio = input_rows(counts, ["audio"])
    assert (rows.read, rows.rejected, rows.used) == (9, 1, 8)
    assert (rows.reasons, audio.reasons) == ({"id_missing": 1}, {"id_wrong_type": 4})
    with pytest.raises(
        InvalidDataError, match=r"^none of 4 rows of audio vectors can be used \(id_wrong_type 4\): write each"
    ):
        RejectRateGate(0.05).check(audio)


def test_playlists_have_the_limit_of_tracks_without_those_that_are_too_short() -> None:
    counts = {"playlists_read": 30, "playlists_lost": 3, "playlists_lost/malformed_row": 3, "rows_rejected": 30}
    assert playlist_rows(counts) == InputRows("playlists", 30, 3, 0, 27, {"malformed_row": 3})
    with pytest.raises(InvalidDataError, match=r"^3 of 30 playlists rejected, more than 5\.0% \(malformed_row 3\)"):
        RejectRateGate(0.05).check(playlist_rows(counts))
    RejectRateGate(0.1).check(playlist_rows(counts))


def test_playlists_are_refused_by_their_own_counts_alone() -> None:
    counts = {"playlists_read": 100, "playlists_lost": 5, "rows_rejected": 60}
    assert playlists_refused(RejectRateGate(0.04), counts)
    assert not playlists_refused(RejectRateGate(0.05), counts)
