"""Conversations, one per line of JSON: check them, and write the tokens of the tracks that they name into their texts.

A conversation is an object with ``messages``. A message has a ``role`` and a ``content``, which is a text, a list of
parts such as ``{"type": "text", "text": "..."}``, or null beside a call of a tool. All other keys are kept. A track is
named in a text as ``[track:ID]``, or in a list ``tracks`` of a message, which is removed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tracktokens.codebooks.tokens.rendering import MENTION_START, TOKEN, possible_ids, render
from tracktokens.transforms.readers import text_stream

Conversation = dict[str, Any]

TokensOf = Callable[[str], str | None]
"""Returns a track's tokens by its id; None if the release does not have the track."""

IN_PLACE_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio", "tracks")
"""Keys of messages that may have no content."""

TEXT_PART = "text"
"""Type of the parts of a content that are texts."""

_SHAPE = "not an object with a list of messages, each with role, content and optionally tracks"


class RejectedLineError(ValueError):
    """A line that cannot become a training text. The message is the reason."""


def parse_conversation(line: bytes) -> Conversation:
    """Parse a line. ``NaN`` is read as null, as in tables.

    Raises:
        RejectedLineError: the line is not a conversation, or could not be written again.
    """
    if len(line) > text_stream.MAX_ROW_BYTES:
        raise RejectedLineError(f"longer than {text_stream.MAX_ROW_BYTES} bytes")
    try:
        value = json.loads(line.decode(), object_pairs_hook=_object, parse_constant=lambda _: None)
        format_conversation(value)
    except UnicodeError as error:
        raise RejectedLineError("not UTF-8, or half of a surrogate pair") from error
    except RecursionError as error:
        raise RejectedLineError("invalid JSON: nested too deeply") from error
    except ValueError as error:
        raise RejectedLineError(f"invalid JSON: {str(error).partition(';')[0]}") from error
    if fault := _fault(value):
        raise RejectedLineError(fault)
    conversation: Conversation = value
    return conversation


def format_conversation(conversation: Conversation) -> bytes:
    """Format a conversation as one line of JSON, without its end."""
    return json.dumps(conversation, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def named_ids(conversation: Conversation) -> set[str]:
    """Collect every id that a conversation may name; see :func:`possible_ids`."""
    listed = {track_id for message in conversation["messages"] for track_id in message.get("tracks") or ()}
    return listed.union(*map(possible_ids, _texts(conversation)))


def render_conversation(conversation: Conversation, tokens_of: TokensOf) -> Conversation:
    """Write tokens in place of the mentions in all texts of a conversation, and remove the lists of tracks.

    Raises:
        RejectedLineError: a mention names no track of the release, or texts result in tokens of no track.
    """
    renderer = _Renderer(tokens_of)
    messages = [renderer.message(message) for message in conversation["messages"]]
    rendered = renderer.object(conversation, {"messages": messages})
    if renderer.unknown:
        raise RejectedLineError(f"the release does not have {', '.join(dict.fromkeys(renderer.unknown))}")
    if renderer.malformed:
        raise RejectedLineError(f"{renderer.malformed[0]!r} does not name a track: write [track:ID]")
    return rendered


class _Renderer:
    """Renders the values of one conversation, and collects the mentions in them."""

    def __init__(self, tokens_of: TokensOf) -> None:
        self._tokens_of = tokens_of
        self._mentioned: list[str] = []
        self.unknown: list[str] = []
        self.malformed: list[str] = []

    def message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        content = self._content(message.get("content"), message.get("tracks") or [])
        kept = {key: value for key, value in message.items() if key != "tracks"}
        return self.object(kept if content is None else {**kept, "content": content}, {"content": content})

    def object(self, value: Mapping[str, Any], rendered: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Render the keys of an object, and its values except for those that are rendered already."""
        done = rendered or {}
        entries = {self._text(key): done[key] if key in done else self._value(item) for key, item in value.items()}
        if len(entries) < len(value):
            raise RejectedLineError("two keys of an object differ only in a token")
        return entries

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return [self._value(item) for item in value]
        return self.object(value) if isinstance(value, dict) else value

    def _text(self, text: str, tracks: Sequence[str] = ()) -> str:
        rendered = render(text, tracks, self._tokens_of)
        self._mentioned += rendered.mentioned
        self.unknown += rendered.unknown
        self.malformed += rendered.malformed
        return rendered.text

    def _content(self, content: str | list[Any] | None, tracks: Sequence[str]) -> Any:
        if isinstance(content, list):
            return self._parts(content, tracks)
        return None if content is None and not tracks else self._text(content or "", tracks)

    def _parts(self, parts: Sequence[Any], tracks: Sequence[str]) -> list[Any]:
        """Render the parts of a content, and append tracks that none of them mentions to the last text."""
        first = len(self._mentioned)
        rendered = [self._value(part) for part in parts]
        appended = self._text("", [track_id for track_id in tracks if track_id not in self._mentioned[first:]])
        texts = [part for part in rendered if part.get("type") == TEXT_PART]
        if appended and not texts:
            return [*rendered, {"type": TEXT_PART, "text": appended}]
        if appended:
            texts[-1]["text"] = " ".join(filter(None, (texts[-1]["text"], appended)))
        _check_joined([part["text"] for part in texts])
        return rendered


def _check_joined(texts: Sequence[str]) -> None:
    """Check that texts contain no other tokens if a chat template joins them."""
    if TOKEN.findall("".join(texts)) != [token for text in texts for token in TOKEN.findall(text)]:
        raise RejectedLineError("two parts of a content form a token together")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object of JSON; raise a ValueError for a key that it has twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object has a key twice")
    return value


def _texts(value: Any) -> Iterator[str]:
    """List all texts of a value, also the keys of objects."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            left += item
        elif isinstance(item, dict):
            left += [*item, *item.values()]


def _fault(value: Any) -> str | None:
    """Return the reason why a value is not a conversation; None if it is one."""
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list):
        return _SHAPE
    faults = ((number, _message_fault(message)) for number, message in enumerate(messages, 1))
    return next((f"{_SHAPE}: message {number} {fault}" for number, fault in faults if fault), None)


def _message_fault(message: Any) -> str | None:
    if not isinstance(message, dict):
        return "is not an object"
    role, tracks = message.get("role"), message.get("tracks")
    if not isinstance(role, str):
        return "has no role that is a text"
    if TOKEN.search(f"<|{role}|>") or MENTION_START in role:  # some chat templates write <|role|>
        return "has a token as its role"
    if tracks is not None and not (isinstance(tracks, list) and all(isinstance(item, str) for item in tracks)):
        return "has tracks that are not a list of texts"
    return _content_fault(message)


def _content_fault(message: Mapping[str, Any]) -> str | None:
    content = message.get("content")
    if content is None and not any(message.get(key) for key in IN_PLACE_OF_CONTENT):
        return f"has no content, and none of {', '.join(IN_PLACE_OF_CONTENT)}"
    if isinstance(content, list):
        return None if all(map(_is_part, content)) else "has a content with a part that is not an object with a text"
    return (
        None if content is None or isinstance(content, str) else "has a content that is not a text or a list of parts"
    )


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and (part.get("type") != TEXT_PART or isinstance(part.get("text"), str))
