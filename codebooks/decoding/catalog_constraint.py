"""Logits processor for Hugging Face ``generate`` that restricts a language model to the tracks of a catalog.

    constraint = CatalogConstraint(TupleTrie(codes), tokenizer.get_vocab(), release.token_format)
    model.generate(**inputs, logits_processor=[constraint])

After ``<|track|>`` it admits the tokens of an existing tuple one by one, ``none`` tokens included, and then
``<|/track|>``. This works with greedy search, sampling and beam search, anywhere in a chat. Each row of a batch is
handled on its own, from the tokens since its last ``<|track|>``.

Outside of tracks the model writes freely, except for code tokens and ``<|/track|>``: a tuple without enclosing tokens
would not be checked. ``codes_outside=True`` allows them, for a model that was trained on tuples without these tokens.

If no token can follow, because the prompt began a track that does not exist or every track is excluded, the track is
closed at once. A ``<|track|>`` in the prompt that is not followed by code tokens in token order is plain text. A limit
of new tokens can cut a track short.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.numerics.arrays import CodeMatrix, CodeTuple, Ids, RowIndices
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START, token, vocabulary
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.token_format import TokenColumn, TokenFormat, as_format

if TYPE_CHECKING:
    import torch


class TokenIds:
    """Ids of the vocabulary's tokens in a tokenizer; they need not be consecutive.

    Attributes:
        start: id of ``<|track|>``.
        end: id of ``<|/track|>``.
        codes: per column int64 (codes + 1,), the id of each code; that of ``none`` is last, at -1. The number has no
            ``none``.

    Example:
        >>> import numpy as np
        >>> from tracktokens.codebooks.tokens.vocabulary import added_tokens_json
        >>> ids = TokenIds(added_tokens_json(2, first_id=100), 2)
        >>> ids.start, ids.codes[0].tolist()
        (115, [100, 101, 110])
        >>> ids.read(np.array([101, 112])) is None  # a metadata token in second place
        True
        >>> ids.read(np.array([101, 111])).tolist()
        [1, -1]
    """

    def __init__(self, tokens_to_ids: Mapping[str, int], token_format: TokenFormat | int) -> None:
        """Look up the tokens.

        Args:
            tokens_to_ids: contents of ``tokens_to_ids.json``, or result of ``tokenizer.get_vocab()``.
            token_format: format of the vocabulary, or the codes per modality of one with five tokens.

        Raises:
            UsageError: a token has no id, or two tokens have the same id.
        """
        names = [entry.token for entry in vocabulary(token_format)]
        if missing := [name for name in names if name not in tokens_to_ids]:
            raise UsageError(
                f"{len(missing)} of {len(names)} tokens have no id, the first is {missing[0]}: "
                "add the release's vocabulary to the tokenizer"
            )
        if len({tokens_to_ids[name] for name in names}) < len(names):
            raise UsageError(
                "some of the vocabulary's tokens have the same id: add each of them to the tokenizer as one token"
            )
        self.start, self.end = tokens_to_ids[TRACK_START], tokens_to_ids[TRACK_END]
        by_code = [_tokens_by_code(column) for column in as_format(token_format).columns]
        self._codes_by_id = [{tokens_to_ids[name]: code for code, name in column.items()} for column in by_code]
        self.codes: tuple[Ids, ...] = tuple(np.array(list(column), np.int64) for column in self._codes_by_id)

    def read(self, ids: Ids) -> CodeTuple | None:
        """Convert the ids of up to M tokens to codes, -1 for none; None if they are not codes in token order."""
        codes = [by_id.get(token_id) for by_id, token_id in zip(self._codes_by_id, ids.tolist(), strict=False)]
        return None if None in codes else np.array(codes, np.int16)


def _tokens_by_code(column: TokenColumn) -> dict[int, str]:
    """Return code to token, ``none`` last."""
    tokens = {code: token(column.name, code) for code in range(column.size)}
    return {**tokens, NONE: token(column.name, None)} if column.has_none else tokens


class CatalogConstraint:
    """Logits processor that admits only the token tuples of a catalog. Pass it to ``generate``.

    It is stateless, so calls may share it. For a part of the catalog, pass a trie of that part.

    Attributes:
        window: number of last tokens that decide whether a row is in a track.
        outside: int64, ids that may not come outside of tracks.

    Example:
        >>> import numpy as np
        >>> from tracktokens.codebooks.tokens.vocabulary import added_tokens_json
        >>> ids = added_tokens_json(2, first_id=100)  # playlist_0 is 100, playlist_1 is 101, <|track|> is 115
        >>> constraint = CatalogConstraint(TupleTrie(np.array([[1, 0, 0, 0, -1]], np.int16)), ids, 2)
        >>> constraint.admitted(np.array([7, 115])).tolist()
        [101]
        >>> constraint.admitted(np.array([7])) is None
        True
    """

    def __init__(
        self,
        trie: TupleTrie,
        tokens_to_ids: Mapping[str, int],
        token_format: TokenFormat | int,
        *,
        exclude: CodeMatrix | None = None,
        repeats: bool = True,
        codes_outside: bool = False,
    ) -> None:
        """Prepare the constraint.

        Args:
            trie: tuples that may be written.
            tokens_to_ids: id of each token of the vocabulary; other tokens are ignored.
            token_format: format of the vocabulary, or the codes per modality of one with five tokens.
            exclude: int16 (n, M), tuples that may not be written, for example of tracks that were already recommended.
                Other tracks with the same tuple are excluded too.
            repeats: whether a tuple may be written again in the same row, prompt included.
            codes_outside: whether code tokens may be written outside of tracks.

        Raises:
            UsageError: the trie is empty, a token has no id, or two tokens have the same id.
        """
        if not len(trie):
            raise UsageError("the trie has no tracks to admit: build it from a catalog with tracks")
        self._trie = trie
        self._ids = TokenIds(tokens_to_ids, token_format)
        self._length = len(self._ids.codes)
        self.window = self._length + 1
        self._excluded = np.zeros(0, np.int64) if exclude is None else trie.numbers(exclude)
        self._repeats = repeats
        outside = np.append(np.concatenate(self._ids.codes), self._ids.end)
        self.outside: Ids = np.zeros(0, np.int64) if codes_outside else outside

    def __call__(self, input_ids: "torch.LongTensor", scores: "torch.FloatTensor") -> "torch.Tensor":
        """Set the scores of tokens that may not come next to -inf, in a copy.

        Args:
            input_ids: int64 (rows, length), tokens so far.
            scores: (rows, vocabulary), scores of the next token; not modified.
        """
        context = input_ids.cpu().numpy() if not self._repeats else input_ids[:, -self.window :].cpu().numpy()
        kept: torch.Tensor = scores.clone()
        restrict(kept, {row: self.admitted(ids) for row, ids in enumerate(context)}, self.outside)
        return kept

    @property
    def needs_history(self) -> bool:
        """True if :meth:`admitted` needs all tokens of a row that is in a track, and not only the last ones."""
        return not self._repeats

    def admitted(self, ids: Ids) -> Ids | None:
        """Return the ids of the tokens that may follow, int64; None outside of a track.

        Args:
            ids: int64 (length,), tokens so far: all of them if repeats are not allowed, else at least the last ones,
                one more than a track has.
        """
        prefix = self._prefix(ids)
        if prefix is None:
            return None
        node = self._trie.find(prefix) if len(prefix) < self._length else None
        if node is None:
            return np.array([self._ids.end])
        codes = self._trie.next_codes(node, self._excluded if self._repeats else self._excluded_for(ids))
        return self._ids.codes[len(prefix)][codes] if len(codes) else np.array([self._ids.end])

    def _prefix(self, ids: Ids) -> CodeTuple | None:
        """Return the codes of the unfinished track, or None outside of a track."""
        last = ids[-self.window :]
        begins = np.flatnonzero(last == self._ids.start)
        return self._ids.read(last[begins[-1] + 1 :]) if len(begins) else None

    def _excluded_for(self, ids: Ids) -> RowIndices:
        """Return the numbers of the tuples that are excluded or were written in the row."""
        begins = np.flatnonzero(ids[: max(len(ids) - self._length, 0)] == self._ids.start)
        read = (self._ids.read(ids[begin + 1 : begin + self.window]) for begin in begins)
        written = [codes for codes in read if codes is not None]
        if not written:
            return self._excluded
        numbers = self._trie.numbers(np.array(written))
        return np.union1d(self._excluded, numbers) if len(self._excluded) else numbers


def restrict(scores: "torch.Tensor", admitted: Mapping[int, Ids | None], outside: Ids) -> None:
    """Set the scores of tokens that may not come next to -inf, in place.

    Args:
        scores: (rows, vocabulary), scores of the next token.
        admitted: row to the ids that may follow; None in a text, outside of tracks. Other rows stay as they are.
        outside: int64, ids that may not come in a text.
    """
    import torch

    texts = [row for row, ids in admitted.items() if ids is None]
    inside = {row: ids for row, ids in admitted.items() if ids is not None}
    if inside:
        rows = np.repeat(list(inside), [len(ids) for ids in inside.values()])
        row, column = torch.from_numpy(np.stack([rows, np.concatenate(list(inside.values()))])).to(scores.device)
        kept = scores[row, column]
        scores[list(inside)] = -torch.inf
        scores[row, column] = kept
    if texts and len(outside):
        columns = torch.from_numpy(outside).to(scores.device)
        scores[torch.tensor(texts, device=scores.device)[:, None], columns] = -torch.inf
