"""Checks of a store: files of releases against their manifests, token tables, catalogs, and buckets of records.

Functions yield findings instead of raising, so that one corrupt file does not prevent the other checks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.manifests.catalog import CatalogManifest
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES, PLAYLIST
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.schemas.tables.playlists import CORPUS
from tracktokens.schemas.tables.records import FAILURES, KEY
from tracktokens.schemas.tables.rejects import REJECTS
from tracktokens.schemas.tables.vectors import VECTOR_LOCATIONS
from tracktokens.transforms.maintenance.compact_bucket import parquet_sizes
from tracktokens.transforms.runtime.forgotten_tracks import FORGOTTEN_FILE, JOURNAL, ForgottenTracks
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys
from tracktokens.transforms.store.layout import CODES, VECTORS, Catalog, Store
from tracktokens.transforms.store.record_buckets import RecordBucket
from tracktokens.transforms.store.records import as_matrix
from tracktokens.transforms.store.token_tables import TokenTable

Centroids = Mapping[str, Mapping[str, int]]
"""Bundle to column to number of centroids."""

Count = tuple[str, int]
"""A named count, to be summed over the parts of a check."""

READ_ERRORS = (TracktokensError, OSError)
"""Errors of reading a corrupt or missing file."""

REPUBLISH = "restore the file from a backup, or publish again and remove this release with `tracktokens gc`"
RESCAN = (
    "restore the file from a backup, or scan again with `tracktokens run` and remove this catalog with `tracktokens gc`"
)
REENCODE = "remove the file; the next `tracktokens run` computes the missing records again"


@dataclass(frozen=True)
class Finding:
    """A problem in a store.

    Attributes:
        path: the file or folder.
        problem: the problem, as a predicate of the path.
        remedy: the action to take.
    """

    path: str
    problem: str
    remedy: str


def check_file(folder: str, name: str, expected: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare the hash of a file of a release with the manifest. A link out of the release is not read."""
    path = files.join(folder, name)
    if not files.is_within(path, folder):
        yield Finding(path, "is not a regular file of the release", REPUBLISH)
        return
    try:
        digest = files.sha256(path)
    except Exception as error:  # each filesystem raises its own errors
        problem = f"cannot be read ({error})" if files.exists(path) else "is missing"
        yield Finding(path, problem, REPUBLISH)
        return
    if digest != expected["sha256"]:
        yield Finding(path, f"has SHA-256 {digest}, its manifest has {expected['sha256']}", REPUBLISH)


def check_release_files(store: Store, release: ReleaseManifest) -> Iterator[Finding]:
    """Check that the files of a release are unchanged, and that its bundle, catalog and encoders exist."""
    folder = store.release(release.release_id).folder
    for name, expected in release.files.items():
        yield from check_file(folder, name, expected)
    yield from check_references(store, release)


def check_references(store: Store, release: ReleaseManifest) -> Iterator[Finding]:
    """Check that the bundle, catalog and encoders of a release exist."""
    manifest, catalog = store.release(release.release_id).manifest, store.catalog(release.catalog_id)
    migrated = files.exists(catalog.older_manifest)
    references = {
        f"bundle {release.bundle_id}": store.bundle(release.bundle_id).manifest,
        f"catalog {release.catalog_id}": catalog.older_manifest if migrated else catalog.manifest,
        **{f"{m} encoder {e}": store.encoder(m, e) for m, e in release.encoders.items()},
    }
    for reference, path in references.items():
        if not files.exists(path):
            yield Finding(manifest, f"names {reference}, and {path} is missing", "restore that file from a backup")
    yield from _check_playlists(store, release)


def _check_playlists(store: Store, release: ReleaseManifest) -> Iterator[Finding]:
    """Check that the catalog of a release with playlist tokens has playlists, unless the embeddings are precomputed."""
    catalog = store.catalog(release.catalog_id)
    missing = PLAYLIST in release.encoders and not files.exists(catalog.playlists_manifest)
    if missing and files.exists(catalog.manifest) and not _is_precomputed(catalog, PLAYLIST):
        yield Finding(
            catalog.playlists_manifest,
            f"is missing, and release {release.release_id} has playlist tokens",
            "restore the file from a backup; `tracktokens refresh` with --playlists works without it",
        )


def _is_precomputed(catalog: Catalog, modality: str) -> bool:
    """Return whether embeddings are precomputed; True if the manifest is corrupt, which is a separate finding."""
    try:
        return modality in CatalogManifest.from_json(files.read_bytes(catalog.manifest), catalog.manifest).encoders
    except TracktokensError:
        return True


def check_token_part(
    store: Store, release: ReleaseManifest, centroids: Mapping[str, int] | None, part: int
) -> Iterator[Finding | Count]:
    """Check a part of a token table: bundle, schema, codes in range, and each track once and in its bucket.

    Yields findings, and the number of tracks. ``centroids`` is None if the bundle is missing.
    """
    path = store.release(release.release_id).token_part(part)
    try:
        tokens = TokenTable.of(store, release)
        table = tokens.read_part(part)
    except READ_ERRORS as error:
        yield _unreadable(path, error, REPUBLISH)
        return
    yield f"{release.release_id}/tracks", table.num_rows
    problem = partial(Finding, path, remedy=REPUBLISH)
    ids = table["track_id"].combine_chunks()
    repeated = len(ids) - pc.count_distinct(ids).as_py()
    if repeated:
        yield problem(f"has {repeated} duplicate track ids")
    strays = np.count_nonzero(bucket_numbers(content_keys(ids), tokens.parts) != part)
    if strays:
        yield problem(f"has {strays} tracks that belong to other parts")
    for column, size in (centroids or {}).items():
        bad = _out_of_range(table[column], size)
        if bad:
            yield problem(f"has {bad} {column} codes that the codebook does not have")


