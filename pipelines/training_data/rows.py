"""Rows of training files: what is asked, what the assistant answers, and the tracks of the answer."""

from collections.abc import Mapping
from dataclasses import dataclass

TITLE_TO_TOKENS = "title_to_tokens"
TOKENS_TO_TITLE = "tokens_to_title"
LYRICS_TO_TOKENS = "lyrics_to_tokens"
CODE_TO_WORDS = "code_to_words"
PLAYLIST_CONTINUATION = "playlist_continuation"
CONVERSATION = "conversation"

TASKS = (
    TITLE_TO_TOKENS,
    TOKENS_TO_TITLE,
    LYRICS_TO_TOKENS,
    CODE_TO_WORDS,
    PLAYLIST_CONTINUATION,
    CONVERSATION,
)
"""All tasks, in the order in which they are listed."""

TRAIN, VALIDATION, TEST = "train", "validation", "test"

SPLITS = (TRAIN, VALIDATION, TEST)

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"

Message = dict[str, str]
"""A message with ``role`` and ``content``; tracks are written as tokens."""


def message(role: str, content: str) -> Message:
    """Return a message."""
    return {"role": role, "content": content}


@dataclass(frozen=True)
class TrainingRow:
    """One example: the loss covers the completion alone.

    Attributes:
        task: one of ``TASKS``.
        row_id: id that names the source: a conversation and its turn, a track, a playlist, a token.
        prompt: messages before the completion; the last is the user's.
        completion: the assistant's message.
        tracks: ids of the tracks of the completion, in order.
    """

    task: str
    row_id: str
    prompt: tuple[Message, ...]
    completion: Message
    tracks: tuple[str, ...] = ()

    @classmethod
    def of_phrasing(
        cls, task: str, row_id: str, phrasing: tuple[str, str], values: Mapping[str, str], tracks: tuple[str, ...] = ()
    ) -> "TrainingRow":
        """Make a row of one question and one answer from a phrasing, whose fields ``values`` fill."""
        asked, answer = (text.format_map(values) for text in phrasing)
        return cls(task, row_id, (message(USER, asked),), message(ASSISTANT, answer), tracks)
