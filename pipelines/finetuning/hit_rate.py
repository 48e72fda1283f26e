"""Constrained Hit@10 while a model trains: whether its ten likeliest track tuples contain a recommended track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from tracktokens.codebooks.decoding.catalog_constraint import TokenIds
from tracktokens.pipelines.finetuning.training_rows import EncodedRow
from tracktokens.serving.catalog_tokens import CatalogTokens
from tracktokens.serving.generation.eligible_tracks import EligibleTracks
from tracktokens.serving.generation.tree_decoder import TreeDecoder
from tracktokens.serving.generation.tuple_beams import search_tuples

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOP_K = 10

BATCH = 8
"""Prompts that are read together."""


@dataclass(frozen=True)
class HitRate:
    """Measures Hit@10 on turns of conversations.

    After the prompt of a turn, the model writes a track at once, by beam search over the tuples of the catalog. The
    first ten tracks of these tuples, the most popular first where tracks share a tuple, are compared with the turn's
    tracks. The text before a track is not written, because it may name the title.

    Attributes:
        turns: turns with tracks.
        catalog: tokens of the release.
        tokenizer: tokenizer of the model.
    """

    turns: Sequence[EncodedRow]
    catalog: CatalogTokens
    tokenizer: PreTrainedTokenizerBase

    def measure(self, model: Any) -> float:
        """Return the share of turns with a track of theirs among the ten first.

        Args:
            model: a causal language model, also one with adapters of peft; it is not changed.
        """
        plain = model.get_base_model() if hasattr(model, "get_base_model") else model  # the adapters stay in it
        ids = TokenIds(self.tokenizer.get_vocab(), self.catalog.token_format)
        turns = sorted(self.turns, key=lambda turn: turn.prompt_length)
        batches = (turns[first : first + BATCH] for first in range(0, len(turns), BATCH))
        return sum(self._hits(plain, batch, ids) for batch in batches) / len(turns)

    def _hits(self, model: Any, turns: Sequence[EncodedRow], ids: TokenIds) -> int:
        decoder = TreeDecoder(model, [[*turn.ids[: turn.prompt_length], ids.start] for turn in turns])
        eligible = [EligibleTracks(self.catalog)] * len(turns)
        found = search_tuples(decoder, eligible, ids, TOP_K)
        hits = 0
        for turn, tuples in zip(turns, found, strict=True):
            tracks = chain.from_iterable(self.catalog.lookup(written.codes) for written in tuples)
            hits += not set(turn.tracks).isdisjoint(islice(tracks, TOP_K))
        return hits
