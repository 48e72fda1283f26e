"""Keep a language model inside the catalog: a logits processor for Hugging Face ``generate``.

    constraint = CatalogConstraint(TupleTrie(codes), tokenizer.get_vocab(), codebook_size)
    model.generate(**inputs, logits_processor=[constraint])

After ``<|track|>`` it admits the five tokens of a tuple that exists, one after the other, ``none`` among them, and then
``<|/track|>``. This holds for greedy search, sampling and beams, anywhere in a chat and for every row of a batch on
its own: all that it knows of a row is what stands since its last ``<|track|>``.

Outside of a track the model writes what it likes, but for code tokens and ``<|/track|>``: a tuple without marks around
it would be one that nobody checked. ``codes_outside=True`` allows them, for a model that learned tuples without marks.

Where nothing can follow, since the prompt has begun a track that does not exist or every track is excluded, the track
is closed at once. What the prompt has after ``<|track|>`` that are no code tokens in their order is text, and no track.
A limit of new tokens can cut a track short.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tracktokens.codebooks.decoding.trie import TupleTrie
from tracktokens.codebooks.numerics.arrays import CodeMatrix, CodeTuple, Ids, RowIndices
from tracktokens.codebooks.tokens.code_matrix import NONE
from tracktokens.codebooks.tokens.vocabulary import TRACK_END, TRACK_START, token, vocabulary
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES

if TYPE_CHECKING:
    import torch

LENGTH = len(MODALITIES)
WINDOW = LENGTH + 1
"""Tokens that tell whether a row is in a track: ``<|track|>`` and the codes since."""


class TokenIds:
    """The ids that a tokenizer gives to the vocabulary's tokens; they need not be in a row.

    Attributes:
        start: id of ``<|track|>``.
        end: id of ``<|/track|>``.
        codes: int64 (5, codes + 1), the id of each code, and last of each row, at -1, that of ``none``.
    """

    def __init__(self, tokens_to_ids: Mapping[str, int], size: int) -> None:
        """Look the tokens up: in ``tokens_to_ids.json``, or what ``tokenizer.get_vocab()`` returns.

        Raises:
            UsageError: a token has no id, or two have the same.
        """
        names = [entry.token for entry in vocabulary(size)]
        if missing := [name for name in names if name not in tokens_to_ids]:
            raise UsageError(
                f"{len(missing)} of {len(names)} tokens have no id, the first is {missing[0]}: "
                "add the release's vocabulary to the tokenizer"
            )
        if len({tokens_to_ids[name] for name in names}) < len(names):
            raise UsageError("some of the vocabulary's tokens have the same id: add each to the tokenizer as one token")
        self.start, self.end = tokens_to_ids[TRACK_START], tokens_to_ids[TRACK_END]
        tokens = {m: [token(m, code) for code in range(size)] + [token(m, None)] for m in MODALITIES}
        self.codes: Ids = np.array([[tokens_to_ids[name] for name in row] for row in tokens.values()], np.int64)
        by_place = [*range(size), NONE]
        self._codes_by_id = [dict(zip(row, by_place, strict=True)) for row in self.codes.tolist()]

    def read(self, ids: Ids) -> CodeTuple | None:
        """Turn the ids of up to five tokens into codes, -1 for none; None where they are not codes in token order."""
        codes = [known.get(found) for known, found in zip(self._codes_by_id, ids.tolist(), strict=False)]
        return None if None in codes else np.array(codes, np.int16)


class CatalogConstraint:
    """Admits only the token tuples of a catalog. Give it to ``generate`` as a logits processor.

    It has no state of its own, so calls may share it. For a part of the catalog, give it a tree of that part.
    """

    def __init__(
        self,
        tree: TupleTrie,
        tokens_to_ids: Mapping[str, int],
        size: int,
        *,
        exclude: CodeMatrix | None = None,
        repeats: bool = True,
        codes_outside: bool = False,
    ) -> None:
        """Prepare the constraint.

        Args:
            tree: the tuples that may be written.
            tokens_to_ids: id of each token of the vocabulary; other tokens in it do not matter.
            size: codes of the vocabulary a modality.
            exclude: int16 (n, 5), tuples that are not written: of tracks that were recommended before, say. Other
                tracks that have the same tuple are excluded too.
            repeats: whether a tuple may be written again that stands in the same row already, prompt included.
            codes_outside: whether code tokens may stand outside of tracks.

        Raises:
            UsageError: the tree is empty, or a token has no id, or not one of its own.
        """
        if not len(tree):
            raise UsageError("there are no tracks to admit")
        self._tree = tree
        self._ids = TokenIds(tokens_to_ids, size)
        self._excluded = np.zeros(0, np.int64) if exclude is None else tree.numbers(exclude)
        self._repeats = repeats
        outside = np.append(self._ids.codes.ravel(), self._ids.end)
        self._outside = np.zeros(0, np.int64) if codes_outside else outside

    def __call__(self, input_ids: "torch.LongTensor", scores: "torch.FloatTensor") -> "torch.Tensor":
        """Set to -inf what may not come next.

        Args:
            input_ids: int64 (rows, length), what stands so far.
            scores: (rows, vocabulary), of the next token; left as they are.
        """
        import torch

        context = input_ids.cpu().numpy() if not self._repeats else input_ids[:, -WINDOW:].cpu().numpy()
        admitted = [self.admitted(row) for row in context]
        inside = [row for row, ids in enumerate(admitted) if ids is not None]
        kept = scores.clone() if len(inside) < len(admitted) else torch.full_like(scores, -torch.inf)
        if len(inside) < len(admitted):
            self._forbid_outside(kept, [row for row, ids in enumerate(admitted) if ids is None])
            kept[inside] = -torch.inf
        rows = np.repeat(inside, [len(ids) for ids in _given(admitted)])
        if len(rows):
            columns = np.concatenate(list(_given(admitted)))
            places = torch.from_numpy(np.stack([rows, columns])).to(scores.device)
            kept[places[0], places[1]] = scores[places[0], places[1]]
        return kept

    def admitted(self, ids: Ids) -> Ids | None:
        """Ids of the tokens that may come after some, int64; None where this is no place inside of a track.

        Args:
            ids: int64 (length,): all of the row where repeats are not allowed, else at least its last six.
        """
        prefix = self._prefix(ids)
        if prefix is None:
            return None
        node = self._tree.find(prefix) if len(prefix) < LENGTH else None
        if node is None:
            return np.array([self._ids.end])
        codes = self._tree.next_codes(node, self._excluded if self._repeats else self._excluded_for(ids))
        return self._ids.codes[len(prefix), codes] if len(codes) else np.array([self._ids.end])

    def _prefix(self, ids: Ids) -> CodeTuple | None:
        """Codes of the track that is being written, or None outside of one."""
        begins = np.flatnonzero(ids[-WINDOW:] == self._ids.start)
        return self._ids.read(ids[-WINDOW:][begins[-1] + 1 :]) if len(begins) else None

    def _excluded_for(self, ids: Ids) -> RowIndices:
        """Numbers of the tuples that are excluded, or stand in the row."""
        begins = np.flatnonzero(ids[: max(len(ids) - LENGTH, 0)] == self._ids.start)
        read = (self._ids.read(ids[begin + 1 : begin + WINDOW]) for begin in begins)
        written = [codes for codes in read if codes is not None]
        if not written:
            return self._excluded
        numbers = self._tree.numbers(np.array(written))
        return np.union1d(self._excluded, numbers) if len(self._excluded) else numbers

    def _forbid_outside(self, kept: "torch.Tensor", rows: list[int]) -> None:
        import torch

        if len(self._outside):
            columns = torch.from_numpy(self._outside).to(kept.device)
            kept[torch.tensor(rows, device=kept.device)[:, None], columns] = -torch.inf


def _given(admitted: Iterable[Ids | None]) -> Iterable[Ids]:
    return (ids for ids in admitted if ids is not None)
