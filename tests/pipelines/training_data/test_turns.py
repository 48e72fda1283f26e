"""Conversations as rows."""

from typing import Any

import pytest

from tracktokens.pipelines.conversations.conversation import RejectedLineError
from tracktokens.pipelines.training_data.sampling import Shares
from tracktokens.pipelines.training_data.turns import Dialogue

TOKENS = {"t1": "<|audio_1|>", "t2": "<|audio_2|>", "a[b]": "<|audio_3|>"}
ONE, TWO = "<|track|><|audio_1|><|/track|>", "<|track|><|audio_2|><|/track|>"


def dialogue(*messages: tuple[str, Any], **fields: Any) -> Dialogue:
    entries = [{"role": role, "content": content} for role, content in messages]
    return Dialogue.of({**fields, "messages": entries}, 7, Shares(0.1, 0.1), TOKENS.get)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([("user", "a"), ("system", "b"), ("assistant", "c")], "has a system message that is not the first"),
        ([("user", [{"type": "image_url"}]), ("assistant", "c")], "message 1 has a part that is not a text"),
        ([("user", "a"), ("assistant", None)], "message 2 has no text"),
        ([("user", "a"), ("assistant", "[Track: t1]")], "does not name a track"),
        ([("user", "a"), ("assistant", " ")], "no turn of the assistant"),
        ([("assistant", "a")], "no turn of the assistant"),
        ([("user", "a"), ("<|x|>", "b")], "message 2 has the role"),
    ],
)
def test_a_conversation_that_cannot_be_learned_is_rejected(messages: list[tuple[str, Any]], reason: str) -> None:
    with pytest.raises(RejectedLineError, match=reason):
        dialogue(*messages)


def test_a_row_has_all_turns_before_its_own() -> None:
    made = dialogue(
        ("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "[track:t1]"), id=5
    )
    first, second = made.rows()
    assert [entry["content"] for entry in first.prompt] == ["s", "a"]
    assert [entry["content"] for entry in second.prompt] == ["s", "a", "b", "c"]
    assert (second.completion["content"], second.tracks, second.row_id) == (ONE, ("t1",), "5/5")


def test_parts_and_messages_by_the_same_role_are_joined_by_line_breaks() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "[track:t2]"}]
    [row] = dialogue(("user", parts), ("user", "b"), ("assistant", "c"), ("assistant", "[track:t1]")).rows()
    assert row.prompt == ({"role": "user", "content": f"a\n{TWO}\nb"},)
    assert (row.completion["content"], row.tracks) == (f"c\n{ONE}", ("t1",))


def test_unknown_mentions_are_left_out_and_their_turn_is_context_alone() -> None:
    made = dialogue(
        ("user", "a"), ("assistant", "[track:no] and [track:a[b]]"), ("user", "b"), ("assistant", "[track:t1]")
    )
    [row] = made.rows()
    assert row.prompt[1]["content"] == " and <|track|><|audio_3|><|/track|>"
    assert list(made.problems) == [(2, "the release does not have no")]
    with pytest.raises(RejectedLineError, match="its first turn of the assistant cannot be used"):
        made.whole()


def test_a_whole_conversation_ends_before_a_turn_that_cannot_be_used() -> None:
    good = (("user", "a"), ("assistant", "[track:t2]"), ("user", "b"), ("assistant", "[track:t1]"))
    row = dialogue(*good, ("user", "c"), ("assistant", "[track:no]"), ("user", "d"), ("assistant", "e")).whole()
    assert [entry["content"] for entry in (*row.prompt, row.completion)] == ["a", TWO, "b", ONE]
    assert (row.tracks, row.row_id) == (("t2", "t1"), "line 7")


def test_the_split_is_that_of_the_line_or_of_the_playlist_whatever_the_id() -> None:
    talk = (("user", "a"), ("assistant", "b"))
    assert dialogue(*talk, split="test").split == "test"
    assert len({dialogue(*talk, id=str(n), playlist="p").split for n in range(60)}) == 1
    assert len({dialogue(*talk, id=str(n)).split for n in range(60)}) > 1
    with pytest.raises(RejectedLineError, match="split 'dev' is not one of"):
        dialogue(*talk, split="dev")
