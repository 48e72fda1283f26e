"""``codebooks/<bundle_id>/manifest.json``: a codebook bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from tracktokens.schemas.manifests.base import Manifest
from tracktokens.schemas.manifests.field_types import Name
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.schemas.token_format import FurtherColumns, TokenFormat


@dataclass(frozen=True)
class CodebookEntry:
    """One codebook of a bundle.

    Attributes:
        encoder_id: encoder of the vectors that it quantizes; empty where the modality has no encoder.
        dim: dimensions of a vector.
        centroids: number of learned codes; at most the bundle's ``codebook_size``.
        content_hash: hash of the codebook's contents.
        training: metrics of its training.
        kept_from: bundle that it was copied from unchanged, or null.
    """

    encoder_id: Name | Literal[""]
    dim: int
    centroids: int
    content_hash: str
    training: Mapping[str, Any]
    kept_from: Name | None


@dataclass(frozen=True)
class BundleManifest(Manifest):
    """One codebook per modality. Written last.

    Attributes:
        bundle_id: hash of the codebooks' contents, and name of the folder.
        codebook_size: codes per modality in the vocabulary.
        codebooks: column of the token table to the fields of :class:`CodebookEntry`, in token order: a modality, or a
            residual level such as ``metadata2``.
        parent: bundle that codebooks were kept from, or null.
        tokens: columns after the five of the modalities, as ``TokenFormat.to_json`` returns them, or null.
    """

    KIND: ClassVar[str] = "bundle"

    bundle_id: Name
    codebook_size: int
    codebooks: Mapping[Name, Annotated[Mapping[str, Any], CodebookEntry]]
    parent: Name | None
    tokens: Annotated[Mapping[str, Any], FurtherColumns] | None = None

    def check(self) -> None:
        """Check the columns, and that each with codes has an entry; see :meth:`.Manifest.check`."""
        self.token_format.check()
        missing = {column.name for column in self.token_format.coded} - self.codebooks.keys()
        if missing:
            raise ValueError(f"no entry of {', '.join(sorted(missing))}")

    @property
    def token_format(self) -> TokenFormat:
        """Columns of the token tables with its codes."""
        return TokenFormat.from_json(self.codebook_size, self.tokens)

    @property
    def encoders(self) -> dict[str, str]:
        """Modality to encoder id, without modalities that have no encoder."""
        entries = ((modality, self.codebooks[modality]["encoder_id"]) for modality in MODALITIES)
        return {modality: encoder_id for modality, encoder_id in entries if encoder_id}


@dataclass(frozen=True)
class UsageBaseline(Manifest):
    """Usage baseline of a bundle, ``use.json``: the use of its codes in its first release.

    It is not part of the bundle's hash.

    Attributes:
        release_id: the first release.
        modalities: modality to ``codebooks.metrics.drift.CodeUsage``, as its ``to_json`` returns it.
        unknown_entries: share of the playlists' entries that name no track of the catalog; null without playlists.
    """

    KIND: ClassVar[str] = "bundle_use"

    release_id: Name
    modalities: Mapping[str, Mapping[str, Any]]
    unknown_entries: float | None
