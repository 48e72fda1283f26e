"""Recommend tracks in a conversation, with a language model that has the tokens of a release.

    recommender = Recommender.open("tuned", "/data/store")
    reply = recommender.recommend([{"role": "user", "content": "something calm, like [track:t1]"}])
    reply.track_ids, reply.text

The model writes its reply freely up to the first ``<|track|>``. Then a beam search over the tuples of the catalog finds
the most probable tracks, and the model continues its text after the first of them. A tuple that several tracks share
recommends all of them, the most popular first. Every track exists, is allowed and not excluded, and comes once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracktokens.codebooks.decoding.catalog_constraint import TokenIds
from tracktokens.codebooks.tokens.rendering import MENTION_START
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.serving.catalog_tokens import CatalogTokens
from tracktokens.serving.generation.eligible_tracks import EligibleTracks
from tracktokens.serving.generation.load_model import check_bundle, embedding_rows, load_model
from tracktokens.serving.generation.precision import AUTO, move_to_device
from tracktokens.serving.generation.prompt import Message, Prompt, PromptWriter
from tracktokens.serving.generation.recommendation import Recommendation, RecommendedTrack
from tracktokens.serving.generation.reply import Reply, ReplyWriter
from tracktokens.serving.generation.tree_decoder import check_decodable

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Conversation = Sequence[Message]

BEAMS = 10
"""Beams of the search for tracks, unless more tracks are asked for."""

MAX_NEW_TOKENS = 64
"""Most tokens of a reply's text, apart from its tracks."""

UNFINISHED = "\ufffd"
"""Character of a text that ends within a character."""


@dataclass(frozen=True)
class ReplyOptions:
    """Options of a reply.

    Attributes:
        top_k: most tracks of a reply, at least 1.
        min_tracks: 0 if the model decides whether it recommends anything; otherwise each reply has tracks, as many as
            are eligible up to ``top_k``.
        max_new_tokens: most tokens of the text, apart from the tracks; 0 for tracks only.
        beams: beams of the search for tracks; 10, or ``top_k`` if that is more. With fewer than ``top_k``, tracks that
            match the written tuples best follow those of the beams.
        repeat_named: whether tracks that the conversation names may be recommended.

    Raises:
        UsageError: a number is out of range.
    """

    top_k: int = 10
    min_tracks: int = 1
    max_new_tokens: int = MAX_NEW_TOKENS
    beams: int | None = None
    repeat_named: bool = False

    def __post_init__(self) -> None:
        if self.top_k < 1 or (self.beams is not None and self.beams < 1) or self.max_new_tokens < 0:
            raise UsageError(
                f"top_k {self.top_k}, beams {self.beams} and max_new_tokens {self.max_new_tokens}: give at least "
                "1, 1 and 0"
            )
        if not 0 <= self.min_tracks <= self.top_k:
            raise UsageError(f"min_tracks {self.min_tracks} is not between 0 and top_k, {self.top_k}")

    @property
    def width(self) -> int:
        """Number of beams."""
        return self.beams or max(BEAMS, self.top_k)


