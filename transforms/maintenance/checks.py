"""Check what a store holds: files of releases against their manifests, token tables, catalogs, and buckets of facts.

Functions give findings instead of raising: one damaged file is no reason not to look at the next.
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
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import bucket_numbers, content_keys
from tracktokens.transforms.store.layout import CODES, VECTORS, Catalog, Store
from tracktokens.transforms.store.record_buckets import RecordBucket
from tracktokens.transforms.store.records import as_matrix
from tracktokens.transforms.store.token_tables import TokenTable

Centroids = Mapping[str, Mapping[str, int]]
"""Bundle to modality to number of centroids."""

Counted = tuple[str, int]
"""A named count, to be summed over what is checked in parts."""

UNREADABLE = (TracktokensError, OSError)
"""What reading a file raises that is damaged or has vanished."""

REPUBLISH = "restore it from a backup, or publish again and remove this release with `tracktokens gc`"
RESCAN = (
    "restore it from a backup, or run `tracktokens run` for another catalog, and remove this one with `tracktokens gc`"
)
REENCODE = "remove it; the next `tracktokens run` makes again what the catalog needs"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong in a store.

    Attributes:
        path: the file or folder.
        problem: what is wrong with it.
        remedy: what to do.
    """

    path: str
    problem: str
    remedy: str


