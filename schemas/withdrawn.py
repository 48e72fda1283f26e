"""``releases/<release_id>/withdrawn.json``: a rollback has gone behind the release. Rolling back to it removes the file."""

from dataclasses import dataclass
from typing import ClassVar

from tracktokens.schemas.manifest import Manifest


@dataclass(frozen=True)
class Withdrawn(Manifest):
    """Attributes: ``instead``, the release that was gone back to."""

    KIND: ClassVar[str] = "withdrawn"

    instead: str
