"""Sums and means that depend neither on the order of the numbers nor on how they are divided among workers."""

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.numerics.arrays import Doubles, Floats

_MANTISSA_BITS = 24
_LOWEST_EXPONENT = -148
_EXPONENTS = 128 - _LOWEST_EXPONENT + 1
"""Number of exponents that ``frexp`` returns for float32, subnormal numbers included: -148 to 128."""


class ExactSum:
    """Sum of numbers without intermediate rounding.

    Each number is rounded to 48 significant bits, as two float32. Their mantissas are integers; those with the same
    exponent are added as int64, which has room for 2**39 of them. :meth:`value` rounds the sum once.

    Example:
        >>> import numpy as np
        >>> exact = ExactSum()
        >>> exact.add(np.array([1e16, 1.0, -1e16]))
        >>> exact.value(), sum([1e16, 1.0, -1e16])
        (1.0, 0.0)
    """

    def __init__(self) -> None:
        self._mantissas = np.zeros(_EXPONENTS, np.int64)

    def add(self, values: Doubles) -> None:
        """Add float64 values of any shape.

        Raises:
            ValueError: a value is not finite, or too large for float32.
        """
        high = values.astype(np.float32)
        if not np.isfinite(high).all():
            raise ValueError("a value is not finite or too large for float32: only finite numbers can be summed")
        self._add(high)
        self._add((values - high).astype(np.float32))

    def merge(self, other: "ExactSum") -> None:
        """Add the numbers of another sum."""
        self._mantissas += other._mantissas

    def value(self) -> float:
        """Return the sum."""
        total = sum(int(mantissa) << shift for shift, mantissa in enumerate(self._mantissas))
        return total / (1 << (_MANTISSA_BITS - _LOWEST_EXPONENT))

    def _add(self, values: Floats) -> None:
        fractions, exponents = np.frexp(values)
        whole = (fractions * np.float32(1 << _MANTISSA_BITS)).astype(np.int64)
        np.add.at(self._mantissas, exponents - _LOWEST_EXPONENT, whole)


class WeightedMean:
    """Weighted mean of numbers that are added in parts.

    Example:
        >>> mean = WeightedMean()
        >>> mean.add([1.0, 4.0], weights=[2.0, 1.0])
        >>> mean.value()
        2.0
    """

    def __init__(self) -> None:
        self._weighted = ExactSum()
        self._weights = ExactSum()

    def add(self, values: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> None:
        """Add values of shape (n,), each with a weight; 1 by default.

        Raises:
            ValueError: shapes differ, a value is not finite, or a weight is negative or not finite.
        """
        numbers = np.asarray(values, np.float64)
        parts = np.ones(numbers.shape) if weights is None else np.asarray(weights, np.float64)
        if parts.shape != numbers.shape:
            raise ValueError(f"values of shape {numbers.shape} do not fit weights of shape {parts.shape}")
        if not (parts >= 0).all():  # false for NaN as well
            raise ValueError("a weight is negative or NaN")
        self._weighted.add(numbers * parts)
        self._weights.add(parts)

    def merge(self, other: "WeightedMean") -> None:
        """Add the numbers of another mean."""
        self._weighted.merge(other._weighted)
        self._weights.merge(other._weights)

    def value(self) -> float | None:
        """Return the mean; None if the weights sum to 0."""
        weight = self._weights.value()
        return self._weighted.value() / weight if weight else None
