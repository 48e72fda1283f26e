"""``releases/<release_id>/manifest.json``: a published release."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest
from tracktokens.schemas.manifests.field_types import FileName, Name
from tracktokens.schemas.token_format import FurtherColumns, TokenFormat

FROM_CATALOG = "catalog"
"""Popularity is the catalog's ``popularity``; a track without one has 0."""

FROM_PLAYLISTS = "playlists"
"""Popularity is the number of training playlists that hold a track."""


@dataclass(frozen=True)
class FileEntry:
    """One file of a release.

    Attributes:
        bytes: its size.
        sha256: its SHA-256, in hexadecimal digits.
    """

    bytes: int
    sha256: str


@dataclass(frozen=True)
class RowCounts:
    """Rows of a release's catalog: those read, those in the token table, and those rejected."""

    read: int
    published: int
    rejected: int


@dataclass(frozen=True)
class ReleaseManifest(Manifest):
    """Contents of a release. Written when the release is complete, before ``LATEST`` names it.

    Attributes:
        release_id: UTC time of publishing and a hash of the contents; sorts by time.
        bundle_id: bundle whose codes the token table holds.
        catalog_id: catalog snapshot that the release was made from.
        codebook_size: codes per modality in the vocabulary.
        encoders: modality to encoder id.
        rows: the fields of :class:`RowCounts`.
        files: path below the release to the fields of :class:`FileEntry`.
        previous: release that was the latest when this one was made, which ``changes/`` compares with; null for the
            first, and where the vocabulary had another size.
        options: long option name to value: the options that made the release, paths as absolute ones. A refresh takes
            those that are not given again. Null in releases of older versions.
        popularity: ``FROM_CATALOG`` or ``FROM_PLAYLISTS``; null without either, and in releases of older versions.
        tokens: columns after the five of the modalities, as ``TokenFormat.to_json`` returns them, or null.
    """

    KIND: ClassVar[str] = "release"

    release_id: Name
    bundle_id: Name
    catalog_id: Name
    codebook_size: int
    encoders: Mapping[Name, Name]
    rows: Annotated[Mapping[str, int], RowCounts]
    files: Mapping[FileName, Annotated[Mapping[str, Any], FileEntry]]
    previous: Name | None = None
    options: Mapping[str, Any] | None = None
    popularity: str | None = None
    tokens: Annotated[Mapping[str, Any], FurtherColumns] | None = None

    def check(self) -> None:
        """Check the columns; see :meth:`.Manifest.check`."""
        self.token_format.check()

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

    instead: Name
