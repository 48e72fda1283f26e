"""The wording of a plan by a language model: the prompt, and the check of the answer."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tracktokens.codebooks.tokens.rendering import render
from tracktokens.pipelines.conversations.plan import REJECT, THANKS, WHY, Plan, Turn
from tracktokens.pipelines.conversations.track_card import SAME_LIST, SIMILAR, Condition, TrackCard
from tracktokens.pipelines.conversations.wording import value_name

USER, ASSISTANT = "user", "assistant"

_INSTRUCTIONS = """\
You write a conversation between a listener and an assistant that recommends music. You get its plan as JSON, one turn \
after the other. Write exactly two messages per turn: the listener's (role "user"), then the assistant's (role \
"assistant"). Vary the sentences, and write as people talk.
Rules:
- Write in the language of the plan, and the listener in the register of the plan.
- Write a track as [track:ID], with its id from the plan, exactly once in the message whose "names" list has it. Name \
no other track, and do not write titles.
- The assistant gives the reasons of the plan and no others. Do not invent anything about a track.
Answer with JSON alone:
{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}, ...]}"""

_SHOWN_CHARACTERS = 80


class WrongAnswerError(ValueError):
    """An answer that does not follow the plan. The message is the reason."""


def make_prompt(plan: Plan, cards: Mapping[str, TrackCard]) -> list[dict[str, str]]:
    """Write the instructions, and the plan with everything that may be used of its tracks."""
    turns = [_describe_turn(turn, plan.language, cards) for turn in plan.turns]
    content = {"language": plan.language, "register": plan.register, "turns": turns}
    return [
        {"role": "system", "content": _INSTRUCTIONS},
        {"role": "user", "content": json.dumps(content, ensure_ascii=False)},
    ]


def parse_answer(answer: str, plan: Plan) -> list[dict[str, str]]:
    """Read the messages of an answer.

    Raises:
        WrongAnswerError: it is not JSON of the right form, has other turns or roles than the plan, or a message names
            other tracks than it should, or one of them twice.
    """
    messages = _messages(answer)
    if len(messages) != 2 * len(plan.turns):
        raise WrongAnswerError(f"it has {len(messages)} messages instead of {2 * len(plan.turns)}")
    expected = [
        (role, names) for turn in plan.turns for role, names in zip((USER, ASSISTANT), named_in(turn), strict=True)
    ]
    for number, (message, (role, names)) in enumerate(zip(messages, expected, strict=True), 1):
        if message["role"] != role:
            raise WrongAnswerError(f"message {number} is of the {message['role']} instead of the {role}")
        _check_names(number, message["content"], names)
    return messages


def named_in(turn: Turn) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the tracks that the listener's and the assistant's message of a turn have to name."""
    return (() if turn.about is None else (turn.about,)), tuple(track.track_id for track in turn.tracks)


def _describe_turn(turn: Turn, language: str, cards: Mapping[str, TrackCard]) -> dict[str, Any]:
    by_listener, by_assistant = named_in(turn)
    listener: dict[str, Any] = {"does": turn.act, "names": by_listener}
    if turn.request is not None:
        listener["does not want" if turn.act == REJECT else "wants"] = _describe(turn.request, language, cards)
    assistant: dict[str, Any] = {"does": "wish a good time" if turn.act == THANKS else "explain"}
    if turn.act == WHY:
        assistant["reasons"] = [_describe(reason, language, cards) for reason in turn.reasons]
    elif turn.tracks:
        reasons = {t.track_id: _describe(t.reason, language, cards) for t in turn.tracks if t.reason is not None}
        assistant = {"does": "recommend", "names": by_assistant, "reasons": reasons}
    return {"user": listener, "assistant": assistant}


def _describe(condition: Condition, language: str, cards: Mapping[str, TrackCard]) -> str:
    if condition.kind == SIMILAR:
        return "something similar to the named track"
    if condition.kind == SAME_LIST:
        return f'is on the same playlist as "{cards[condition.value].title}"'
    return f"{_KINDS[condition.kind]}: {value_name(condition, language)}"


_KINDS = {
    "genre": "genre",
    "mood": "mood",
    "instrument": "with",
    "occasion": "good for",
    "decade": "from the years",
    "years": "from the years",
    "label": "tagged",
    "artist": "by the artist",
    "album": "from the album",
    "title": "has this word in its title",
    "theme": "its lyrics are about",
    "name": "for a playlist called",
}


def _messages(answer: str) -> list[dict[str, str]]:
    """Read a list of messages from JSON, which may be in a code block."""
    text = re.sub(r"^.*?```(?:json)?\s*(.*?)```.*$", r"\1", answer.strip(), flags=re.DOTALL)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongAnswerError(f"it is not JSON: {answer[:_SHOWN_CHARACTERS]!r}") from error
    messages = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise WrongAnswerError("it has no list of messages, each with a role and a content that is not empty")
    return [{"role": message["role"], "content": " ".join(message["content"].split())} for message in messages]


def _is_message(message: Any) -> bool:
    texts = [message.get(key) for key in ("role", "content")] if isinstance(message, dict) else [None]
    return all(isinstance(text, str) and text.strip() for text in texts)


def _check_names(number: int, content: str, names: tuple[str, ...]) -> None:
    found = render(content, (), dict.fromkeys(names, "").get)
    if found.malformed:
        raise WrongAnswerError(f"message {number} has {found.malformed[0]!r}, which does not name a track")
    counts = Counter(found.mentioned)
    for name in names:
        if counts[name] != 1:
            raise WrongAnswerError(f"message {number} names {name} {counts[name]} times instead of once")
    if others := counts.keys() - set(names):
        raise WrongAnswerError(f"message {number} names {min(others)}, which it should not")
