"""The shape of every gate. Each measures one thing against one limit.

A gate holds its limit. ``find_violation`` describes what is past it, and ``check`` raises on that, so that nothing is
published.
"""

import logging
from abc import ABC, abstractmethod
from typing import ClassVar, Generic, TypeVar

from tracktokens.schemas.errors import InvalidDataError, TracktokensError

_logger = logging.getLogger(__name__)

Measured = TypeVar("Measured")


class Gate(ABC, Generic[Measured]):
    """One condition of a release."""

    error: ClassVar[type[TracktokensError]] = InvalidDataError

    @property
    def enforced(self) -> bool:
        """Return whether a violation is an error; otherwise it is logged as a warning."""
        return True

    @abstractmethod
    def find_violation(self, measured: Measured) -> str | None:
        """Describe what is past the limit and what to do about it; None where nothing is."""

    def check(self, measured: Measured) -> None:
        """Check the condition.

        Raises:
            TracktokensError: it is violated and enforced; the class is ``error``.
        """
        violation = self.find_violation(measured)
        if violation is None:
            return
        if self.enforced:
            raise self.error(f"{violation}; nothing was published")
        _logger.warning("%s", violation)
