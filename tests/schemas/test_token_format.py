import pytest

from tracktokens.schemas.token_format import NUMBERED, TokenFormat, modality_buckets, modality_of

FORMAT = TokenFormat.of(8, levels={"metadata": [4, 2], "tags": [3]}, numbers=5, same_song=NUMBERED)


def test_levels_follow_the_modalities_and_the_number_is_last() -> None:
    assert FORMAT.names[5:] == ("tags2", "metadata2", "metadata3", "n")
    assert [column.size for column in FORMAT.columns] == [8, 8, 8, 8, 8, 3, 4, 2, 5]


def test_a_level_requires_those_before_it_and_a_number_all() -> None:
    assert FORMAT.requires == ((), (), (), (), (), (1,), (2,), (2, 6), tuple(range(8)))


def test_a_format_is_read_back_from_a_manifest() -> None:
    assert TokenFormat.from_json(8, FORMAT.to_json()) == FORMAT
    assert TokenFormat.of(8, FORMAT.levels, FORMAT.numbers, FORMAT.same_song) == FORMAT


def test_a_format_of_five_tokens_adds_nothing_to_a_manifest() -> None:
    assert TokenFormat.of(8).to_json() is None
    assert TokenFormat.from_json(8, None) == TokenFormat.of(8)


def test_levels_share_the_buckets_of_their_modality() -> None:
    assert modality_buckets([("lyrics", 0), ("tags", 1)], FORMAT) == [("lyrics", 0), ("tags", 1), ("tags2", 1)]
    assert [modality_of(name) for name in ("tags", "metadata3")] == ["tags", "metadata"]


def test_a_format_has_at_most_twelve_columns() -> None:
    with pytest.raises(ValueError, match="13 tokens"):
        TokenFormat.of(8, levels={"tags": [2] * 8})
