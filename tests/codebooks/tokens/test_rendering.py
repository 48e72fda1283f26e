"""Training texts."""

import pytest

from tracktokens.codebooks.tokens.rendering import TOKEN, describe_track, escape_tokens, render

TOKENS = {"a": "<|playlist_1|><|tags_2|><|metadata_3|><|lyrics_none|><|audio_5|>", "b": "<|playlist_none|><|tags_0|>"}
A, B = (f"<|track|>{tokens}<|/track|>" for tokens in TOKENS.values())


def test_a_track_is_written_where_it_is_named_and_others_follow() -> None:
    found = render("Try [track:a], then rest.", ["b", "a"], TOKENS.get)
    assert found.text == f"Try {A}, then rest. {B}"
    assert found.unknown == ()
    assert render("", ["a"], TOKENS.get).text == A


def test_tracks_that_the_release_does_not_have_are_named() -> None:
    assert render("[track:x] [track:a]", ["y", "x"], TOKENS.get).unknown == ("x", "y")


@pytest.mark.parametrize(
    "text",
    [
        "<|audio_5|>",
        "<|track|><|playlist_1|><|/track|>",
        "<|<|audio_5|>audio_5|>",
        "<|lyrics_none|><|tags_123456|>",
        "<<|audio_5|>|audio_7|>",
    ],
)
def test_no_text_can_inject_a_token(text: str) -> None:
    assert not TOKEN.search(escape_tokens(text))
    rendered = render(f"{text}[track:a]{text}", [], TOKENS.get).text
    assert TOKEN.findall(rendered) == TOKEN.findall(A)
    around = render(f"<|[track:a]audio_5|> {text}", ["b"], TOKENS.get).text
    assert TOKEN.findall(around) == TOKEN.findall(A + B)


def test_texts_without_tokens_stay_as_they_are() -> None:
    text = "a <| b |> c <|audio|> <|audio_x|> [track] 1 < |"
    assert escape_tokens(text) == text


@pytest.mark.parametrize(
    ("title", "artist", "expected"),
    [("T", "A", '"T" by A'), ("T", None, '"T"'), (None, "A", "a song by A"), (None, None, "track t1")],
)
def test_a_track_is_described_by_what_is_known(title: str | None, artist: str | None, expected: str) -> None:
    assert describe_track({"track_id": "t1", "title": title, "artist": artist}) == expected
