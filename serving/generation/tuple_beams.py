"""Beam search over the token tuples of eligible tracks.

A tuple has one token per column, so all tuples are of the same length, and no beam ends before another. Beams are only
dropped where there are more than ``beams`` prefixes: so the search finds ``beams`` tuples, or all that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tracktokens.codebooks.decoding.catalog_constraint import TokenIds
from tracktokens.codebooks.decoding.trie import Node
from tracktokens.codebooks.numerics.arrays import Codes, Doubles, Ids
from tracktokens.serving.generation.eligible_tracks import EligibleTracks
from tracktokens.serving.generation.tree_decoder import Columns, TreeDecoder

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WrittenTuple:
    """A tuple, or the beginning of one.

    Attributes:
        codes: its codes, -1 for none.
        tokens: ids of its tokens.
        score: sum of the log-probabilities of its tokens, each among all tokens of the model.
        columns: columns of the decoder's cache with all tokens but the last.
    """

    codes: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    score: float = 0.0
    columns: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Beam:
    written: WrittenTuple
    node: Node


Front = list[_Beam]
"""Beams of a text, the best first."""


def search_tuples(
    decoder: TreeDecoder, eligible: Sequence[EligibleTracks | None], ids: TokenIds, beams: int
) -> list[list[WrittenTuple]]:
    """Find the most probable tuples after each text, the best first; of equal ones, the one with lower codes.

    Args:
        decoder: texts that end with ``<|track|>``.
        eligible: tracks of each text; None for a text without a search.
        ids: ids of the tokens.
        beams: number of prefixes that are kept, at least 1.
    """
    fronts = [[] if tracks is None else [_Beam(WrittenTuple(), tracks.trie.root)] for tracks in eligible]
    logits = decoder.logits[:, None]
    for depth in range(len(ids.codes)):
        if depth:
            fronts, logits = _read(decoder, fronts)
        options = [
            [] if tracks is None else [tracks.next_codes(beam.node) for beam in front]
            for front, tracks in zip(fronts, eligible, strict=True)
        ]
        scores = _log_probabilities(logits, options, ids.codes[depth])
        fronts = [
            [] if tracks is None else _best(front, tracks, codes, totals, ids.codes[depth], beams)
            for front, tracks, codes, totals in zip(fronts, eligible, options, scores, strict=True)
        ]
    return [[beam.written for beam in front] for front in fronts]


def _read(decoder: TreeDecoder, fronts: Sequence[Front]) -> tuple[list[Front], Tensor]:
    """Read the last token of each beam. Return the beams with its column, and logits (texts, beams, vocabulary)."""
    longest = max(1, *map(len, fronts))
    start = decoder.columns
    tokens = [[beam.written.tokens[-1] for beam in front] + [0] * (longest - len(front)) for front in fronts]
    before: list[list[Columns]] = [[list(beam.written.columns) for beam in front] for front in fronts]
    logits = decoder.branch(tokens, [row + [[]] * (longest - len(row)) for row in before])
    return [[_at(beam, start + place) for place, beam in enumerate(front)] for front in fronts], logits


def _at(beam: _Beam, column: int) -> _Beam:
    return _Beam(replace(beam.written, columns=(*beam.written.columns, column)), beam.node)


def _log_probabilities(logits: Tensor, options: Sequence[Sequence[Codes]], ids: Ids) -> list[Doubles]:
    """Return the log-probabilities of the options of each text, float64 (options,), beam by beam."""
    import torch

    places = [(row, n, len(codes)) for row, beams in enumerate(options) for n, codes in enumerate(beams)]
    if not places:
        return [np.zeros(0) for _ in options]
    counts = [count for *_, count in places]
    rows, numbers = (np.repeat([place[part] for place in places], counts) for part in (0, 1))
    tokens = ids[np.concatenate([codes for beams in options for codes in beams])]
    row, number, token = torch.from_numpy(np.stack([rows, numbers, tokens])).to(logits.device)
    values = logits[row, number, token] - logits.logsumexp(dim=-1)[row, number]
    ends = np.cumsum([sum(map(len, beams)) for beams in options])
    return np.split(values.double().cpu().numpy(), ends[:-1])


def _best(
    front: Front, tracks: EligibleTracks, options: Sequence[Codes], scores: Doubles, ids: Ids, beams: int
) -> Front:
    """Extend the beams of a text by one token, and keep the best."""
    parents = np.repeat(np.arange(len(front)), list(map(len, options)))
    codes = np.concatenate(list(options))
    totals = np.array([beam.written.score for beam in front])[parents] + scores
    if len(totals) > beams:  # all with the score of the last one are sorted, so that equal scores have one order
        kept = np.flatnonzero(totals >= np.partition(totals, -beams)[-beams])
    else:
        kept = np.arange(len(totals))
    order = sorted(kept, key=lambda place: (-totals[place], front[parents[place]].written.codes, codes[place]))
    return [
        _child(front[parents[place]], int(codes[place]), float(totals[place]), tracks, ids) for place in order[:beams]
    ]


def _child(beam: _Beam, code: int, score: float, tracks: EligibleTracks, ids: Ids) -> _Beam:
    written, node = beam.written, tracks.trie.child(beam.node, code)
    if node is None:
        raise ValueError(f"{(*written.codes, code)} is not a prefix of a tuple")
    tokens = (*written.tokens, int(ids[code]))
    return _Beam(replace(written, codes=(*written.codes, code), tokens=tokens, score=score), node)
