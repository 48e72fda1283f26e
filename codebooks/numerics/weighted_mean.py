"""Sums and means of many numbers, the same whatever their order and however they are divided among workers."""

import numpy as np
import numpy.typing as npt

from tracktokens.codebooks.numerics.arrays import Doubles, Floats

_MANTISSA_BITS = 24
_LOWEST_EXPONENT = -148
_EXPONENTS = 128 - _LOWEST_EXPONENT + 1
"""Exponents that ``frexp`` gives for float32, subnormal ones included: -148 to 128."""


class ExactSum:
    """Adds up numbers without rounding between them.

    Each number is taken to 48 significant bits, as two float32. Their mantissas are whole numbers, and those of one
    exponent are added as int64, which has room for 2**39 of them. The sum is rounded once, when it is asked for.
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
            raise ValueError("only finite numbers that float32 can hold have a sum")
        self._add(high)
        self._add((values - high).astype(np.float32))

    def merge(self, other: "ExactSum") -> None:
        """Add what another one has added up."""
        self._mantissas += other._mantissas

    def value(self) -> float:
        """Return the sum so far."""
        total = sum(int(mantissa) << shift for shift, mantissa in enumerate(self._mantissas))
        return total / (1 << (_MANTISSA_BITS - _LOWEST_EXPONENT))

    def _add(self, values: Floats) -> None:
        fractions, exponents = np.frexp(values)
        whole = (fractions * np.float32(1 << _MANTISSA_BITS)).astype(np.int64)
        np.add.at(self._mantissas, exponents - _LOWEST_EXPONENT, whole)


class WeightedMean:
    """The mean of numbers that come in parts, with weights of their own."""

    def __init__(self) -> None:
        self._weighted = ExactSum()
        self._weights = ExactSum()

    def add(self, values: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> None:
        """Add values of shape (n,), each with a weight; without weights each counts once.

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
        """Add what another one was given."""
        self._weighted.merge(other._weighted)
        self._weights.merge(other._weights)

    def value(self) -> float | None:
        """Return the mean so far; None where nothing has a weight."""
        weight = self._weights.value()
        return self._weighted.value() / weight if weight else None
