"""TalkPlayData-2 (Choi et al., arXiv 2509.09685), and the layout of the Music-CRS challenge, which is the same.

A session has ``session_id`` and ``conversations``, a list of ``{turn_number, role, content, thought}``. The role is
``user``, ``music``, whose content is the id of a track, or ``assistant``, the text about that track, which comes after
it. The last turn of a blind session has the user's message alone. ``thought``, dates and the user's profile are not
imported; ``conversation_goal`` becomes ``goal``.
"""

from collections.abc import Iterator
from typing import Any

from tracktokens.pipelines.conversations.importers.imported import (
    ImportedConversation,
    ImportedMessage,
    reject,
    typed,
)

USER, MUSIC, ASSISTANT = "user", "music", "assistant"


def convert(record: dict[str, Any]) -> ImportedConversation:
    """Convert a session; a track and the text after it are one message.

    Raises:
        RejectedLineError: it does not have the form above.
    """
    entries = typed(record, "conversations", list)
    session_id = typed(record, "session_id", str)
    if not session_id or not entries:
        reject("has no session_id, or no conversations")
    goal = record.get("conversation_goal")
    further = (
        {"goal": {key: value for key, value in goal.items() if value is not None}} if isinstance(goal, dict) else {}
    )
    return ImportedConversation(session_id, tuple(_messages(entries)), further)


def _messages(entries: list[Any]) -> Iterator[ImportedMessage]:
    waiting: tuple[str, ...] = ()  # tracks whose text comes next
    turn = 0
    for number, entry in enumerate(entries, 1):
        place = f"entry {number}: "
        if not isinstance(entry, dict):
            reject(f"{place}not an object")
        role, content = (typed(entry, key, str, place) for key in ("role", "content"))
        if role not in (USER, MUSIC, ASSISTANT):
            reject(f"{place}the role {role!r} is not user, music or assistant")
        if role != ASSISTANT and waiting and (role == USER or _turn(entry, number) != turn):
            yield ImportedMessage(turn, ASSISTANT, "", waiting)
            waiting = ()
        turn = _turn(entry, number)
        if role == MUSIC:
            waiting += (content.strip(),) if content.strip() else ()
        elif content.strip() or (role == ASSISTANT and waiting):
            yield ImportedMessage(turn, role, content, waiting if role == ASSISTANT else ())
            waiting = () if role == ASSISTANT else waiting
    if waiting:
        yield ImportedMessage(turn, ASSISTANT, "", waiting)


def _turn(entry: dict[str, Any], number: int) -> int:
    turn = entry.get("turn_number")
    return turn if isinstance(turn, int) else number
