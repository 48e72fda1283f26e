"""Token orders: some training rows write the tokens of their tracks in another order, which the prompt names.

A constraint writes the tokens of a track in the order of the token format. So that order needs no marker, and every
other order has one: a line in plain words at the end of the user's last message. Without the line, the model is to
write the usual order, as every prompt at inference asks. All tracks of a row have the same order.

The idea is that a model which has seen several orders knows how each token depends on the others, and not only on those
before it. Latte (arXiv 2605.06331) has the same aim by another way: a latent token before each track's tokens, which
opens one tree of tokens per latent token. It needs new tokens and a decoder that sums over them; this needs neither.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START
from tracktokens.pipelines.training_data.rows import USER, Message, TrainingRow, message
from tracktokens.pipelines.training_data.sampling import Chance

PERMUTED_SHARE = 0.5
"""Share of the rows with tracks that get another order."""

MARKER = "\n(Order of a track's tokens: {order})"

_TRACK = re.compile(rf"{re.escape(TRACK_START)}(.+?){re.escape(TRACK_END)}")
_TOKEN = re.compile(r"<\|[^|]+\|>")


def permute_row(row: TrainingRow, names: Sequence[str], chance: Chance, copy: int = 0) -> TrainingRow:
    """Return a row with its tracks' tokens in a drawn order, or as it is.

    A row stays as it is if it has no track, if its last prompt message is not a user's, or by the draw.

    Args:
        row: a row with tracks in the usual order.
        names: columns of the token format, in the usual order.
        chance: the draws.
        copy: number of the row among those of the same source.
    """
    texts = [entry["content"] for entry in (*row.prompt, row.completion)]
    is_drawn = chance.share("permuted", row.task, row.row_id, copy) < PERMUTED_SHARE
    if not is_drawn or not any(map(_TRACK.search, texts)) or not row.prompt or row.prompt[-1]["role"] != USER:
        return row
    order = chance.order(range(len(names)), "order", row.task, row.row_id, copy)
    if order == sorted(order):
        return row
    *before, last = (_reorder(entry, order) for entry in row.prompt)
    marker = MARKER.format(order=", ".join(names[column] for column in order))
    asked = message(USER, last["content"] + marker)
    return replace(row, prompt=(*before, asked), completion=_reorder(row.completion, order))


def _reorder(entry: Message, order: Sequence[int]) -> Message:
    def reorder(track: re.Match[str]) -> str:
        tokens = _TOKEN.findall(track[1])
        return f"{TRACK_START}{''.join(tokens[column] for column in order)}{TRACK_END}"

    return message(entry["role"], _TRACK.sub(reorder, entry["content"]))
