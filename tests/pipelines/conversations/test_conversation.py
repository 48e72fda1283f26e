"""Conversations become training texts without a loss, or are rejected."""

import json
from typing import Any

import pytest

from tracktokens.codebooks.tokens.rendering import TOKEN
from tracktokens.pipelines.conversations.conversation import (
    RejectedLineError,
    format_conversation,
    named_ids,
    parse_conversation,
    render_conversation,
)
from tracktokens.transforms.readers import text_stream

TOKENS = {"t1": "<|audio_1|>", "t2": "<|audio_2|>", "live[1]": "<|audio_3|>"}
T1, T2, LIVE = (f"<|track|>{tokens}<|/track|>" for tokens in TOKENS.values())
INJECTED = "<|track|><|audio_5|>"
ESCAPED = "< |track|>< |audio_5|>"
CALL = {"id": "c1", "function": {"name": "play", "arguments": '{"id": 1}'}}


def render(*messages: Any, **others: Any) -> dict[str, Any]:
    line = json.dumps({**others, "messages": list(messages)}).encode()
    return json.loads(format_conversation(render_conversation(parse_conversation(line), TOKENS.get)))


def rejected(line: bytes) -> str:
    with pytest.raises(RejectedLineError) as error:
        render_conversation(parse_conversation(line), TOKENS.get)
    return str(error.value)


def rejected_message(message: Any) -> str:
    return rejected(json.dumps({"messages": [message]}).encode())


def test_every_field_is_kept_in_order_except_the_lists_of_tracks() -> None:
    messages = [
        {"name": "dj", "role": "user", "content": "play", "weight": 0},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {"role": "assistant", "tool_calls": [CALL]},
    ]
    rendered = render(*messages, id=7, score=0.5, tools=[{"name": "play"}])
    assert rendered == {"id": 7, "score": 0.5, "tools": [{"name": "play"}], "messages": messages}
    assert [list(message) for message in rendered["messages"]] == [list(message) for message in messages]
    assert render({"role": "user", "content": "a", "tracks": ["t1"]})["messages"] == [
        {"role": "user", "content": f"a {T1}"}
    ]


def test_tracks_beside_a_missing_content_become_the_content() -> None:
    assert render({"role": "assistant", "tracks": ["t1"]})["messages"] == [{"role": "assistant", "content": T1}]
    assert render({"role": "user", "content": "a", "tracks": None})["messages"] == [{"role": "user", "content": "a"}]


def test_text_parts_are_rendered_and_others_are_kept() -> None:
    image = {"type": "image_url", "image_url": {"url": "http://x"}}
    text = {"type": "text", "text": "see [track:t1]"}
    [message] = render({"role": "user", "content": [text, image], "tracks": ["t1", "t2"]})["messages"]
    assert message["content"] == [{"type": "text", "text": f"see {T1} {T2}"}, image]
    [message] = render({"role": "user", "content": [image], "tracks": ["t2"]})["messages"]
    assert message["content"] == [image, {"type": "text", "text": T2}]


def test_no_text_or_key_can_inject_a_token() -> None:
    call = {"function": {"name": INJECTED, "arguments": json.dumps({"q": INJECTED})}}
    part = {"type": "text", "text": INJECTED}
    message = {"role": "user", "content": [part], "name": INJECTED, "tool_calls": [call], INJECTED: [[INJECTED]]}
    rendered = render(message, title=INJECTED, nested={INJECTED: INJECTED})
    assert not TOKEN.search(json.dumps(rendered))
    assert rendered["title"] == ESCAPED
    assert rendered["nested"] == {ESCAPED: ESCAPED}


@pytest.mark.parametrize("role", ["<|audio_5|>", "user<|/track|>", "audio_5", "track", "[track:t1]"])
def test_a_role_that_is_or_becomes_a_token_is_rejected(role: str) -> None:
    assert "token as its role" in rejected_message({"role": role, "content": "a"})


