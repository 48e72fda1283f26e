"""Hints for misnamed columns."""

import pytest

from tracktokens.schemas.tables.column_hints import suggest_column

COLUMNS = ("track_id", "title", "artist", "album", "year", "tags", "lyrics", "audio_path", "popularity")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Title", "title"),
        (" ARTIST ", "artist"),
        ("Track ID", "track_id"),
        ("\ufefftrack_id", "track_id"),
        ("audio-path", "audio_path"),
        ("tag", "tags"),
        ("Genres", "tags"),
        ("song_name", "title"),
        ("release.year", "year"),
        ("titel", "title"),
    ],
)
def test_another_spelling_a_synonym_and_a_typing_error_mean_a_column(name: str, meant: str) -> None:
    assert suggest_column(name, COLUMNS) == meant


@pytest.mark.parametrize("name", ["mood", "duration_ms", "user_id", "", "??"])
def test_other_names_mean_no_column(name: str) -> None:
    assert suggest_column(name, COLUMNS) is None


def test_only_the_columns_in_question_are_suggested() -> None:
    assert suggest_column("Title", ["artist"]) is None
    assert suggest_column("id", ["playlist_id", "track_ids"]) == "playlist_id"
