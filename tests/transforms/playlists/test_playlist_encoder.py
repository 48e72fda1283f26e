"""Kinds of playlist encoders by name."""

from dataclasses import replace

import pytest

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.playlist_encoders import ALS, AUTO, PLAYLIST_ENCODERS, WORD2VEC
from tracktokens.transforms.playlists.als import AlsConfig
from tracktokens.transforms.playlists.playlist_encoder import KINDS, encoders_of, read_settings
from tracktokens.transforms.playlists.word2vec import Word2VecConfig


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (WORD2VEC, (Word2VecConfig(),)),
        (ALS, (AlsConfig(),)),
        (AUTO, (Word2VecConfig(), AlsConfig())),
    ],
)
def test_a_choice_gives_the_encoders_to_choose_from(
    choice: str, expected: tuple[Word2VecConfig | AlsConfig, ...]
) -> None:
    assert encoders_of(choice) == expected


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown playlist encoder bpr: choose one of word2vec, als, auto"):
        encoders_of("bpr")


def test_each_name_is_a_kind_or_auto() -> None:
    assert (*KINDS, AUTO) == PLAYLIST_ENCODERS


@pytest.mark.parametrize("settings", [Word2VecConfig(window=7), AlsConfig(dim=9)])
def test_settings_are_read_from_an_identity(settings: Word2VecConfig | AlsConfig) -> None:
    assert read_settings(settings.identity("ab")) == settings
    assert read_settings(settings.identity("ab", isolated=2)) == settings


def test_the_floor_is_read_only_where_it_left_out_a_track() -> None:
    settings = replace(Word2VecConfig(), smallest_component=5)

    assert read_settings(settings.identity("ab", isolated=1)) == settings
    assert "smallest_component" not in settings.identity("ab")
