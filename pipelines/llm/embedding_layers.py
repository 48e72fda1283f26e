"""Embedding layers of a model: the matrices with one row per token, which grow and are filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tracktokens.codebooks.numerics.arrays import Floats
from tracktokens.codebooks.tokens.embedding_init import RowStatistics
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.serving.generation.load_model import embedding_rows

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

SHOWN_ROWS = 5
"""Rows that a message names."""


def new_parameters(model: PreTrainedModel, tokens: int) -> int:
    """Count the parameters that new tokens add to a model: one row per token in each embedding matrix."""
    return tokens * sum(int(weight.shape[1]) for weight in matrices(model, is_tied(model)))


def output_layer(model: PreTrainedModel) -> Any:
    """Return the output layer; None for a model without one."""
    return model.get_output_embeddings()  # type: ignore[no-untyped-call]


def input_rows(model: PreTrainedModel) -> Tensor:
    """Return the matrix of the input embeddings."""
    return cast("Tensor", model.get_input_embeddings().weight)


def is_tied(model: PreTrainedModel) -> bool:
    """Return whether the output layer shares its weights with the input embeddings, or is absent."""
    head = output_layer(model)
    return head is None or head.weight is input_rows(model)


def matrices(model: PreTrainedModel, tied: bool) -> list[Tensor]:
    """List the matrices with one row per token."""
    return [input_rows(model)] if tied else [input_rows(model), output_layer(model).weight]


def check_finite(model: PreTrainedModel, tied: bool, rows: Any) -> None:
    """Check the rows that new rows are made from.

    Raises:
        InvalidDataError: some are not finite.
    """
    parts = dict(zip(("input embeddings", "output head"), matrices(model, tied), strict=False))
    if (bias := getattr(output_layer(model), "bias", None)) is not None:
        parts["bias of the output head"] = bias[:, None]
    for name, weight in parts.items():
        finite = weight[rows.tolist()].isfinite().all(dim=1).cpu().numpy()
        if not finite.all():
            wrong = rows[~finite]
            more = f" and {len(wrong) - SHOWN_ROWS} more" if len(wrong) > SHOWN_ROWS else ""
            raise InvalidDataError(
                f"{model.name_or_path or 'the model'}: rows {', '.join(map(str, wrong[:SHOWN_ROWS]))}{more} of the "
                f"{name} are not finite: use weights without NaN and infinity"
            )


def grow(model: PreTrainedModel, rows: int) -> None:
    """Add rows to both matrices, up to a number of rows; never remove any."""
    if rows > embedding_rows(model):
        model.resize_token_embeddings(rows, mean_resizing=False)


def fill_rows(weight: Tensor, rows_before: int, old: RowStatistics, rows: Mapping[int, Floats]) -> None:
    """Write new rows, and the mean of the old ones into padding rows.

    Raises:
        InvalidDataError: a row exceeds the range of the type.
    """
    import torch

    with torch.no_grad():
        weight[rows_before:] = torch.from_numpy(old.mean).to(weight)
        weight[list(rows)] = torch.from_numpy(np.stack(list(rows.values()))).to(weight)
    if not weight[list(rows)].isfinite().all():
        raise InvalidDataError(
            f"the rows of the new tokens exceed the range of {weight.dtype}: the old rows are too large, use the "
            "model in a wider type"
        )


def fill_bias(model: PreTrainedModel, rows_before: int, old_ids: Any, ids: Mapping[str, int]) -> None:
    """Write the mean of the old biases for new and padding rows, if the output layer has a bias."""
    import torch

    bias = getattr(output_layer(model), "bias", None)
    if bias is None:
        return
    with torch.no_grad():
        mean = bias[old_ids.tolist()].float().mean().to(bias)
        bias[rows_before:] = mean
        bias[list(ids.values())] = mean


def as_array(weight: Tensor) -> Floats:
    """Return a matrix as float32."""
    numbers: Floats = weight.detach().float().cpu().numpy()
    return numbers
