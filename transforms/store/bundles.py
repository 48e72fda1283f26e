"""Codebook bundles in the store: read, check and write."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from tracktokens.codebooks.bundle import Bundle
from tracktokens.codebooks.codebook import Codebook
from tracktokens.codebooks.training.fit import TrainingMetrics
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.bundle import BundleManifest, CodebookEntry
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.token_format import column_name
from tracktokens.transforms.store import files
from tracktokens.transforms.store.ids import LATEST_ID, complete_id, show_ids
from tracktokens.transforms.store.layout import BUNDLES, MANIFEST, Store
from tracktokens.transforms.store.releases import find_release, published_release, release_ids


def read_codebook(store: Store, bundle_id: str, name: str) -> Codebook:
    """Read the codebook of one column of a bundle.

    Raises:
        InvalidDataError: the file is missing, was changed, or is not a codebook.
    """
    return read_codebook_file(store.bundle(bundle_id).codebook(name))


def read_levels(store: Store, bundle_id: str, name: str) -> tuple[Codebook, ...]:
    """Read the codebook of one column of a bundle, after those of the levels before it; see :func:`read_codebook`."""
    codebook = read_codebook(store, bundle_id, name)
    before = (column_name(codebook.modality, level) for level in range(1, codebook.level))
    return (*(read_codebook(store, bundle_id, earlier) for earlier in before), codebook)


def read_codebook_file(path: str) -> Codebook:
    """Read a codebook; see :func:`read_codebook`."""
    content = files.read_existing(path)
    if content is None:
        raise InvalidDataError(f"{path} is missing: restore it, or train a new bundle")
    try:
        return Codebook.from_bytes(content)
    except InvalidDataError as error:
        raise InvalidDataError(f"{path}: {error}; restore it, or train a new bundle") from error


def find_bundle_id(store: Store, name: str) -> str:
    """Complete the id of a bundle: from its beginning, from a release of it, or from ``latest`` for the latest one's.

    Raises:
        UsageError: the store has no such bundle, or several.
    """
    if name == LATEST_ID:
        return published_release(store).bundle_id
    found = complete_id(name, _bundle_ids(store))
    if found is not None:
        return found
    release_id = complete_id(name, release_ids(store))
    if release_id is None:
        raise _no_bundle(store, name)
    return find_release(store, release_id).bundle_id


def _bundle_ids(store: Store) -> list[str]:
    return files.list_folders_with(files.join(store.root, BUNDLES), MANIFEST)


def _no_bundle(store: Store, name: str) -> UsageError:
    return UsageError(f"{store.root} has no codebook bundle {name}; its bundles: {show_ids(_bundle_ids(store))}")


def read_manifest(store: Store, bundle_id: str) -> BundleManifest:
    """Read a bundle's manifest.

    Raises:
        UsageError: the store has no such bundle.
    """
    path = store.bundle(bundle_id).manifest
    content = files.read_existing(path)
    if content is None:
        raise _no_bundle(store, bundle_id)
    return BundleManifest.from_json(content, path)


def read_bundle(store: Store, bundle_id: str) -> Bundle:
    """Read a bundle, and check that its id is the hash of its codebooks.

    Raises:
        UsageError: the store has no such bundle.
        InvalidDataError: the codebooks do not match the hashes in the manifest, or the id.
    """
    manifest = read_manifest(store, bundle_id)
    columns = manifest.token_format
    codebooks = (read_codebook(store, bundle_id, column.name) for column in columns.coded)
    bundle = Bundle.of(codebooks, columns.numbers, columns.same_song)
    for codebook in bundle.codebooks:
        expected = manifest.codebooks[codebook.name]["content_hash"]
        if codebook.content_hash != expected:
            raise InvalidDataError(
                f"{store.bundle(bundle_id).codebook(codebook.name)} has the hash {codebook.content_hash}, "
                f"its manifest has {expected}: restore it, or train a new bundle"
            )
    if bundle.bundle_id != bundle_id:
        raise InvalidDataError(
            f"{store.bundle(bundle_id).folder} contains bundle {bundle.bundle_id}: the bundle was replaced; restore "
            "it, or train a new one"
        )
    return bundle


def read_released_bundle(store: Store, release: ReleaseManifest) -> Bundle:
    """Read the bundle of a release; see :func:`read_bundle`.

    Raises:
        InvalidDataError: the bundle is missing, or was changed.
    """
    path = store.bundle(release.bundle_id).manifest
    if not files.exists(path):
        raise InvalidDataError(
            f"{path} is missing, and release {release.release_id} needs that bundle: restore it from a backup, or "
            "go back to a release of another bundle with `tracktokens releases rollback`"
        )
    return read_bundle(store, release.bundle_id)


def training_metrics(manifest: BundleManifest, name: str) -> TrainingMetrics | None:
    """Return the training metrics of a column's codebook; None if it was not trained, or an old version measured it."""
    metrics = manifest.codebooks[name]["training"]
    names = [field.name for field in fields(TrainingMetrics)]
    return TrainingMetrics(**{name: metrics[name] for name in names}) if metrics.keys() >= set(names) else None


def write_bundle(
    store: Store,
    bundle: Bundle,
    training: Mapping[str, Mapping[str, Any]],
    kept: frozenset[str] = frozenset(),
    parent: str | None = None,
) -> BundleManifest:
    """Write a bundle, its manifest last.

    Args:
        store: the store.
        bundle: the codebooks.
        training: column to training metrics.
        kept: columns whose codebook is the parent's.
        parent: id of the bundle that this one was retrained from.
    """
    paths, entries = store.bundle(bundle.bundle_id), {}
    for codebook in bundle.codebooks:
        name = codebook.name
        files.write_bytes(paths.codebook(name), codebook.to_bytes())
        entries[name] = asdict(
            CodebookEntry(
                encoder_id=codebook.encoder_id,
                dim=codebook.dim,
                centroids=codebook.num_centroids,
                content_hash=codebook.content_hash,
                training=dict(training[name]),
                kept_from=parent if name in kept else None,
            )
        )
    tokens = bundle.token_format.to_json()
    manifest = BundleManifest(bundle.bundle_id, bundle.codebook_size, entries, parent, tokens)
    files.write_bytes(paths.manifest, manifest.to_json().encode())
    return manifest
