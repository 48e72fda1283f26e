"""The store: where vectors, codebooks, codes, catalogs and releases lie, and how a store is opened.

Layout below the root; ``bucket=0007`` is the bucket of the rows' keys::

    store.json
    vectors/<modality>/<encoder_id>/encoder.json               what the id is a hash of, and whether to standardise
    vectors/<modality>/<encoder_id>/bucket=0007/*.parquet      key, vector
    failures/<modality>/<encoder_id>/bucket=0007/*.parquet     key, reason, detail
    codebooks/<bundle_id>/<modality>.safetensors, manifest.json, use.json
    codes/<bundle_id>/<modality>/bucket=0007/*.parquet         key, code, distance, margin
    catalogs/<catalog_id>/tracks/bucket=0007/*.parquet         accepted tracks
    catalogs/<catalog_id>/keys/<modality>/bucket=0007/*.parquet
    catalogs/<catalog_id>/failures/<modality>/bucket=0007/*.parquet
    catalogs/<catalog_id>/places/bucket=0007/*.parquet         where in the given vectors each track's stand
    catalogs/<catalog_id>/rejects/*.parquet
    catalogs/<catalog_id>/playlists/                           corpus, rejects, playlists.json
    catalogs/<catalog_id>/catalog.json
    releases/<release_id>/tokens, rejects, changes, vocabulary, metrics.json, report.html, manifest.json
    releases/<release_id>/withdrawn.json                       only after a rollback behind it
    LATEST
    writer.lock                                                who writes the store now
    working/<id>/                                              what a job needs until it ends
"""

import datetime
import hashlib
import uuid
from dataclasses import dataclass

import pyarrow as pa

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.manifests.store import StoreManifest, buckets_for
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import key_bytes

STORE_MANIFEST = "store.json"
LATEST = "LATEST"
LOCK = "writer.lock"

VECTORS = "vectors"
FAILED = "failures"
CODES = "codes"
BUNDLES = "codebooks"
CATALOGS = "catalogs"
RELEASES = "releases"
WORKING = "working"

MANIFEST = "manifest.json"
"""Manifest of a bundle and of a release; written last."""

CATALOG_MANIFEST = "catalog.json"
ENCODER_MANIFEST = "encoder.json"