class Recommender:
    """A model, its tokenizer and the tokens of a release. Calls do not change it.

    Attributes:
        catalog: tokens of the release.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, catalog: CatalogTokens) -> None:
        """Check that the parts belong together.

        Raises:
            UsageError: the tokenizer lacks tokens of the release or a chat template; the model cannot read branches.
            InvalidDataError: the model has tokens of another bundle, or none, or fewer rows than the tokenizer has ids;
                the tokenizer splits tokens.
        """
        check_bundle(model.config, catalog.bundle_id)
        check_decodable(model)
        self.catalog = catalog
        self._ids = TokenIds(tokenizer.get_vocab(), catalog.token_format)
        _check_ids(model, tokenizer, self._ids)
        self._tokenizer = tokenizer
        self._model = model
        self._model.train(False)
        self._prompts = PromptWriter(tokenizer, catalog, _context(model, tokenizer))
        self._writer = ReplyWriter(self._model, tokenizer, self._ids)

    @classmethod
    def open(
        cls, model: str | Path, release: str | Path, device: str | None = None, precision: str = AUTO
    ) -> Recommender:
        """Load a model, and open the tokens of a release.

        Args:
            model: folder of the model and its tokenizer.
            release: local folder of a release, or of a store for its latest release.
            device: device of torch; by default a GPU if there is one.
            precision: ``float32``, ``bfloat16``, or ``auto``: on a CPU, bfloat16 where it has it in hardware, else
                float32; on a GPU, the type of the weights. Logits are computed in float32.

        Raises:
            UsageError: the model or the release does not exist, or they do not fit; see :meth:`__init__`.
            InvalidDataError: a file cannot be read, or the bundles differ.
        """
        import torch

        catalog = CatalogTokens.open(release)
        loaded, tokenizer = load_model(str(model))
        check_bundle(loaded.config, catalog.bundle_id)
        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(move_to_device(loaded, place, precision), tokenizer, catalog)

    def recommend(
        self,
        messages: Conversation,
        top_k: int = 10,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
        min_tracks: int = 1,
        max_new_tokens: int = MAX_NEW_TOKENS,
        beams: int | None = None,
        repeat_named: bool = False,
    ) -> Recommendation:
        """Reply to a conversation.

        Args:
            messages: messages with ``role`` and ``content``, in which ``[track:ID]`` and lists ``tracks`` name tracks.
            top_k: most tracks; see :class:`ReplyOptions`, also for the other options.
            exclude: ids of tracks that are not recommended.
            allowed: ids of the only tracks that are recommended; all of the release by default.
            min_tracks: 0 lets the model decide whether it recommends tracks.
            max_new_tokens: most tokens of the text.
            beams: beams of the search.
            repeat_named: whether tracks that the conversation names may be recommended.

        Raises:
            UsageError: an option is out of range, or the messages are not a conversation.
            InvalidDataError: the model cannot take the conversation.
        """
        options = ReplyOptions(top_k, min_tracks, max_new_tokens, beams, repeat_named)
        return self._reply([messages], [exclude], allowed, options)[0]

    def stream(
        self,
        messages: Conversation,
        options: ReplyOptions | None = None,
        *,
        exclude: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> Iterator[str | Recommendation]:
        """Reply to a conversation piece by piece: pieces of text, ``[track:ID]`` for the first track, and the whole.

        The pieces before the last item join to the text of the last item, the recommendation. See :meth:`recommend`.
        """
        chosen = options or ReplyOptions()
        prompt, reply = self._begin(messages, exclude, allowed, chosen)
        shown = ""
        for _ in self._writer.write([reply], chosen.width, chosen.max_new_tokens, chosen.min_tracks > 0):
            text = self._text(reply)
            if text.startswith(shown) and not text.endswith(UNFINISHED):
                yield from filter(None, (text[len(shown) :],))
                shown = text
        finished = self._finish(prompt, reply, chosen)
        yield from filter(None, (finished.text[len(shown) :],))
        yield finished

    def recommend_batch(
        self,
        conversations: Sequence[Conversation],
        top_k: int = 10,
        *,
        exclude: Sequence[Collection[str]] | None = None,
        allowed: Collection[str] | None = None,
        min_tracks: int = 1,
        max_new_tokens: int = MAX_NEW_TOKENS,
        beams: int | None = None,
        repeat_named: bool = False,
        batch_size: int = 8,
    ) -> list[Recommendation]:
        """Reply to many conversations, ``batch_size`` at a time, those of like length together.

        Args:
            conversations: their messages.
            top_k: most tracks of each reply; for this and the other options see :meth:`recommend`.
            exclude: per conversation, ids of tracks that are not recommended.
            allowed: ids of the only tracks that are recommended.
            min_tracks: 0 lets the model decide whether it recommends tracks.
            max_new_tokens: most tokens of the text.
            beams: beams of the search.
            repeat_named: whether tracks that the conversation names may be recommended.
            batch_size: conversations that the model reads together, at least 1.

        Raises:
            UsageError: an option is out of range, or the messages are not a conversation.
            InvalidDataError: the model cannot take a conversation.
        """
        if batch_size < 1:
            raise UsageError(f"batch_size {batch_size}: give at least 1")
        options = ReplyOptions(top_k, min_tracks, max_new_tokens, beams, repeat_named)
        excluded = [()] * len(conversations) if exclude is None else exclude
        order = sorted(range(len(conversations)), key=lambda number: _length(conversations[number]))
        done: dict[int, Recommendation] = {}
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            replies = self._reply([conversations[n] for n in part], [excluded[n] for n in part], allowed, options)
            done |= zip(part, replies, strict=True)
        return [done[number] for number in range(len(conversations))]

    def _reply(
        self,
        conversations: Sequence[Conversation],
        exclude: Sequence[Collection[str]],
        allowed: Collection[str] | None,
        options: ReplyOptions,
    ) -> list[Recommendation]:
        begun = [self._begin(*pair, allowed, options) for pair in zip(conversations, exclude, strict=True)]
        steps = self._writer.write(
            [reply for _, reply in begun], options.width, options.max_new_tokens, options.min_tracks > 0
        )
        for _ in steps:
            pass
        return [self._finish(prompt, reply, options) for prompt, reply in begun]

    def _begin(
        self, messages: Conversation, exclude: Collection[str], allowed: Collection[str] | None, options: ReplyOptions
    ) -> tuple[Prompt, Reply]:
        # Beside the text: a space, the tokens of a track, and those that enclose it.
        prompt = self._prompts.write(messages, options.max_new_tokens + len(self._ids.codes) + 3)
        named = frozenset() if options.repeat_named else prompt.named
        return prompt, Reply(prompt.ids, EligibleTracks(self.catalog, named.union(exclude), allowed))

    def _finish(self, prompt: Prompt, reply: Reply, options: ReplyOptions) -> Recommendation:
        tracks = tuple(self._rank(reply, options.top_k))
        return Recommendation(self._text(reply), tracks, prompt.unknown, prompt.dropped)

    def _rank(self, reply: Reply, top_k: int) -> list[RecommendedTrack]:
        """Look up the tracks of the tuples, and fill up with tracks that match them best."""
        ranked: dict[str, RecommendedTrack] = {}
        for written in reply.tuples:
            score = written.score / len(written.codes)
            for track_id in reply.eligible.of_tuple(written.codes):
                ranked.setdefault(track_id, RecommendedTrack(track_id, score, self.catalog.columns))
            if len(ranked) >= top_k:
                return list(ranked.values())[:top_k]
        for written in reply.tuples:
            last = next(reversed(ranked.values())).score
            for near in reply.eligible.near(written.codes, top_k + len(ranked)):
                track = RecommendedTrack(near.track_id, last + math.log(near.similarity), near.matched)
                ranked.setdefault(near.track_id, track)
            if len(ranked) >= top_k:
                break
        return list(ranked.values())[:top_k]

    def _text(self, reply: Reply) -> str:
        """Return the text so far, with a mention of the first track."""
        opening, closing = self._decode(reply.opening), self._decode(reply.closing)
        if not reply.tuples:
            return opening
        apart = " " if opening and not opening[-1].isspace() and not reply.recommends else ""
        first = next(reply.eligible.of_tuple(reply.tuples[0].codes))
        return f"{opening}{apart}{MENTION_START}{first}]{closing}"

    def _decode(self, ids: Sequence[int]) -> str:
        """Decode text; what looks like the mention of a track is none."""
        text = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text).replace(MENTION_START, "[track :")


def _check_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ids: TokenIds) -> None:
    """Check that the model has a row for each token, and that the tokenizer reads a tuple as its tokens."""
    largest, rows = max(int(codes.max()) for codes in ids.codes), embedding_rows(model)
    if largest >= rows:
        raise InvalidDataError(
            f"the tokenizer has ids up to {largest}, the model has {rows} rows: use the tokenizer of this model"
        )
    tokens = [int(codes[0]) for codes in ids.codes]
    text = "".join(tokenizer.convert_ids_to_tokens(tokens))
    if tokenizer.encode(text, add_special_tokens=False) != tokens:
        raise InvalidDataError(
            f"the tokenizer splits {text}: add the tokens with `tracktokens vocabulary apply`, which checks them"
        )


def _context(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the most tokens that a model takes."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min(int(positions or tokenizer.model_max_length), int(tokenizer.model_max_length))


def _length(conversation: Conversation) -> int:
    return sum(len(str(message.get("content"))) for message in conversation)
