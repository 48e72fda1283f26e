"""Constrained Hit@10 while a model trains: whether its ten likeliest track tuples contain a recommended track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracktokens.codebooks.decoding.catalog_constraint import CatalogConstraint
from tracktokens.codebooks.tokens.vocabulary import TRACK_START
from tracktokens.pipelines.finetuning.training_rows import EncodedRow
from tracktokens.serving.catalog_tokens import CatalogTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOP_K = 10


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
        """Return the share of turns with a track of theirs among the ten first."""
        constraint = self.catalog.constraint(self.tokenizer)
        start: Any = self.tokenizer.convert_tokens_to_ids(TRACK_START)
        hits = 0
        for turn in self.turns:
            prompt = [*turn.ids[: turn.prompt_length], start]
            tuples = beam_search(model, prompt, constraint, len(self.catalog.columns), TOP_K)
            hits += not set(turn.tracks).isdisjoint(self._first_tracks(tuples))
        return hits / len(self.turns)

    def _first_tracks(self, tuples: Sequence[Sequence[int]]) -> list[str]:
        names: list[str] = []
        for ids in tuples:
            tokens = "".join(self.tokenizer.convert_ids_to_tokens(list(ids)))
            names.extend(self.catalog.lookup(tokens))
            if len(names) >= TOP_K:
                break
        return names[:TOP_K]


def beam_search(
    model: Any, prompt: Sequence[int], constraint: CatalogConstraint, length: int, beams: int
) -> list[list[int]]:
    """Search the likeliest track tuples after a prompt; the prompt is read once for all beams.

    Args:
        model: a causal language model; it is not changed.
        prompt: ids that end with that of ``<|track|>``.
        constraint: the tuples that may be written.
        length: tokens per tuple.
        beams: number of tuples to keep at each token.

    Returns:
        The ids of up to ``beams`` tuples, the likeliest first.
    """
    import torch

    device = next(model.parameters()).device
    ids = torch.tensor([list(prompt)], device=device)
    scores = torch.zeros(1, device=device)
    with torch.no_grad():
        output = model(input_ids=ids, use_cache=True)
        for step in range(length):
            likelihoods = torch.log_softmax(output.logits[:, -1].float(), dim=-1)
            totals = (scores[:, None] + constraint(ids, likelihoods)).flatten()  # type: ignore[arg-type]
            scores, places = totals.topk(min(beams, int(totals.isfinite().sum())))
            rows, tokens = places // likelihoods.shape[1], places % likelihoods.shape[1]
            ids = torch.cat([ids[rows], tokens[:, None]], dim=1)
            if step + 1 < length:
                cache = output.past_key_values
                cache.reorder_cache(rows)
                output = model(input_ids=tokens[:, None], past_key_values=cache, use_cache=True)
    found: list[list[int]] = ids[:, len(prompt) :].tolist()
    return found
