"""Weights of the modalities when token tuples are matched."""

from collections.abc import Sequence

import numpy as np

from tracktokens.codebooks.numerics.arrays import Weights
from tracktokens.schemas.modalities import MATCHING_WEIGHTS, MODALITIES

__all__ = ["MATCHING_WEIGHTS", "checked_weights"]


def checked_weights(weights: Sequence[float]) -> Weights:
    """Check weights and return them as float64 (M,), one per modality in token order.

    Example:
        >>> checked_weights([25, 5, 5, 1, 1]).tolist()
        [25.0, 5.0, 5.0, 1.0, 1.0]

    Raises:
        ValueError: their number is not that of the modalities, one is negative, all are 0, or their sum is not finite.
    """
    values = np.asarray(weights, np.float64)
    total = sum(values.ravel().tolist())
    if values.shape != (len(MODALITIES),) or not np.isfinite(total) or values.min() < 0 or total == 0:
        raise ValueError(
            f"{len(MODALITIES)} weights are needed, none negative and at least one above 0, not {list(weights)}"
        )
    return values
