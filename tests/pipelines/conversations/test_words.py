"""Languages, themes, diversity and typing errors."""

import numpy as np
import pytest

from tracktokens.pipelines.conversations.diversity import distinct_n
from tracktokens.pipelines.conversations.known_words import language_of, themes_of
from tracktokens.pipelines.conversations.typing_errors import mistype


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        (["The Wall", "Love of my life", "What is it with you"], "en"),
        (["Wie bist du", "Der Tod und das Mädchen"], "de"),
        (["Yo no sé mañana", "Con los años que me quedan por vivir"], "es"),
        (["Je ne regrette rien", "Les feuilles mortes dans la nuit"], "fr"),
        (["Blue", None, "???"], "en"),
        (["Der Wind"], "en"),
        ([], "en"),
    ],
)
def test_the_language_is_that_of_most_titles(texts: list[str | None], language: str) -> None:
    assert language_of(texts) == language


def test_only_languages_that_may_be_chosen_are() -> None:
    assert language_of(["Wie bist du", "Der Tod und das Mädchen"], ["es", "fr"]) == "es"


@pytest.mark.parametrize(
    ("lyrics", "themes"),
    [
        (None, ()),
        ("love love love", ()),
        ("Love, loving; in love, I love", ("love",)),
        ("das Meer, die Wellen\ndas Meer, ans Ufer", ("the sea",)),
        ("die die die die, I see, you see, see, see", ()),
    ],
)
def test_a_theme_is_repeated_by_words_that_mean_nothing_else(lyrics: str | None, themes: tuple[str, ...]) -> None:
    assert themes_of(lyrics) == themes


def test_distinct_2_counts_pairs_of_words_and_no_mentions() -> None:
    assert distinct_n(["a b a b", "b a"]) == 2 / 4
    assert distinct_n(["Try [track:x1], now", "try [track:y2] now"]) == 1 / 2
    assert distinct_n(["one"]) == distinct_n([]) == 0


def test_typing_errors_are_rare_small_and_keep_first_letters() -> None:
    text = "something really mellow would be lovely tonight don't forget " * 200
    typed = mistype(text, "chatty", np.random.default_rng(0))
    changed = [(word, wrong) for word, wrong in zip(text.split(), typed.split(), strict=True) if word != wrong]
    assert 0.01 < len(changed) / len(text.split()) < 0.04
    assert all(word[0] == wrong[0] and abs(len(word) - len(wrong)) <= 1 for word, wrong in changed)
    assert mistype("hi pop and r&b", "terse", np.random.default_rng(0)) == "hi pop and r&b"
