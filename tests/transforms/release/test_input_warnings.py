"""Warnings about inputs that are not used."""

import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.catalog.column_losses import ColumnLosses, IgnoredColumns
from tracktokens.transforms.gates.input_rows import InputRows
from tracktokens.transforms.release.input_warnings import (
    catalog_warning,
    failure_warning,
    ignored_columns_warning,
    playlist_warning,
    require_used,
)

CLEAN = InputRows("rows", read=100, rejected=0, unknown=0, used=100, reasons={})
YEAR = ColumnLosses("year", kept=90, lost=10, rejected={"wrong_type": 10})
PLAYLISTS = {"playlists_read": 30, "entries_read": 40, "entries_unknown": 20}


def test_a_clean_catalog_has_no_warning() -> None:
    assert catalog_warning([CLEAN], []) is None
    assert ignored_columns_warning("tracks", IgnoredColumns([], {})) is None


def test_rows_and_values_are_joined_into_one_line_with_an_example() -> None:
    rows = InputRows("rows", read=100, rejected=2, unknown=0, used=98, reasons={"id_missing": 2})
    vectors = InputRows("rows of audio vectors", read=100, rejected=0, unknown=60, used=40, reasons={})
    assert catalog_warning([rows, vectors], [YEAR], "year: '?'") == (
        "2 of 100 rows rejected (id_missing 2); 60 of 100 rows of audio vectors are of tracks that the catalog does "
        "not have; values of tracks rejected in year (wrong_type 10); for example year: '?'"
    )


def test_half_of_the_entries_may_be_unknown_without_a_warning() -> None:
    assert playlist_warning(PLAYLISTS, used=15, example="") is None


def test_unknown_short_null_and_rejected_entries_are_joined_into_one_line() -> None:
    counts = PLAYLISTS | {
        "playlists_lost": 1,
        "playlists_lost/malformed_row": 1,
        "entries_unknown": 21,
        "null_elements/track_ids": 3,
        "values_rejected/track_ids/wrong_type": 2,
    }
    assert playlist_warning(counts, used=10, example=", for example 'x'") == (
        "1 of 30 playlists rejected (malformed_row 1); 19 of 30 playlists have fewer than two known tracks "
        "(playlist_too_short); 21 of 40 entries of playlists are unknown tracks, for example 'x'; 3 entries of "
        "playlists are null; values of playlists rejected in track_ids (wrong_type 2)"
    )


def test_no_used_playlist_is_an_error_that_names_every_loss() -> None:
    counts = PLAYLISTS | {"playlists_lost": 1, "playlists_lost/id_missing": 1}
    require_used("p.csv", "the catalog", counts, used=1, example="")
    with pytest.raises(InvalidDataError, match=r"\(20 of 40 track ids are unknown; rejected playlists: id_missing 1\)"):
        require_used("p.csv", "the catalog", counts, used=0, example="")


def test_failed_inputs_are_counted_by_reason() -> None:
    message = failure_warning("audio", 37, {"audio_missing": 2, "audio_empty": 1}, "r/rejects")
    assert message == "audio: 3 of 40 inputs rejected (audio_empty 1, audio_missing 2), see r/rejects"
