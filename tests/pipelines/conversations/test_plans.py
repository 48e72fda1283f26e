"""Plans: drawn ones are true, and the check finds each lie."""

import re
from dataclasses import replace

import numpy as np
import pytest

from tracktokens.pipelines.conversations.plan import (
    ASK,
    MORE,
    NEAR,
    REFINE,
    REJECT,
    THANKS,
    WHY,
    Plan,
    Recommended,
    Turn,
    faults_of,
)
from tracktokens.pipelines.conversations.planner import Planner
from tracktokens.pipelines.conversations.track_card import (
    ARTIST,
    GENRE,
    LANGUAGES,
    MOOD,
    SAME_LIST,
    SIMILAR,
    TITLE,
    Condition,
    TrackCard,
    make_card,
    spoken_name,
    tag_condition,
)
from tracktokens.pipelines.conversations.wording import Wording

ROCK, JAZZ, SAD = Condition(GENRE, "rock"), Condition(GENRE, "jazz"), Condition(MOOD, "sad")


def card(track_id: str, *tags: str, artist: str | None = None, title: str | None = None) -> TrackCard:
    return make_card(track_id, title, artist, list(tags))


CARDS = {
    "a": card("a", "rock", artist="Anna"),
    "b": card("b", "rock", "sad", artist="Ben"),
    "c": card("c", "rock", artist="Anna"),
    "d": card("d", "jazz", artist="Dora"),
    "e": card("e"),
}


def turn(
    act: str, *ids: str, request: Condition | None = None, about: str | None = None, reason: Condition | None = None
) -> Turn:
    return Turn(act, request, about, tuple(Recommended(track_id, reason) for track_id in ids))


def faults(*turns: Turn) -> list[str]:
    return faults_of(Plan("p#1", "p", "en", "casual", turns), CARDS)


ASK_ROCK = turn(ASK, "a", request=ROCK, reason=ROCK)


def test_a_true_plan_has_no_fault() -> None:
    liked = Condition(SIMILAR, "b")
    assert faults(
        turn(ASK, "a", request=ROCK, reason=Condition(ARTIST, "Anna")),
        turn(REFINE, "b", request=SAD, reason=SAD),
        Turn(WHY, about="b", reasons=(ROCK, SAD)),
        turn(NEAR, "d", request=liked, about="b", reason=Condition(SAME_LIST, "a")),
        turn(MORE, "e"),
        turn(THANKS),
    ) == []  # fmt: skip


@pytest.mark.parametrize(
    ("turns", "fault"),
    [
        ([turn(MORE, "a")], "does not begin with a request"),
        ([turn(ASK, "d", request=ROCK)], "recommends d, which is not rock"),
        ([ASK_ROCK, turn(MORE, "a")], "recommends a again"),
        ([ASK_ROCK, turn(MORE, "d")], "recommends d, which is not rock"),
        ([ASK_ROCK, turn(REFINE, "c", request=SAD)], "recommends c, which is not sad"),
        ([ASK_ROCK, turn(REJECT, "c", about="b")], "about b, which was not recommended"),
        ([ASK_ROCK, turn(REJECT, "b", about="a", request=SAD)], "refuses a for sad, which it does not have"),
        ([ASK_ROCK, turn(REJECT, "c", about="a", request=Condition(ARTIST, "Anna"))], "recommends c, which is Anna"),
        ([ASK_ROCK, Turn(WHY, about="a", reasons=(SAD,))], "explains a by sad"),
        ([ASK_ROCK, Turn(WHY, about="b", reasons=(SAD,))], "about b, which was not recommended"),
        ([turn(ASK, "a", request=ROCK, reason=SAD)], "gives sad as the reason for a"),
        ([ASK_ROCK, turn(MORE)], "has 0 tracks"),
        ([ASK_ROCK, turn(THANKS), turn(MORE, "c")], "continues after the listener thanked"),
        ([turn(ASK, "stranger", request=ROCK)], "stranger is not in the playlist"),
        ([turn(ASK, "b", request=Condition(SIMILAR, "b"), about="b")], "recommends b again"),
    ],
)
def test_a_false_plan_has_its_fault(turns: list[Turn], fault: str) -> None:
    assert any(fault in found for found in faults(*turns))


