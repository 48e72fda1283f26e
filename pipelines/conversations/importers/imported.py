"""A conversation of a dataset, before the tracks that a release does not have are dropped."""

from dataclasses import dataclass, field
from typing import Any, NoReturn

from tracktokens.pipelines.conversations.conversation import RejectedLineError


@dataclass(frozen=True)
class ImportedMessage:
    """A message: the number of its turn in the dataset, its role and text, and the tracks that it recommends."""

    turn: int
    role: str
    content: str
    tracks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportedConversation:
    """A conversation: its id, its messages, and further keys of the line."""

    conversation_id: str
    messages: tuple[ImportedMessage, ...]
    further: dict[str, Any] = field(default_factory=dict)


def typed(record: dict[str, Any], key: str, kind: type, place: str = "") -> Any:
    """Return a value of a record that must have a type; an absent text or list is empty.

    Raises:
        RejectedLineError: it has a different type.
    """
    value = record.get(key)
    if value is None and kind in (str, list):
        return kind()
    return value if isinstance(value, kind) else reject(f"{place}{key} is not a {_NAMES[kind]}")


def reject(reason: str) -> NoReturn:
    """Reject a record.

    Raises:
        RejectedLineError: always.
    """
    raise RejectedLineError(reason)


_NAMES = {str: "text", list: "list", dict: "object", int: "number"}
