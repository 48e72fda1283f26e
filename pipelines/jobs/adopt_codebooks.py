"""Give a new store the codebooks of another store, so that its tokens have the same numbers and meanings."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from tracktokens.codebooks.bundle import Bundle
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.bundle import BundleManifest
from tracktokens.schemas.manifests.catalog import PlaylistsManifest
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.transforms.store import files
from tracktokens.transforms.store.bundles import read_bundle, read_manifest, write_bundle
from tracktokens.transforms.store.layout import LATEST, Store, store_file, store_root
from tracktokens.transforms.store.releases import latest_id, latest_release

_logger = logging.getLogger(__name__)

ONE_BUCKET = 1
"""Buckets of a store whose manifest is not read: releases and bundles are found without their number."""


@dataclass(frozen=True)
class AdoptedCodebooks:
    """Codebooks of the latest release of another store, which is only read.

    Attributes:
        root: the other store.
        bundle: its codebooks.
        manifest: manifest of the bundle.
    """

    root: str
    bundle: Bundle
    manifest: BundleManifest

    @classmethod
    def read(cls, root: str, codebook_size: int | None, target: str) -> "AdoptedCodebooks":
        """Read the codebooks. The other store and its catalogs may have another format version.

        Args:
            root: the other store.
            codebook_size: codes per modality of the run; None for those of the other store.
            target: the store of the run, which must not have a release yet, unless it is of this bundle.

        Raises:
            UsageError: the other store has no release, its codebooks have another size, or ``target`` has releases.
            InvalidDataError: a codebook is damaged.
        """
        store = Store(store_root(root), ONE_BUCKET)
        release = latest_release(store) if files.exists(store_file(store.root, LATEST)) else None
        if release is None:
            raise UsageError(f"{root} has no release: give --codebooks-from a store that `tracktokens run` made")
        if codebook_size not in (None, release.codebook_size):
            raise UsageError(
                f"the codebooks of {root} have {release.codebook_size} codes per modality, and this run "
                f"{codebook_size}: give --codebook-size {release.codebook_size}"
            )
        _require_new(Store(store_root(target), ONE_BUCKET), release.bundle_id)
        bundle = read_bundle(store, release.bundle_id)
        return cls(store.root, bundle, read_manifest(store, release.bundle_id))

    @property
    def token_format(self) -> TokenFormat:
        """Tokens per track of the codebooks."""
        return self.bundle.token_format

    def kept_encoder(self, modality: str) -> str | None:
        """Id of the encoder that a modality's vectors must be of; None where it has no codebook yet."""
        return self._encoders.get(modality)

    def check_playlist_vectors(self, manifest: PlaylistsManifest) -> None:
        """Check playlist vectors as :meth:`require_encoders` does."""
        self.require_encoders({PLAYLIST: manifest.encoder_id})

    def require_encoders(self, encoders: Mapping[str, str]) -> None:
        """Check that vectors are of the encoders of the codebooks.

        Args:
            encoders: modality to the encoder id of the vectors; modalities without vectors may be left out.

        Raises:
            InvalidDataError: a codebook would not be used.
        """
        different = [name for name, encoder in encoders.items() if self.kept_encoder(name) not in (None, encoder)]
        if different:
            raise InvalidDataError(
                f"the codebooks of {self.root} for {', '.join(different)} are of other vectors than this run's, so "
                "these tokens would be numbered from scratch: give the encoders and the playlists that the codebooks "
                "were trained with, or omit --playlists, and refresh afterwards; nothing was published"
            )

    @property
    def _encoders(self) -> dict[str, str]:
        """Modality to the encoder of its codebook."""
        return {book.modality: book.encoder_id for book in self.bundle.codebooks if book.num_centroids}

    def copy_to(self, store: Store) -> str:
        """Write the codebooks into a store, and return the id of their bundle."""
        if not files.exists(store.bundle(self.bundle.bundle_id).manifest):
            training = {name: entry["training"] for name, entry in self.manifest.codebooks.items()}
            write_bundle(store, self.bundle, training)
        if self.bundle.numbers:
            _logger.warning("the last token of a track, its number, is given from scratch: other tokens are kept")
        return self.bundle.bundle_id


def _require_new(store: Store, bundle_id: str) -> None:
    """Refuse a store with a release of another bundle."""
    release = latest_release(store) if latest_id(store.root) else None
    if release is not None and release.bundle_id != bundle_id:
        raise UsageError(
            f"{store.root} has releases of bundle {release.bundle_id}, whose tokens would be replaced: give "
            "--codebooks-from with a new store"
        )
