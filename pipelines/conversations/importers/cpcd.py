"""The Conversational Playlist Curation Dataset (Chaganty et al., arXiv 2303.06791, CC BY 4.0).

A dialog has ``id`` and ``turns``, each with a ``user_query``, a ``system_response`` and ``liked_results``. The results
that the user liked count as the system's recommendations in that turn.
"""

from collections.abc import Iterator
from typing import Any

from tracktokens.pipelines.conversations.importers.imported import (
    ImportedConversation,
    ImportedMessage,
    reject,
    typed,
)


def convert(record: dict[str, Any]) -> ImportedConversation:
    """Convert a dialog; turns without text and liked results are skipped.

    Raises:
        RejectedLineError: it does not have the form above.
    """
    turns = typed(record, "turns", list)
    conversation_id = typed(record, "id", str)
    if not conversation_id or not turns:
        reject("has no id, or no turns")
    return ImportedConversation(conversation_id, tuple(_messages(turns)))


def _messages(turns: list[Any]) -> Iterator[ImportedMessage]:
    for number, turn in enumerate(turns, 1):
        place = f"turn {number}: "
        if not isinstance(turn, dict):
            reject(f"{place}not an object")
        query, response = (typed(turn, key, str, place) for key in ("user_query", "system_response"))
        liked = typed(turn, "liked_results", list, place)
        if not all(isinstance(track, str) for track in liked):
            reject(f"{place}liked_results are not texts")
        if query.strip():
            yield ImportedMessage(number, "user", query)
        if response.strip() or liked:
            yield ImportedMessage(number, "assistant", response, tuple(dict.fromkeys(liked)))