def test_texts_that_form_a_token_together_are_rejected() -> None:
    parts = [{"type": "text", "text": text} for text in ("<|audio_", "5|>")]
    assert "form a token" in rejected_message({"role": "user", "content": parts})
    assert "two keys" in rejected_message({"role": "user", "content": "a", "<|track|>": 1, "< |track|>": 2})


def test_mentions_are_tokens_in_every_text() -> None:
    assert render({"role": "tool", "name": "[track:t2]", "content": ""})["messages"][0]["name"] == T2
    assert render({"role": "user", "content": "[track:live[1]]"}, title="[track:t1]") == {
        "title": T1,
        "messages": [{"role": "user", "content": LIVE}],
    }


@pytest.mark.parametrize(
    "text", ["[track:", "[track:]", "[Track: t1]", "[ track:t1 ]", "［track：t1］", "【track:t1】"]
)
def test_what_was_meant_as_a_mention_is_not_left_in_a_text(text: str) -> None:
    assert "does not name a track" in rejected_message({"role": "user", "content": f"see {text}"})
    assert "does not name a track" in rejected_message({"role": "user", "content": "", "name": text})


def test_an_unknown_track_is_named_with_its_brackets() -> None:
    assert rejected_message({"role": "user", "content": "[track:x[1]]"}) == "the release does not have x[1]"
    assert rejected_message({"role": "user", "content": "", "tracks": ["x"]}) == "the release does not have x"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("text", "is not an object"),
        ({"content": "a"}, "no role"),
        ({"role": 1, "content": "a"}, "no role"),
        ({"role": "user"}, "no content"),
        ({"role": "user", "content": None}, "no content"),
        ({"role": "user", "text": "a"}, "no content"),
        ({"role": "user", "content": 5}, "not a text or a list of parts"),
        ({"role": "user", "content": {"a": 1}}, "not a text or a list of parts"),
        ({"role": "user", "content": ["a"]}, "with a part"),
        ({"role": "user", "content": [{"type": "text"}]}, "with a part"),
        ({"role": "user", "content": "a", "tracks": "t1"}, "not a list of texts"),
        ({"role": "user", "content": "a", "tracks": [1]}, "not a list of texts"),
    ],
)
def test_a_message_of_another_shape_is_rejected(message: Any, reason: str) -> None:
    found = rejected_message(message)
    assert found.startswith("not an object with a list of messages")
    assert f"message 1 {reason}" in found or reason in found


def line(extra: str) -> bytes:
    return f'{{{extra}, "messages": [{{"role": "user", "content": "a"}}]}}'.encode()


def test_numbers_are_kept_and_nan_is_null() -> None:
    parsed = parse_conversation(line('"a": 123456789012345678901234567890, "b": 0.1, "c": NaN, "d": -Infinity'))
    assert (parsed["a"], parsed["b"]) == (123456789012345678901234567890, 0.1)
    assert (parsed["c"], parsed["d"]) == (None, None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no json", "invalid JSON"),
        (b"[]", "not an object"),
        (b'{"messages": 5}', "not an object"),
        (b'{"messages": [], "messages": []}', "a key twice"),
        (line('"a": "\\ud800"'), "surrogate"),
        (line('"a": "x"').replace(b"x", b"\xff"), "not UTF-8"),
        (line('"a": 1e400'), "invalid JSON"),
        (line(f'"a": {"9" * 5000}'), "invalid JSON: Exceeds the limit"),
        (line(f'"a": {"[" * 20000}{"]" * 20000}'), "nested too deeply"),
    ],
)
def test_a_line_that_could_not_be_written_as_it_was_is_rejected(content: bytes, reason: str) -> None:
    assert reason in rejected(content)


def test_a_line_that_is_too_long_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "MAX_ROW_BYTES", 50)
    assert rejected(line('"a": "long"')) == "longer than 50 bytes"


def test_the_ids_of_a_conversation_are_those_of_all_texts_and_lists() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "[track:a]"}], "tracks": ["b"]}]
    conversation = parse_conversation(json.dumps({"title": "[track:c[1]]", "messages": messages}).encode())
    assert named_ids(conversation) == {"a", "b", "c[1", "c[1]"}
