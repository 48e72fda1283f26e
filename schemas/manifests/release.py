"""``releases/<release_id>/manifest.json``: a published release."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest
from tracktokens.schemas.token_format import TokenFormat

FROM_CATALOG = "catalog"
"""Popularity is the catalog's ``popularity``; a track without one has 0."""

FROM_PLAYLISTS = "playlists"
"""Popularity is the number of training playlists that hold a track."""


@dataclass(frozen=True)
class ReleaseManifest(Manifest):
    """Contents of a release. Written when the release is complete, before ``LATEST`` names it.

    Attributes:
        release_id: UTC time of publishing and a hash of the contents; sorts by time.
        bundle_id: bundle whose codes the token table holds.
        catalog_id: catalog snapshot that the release was made from.
        codebook_size: codes per modality in the vocabulary.
        encoders: modality to encoder id.
        rows: numbers of rows ``read``, ``published`` and ``rejected``.
        files: path below the release to size in bytes and SHA-256.
        previous: release that was the latest when this one was made, which ``changes/`` compares with; null for the
            first, and where the vocabulary had another size.
        options: long option name to value: the options that made the release, paths as absolute ones. A refresh takes
            those that are not given again. Null in releases of older versions.
        popularity: ``FROM_CATALOG`` or ``FROM_PLAYLISTS``; null without either, and in releases of older versions.
        tokens: columns after the five of the modalities, as ``TokenFormat.to_json`` returns them, or null.
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
    popularity: str | None = None
    tokens: Mapping[str, Any] | None = None

    @property
    def token_format(self) -> TokenFormat:
        """Columns of the token table."""
        return TokenFormat.from_json(self.codebook_size, self.tokens)


@dataclass(frozen=True)
class Withdrawn(Manifest):
    """Mark of a release that was rolled back. Rolling back to that release removes the file.

    Attributes:
        instead: release that became the latest one.
    """

    KIND: ClassVar[str] = "withdrawn"

    instead: str
