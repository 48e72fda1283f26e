"""How much each modality counts when token tuples are matched."""

from collections.abc import Sequence

import numpy as np

from tracktokens.codebooks.numerics.arrays import Weights
from tracktokens.schemas.modalities import MODALITIES

MATCHING_WEIGHTS = (25.0, 5.0, 5.0, 1.0, 1.0)
"""Weights of matching, in token order."""


def checked_weights(weights: Sequence[float]) -> Weights:
    """Weights as float64 (5,).

    Raises:
        ValueError: there are not five, one is negative or not finite, or all are 0.
    """
    values = np.asarray(weights, np.float64)
    if values.shape != (len(MODALITIES),) or not np.isfinite(values).all() or values.min() < 0 or values.max() == 0:
        raise ValueError(f"{len(MODALITIES)} weights are needed, not negative and one above 0, not {list(weights)}")
    return values