def check_file(folder: str, name: str, expected: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare a file of a release with what the manifest says of it."""
    path = files.join(folder, name)
    try:
        found = files.sha256(path)
    except Exception as error:  # each filesystem has its own
        problem = f"cannot be read ({error})" if files.exists(path) else "is missing"
        yield Finding(path, problem, REPUBLISH)
        return
    if found != expected["sha256"]:
        yield Finding(path, f"has SHA-256 {found}, its manifest says {expected['sha256']}", REPUBLISH)


def check_release_files(store: Store, release: ReleaseManifest) -> Iterator[Finding]:
    """Check that all files of a release are as they were published, and that what it was made of is there."""
    folder = store.release(release.release_id).folder
    for name, expected in release.files.items():
        yield from check_file(folder, name, expected)
    yield from check_references(store, release)


def check_references(store: Store, release: ReleaseManifest) -> Iterator[Finding]:
    """Check that a release's bundle, catalog and encoders are in the store."""
    manifest = store.release(release.release_id).manifest
    named = {
        f"bundle {release.bundle_id}": store.bundle(release.bundle_id).manifest,
        f"catalog {release.catalog_id}": store.catalog(release.catalog_id).manifest,
        **{f"{m} encoder {e}": store.encoder(m, e) for m, e in release.encoders.items()},
    }
    for what, path in named.items():
        if not files.exists(path):
            yield Finding(manifest, f"names {what}, and there is no {path}", "restore that from a backup")
    yield from _check_playlists(store, release)


def _check_playlists(store: Store, release: ReleaseManifest) -> Iterator[Finding]:
    """Check that the catalog of a release with playlist tokens has its playlists, where no vectors were given."""
    catalog = store.catalog(release.catalog_id)
    lost = PLAYLIST in release.encoders and not files.exists(catalog.playlists_manifest)
    if lost and files.exists(catalog.manifest) and not _gave(catalog, PLAYLIST):
        yield Finding(
            catalog.playlists_manifest,
            f"is missing, and release {release.release_id} has playlist tokens",
            "restore it from a backup; `tracktokens refresh` with --playlists goes on without it",
        )


def _gave(catalog: Catalog, modality: str) -> bool:
    """Whether a catalog has a modality's vectors from elsewhere; so when that cannot be read, which is found anyway."""
    try:
        return modality in CatalogManifest.from_json(files.read_bytes(catalog.manifest), catalog.manifest).encoders
    except TracktokensError:
        return True


def check_token_part(
    store: Store, release: ReleaseManifest, centroids: Mapping[str, int] | None, bucket: int
) -> Iterator[Finding | Counted]:
    """Check a part of a token table: bundle, schema, codes in range, every track in its bucket and once.

    Gives findings, and counts the tracks. ``centroids`` is None where the bundle is not there.
    """
    path = store.release(release.release_id).token_part(bucket)
    try:
        table = TokenTable.of(store, release).read(bucket)
    except UNREADABLE as error:
        yield _unreadable(path, error, REPUBLISH)
        return
    yield f"{release.release_id}/tracks", table.num_rows
    wrong = partial(Finding, path, remedy=REPUBLISH)
    ids = table["track_id"].combine_chunks()
    repeated = len(ids) - pc.count_distinct(ids).as_py()
    if repeated:
        yield wrong(f"names {repeated} tracks again")
    strays = np.count_nonzero(bucket_numbers(content_keys(ids), store.buckets) != bucket)
    if strays:
        yield wrong(f"has {strays} tracks that belong to other parts")
    for modality, size in (centroids or {}).items():
        bad = _out_of_range(table[modality], size)
        if bad:
            yield wrong(f"has {bad} {modality} codes that the codebook does not have")


def _out_of_range(codes: pa.ChunkedArray, size: int) -> int:
    return int(pc.sum(pc.or_(pc.less(codes, 0), pc.greater_equal(codes, size))).as_py() or 0)


def compare_release(store: Store, release: ReleaseManifest, counts: Mapping[str, int]) -> Iterator[Finding]:
    """Compare the rows of a token table with what the manifest says, and find what the release is made of."""
    rows, expected = counts.get(f"{release.release_id}/tracks", 0), release.rows["published"]
    if rows != expected:
        path = store.release(release.release_id).manifest
        yield Finding(path, f"says {expected} rows in the token table, and there are {rows}", REPUBLISH)
    yield from check_references(store, release)


def check_folder(folder: str, schema: pa.Schema, remedy: str) -> Iterator[Finding]:
    """Check that the files of a folder can be read."""
    for path in files.list_files(folder, ".parquet"):
        yield from _read(path, schema, remedy)


def check_catalog(store: Store, catalog_id: str) -> Iterator[Finding]:
    """Check what a catalog has beside its buckets: rejects, and the playlists."""
    catalog = store.catalog(catalog_id)
    for folder in (catalog.rejects, catalog.playlist_rejects):
        yield from check_folder(folder, REJECTS, RESCAN)
    yield from check_folder(catalog.corpus, CORPUS, RESCAN)


def check_catalog_bucket(store: Store, catalog_id: str, bucket: int) -> Iterator[Finding | Counted]:
    """Check that one bucket of a catalog can be read: findings, and counts of its tracks and each modality's keys."""
    catalog = store.catalog(catalog_id)
    for modality in MODALITIES:
        yield from check_folder(catalog.failures(modality, bucket), FAILURES, RESCAN)
    yield from check_folder(catalog.places(bucket), VECTOR_LOCATIONS, RESCAN)
    folders = {"tracks": (catalog.tracks(bucket), CATALOG_TRACKS)}
    folders |= {modality: (catalog.keys(modality, bucket), TRACK_KEYS) for modality in MODALITIES}
    for name, (folder, schema) in folders.items():
        for path in files.list_files(folder, ".parquet"):
            rows = 0
            try:
                for batch in files.read_batches(path, schema, checked=True):
                    rows += batch.num_rows
            except UNREADABLE as error:
                yield _unreadable(path, error, RESCAN)
            yield f"{catalog_id}/{name}", rows


def compare_catalog(store: Store, manifest: CatalogManifest, counts: Mapping[str, int]) -> Iterator[Finding]:
    """Compare what stands in a catalog with what its manifest says."""
    expected = {"tracks": manifest.rows_accepted}
    expected |= {modality: manifest.tracks_with.get(modality, 0) for modality in manifest.encoders}
    for name, rows in expected.items():
        found = counts.get(f"{manifest.catalog_id}/{name}", 0)
        if found != rows:
            yield Finding(
                store.catalog(manifest.catalog_id).manifest,
                f"says {rows} rows of {name}, and there are {found}",
                RESCAN,
            )


def check_records(store: Store, bucket: RecordBucket, centroids: Centroids) -> Iterator[Finding]:
    """Check every file of a bucket of facts: it can be read, keys are of the bucket, and values are possible."""
    for name in parquet_sizes(bucket.folder(store)):
        path = files.join(bucket.folder(store), name)
        strays = bad = 0
        try:
            for batch in files.read_batches(path, bucket.schema(path), checked=True):
                strays += int(np.count_nonzero(bucket_numbers(batch[KEY.name], store.buckets) != bucket.bucket))
                bad += _impossible(batch, bucket, centroids)
        except FileNotFoundError:  # merged meanwhile, into a file that was checked itself
            continue
        except UNREADABLE as error:
            yield _unreadable(path, error, REENCODE)
        if strays:
            yield Finding(path, f"has {strays} keys that belong to other buckets", REENCODE)
        if bad:
            what = "vectors that are not finite" if bucket.kind == VECTORS else "codes that the codebook does not have"
            yield Finding(path, f"has {bad} {what}", REENCODE)


def _impossible(batch: pa.RecordBatch, bucket: RecordBucket, centroids: Centroids) -> int:
    """Rows whose value cannot be."""
    if bucket.kind == VECTORS:
        return int(np.count_nonzero(~np.isfinite(as_matrix(batch["vector"])).all(axis=1)))
    if bucket.kind == CODES and bucket.owner in centroids:
        return _out_of_range(batch["code"], centroids[bucket.owner].get(bucket.modality, 0))
    return 0


def _read(path: str, schema: pa.Schema, remedy: str) -> Iterator[Finding]:
    try:
        for _ in files.read_batches(path, schema, checked=True):
            pass
    except UNREADABLE as error:
        yield _unreadable(path, error, remedy)


def _unreadable(path: str, error: Exception, remedy: str) -> Finding:
    said = str(error).removeprefix(f"{path} ").partition(": remove or restore it")[0]
    return Finding(path, said, remedy)
