"""Write the replies of a batch of prompts: text up to the first track, tuples by beam search, and the text after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracktokens.codebooks.decoding.catalog_constraint import TokenIds
from tracktokens.serving.generation.eligible_tracks import EligibleTracks
from tracktokens.serving.generation.load_model import embedding_rows
from tracktokens.serving.generation.tree_decoder import TreeDecoder
from tracktokens.serving.generation.tuple_beams import WrittenTuple, search_tuples

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


NO_REPEAT = 4
"""Length of a sequence of tokens that a text has once at most: a small model repeats itself up to the limit."""


@dataclass
class Reply:
    """A reply while it is written.

    Attributes:
        prompt: ids of the prompt.
        eligible: tracks that it may recommend.
        opening: ids of the text before the first track.
        tuples: tuples of tracks, the most probable first.
        closing: ids of the text after the first track.
        recommends: whether the model wrote ``<|track|>`` by itself.
    """

    prompt: Sequence[int]
    eligible: EligibleTracks
    opening: list[int] = field(default_factory=list)
    tuples: list[WrittenTuple] = field(default_factory=list)
    closing: list[int] = field(default_factory=list)
    recommends: bool = False


class ReplyWriter:
    """Writes replies with a model, greedily but for the tuples.

    It uses no generation config of the model, whose sampling would empty beams, but for the ids that end a reply.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ids: TokenIds) -> None:
        from transformers import NoRepeatNGramLogitsProcessor

        self._model = model
        self._ids = ids
        self._stops = _stop_ids(model, tokenizer)
        space = tokenizer.encode(" ", add_special_tokens=False)
        self._space = space[0] if len(space) == 1 else None
        self._forbidden = _forbidden_in_text(model, tokenizer, ids)
        self._without_repeats = NoRepeatNGramLogitsProcessor(NO_REPEAT)

    def write(self, replies: Sequence[Reply], beams: int, max_new_tokens: int, force: bool) -> Iterator[None]:
        """Write replies, which grow in place; yields after each step.

        Args:
            replies: empty ones.
            beams: beams of the search for tuples.
            max_new_tokens: most tokens of the text before and after the first track, together.
            force: whether a reply searches for tracks although the model wrote no ``<|track|>``.
        """
        decoder = TreeDecoder(self._model, [reply.prompt for reply in replies])
        yield from self._write_text(decoder, replies, [reply.opening for reply in replies], max_new_tokens)
        searching = [bool(len(reply.eligible)) and (force or reply.recommends) for reply in replies]
        if not any(searching):
            return
        self._begin_track(decoder, replies, searching)
        eligible = [reply.eligible if search else None for reply, search in zip(replies, searching, strict=True)]
        for reply, tuples in zip(replies, search_tuples(decoder, eligible, self._ids, beams), strict=True):
            reply.tuples = tuples
        yield
        rooms = [max_new_tokens - len(r.opening) if r.tuples and r.recommends else 0 for r in replies]
        if any(rooms):
            self._end_track(decoder, replies, rooms)
            yield from self._write_text(decoder, replies, [reply.closing for reply in replies], *rooms)

    def _write_text(
        self, decoder: TreeDecoder, replies: Sequence[Reply], texts: Sequence[list[int]], *limits: int
    ) -> Iterator[None]:
        """Write texts up to an end, ``<|track|>`` or their limit, one for all or one each."""
        rooms = list(limits) * len(texts) if len(limits) == 1 else list(limits)
        live = [room > 0 for room in rooms]
        while any(live):
            tokens = self._choose(decoder.logits, replies)
            for row, token in enumerate(tokens):
                if live[row] and token == self._ids.start:
                    replies[row].recommends = True
                live[row] = live[row] and token != self._ids.start and token not in self._stops
                if live[row]:
                    texts[row].append(token)
            if any(live):
                decoder.write(tokens, live)
            live = [alive and len(text) < room for alive, text, room in zip(live, texts, rooms, strict=True)]
            yield

    def _choose(self, logits: Tensor, replies: Sequence[Reply]) -> list[int]:
        """Choose the most probable token of each text; ``<|track|>`` only where a search may follow."""
        import torch

        allowed = logits.masked_fill(self._forbidden[: logits.shape[1]], float("-inf"))
        for row, reply in enumerate(replies):
            if reply.tuples or not len(reply.eligible):
                allowed[row, self._ids.start] = float("-inf")
            written = torch.tensor([[*reply.opening, *reply.closing]], dtype=torch.long, device=logits.device)
            allowed[row] = self._without_repeats(written, allowed[row : row + 1])[0]
        chosen: list[int] = allowed.argmax(dim=-1).tolist()
        return chosen

    def _begin_track(self, decoder: TreeDecoder, replies: Sequence[Reply], searching: Sequence[bool]) -> None:
        """Write ``<|track|>``, after a space where the text ended without a track, as training texts have it."""
        apart = [s and bool(r.opening) and not r.recommends for r, s in zip(replies, searching, strict=True)]
        if self._space is not None and any(apart):
            decoder.write([self._space] * len(replies), apart)
        decoder.write([self._ids.start] * len(replies), searching)

    def _end_track(self, decoder: TreeDecoder, replies: Sequence[Reply], rooms: Sequence[int]) -> None:
        """Write the best tuple, and ``<|/track|>``, in the rows with room for more text."""
        going = [room > 0 for room in rooms]
        best = [reply.tuples[0] if go else WrittenTuple(tokens=(0,)) for reply, go in zip(replies, going, strict=True)]
        decoder.adopt([list(written.columns) for written in best])
        decoder.write([written.tokens[-1] for written in best], going)
        decoder.write([self._ids.end] * len(replies), going)


def _stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids that end a reply: those of the tokenizer and of the generation config."""
    ends: set[int] = set()
    for end in (tokenizer.eos_token_id, getattr(model.generation_config, "eos_token_id", None)):
        ends |= {end} if isinstance(end, int) else set(end or ())
    return frozenset(ends)


def _forbidden_in_text(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, ids: TokenIds) -> Tensor:
    """Mark the ids that no text has: codes, ``<|/track|>``, and rows that pad the embeddings."""
    import torch

    known = torch.tensor(sorted(tokenizer.get_vocab().values()))
    forbidden = torch.ones(max(int(known[-1]) + 1, embedding_rows(model)), dtype=torch.bool)
    forbidden[known] = False
    for codes in ids.codes:
        forbidden[torch.from_numpy(codes)] = True
    forbidden[ids.end] = True
    return forbidden.to(model.device)