@dataclass(frozen=True)
class Store:
    """An open store: its root, and the number of buckets that was fixed when it was made."""

    root: str
    buckets: int

    @classmethod
    def open(cls, root: str) -> "Store":
        """Open a store that exists.

        Raises:
            UsageError: when there is none.
            InvalidDataError: when it has another format version, or has lost its manifest.
        """
        root = files.absolute(root)
        path = store_manifest(root)
        if not files.exists(path) and files.exists(files.join(root, LATEST)):
            raise InvalidDataError(f"{path} is missing, and there is a {LATEST}: restore it from a backup")
        if not files.exists(path):
            raise UsageError(
                f"{root} is not a store ({STORE_MANIFEST} is missing): give a store that `tracktokens run` made"
            )
        return cls(root, StoreManifest.from_json(files.read_bytes(path), path).buckets)

    @classmethod
    def open_or_create(cls, root: str, tracks: int) -> "Store":
        """Open a store, or make one for a first catalog of so many tracks in a folder that is new or empty.

        Raises:
            UsageError: when the folder holds something else.
        """
        root = files.absolute(root)
        path = store_manifest(root)
        if files.exists(path):
            return cls.open(root)
        _refuse_other_folder(root)
        manifest = StoreManifest(buckets_for(tracks))
        try:
            files.write_bytes(path, manifest.to_json().encode())
        except (OSError, ValueError) as error:
            raise UsageError(f"no store can be made in {root} ({error}): give a folder that can be written") from error
        return cls(root, manifest.buckets)

    def vectors(self, modality: str, encoder_id: str, bucket: int) -> str:
        """Folder of one bucket's vector facts."""
        return self._bucket(VECTORS, modality, encoder_id, bucket=bucket)

    def failures(self, modality: str, encoder_id: str, bucket: int) -> str:
        """Folder of one bucket's failed inputs."""
        return self._bucket(FAILED, modality, encoder_id, bucket=bucket)

    def all_failures(self, modality: str, encoder_id: str) -> str:
        """Folder of all failed inputs of an encoder, by bucket."""
        return files.join(self.root, FAILED, modality, encoder_id)

    def codes(self, bundle_id: str, modality: str, bucket: int) -> str:
        """Folder of one bucket's code facts."""
        return self._bucket(CODES, bundle_id, modality, bucket=bucket)

    def bundle(self, bundle_id: str) -> "BundlePaths":
        """Paths of a codebook bundle."""
        return BundlePaths(files.join(self.root, BUNDLES, bundle_id))

    def release(self, release_id: str) -> "ReleasePaths":
        """Paths of a release."""
        return ReleasePaths(files.join(self.root, RELEASES, release_id))

    def catalog(self, catalog_id: str) -> "Catalog":
        """Paths of a catalog snapshot."""
        return Catalog(files.join(self.root, CATALOGS, catalog_id), self.buckets)

    def encoder(self, modality: str, encoder_id: str) -> str:
        """Path of the description of an encoder whose vectors are here."""
        return files.join(self.root, VECTORS, modality, encoder_id, ENCODER_MANIFEST)

    def read_encoder(self, modality: str, encoder_id: str) -> EncoderManifest:
        """Read the description of an encoder whose vectors are here.

        Raises:
            InvalidDataError: when it is gone, or cannot be read.
        """
        path = self.encoder(modality, encoder_id)
        if not files.exists(path):
            raise InvalidDataError(f"{path} is missing: restore it from a backup, or run `tracktokens embed` again")
        return EncoderManifest.from_json(files.read_bytes(path), path)

    def _bucket(self, *parts: str, bucket: int) -> str:
        return files.join(self.root, *parts, bucket_folder(bucket))


@dataclass(frozen=True)
class Catalog:
    """Where one catalog snapshot lies."""

    folder: str
    buckets: int

    @property
    def name(self) -> str:
        """Its id."""
        return self.folder.rsplit("/", 1)[-1]

    def tracks(self, bucket: int) -> str:
        """Folder of one bucket of accepted tracks."""
        return files.join(self.folder, "tracks", bucket_folder(bucket))

    def keys(self, modality: str, bucket: int) -> str:
        """Folder of one bucket of a modality's keys."""
        return files.join(self.folder, "keys", modality, bucket_folder(bucket))

    def failures(self, modality: str, bucket: int) -> str:
        """Folder of inputs that failed in this run for a transient reason; others are in the store's failures."""
        return files.join(self.folder, "failures", modality, bucket_folder(bucket))

    def all_failures(self, modality: str) -> str:
        """Folder of these failures of a modality, by bucket."""
        return files.join(self.folder, "failures", modality)

    def places(self, bucket: int) -> str:
        """Folder of where the given vectors of one bucket of tracks stand."""
        return files.join(self.folder, "places", bucket_folder(bucket))

    @property
    def counts(self) -> str:
        """Path of all that was counted while scanning."""
        return files.join(self.folder, "counts.json")

    @property
    def rejects(self) -> str:
        """Folder of the rows that were rejected while reading."""
        return files.join(self.folder, "rejects")

    @property
    def playlists(self) -> str:
        """Folder of all that was made of the playlists."""
        return files.join(self.folder, "playlists")

    @property
    def corpus(self) -> str:
        """Folder of the cleaned playlists."""
        return files.join(self.playlists, "corpus")

    @property
    def playlist_rejects(self) -> str:
        """Folder of the playlists that were rejected."""
        return files.join(self.playlists, "rejects")

    @property
    def manifest(self) -> str:
        """Path of the manifest that makes the snapshot complete."""
        return files.join(self.folder, CATALOG_MANIFEST)

    @property
    def playlists_manifest(self) -> str:
        """Path of the manifest that makes the playlists complete."""
        return files.join(self.playlists, "playlists.json")


