"""``codebooks/<bundle_id>/use.json``: how its first release used its codes. Drift is measured against it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tracktokens.schemas.manifests.base import Manifest


@dataclass(frozen=True)
class BundleUse(Manifest):
    """How the codes of a bundle were used when it was first published. It is no part of what names the bundle.

    Attributes:
        release_id: that release.
        modalities: modality to the fields of ``codebooks.drift.CodeUse``.
        unknown_entries: share of the playlists' entries that name no track of the catalog; null without playlists.
    """

    KIND: ClassVar[str] = "bundle_use"

    release_id: str
    modalities: Mapping[str, Mapping[str, Any]]
    unknown_entries: float | None