def many_cards(count: int, seed: int) -> list[TrackCard]:
    chance = np.random.default_rng(seed)
    tags = ["rock", "jazz", "sad", "happy", "piano", "the 80s", "road trip", "hot love", "low quality"]
    return [
        card(
            f"t{number}",
            *chance.permutation(tags)[: int(chance.integers(4))].tolist(),
            artist=f"artist {chance.integers(5)}" if chance.random() < 0.8 else None,
            title=f"Stormy weather {number}" if chance.random() < 0.8 else None,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_drawn_plans_are_true_and_each_track_is_worded_once_where_it_is_planned(language: str) -> None:
    for seed in range(60):
        cards = many_cards(2 + seed % 25, seed)
        plan = Planner("p", "Road songs", cards, language, np.random.default_rng(seed)).plan(f"p#{seed}")
        by_id = {card.track_id: card for card in cards}
        assert faults_of(plan, by_id) == []
        messages = Wording(plan, by_id, np.random.default_rng(seed)).messages()
        assert [message["role"] for message in messages] == ["user", "assistant"] * len(plan.turns)
        for planned, answer in zip(plan.turns, messages[1::2], strict=True):
            mentions = re.findall(r"\[track:(\w+)\]", answer["content"])
            places = [answer["content"].find(f"[track:{track.track_id}]") for track in planned.tracks]
            assert mentions == [track.track_id for track in planned.tracks]
            assert -1 not in places
            assert places == sorted(places)
            assert "{" not in answer["content"]


def test_all_acts_occur() -> None:
    plans = (
        Planner("p", None, many_cards(30, seed), "en", np.random.default_rng(seed)).plan("p#1") for seed in range(60)
    )
    acts = {turn.act for plan in plans for turn in plan.turns}
    assert acts == {ASK, MORE, REFINE, REJECT, WHY, NEAR, THANKS}


def test_a_language_without_a_word_for_a_mood_does_not_use_it() -> None:
    cards = [card(f"t{number}", "sad") for number in range(6)]
    plan = Planner("p", None, cards, "de", np.random.default_rng(1)).plan("p#1")
    text = str(
        Wording(replace(plan, register="casual"), {c.track_id: c for c in cards}, np.random.default_rng(1)).messages()
    )
    assert "sad" not in text
    assert "traurig" in text


@pytest.mark.parametrize(
    ("tag", "condition"),
    [
        ("Rock", ROCK),
        ("rock music", ROCK),
        ("TRAURIG", SAD),
        ("acoustic_guitar", Condition("instrument", "acoustic guitar")),
        ("deep house", Condition(GENRE, "deep house")),
        ("the 2010s", Condition("decade", "2010")),
        ("1990s", Condition("decade", "1990")),
        ("serious business", Condition("label", "serious business")),
        ("best of 2022", None),
        ("2026 04 - european summer tour", None),
        ("low quality", None),
        ("no singer", None),
        ("mb:1234", None),
    ],
)
def test_a_tag_is_what_people_mean_by_it(tag: str, condition: Condition | None) -> None:
    assert tag_condition(tag) == condition


def test_the_tag_that_repeats_the_artist_is_not_asked_for() -> None:
    assert make_card("t", None, "Red Hot", ["red hot"]).conditions == {Condition(ARTIST, "Red Hot")}


@pytest.mark.parametrize("text", ["[track:b]", "a 【track: b】", "a ［track:b］"])
def test_a_text_that_looks_like_a_mention_is_not_used(text: str) -> None:
    made = make_card("t", text, text, [text], album=text)
    assert (made.title, made.artist) in ((None, None), ("a", None))
    assert not any("track" in condition.value and condition.kind != TITLE for condition in made.conditions)
    assert spoken_name(text) is None


def test_a_french_de_is_shortened_before_a_vowel() -> None:
    abba, zazie = Condition(ARTIST, "ABBA"), Condition(ARTIST, "Zazie")
    cards = {"a": card("a", artist="ABBA"), "z": card("z", artist="Zazie")}
    texts = {}
    for track_id, artist in (("a", abba), ("z", zazie)):
        plan = Plan("p#1", "p", "fr", "formal", (turn(ASK, track_id, request=artist, reason=artist),))
        texts[track_id] = Wording(plan, cards, np.random.default_rng(0)).messages()[0]["content"]
    assert "d'ABBA" in texts["a"]
    assert "de Zazie" in texts["z"]


def test_a_song_under_several_ids_is_recommended_once() -> None:
    cards = [card(f"t{number}", "rock", artist="Anna", title=f"Song {number % 3} (Live)") for number in range(30)]
    titles = {card.track_id: card.title for card in cards}
    for seed in range(20):
        plan = Planner("p", None, cards, "en", np.random.default_rng(seed)).plan("p#1")
        songs = [titles[track_id] for track_id in plan.recommended]
        assert len(songs) == len(set(songs))