def _out_of_range(codes: pa.ChunkedArray, size: int) -> int:
    return int(pc.sum(pc.or_(pc.less(codes, 0), pc.greater_equal(codes, size))).as_py() or 0)


def compare_release(store: Store, release: ReleaseManifest, counts: Mapping[str, int]) -> Iterator[Finding]:
    """Compare the rows of a token table with the manifest, and check the references of the release."""
    rows, expected = counts.get(f"{release.release_id}/tracks", 0), release.rows["published"]
    if rows != expected:
        path = store.release(release.release_id).manifest
        yield Finding(path, f"counts {expected} rows in the token table, which has {rows}", REPUBLISH)
    yield from check_references(store, release)


def check_folder(folder: str, schema: pa.Schema, remedy: str) -> Iterator[Finding]:
    """Check that all files of a folder can be read."""
    for path in files.list_files(folder, ".parquet"):
        yield from _read(path, schema, remedy)


def check_catalog(store: Store, catalog_id: str) -> Iterator[Finding]:
    """Check the parts of a catalog that are not in buckets: rejects and playlists."""
    catalog = store.catalog(catalog_id)
    for folder in (catalog.rejects, catalog.playlist_rejects):
        yield from check_folder(folder, REJECTS, RESCAN)
    yield from check_folder(catalog.corpus, CORPUS, RESCAN)


def check_catalog_bucket(store: Store, catalog_id: str, bucket: int) -> Iterator[Finding | Count]:
    """Check that one bucket of a catalog can be read; count its tracks, and its keys per modality."""
    catalog = store.catalog(catalog_id)
    for modality in MODALITIES:
        yield from check_folder(catalog.failures(modality, bucket), FAILURES, RESCAN)
    yield from check_folder(catalog.vector_locations(bucket), VECTOR_LOCATIONS, RESCAN)
    folders = {"tracks": (catalog.tracks(bucket), CATALOG_TRACKS)}
    folders |= {modality: (catalog.keys(modality, bucket), TRACK_KEYS) for modality in MODALITIES}
    for name, (folder, schema) in folders.items():
        for path in files.list_files(folder, ".parquet"):
            rows = 0
            try:
                for batch in files.read_batches(path, schema, checked=True):
                    rows += batch.num_rows
            except READ_ERRORS as error:
                yield _unreadable(path, error, RESCAN)
            yield f"{catalog_id}/{name}", rows


def compare_catalog(store: Store, manifest: CatalogManifest, counts: Mapping[str, int]) -> Iterator[Finding]:
    """Compare the counts of a catalog with its manifest."""
    expected = {"tracks": manifest.rows_accepted}
    expected |= {modality: manifest.tracks_with.get(modality, 0) for modality in manifest.encoders}
    for name, rows in expected.items():
        count = counts.get(f"{manifest.catalog_id}/{name}", 0)
        if count != rows:
            yield Finding(
                store.catalog(manifest.catalog_id).manifest,
                f"counts {rows} rows of {name}, and the files have {count}",
                RESCAN,
            )


def check_takedowns(store: Store) -> Iterator[Finding]:
    """Check that the list of forgotten tracks can be read, and that no takedown is unfinished."""
    try:
        ForgottenTracks.of(store)
    except READ_ERRORS as error:
        yield _unreadable(files.join(store.root, FORGOTTEN_FILE), error, "restore the file from a backup")
    path = files.join(store.root, JOURNAL)
    if files.exists(path):
        yield Finding(path, "is of a takedown that was not finished", "run the same `tracktokens forget` again")


def check_records(store: Store, bucket: RecordBucket, centroids: Centroids) -> Iterator[Finding]:
    """Check every file of a bucket of records: readable, keys in the right bucket, values in range."""
    for name in parquet_sizes(bucket.folder(store)):
        path = files.join(bucket.folder(store), name)
        strays = bad = 0
        try:
            for batch in files.read_batches(path, bucket.schema(path), checked=True):
                strays += int(np.count_nonzero(bucket_numbers(batch[KEY.name], store.buckets) != bucket.bucket))
                bad += _count_invalid(batch, bucket, centroids)
        except FileNotFoundError:  # merged meanwhile into a file that was checked
            continue
        except READ_ERRORS as error:
            yield _unreadable(path, error, REENCODE)
        if strays:
            yield Finding(path, f"has {strays} keys that belong to other buckets", REENCODE)
        if bad:
            values = (
                "vectors that are not finite" if bucket.kind == VECTORS else "codes that the codebook does not have"
            )
            yield Finding(path, f"has {bad} {values}", REENCODE)


def _count_invalid(batch: pa.RecordBatch, bucket: RecordBucket, centroids: Centroids) -> int:
    """Count the rows with an invalid value."""
    if bucket.kind == VECTORS:
        return int(np.count_nonzero(~np.isfinite(as_matrix(batch["vector"])).all(axis=1)))
    if bucket.kind == CODES and bucket.owner in centroids:
        return _out_of_range(batch["code"], centroids[bucket.owner].get(bucket.modality, 0))
    return 0


def _read(path: str, schema: pa.Schema, remedy: str) -> Iterator[Finding]:
    try:
        for _ in files.read_batches(path, schema, checked=True):
            pass
    except READ_ERRORS as error:
        yield _unreadable(path, error, remedy)


def _unreadable(path: str, error: Exception, remedy: str) -> Finding:
    problem = str(error).removeprefix(f"{path} ").partition(": remove or restore the file")[0]
    return Finding(path, problem, remedy)
