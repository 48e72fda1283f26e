"""Draws and splits."""

from collections import Counter

import pytest

from tracktokens.pipelines.training_data.sampling import DEFAULT_MIX, Chance, Shares, complete_mix


def test_shares_are_shares_of_many_sources() -> None:
    counts = Counter(Shares(0.1, 0.3).split(f"p{n}") for n in range(5000))
    assert counts["validation"] == pytest.approx(500, rel=0.15)
    assert counts["test"] == pytest.approx(1500, rel=0.1)
    assert Shares(0, 0).split("p") == "train"


def test_a_larger_test_share_keeps_what_was_in_test() -> None:
    small = {n for n in range(500) if Shares(0.1, 0.1).split(f"p{n}") == "test"}
    large = {n for n in range(500) if Shares(0.1, 0.3).split(f"p{n}") == "test"}
    assert small < large


def test_copies_have_the_rate_as_their_mean() -> None:
    copies = [Chance(3).copies(1.25, "task", n) for n in range(4000)]
    assert set(copies) == {1, 2}
    assert sum(copies) / len(copies) == pytest.approx(1.25, abs=0.03)
    assert {Chance(3).copies(2, n) for n in range(50)} == {2}
    assert {Chance(3).copies(0, n) for n in range(50)} == {0}


def test_draws_depend_on_the_seed_and_the_name_alone() -> None:
    assert Chance(1).share("a", 2) == Chance(1).share("a", 2)
    assert len({Chance(1).share("a"), Chance(2).share("a"), Chance(1).share("b"), Chance(1).share("a", "")}) == 4
    assert sorted(Chance(0).order("abc", "x")) == ["a", "b", "c"]
    assert sorted(Chance(0).rotate("abc", 3, "x")) == ["a", "b", "c"]


def test_a_mix_completes_the_default() -> None:
    assert complete_mix({"conversation": 0.5}) == {**DEFAULT_MIX, "conversation": 0.5}
    with pytest.raises(ValueError, match="songs=1 is not one of"):
        complete_mix({"songs": 1})
