"""Turns of held-out conversations as queries: what was written before a turn, and the tracks that it recommends.

Each assistant message that names tracks is a turn to predict. Mentions of tracks that the release does not have are
rejected, one by one, and the rest of the conversation is kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.arrays import RowIndices
from tracktokens.codebooks.tokens.rendering import describe_track, split_mentions
from tracktokens.pipelines.conversations.conversation import (
    TEXT_PART,
    Conversation,
    RejectedLineError,
    named_ids,
    parse_conversation,
)
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.readers.text_stream import open_text
from tracktokens.transforms.store.release_index import ReleaseIndex

TEST = "test"
"""Split that is used, of a file with splits."""

USER, ASSISTANT = "user", "assistant"

ROLES = ("system", USER, ASSISTANT)
"""Roles whose messages a system reads; messages of others, such as tools, are left out."""

UNKNOWN_TRACK = "unknown_track"
"""Reason of the reject of a mention."""


@dataclass(frozen=True)
class Message:
    """A message of a conversation, without mentions of unknown tracks.

    Attributes:
        role: one of :data:`ROLES`.
        content: its text, in which tracks are named as ``[track:ID]``.
        tracks: ids of the tracks that it names, in the text and in its list, in order.
        words: its text in which tracks are named by title and artist, those of its list at the end.
    """

    role: str
    content: str
    tracks: tuple[str, ...]
    words: str

    def to_json(self) -> dict[str, Any]:
        """Return the message as a line of a file of conversations has it."""
        return {"role": self.role, "content": self.content, "tracks": list(self.tracks)}


@dataclass(frozen=True, eq=False)
class Query:
    """A turn to predict.

    Attributes:
        conversation: number of its conversation, from 0.
        session_id: the conversation's ``id``, or the number of its line.
        user_id: the conversation's ``user_id``, or an empty text.
        turn: number of the turn: 1 plus the assistant messages before it.
        messages: the messages before it.
        named: distinct rows of the tracks that they name, in order.
        excluded: rows that are not recommended.
        gold: distinct rows of the tracks to find; empty for a turn that is predicted and not measured.
    """

    conversation: int
    session_id: str
    user_id: str
    turn: int
    messages: Sequence[Message]
    named: RowIndices
    excluded: RowIndices
    gold: RowIndices

    @property
    def text(self) -> str:
        """The words of all messages."""
        return "\n".join(message.words for message in self.messages if message.words)

    @property
    def request(self) -> str:
        """The words of the user's last message."""
        return next((message.words for message in reversed(self.messages) if message.role == USER), "")


@dataclass(frozen=True, kw_only=True)
class QueryOptions:
    """Choice of the turns, and of what may be recommended in them.

    Attributes:
        all_gold: whether all tracks of a turn are to be found, or the first alone, as in the challenge.
        keep_named: whether tracks that were named before the turn may be recommended, and may be gold.
        turns: turns of a conversation that are used, from the first; None for all.
        unanswered: whether a conversation that ends with a message of the user has a last turn, without gold.
    """

    all_gold: bool = False
    keep_named: bool = False
    turns: int | None = None
    unanswered: bool = False


@dataclass
class Queries:
    """The turns of a file of conversations.

    Attributes:
        queries: turns in the order of the file.
        rejects: one JSON object per line or mention that cannot be used, with ``line`` and ``reason``.
        counts: ``read`` and ``rejected`` lines, ``other_split``, ``mentions`` and ``unknown`` mentions of tracks,
            ``turns`` that name tracks and ``without_gold``, those among them that cannot be measured.
    """

    queries: list[Query] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def measured(self) -> list[Query]:
        """The queries with a gold track."""
        return [query for query in self.queries if len(query.gold)]


def read_queries(path: str, index: ReleaseIndex, options: QueryOptions) -> Queries:
    """Read the turns of a file of conversations: JSON Lines, compressed if its extension is.

    Raises:
        InvalidDataError: the file cannot be read, or no conversation of it can be used.
    """
    found = Queries()
    lines = dict(_test_lines(path, found))
    ids = sorted(set().union(*map(named_ids, lines.values())))
    rows = pc.index_in(pa.array(ids, pa.large_string()), value_set=index.track_ids).to_pylist()
    known = {track_id: row for track_id, row in zip(ids, rows, strict=True) if row is not None}
    reader = _Reader(known, _descriptions(index, known), options, found)
    for number, (line, conversation) in enumerate(lines.items()):
        reader.add(number, line, conversation)
    return found


