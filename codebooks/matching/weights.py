"""Weights of the modalities, and of all columns, when token tuples are matched."""

from collections.abc import Sequence

import numpy as np

from tracktokens.codebooks.numerics.arrays import Weights
from tracktokens.schemas.modalities import MATCHING_WEIGHTS, MODALITIES
from tracktokens.schemas.token_format import TokenFormat

__all__ = ["MATCHING_WEIGHTS", "checked_weights", "column_weights"]

NUMBER_WEIGHT = 1.0
"""Weight of the number. It counts only where all other tokens are equal, so it decides between such tracks."""


def checked_weights(weights: Sequence[float]) -> Weights:
    """Check weights and return them as float64, one per modality in token order, or per column.

    Example:
        >>> checked_weights([25, 5, 5, 1, 1]).tolist()
        [25.0, 5.0, 5.0, 1.0, 1.0]

    Raises:
        ValueError: there are fewer than modalities, one is negative, all are 0, or their sum is not finite.
    """
    values = np.asarray(weights, np.float64)
    total = sum(values.ravel().tolist())
    if values.ndim != 1 or len(values) < len(MODALITIES) or not np.isfinite(total) or values.min() < 0 or total == 0:
        raise ValueError(
            f"{len(MODALITIES)} weights are needed, none negative and at least one above 0, not {list(weights)}"
        )
    return values


def column_weights(weights: Sequence[float], token_format: TokenFormat) -> Weights:
    """Return the weight of each column of a format, float64 (M,).

    Example:
        >>> column_weights([25, 5, 5, 1, 1], TokenFormat.of(8, levels={"metadata": [8]}, numbers=4)).tolist()
        [25.0, 5.0, 5.0, 1.0, 1.0, 5.0, 1.0]

    Args:
        weights: one per column, or one per modality: then a residual level has that of its modality, and the number
            ``NUMBER_WEIGHT``.
        token_format: the columns.

    Raises:
        ValueError: the weights are invalid, or their number is neither that of the columns nor of the modalities.
    """
    values = checked_weights(weights)
    if len(values) == len(token_format):
        return values
    if len(values) != len(MODALITIES):
        raise ValueError(f"{len(token_format)} or {len(MODALITIES)} weights are needed, not {len(values)}")
    by_modality = dict(zip(MODALITIES, values.tolist(), strict=True))
    return np.array([by_modality.get(column.modality or "", NUMBER_WEIGHT) for column in token_format.columns])
