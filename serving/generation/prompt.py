"""Conversations as prompts: tracks are written as tokens, and the chat template of the tokenizer as ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from tracktokens.codebooks.tokens.rendering import render, track_text
from tracktokens.schemas.errors import InvalidDataError, UnknownTrackError, UsageError
from tracktokens.serving.catalog_tokens import CatalogTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, Any]
"""Message of a conversation: ``role``, ``content`` with ``[track:ID]``, and optionally a list ``tracks`` of ids."""

SYSTEM = "system"


@dataclass(frozen=True)
class Prompt:
    """A conversation for the model.

    Attributes:
        ids: ids of its tokens, up to the beginning of the assistant's reply.
        named: ids of the tracks that it names.
        unknown: ids that it names and the release does not have, in order. Their mentions are left out.
        dropped: number of messages that were left out, oldest first, because it is too long.
    """

    ids: tuple[int, ...]
    named: frozenset[str]
    unknown: tuple[str, ...]
    dropped: int


class PromptWriter:
    """Writes prompts for a model with the tokens of a release."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, catalog: CatalogTokens, context: int) -> None:
        """Check the tokenizer.

        Args:
            tokenizer: the model's tokenizer, with a chat template.
            catalog: tokens of the release.
            context: maximum number of tokens of a prompt and the reply.

        Raises:
            UsageError: the tokenizer has no chat template.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise UsageError(
                f"the tokenizer in {tokenizer.name_or_path or 'the model'} has no chat template: use that of an "
                "instruction-tuned model, or save one with the tokenizer"
            )
        self._tokenizer = tokenizer
        self._catalog = catalog
        self._context = context

    def write(self, messages: Sequence[Message], reply_length: int) -> Prompt:
        """Write the prompt of a conversation that leaves room for a reply of so many tokens.

        Raises:
            UsageError: the conversation has none, or one is not of this form.
            InvalidDataError: the chat template refuses the messages, or the last one alone is too long.
        """
        if not messages:
            raise UsageError("the conversation has no messages: give at least one")
        rendered, named, unknown = [], set[str](), list[str]()
        for message in messages:
            content, known, missing = self._content(message)
            rendered.append({"role": message["role"], "content": content})
            named |= known
            unknown += missing
        ids, dropped = self._fit(rendered, self._context - reply_length)
        return Prompt(tuple(ids), frozenset(named), tuple(dict.fromkeys(unknown)), dropped)

    def _content(self, message: Message) -> tuple[str, set[str], list[str]]:
        """Return a message's text with tokens, the known ids that it names, and the unknown ones."""
        role, tracks = message.get("role"), message.get("tracks") or []
        if not isinstance(role, str) or not all(isinstance(track_id, str) for track_id in tracks):
            raise UsageError("a message needs a role that is a text, and tracks that are a list of texts")
        known = [track_id for track_id in tracks if track_id in self._catalog]
        written = render(_text_of(message.get("content")), known, self._tokens_of)
        text = written.text.replace(track_text(""), "")  # where a mentioned track is unknown
        unknown = [*written.unknown, *(track_id for track_id in tracks if track_id not in self._catalog)]
        return text, {*written.mentioned, *known} - set(unknown), unknown

    def _tokens_of(self, track_id: str) -> str | None:
        try:
            return self._catalog.tokens_of(track_id)
        except UnknownTrackError:
            return None

    def _fit(self, messages: list[dict[str, str]], longest: int) -> tuple[list[int], int]:
        """Encode messages; leave out the oldest until they fit, but never a system message at the beginning."""
        first = int(messages[0]["role"] == SYSTEM)
        for dropped in range(max(1, len(messages) - first)):
            ids = self._encode(messages[:first] + messages[first + dropped :])
            if len(ids) <= longest:
                return ids, dropped
        raise InvalidDataError(
            f"the last message has {len(ids)} tokens with the chat template, the model takes "
            f"{longest} before a reply: shorten it"
        )

    def _encode(self, messages: list[dict[str, str]]) -> list[int]:
        from jinja2 import TemplateError

        try:
            ids = self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=False
            )
        except TemplateError as error:
            raise InvalidDataError(f"the chat template refuses the conversation: {error}") from error
        return cast("list[int]", ids)


def _text_of(content: Any) -> str:
    """Return a content as one text: a text, a list of parts with texts, or nothing."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
    raise UsageError("the content of a message is neither a text nor a list of parts")