def _test_lines(path: str, found: Queries) -> Iterator[tuple[int, Conversation]]:
    """Yield the conversations of the test split, or all if no line has a split, with their line numbers."""
    parsed: dict[int, Conversation] = {}
    with open_text(path) as text:
        for number, line in enumerate(text.lines(), 1):
            if not line.strip():
                continue
            found.counts["read"] += 1
            try:
                parsed[number] = parse_conversation(line)
            except RejectedLineError as error:
                found.counts["rejected"] += 1
                found.rejects.append({"line": number, "reason": str(error)})
    if not parsed:
        reason = f" ({found.rejects[0]['reason'][:200]})" if found.rejects else ""
        raise InvalidDataError(f"{path}: none of {found.counts['read']} lines is a conversation{reason}")
    splits = Counter(conversation.get("split") for conversation in parsed.values())
    if splits.keys() == {None}:
        yield from parsed.items()
        return
    if not splits[TEST]:
        raise InvalidDataError(f"{path}: no conversation has the split {TEST}: mark some, or remove all splits")
    found.counts["other_split"] = splits.total() - splits[TEST]
    yield from ((line, conversation) for line, conversation in parsed.items() if conversation.get("split") == TEST)


def _descriptions(index: ReleaseIndex, known: Mapping[str, int]) -> dict[str, str]:
    """Describe tracks by title and artist; a track without both by an empty text, since its id is not a word."""
    names = index.names(known.keys())
    return {
        track_id: describe_track({"track_id": track_id, "title": title, "artist": artist}) if title or artist else ""
        for track_id, (title, artist) in names.items()
    }


@dataclass(frozen=True)
class _Start:
    """Names that the queries of a conversation share."""

    conversation: int
    session_id: str
    user_id: str


@dataclass
class _Reader:
    """Cuts conversations into queries."""

    known: Mapping[str, int]
    descriptions: Mapping[str, str]
    options: QueryOptions
    found: Queries

    def add(self, number: int, line: int, conversation: Conversation) -> None:
        """Add the turns of one conversation."""
        start = _Start(number, str(conversation.get("id") or line), str(conversation.get("user_id") or ""))
        before: list[Message] = []
        turn = 1
        for entry in conversation["messages"]:
            if entry["role"] not in ROLES:
                continue
            message = self._message(line, entry)
            if message.role == ASSISTANT:
                if self._names_tracks(entry):
                    self._add_turn(start, turn, before, message.tracks)
                turn += 1
            before.append(message)
        if self.options.unanswered and before and before[-1].role == USER:
            self._add_turn(start, turn, before, ())

    def _add_turn(self, start: _Start, turn: int, before: Sequence[Message], tracks: Sequence[str]) -> None:
        if self.options.turns is not None and turn > self.options.turns:
            return
        named = self._rows(track_id for earlier in before for track_id in earlier.tracks)
        excluded = named[:0] if self.options.keep_named else named
        every = self._rows(tracks)
        gold = every[~np.isin(every, excluded)][: None if self.options.all_gold else 1]
        self.found.counts["turns"] += 1
        self.found.counts["without_gold"] += not len(gold)
        self.found.queries.append(
            Query(start.conversation, start.session_id, start.user_id, turn, tuple(before), named, excluded, gold)
        )

    def _message(self, line: int, entry: Mapping[str, Any]) -> Message:
        literals, mentioned = split_mentions(_text(entry.get("content")), self._row_text)
        listed = [track_id for track_id in entry.get("tracks") or () if track_id not in mentioned]
        for track_id in dict.fromkeys([*mentioned, *listed]):
            self.found.counts["mentions"] += 1
            if track_id not in self.known:
                self.found.counts["unknown"] += 1
                self.found.rejects.append({"line": line, "track_id": track_id, "reason": UNKNOWN_TRACK})
        tracks = tuple(track_id for track_id in dict.fromkeys([*mentioned, *listed]) if track_id in self.known)
        written = [f"[track:{track_id}]" if track_id in self.known else "" for track_id in mentioned]
        described = [self.descriptions.get(track_id, "") for track_id in mentioned]
        rest = [self.descriptions.get(track_id, "") for track_id in dict.fromkeys(listed)]
        words = " ".join(filter(None, [_interleave(literals, described).strip(), *rest]))
        return Message(entry["role"], _interleave(literals, written), tracks, words)

    def _row_text(self, track_id: str) -> str | None:
        return track_id if track_id in self.known else None

    def _names_tracks(self, entry: Mapping[str, Any]) -> bool:
        """Return whether a message names tracks, known or not."""
        return bool(entry.get("tracks") or split_mentions(_text(entry.get("content")), self._row_text)[1])

    def _rows(self, track_ids: Iterable[str]) -> RowIndices:
        return np.array([*dict.fromkeys(self.known[track_id] for track_id in track_ids)], np.int64)


def _text(content: Any) -> str:
    """Return the text of a content, of which the parts that are texts are joined by line ends."""
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if part.get("type") == TEXT_PART)
    return content or ""


def _interleave(literals: Sequence[str], between: Sequence[str]) -> str:
    return "".join(part for pair in zip(literals, [*between, ""], strict=True) for part in pair)