@dataclass(frozen=True)
class BundlePaths:
    """Paths of one codebook bundle.

    Attributes:
        folder: folder of the bundle.
    """

    folder: str

    def codebook(self, modality: str) -> str:
        """Path of a codebook."""
        return files.join(self.folder, f"{modality}.safetensors")

    @property
    def manifest(self) -> str:
        """Path of the manifest that makes the bundle complete."""
        return files.join(self.folder, MANIFEST)

    @property
    def usage_baseline(self) -> str:
        """Path of the code usage in the bundle's first release."""
        return files.join(self.folder, "use.json")


@dataclass(frozen=True)
class ReleasePaths:
    """Paths of one release.

    Attributes:
        folder: folder of the release.
    """

    folder: str

    @property
    def tokens(self) -> str:
        """Folder of the token table."""
        return files.join(self.folder, "tokens")

    def token_part(self, bucket: int) -> str:
        """Path of the part of the token table that holds one bucket of tracks."""
        return files.join(self.tokens, f"part-{bucket:04d}.parquet")

    @property
    def rejects(self) -> str:
        """Folder of the rejects."""
        return files.join(self.folder, "rejects")

    @property
    def changes(self) -> str:
        """Folder of the token changes since the previous release."""
        return files.join(self.folder, "changes")

    def changes_part(self, bucket: int) -> str:
        """Path of the token changes of one bucket of tracks; missing if nothing changed."""
        return files.join(self.changes, f"part-{bucket:04d}.parquet")

    @property
    def vocabulary(self) -> str:
        """Folder of the vocabulary pack."""
        return files.join(self.folder, "vocabulary")

    @property
    def token_list(self) -> str:
        """Path of all tokens in order, with modality and code."""
        return files.join(self.vocabulary, "tokens.json")

    @property
    def added_tokens(self) -> str:
        """Path of the tokens as Hugging Face tokenizers load them."""
        return files.join(self.vocabulary, "added_tokens.json")

    @property
    def centroids(self) -> str:
        """Path of the centroids of all modalities."""
        return files.join(self.vocabulary, "centroids.safetensors")

    @property
    def metrics(self) -> str:
        """Path of the metrics."""
        return files.join(self.folder, "metrics.json")

    @property
    def report(self) -> str:
        """Path of the report, a page for people."""
        return files.join(self.folder, "report.html")

    @property
    def manifest(self) -> str:
        """Path of the manifest that makes the release complete."""
        return files.join(self.folder, MANIFEST)

    @property
    def withdrawn(self) -> str:
        """Path of the mark of a withdrawn release: a rollback went to an older release."""
        return files.join(self.folder, "withdrawn.json")


def store_manifest(root: str) -> str:
    """Path of the file that makes a folder a store; see below."""
    return store_file(root, STORE_MANIFEST)


def store_file(root: str, name: str) -> str:
    """Path of a file at the root of what may become a store.

    Raises:
        UsageError: when Beam knows no filesystem for the path.
    """
    try:
        return files.join(root, name)
    except ValueError as error:
        raise UsageError(f"{root} cannot hold a store: {error}") from error


def bucket_folder(bucket: int) -> str:
    """Name of a bucket's folder."""
    return f"bucket={bucket:04d}"


def new_id() -> str:
    """A name that sorts by time: UTC to the second, and some random digits."""
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def made_at(name: str) -> float:
    """When a name of :func:`new_id` was made, in seconds since 1970."""
    made = datetime.datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%SZ")
    return made.replace(tzinfo=datetime.timezone.utc).timestamp()


def part_name(keys: pa.Array) -> str:
    """File name for a batch of facts: a hash of its keys, so that a retried batch overwrites its own file."""
    digest = hashlib.blake2b(key_bytes(keys).tobytes(), digest_size=8)
    return f"part-{digest.hexdigest()}.parquet"


def _refuse_other_folder(root: str) -> None:
    found = next((path for path in files.list_tree(root) if path != LOCK), None)
    if found is not None:
        raise UsageError(
            f"{root} is not a store: {STORE_MANIFEST} is missing, and it holds {found}; give a new or empty folder"
        )
