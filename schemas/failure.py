"""Failure of an encoder on one input."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """Reason why one input has no vector.

    Attributes:
        reason: a reason code of ``schemas.tables.rejects``.
        detail: explanation for people.
    """

    reason: str
    detail: str
