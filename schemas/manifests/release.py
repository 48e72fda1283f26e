"""``releases/<release_id>/manifest.json``: a published release."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest


@dataclass(frozen=True)
class ReleaseManifest(Manifest):
    """The parts of a release. Written when all of it is complete, before ``LATEST`` names it.

    Attributes:
        release_id: time of publishing in UTC and a hash of the contents; sorts by time.
        bundle_id: codebooks whose codes the token table holds.
        catalog_id: catalog snapshot that it was made from.
        codebook_size: codes that the vocabulary reserves for each modality.
        encoders: modality to encoder id.
        rows: rows read, in the token table, and rejected.
        files: path below the release to size in bytes and SHA-256.
        previous: release that was the latest when this one was made, which ``changes/`` compares with; null for the
            first, and where the vocabulary had another size.
        options: long option name to value: the options that made the release, paths as absolute ones. A refresh takes
            those that are not given again. Null in releases of older versions.
    """

    KIND: ClassVar[str] = "release"

    release_id: str
    bundle_id: str
    catalog_id: str
    codebook_size: int
    encoders: Mapping[str, str]
    rows: Mapping[str, int]
    files: Mapping[str, Mapping[str, Any]]
    previous: str | None = None
    options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Withdrawn(Manifest):
    """Attributes: ``instead``, the release that was rolled back to. Rolling back to this one removes the file."""

    KIND: ClassVar[str] = "withdrawn"

    instead: str
