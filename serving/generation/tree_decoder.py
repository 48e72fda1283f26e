"""Decode texts with branches: one cache per text, whose branches share its keys and values.

Beams usually have a copy of the prompt's cache each. Here, the tokens of all branches follow the text in one cache, and
an attention mask lets each see the text and its own branch. A prompt is read once and kept once, whatever the number
of beams, and no cache is reordered. (This is the tree attention of Miao et al., SpecInfer, arXiv 2305.09781.)
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

Columns = list[int]
"""Columns of the cache with the tokens of a branch, in order."""


def check_decodable(model: PreTrainedModel) -> None:
    """Check that a model takes the positions and the mask of branches.

    Raises:
        UsageError: it does not.
    """
    attention = str(getattr(model.config, "_attn_implementation", ""))
    if "flash" in attention or "flex" in attention:
        raise UsageError(
            f"{attention} takes no mask of branches: load the model with attn_implementation='sdpa' or 'eager'"
        )
    if "position_ids" not in inspect.signature(model.forward).parameters:
        raise UsageError(f"{type(model).__name__} takes no positions, which branches need: use another architecture")


class TreeDecoder:
    """Texts of a batch, in one cache. A text grows by tokens, or by the tokens of one of its branches.

    Attributes:
        logits: float32 (rows, vocabulary), of the next token of each text.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> None:
        """Read the prompts, none of them empty."""
        import torch
        from transformers import DynamicCache

        self._model = model
        self._device = model.device
        known = inspect.signature(model.forward).parameters
        self._extra: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in known else {}
        self._cache = DynamicCache()
        longest = max(map(len, prompts))
        padded = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self._device)
        columns = torch.arange(longest, device=self._device)
        self._visible = columns >= longest - lengths[:, None]
        self._lengths = lengths
        positions = (columns - (longest - lengths[:, None])).clamp(min=0)
        causal = columns[None, :] <= columns[:, None]
        seen = (self._visible[:, None, :] & causal) | torch.eye(longest, dtype=torch.bool, device=self._device)
        read = self._read(torch.tensor(padded, device=self._device), positions, seen, **self._extra)
        self.logits = read[:, -1]

    def write(self, tokens: Sequence[int], rows: Sequence[bool]) -> None:
        """Append a token to those texts whose row is true."""
        import torch

        live = torch.tensor(rows, device=self._device)
        logits = self.branch([[token] for token in tokens], [[[]] for _ in tokens])[:, 0]
        self._visible[:, -1] = live
        self._lengths = self._lengths + live
        self.logits = torch.where(live[:, None], logits, self.logits)

    def branch(self, tokens: Sequence[Sequence[int]], before: Sequence[Sequence[Columns]]) -> Tensor:
        """Read tokens beside the texts, n per text.

        Args:
            tokens: (rows, n).
            before: (rows, n), the columns of the branch that each token continues.

        Returns:
            float32 (rows, n, vocabulary), logits after each token. The tokens are the last n columns of the cache.
        """
        import torch

        rows, count = len(tokens), len(tokens[0])
        start = self.columns
        own = torch.zeros((rows, count, start + count), dtype=torch.bool, device=self._device)
        own[:, :, :start] = self._visible[:, None, :]
        own[:, range(count), range(start, start + count)] = True
        places = [(r, n, c) for r, row in enumerate(before) for n, columns in enumerate(row) for c in columns]
        if places:
            own[tuple(torch.tensor(places, device=self._device).T)] = True
        depths = torch.tensor([[len(columns) for columns in row] for row in before], device=self._device)
        unseen = torch.zeros((rows, count), dtype=torch.bool, device=self._device)
        self._visible = torch.cat([self._visible, unseen], dim=1)
        return self._read(torch.tensor(tokens, device=self._device), self._lengths[:, None] + depths, own)

    def adopt(self, branches: Sequence[Columns]) -> None:
        """Append branches to the texts: the columns of one branch each, or none. Write a token before the next step."""
        import torch

        for row, columns in enumerate(branches):
            self._visible[row, columns] = True
        self._lengths = self._lengths + torch.tensor([len(columns) for columns in branches], device=self._device)

    @property
    def columns(self) -> int:
        """Number of columns of the cache."""
        return int(self._visible.shape[1])

    def _read(self, tokens: Tensor, positions: Tensor, seen: Tensor, **options: Any) -> Tensor:
        """Run the model: tokens and positions (rows, n), and which columns each token sees, (rows, n, columns)."""
        import torch

        # Additive masks are understood by the eager attention too.
        mask = torch.zeros(seen.shape, dtype=self._model.dtype, device=self._device)
        mask = mask.masked_fill(~seen, torch.finfo(self._model.dtype).min)[:, None]
        with torch.no_grad():
            output = self._model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
                **options,
            )
        logits: Tensor = output.logits.float()
        return logits
