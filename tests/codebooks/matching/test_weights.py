"""Weights of the modalities are checked."""

import pytest

from tracktokens.codebooks.matching.weights import checked_weights


@pytest.mark.parametrize(
    "weights",
    [
        (1, 1, 1, 1),
        (0, 0, 0, 0, 0),
        (1, 1, 1, 1, -1),
        (1, 1, 1, 1, float("nan")),
        (1, 1, 1, 1, float("inf")),
        (1e308, 1e308, 0, 0, 0),
        (float("inf"), float("-inf"), 0, 0, 0),
    ],
)
def test_weights_without_shares_are_an_error(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="5 weights"):
        checked_weights(weights)
