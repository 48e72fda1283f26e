"""``releases/<release_id>/withdrawn.json``: a rollback has gone behind the release."""

from dataclasses import dataclass
from typing import ClassVar

from tracktokens.schemas.manifests.base import Manifest


@dataclass(frozen=True)
class Withdrawn(Manifest):
    """Attributes: ``instead``, the release that was gone back to. Rolling back to this one removes the file."""

    KIND: ClassVar[str] = "withdrawn"

    instead: str
