"""Training texts."""

import pytest

from tracktokens.codebooks.tokens.rendering import TOKEN, describe_track, escape_tokens, possible_ids, render

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
    "track_id",
    ["live[1]", "[b]", "]]", "a]b", "[[", "x y", 'q"uo', "two\nlines", "[track:a]", "<|audio_5|>", "日本", "z\\", " "],
)
def test_a_mention_may_name_any_id(track_id: str) -> None:
    found = render(f"Try [track:{track_id}], then [track:a].", [], {**TOKENS, track_id: TOKENS["b"]}.get)
    assert found.text == f"Try {B}, then {A}."
    assert found.mentioned == (track_id, "a")
    assert (found.unknown, found.malformed) == ((), ())


def test_of_several_ids_the_longest_known_one_is_meant() -> None:
    assert render("[track:a]]", [], {**TOKENS, "a]": TOKENS["b"]}.get).text == B
    assert render("[track:a]]", [], TOKENS.get).text == f"{A}]"
    assert possible_ids("[track:a] or [track:b]") == {"a", "a] or [track:b", "b"}


def test_an_id_is_not_searched_beyond_its_longest_length() -> None:
    longest = "x" * 256
    assert render(f"[track:{longest}]", [], {longest: TOKENS["a"]}.get).text == A
    assert render(f"[track:{longest}x]", [], TOKENS.get).malformed == (f"[track:{'x' * 33}",)


@pytest.mark.parametrize(
    "text",
    ["[track:", "[track:]", "[track:a", "[Track: a]", "[ track:a ]", "[TRACK :a]", "［track：a］", "【track:a】"],
)
def test_what_names_no_track_is_malformed(text: str) -> None:
    assert len(render(f"Try {text}", [], TOKENS.get).malformed) == 1
    assert render("Try [track] or a (track: a) or [tracks]", [], TOKENS.get).malformed == ()


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
