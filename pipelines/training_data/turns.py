"""Conversations as training rows: one per turn of the assistant, with the messages before it as the prompt."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Any

from tracktokens.codebooks.tokens.rendering import RenderedText, render
from tracktokens.pipelines.conversations.conversation import TEXT_PART, Conversation, RejectedLineError
from tracktokens.pipelines.training_data.rows import (
    ASSISTANT,
    CONVERSATION,
    SPLITS,
    SYSTEM,
    USER,
    Message,
    TrainingRow,
    message,
)
from tracktokens.pipelines.training_data.sampling import Shares

ROLES = (SYSTEM, USER, ASSISTANT)

TokensOf = Callable[[str], str | None]


@dataclass(frozen=True)
class Turn:
    """Messages in a row by the same role, as one.

    Attributes:
        message: role and content, with tokens.
        tracks: ids of its tracks, in order.
        number: number of its first message in the conversation, from 1.
        problem: reason why nothing is learned from it; None for a complete turn.
    """

    message: Message
    tracks: tuple[str, ...]
    number: int
    problem: str | None


@dataclass(frozen=True)
class Dialogue:
    """A conversation as turns, with its id and split.

    Attributes:
        dialogue_id: its ``id``, or its line.
        playlist: playlist that it was made from, if it names one.
        split: ``train``, ``validation`` or ``test``.
        turns: the turns; system and user alternate with the assistant.
    """

    dialogue_id: str
    playlist: str | None
    split: str
    turns: tuple[Turn, ...]

    @classmethod
    def of(cls, conversation: Conversation, line: int, shares: Shares, tokens_of: TokensOf) -> "Dialogue":
        """Read a conversation that :func:`.parse_conversation` accepted.

        Its split is that in the line; else that of its playlist, or of its id.

        Raises:
            RejectedLineError: it has a role, a content or a split that is not known, a malformed mention, or no turn of
                the assistant after one of the user.
        """
        dialogue_id = _text_of(conversation, "id") or f"line {line}"
        playlist = _text_of(conversation, "playlist")
        split = conversation.get("split") or shares.split(playlist or dialogue_id)
        if split not in SPLITS:
            raise RejectedLineError(f"split {str(split)[:40]!r} is not one of {', '.join(SPLITS)}")
        read = [_turn(entry, number, tokens_of) for number, entry in enumerate(conversation["messages"], 1)]
        turns = tuple(_merge(list(group)) for _, group in groupby(read, lambda turn: turn.message["role"]))
        if any(turn.message["role"] == SYSTEM for turn in turns[1:]):
            raise RejectedLineError("has a system message that is not the first")
        dialogue = cls(dialogue_id, playlist, split, _opened_by_user(turns))
        if not any(turn.message["role"] == ASSISTANT and turn.problem is None for turn in dialogue.turns):
            raise RejectedLineError("has no turn of the assistant from which a model can learn")
        return dialogue

    def rows(self) -> Iterator[TrainingRow]:
        """Make one row per complete turn of the assistant."""
        for number, turn in enumerate(self.turns):
            if turn.message["role"] == ASSISTANT and turn.problem is None:
                prompt = tuple(before.message for before in self.turns[:number])
                row_id = f"{self.dialogue_id}/{turn.number}"
                yield TrainingRow(CONVERSATION, row_id, prompt, turn.message, turn.tracks)

    def whole(self) -> TrainingRow:
        """Make one row of all turns up to the last of the assistant; an incomplete one of its turns ends it before.

        Raises:
            RejectedLineError: its first turn of the assistant is incomplete.
        """
        answers = [number for number, turn in enumerate(self.turns) if turn.message["role"] == ASSISTANT]
        complete = list(takewhile(lambda number: not self.turns[number].problem, answers))
        if not complete:
            raise RejectedLineError(f"its first turn of the assistant cannot be used: {self.turns[answers[0]].problem}")
        *before, last = self.turns[: complete[-1] + 1]
        tracks = dict.fromkeys(track_id for number in complete for track_id in self.turns[number].tracks)
        prompt = tuple(turn.message for turn in before)
        return TrainingRow(CONVERSATION, self.dialogue_id, prompt, last.message, tuple(tracks))

    @property
    def problems(self) -> Iterator[tuple[int, str]]:
        """Number of the message, and the reason, of each turn that is incomplete."""
        return ((turn.number, turn.problem) for turn in self.turns if turn.problem is not None)


def _text_of(conversation: Mapping[str, Any], key: str) -> str | None:
    value = conversation.get(key)
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def _turn(entry: Mapping[str, Any], number: int, tokens_of: TokensOf) -> Turn:
    role = entry["role"]
    if role not in ROLES:
        raise RejectedLineError(f"message {number} has the role {role[:40]!r}, not one of {', '.join(ROLES)}")
    text, listed = _content(entry, number), entry.get("tracks") or []
    rendered = render(text, listed, tokens_of)
    if rendered.malformed:
        raise RejectedLineError(f"{rendered.malformed[0]!r} does not name a track: write [track:ID]")
    if rendered.unknown:
        return _without(rendered, text, listed, role, number, tokens_of)
    tracks = tuple(dict.fromkeys((*rendered.mentioned, *listed)))
    empty = None if rendered.text.strip() else "has no text"
    return Turn(message(role, rendered.text), tracks, number, empty)


def _without(rendered: RenderedText, text: str, listed: list[str], role: str, number: int, tokens_of: TokensOf) -> Turn:
    """Make a turn without the tracks that the release does not have."""
    for track_id in rendered.unknown:
        text = text.replace(f"[track:{track_id}]", "")
    kept = [track_id for track_id in listed if track_id not in rendered.unknown]
    again = render(re.sub(r" {2,}", " ", text), kept, tokens_of)
    problem = f"the release does not have {', '.join(rendered.unknown)}"
    return Turn(message(role, again.text), (*again.mentioned, *kept), number, problem)


def _content(entry: Mapping[str, Any], number: int) -> str:
    """Return the text of a message; the texts of its parts are joined by line breaks."""
    content = entry.get("content")
    if isinstance(content, list):
        if any(part.get("type") != TEXT_PART for part in content):
            raise RejectedLineError(f"message {number} has a part that is not a text")
        return "\n".join(part["text"] for part in content)
    if content is None and not entry.get("tracks"):
        raise RejectedLineError(f"message {number} has no text")
    return content or ""


def _merge(turns: list[Turn]) -> Turn:
    if len(turns) == 1:
        return turns[0]
    content = "\n".join(turn.message["content"] for turn in turns)
    tracks = tuple(dict.fromkeys(track_id for turn in turns for track_id in turn.tracks))
    problem = next((turn.problem for turn in turns if turn.problem), None)
    return Turn(message(turns[0].message["role"], content), tracks, turns[0].number, problem)


def _opened_by_user(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Drop a greeting of the assistant before the user's first turn, which most chat templates refuse."""
    has_system = bool(turns) and turns[0].message["role"] == SYSTEM
    opened = turns[has_system:]
    if opened and opened[0].message["role"] == ASSISTANT:
        opened = opened[1:]
    return (*turns[:has_system], *opened)
