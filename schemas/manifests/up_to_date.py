"""``up-to-date.json``: the release of the last job, and hashes by which a refresh recognises that nothing changed."""

from dataclasses import dataclass
from typing import ClassVar

from tracktokens.schemas.manifests.base import Manifest


@dataclass(frozen=True)
class UpToDateManifest(Manifest):
    """Hashes of the states of all files that the last job read and left.

    Attributes:
        release_id: the release that the job published.
        inputs: hash of the job's options and of the states of its input files when it began.
        store: hash of the states of all files of the store when it ended.
    """

    KIND: ClassVar[str] = "up-to-date"

    release_id: str
    inputs: str
    store: str
