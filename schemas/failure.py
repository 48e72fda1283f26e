"""Why an input has no vector."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """Why one input has no vector: a reason out of ``schemas.rejects`` and a detail for people."""

    reason: str
    detail: str
