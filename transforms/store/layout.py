"""Layout of the store: paths of vectors, codebooks, codes, catalogs and releases; open or create a store.

Layout below the root; ``bucket=0007`` is the bucket of the rows' keys, ``bucket=0007-of-0032`` after ``rebucket``::

    store.json
    vectors/<modality>/<encoder_id>/encoder.json               identity behind the id, and whether to standardise
    vectors/<modality>/<encoder_id>/bucket=0007/*.parquet      key, vector
    failures/<modality>/<encoder_id>/bucket=0007/*.parquet     key, reason, detail
    codebooks/<bundle_id>/<modality>.safetensors, manifest.json, use.json
    codes/<bundle_id>/<modality>/bucket=0007/*.parquet         key, code, distance, margin
    codebooks/<bundle_id>/metadata2.safetensors, codes/<bundle_id>/metadata2/   a residual level, the same layout
    catalogs/<catalog_id>/tracks/bucket=0007/*.parquet         accepted tracks
    catalogs/<catalog_id>/keys/<modality>/bucket=0007/*.parquet
    catalogs/<catalog_id>/failures/<modality>/bucket=0007/*.parquet
    catalogs/<catalog_id>/places/bucket=0007/*.parquet         locations of each track's precomputed embeddings
    catalogs/<catalog_id>/rejects/*.parquet
    catalogs/<catalog_id>/playlists/                           corpus, rejects, playlists.json
    catalogs/<catalog_id>/catalog.json
    releases/<release_id>/tokens, popularity, rejects, changes, vocabulary, metrics.json, report.html, manifest.json
    releases/<release_id>/withdrawn.json                       only after a rollback to an older release
    LATEST
    up-to-date.json                                            hashes by which a refresh recognises that nothing changed
    writer.lock                                                the process that writes the store now
    working/<id>/                                              temporary files of a job
"""

import datetime
import hashlib
import logging
import re
import uuid
from dataclasses import dataclass

import pyarrow as pa

from tracktokens.schemas.display import show_value
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.manifests.field_types import is_name
from tracktokens.schemas.manifests.store import TRACKS_PER_BUCKET, StoreManifest, buckets_for
from tracktokens.transforms.store import files
from tracktokens.transforms.store.conditional import check_access
from tracktokens.transforms.store.keys import key_bytes

_logger = logging.getLogger(__name__)

STORE_MANIFEST = "store.json"
LATEST = "LATEST"
LOCK = "writer.lock"
UP_TO_DATE = "up-to-date.json"

OLDER_MANIFEST = "older-catalog.json"
"""Manifest of a catalog snapshot that was of an older format; nothing else of the snapshot is there."""

VECTORS = "vectors"
FAILED = "failures"
CODES = "codes"
BUNDLES = "codebooks"
CATALOGS = "catalogs"
RELEASES = "releases"
SERVING = "serving"
WORKING = "working"

MANIFEST = "manifest.json"
"""Manifest of a bundle and of a release; written last."""

CATALOG_MANIFEST = "catalog.json"
ENCODER_MANIFEST = "encoder.json"

LARGE_BUCKETS = 4
"""Multiple of ``TRACKS_PER_BUCKET`` above which a warning recommends to rebucket the store."""

_BUCKET_FOLDER = re.compile(r"(?:^|/)(bucket=(\d+)(?:-of-\d+)?)(?:/|$)")


def store_root(path: str) -> str:
    """Return the absolute path of a store.

    Raises:
        UsageError: it is not UTF-8, as which Arrow encodes the paths of all files.
    """
    root = files.absolute(path)
    try:
        root.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the path of the store, {root!r}, is not UTF-8 in this locale: give another folder, or rename it"
        ) from error
    return root


@dataclass(frozen=True)
class Store:
    """An open store. Its methods raise a UsageError for an id that would lead out of the store.

    Attributes:
        root: absolute path.
        buckets: number of buckets.
        rebucketed: whether the number was changed after the creation; the folders of buckets contain it then.
    """

    root: str
    buckets: int
    rebucketed: bool = False

    @classmethod
    def open(cls, root: str) -> "Store":
        """Open an existing store.

        Raises:
            UsageError: the folder is not a store, or its bucket or the credentials for it are missing.
            InvalidDataError: it has a different format version, or its manifest is missing.
        """
        root = store_root(root)
        path = store_manifest(root)
        if files.is_remote(root):
            check_access(root)
        content = files.read_existing(path)
        if content is None and files.exists(files.join(root, LATEST)):
            raise InvalidDataError(f"{path} is missing, although {LATEST} exists: restore it from a backup")
        if content is None:
            raise UsageError(
                f"{root} is not a store ({STORE_MANIFEST} is missing): give a store that `tracktokens run` made"
            )
        manifest = StoreManifest.from_json(content, path)
        return cls(root, manifest.buckets, manifest.rebucketed)

    @classmethod
    def open_or_create(cls, root: str, tracks: int) -> "Store":
        """Open a store, or create one in a new or empty folder.

        Args:
            root: folder of the store.
            tracks: tracks of the catalog, which determine the number of buckets of a new store.

        Raises:
            UsageError: the folder contains other files, or cannot be written.
        """
        root = store_root(root)
        path = store_manifest(root)
        if files.exists(path):
            store = cls.open(root)
            store.warn_of_large_buckets(tracks)
            return store
        _refuse_other_folder(root)
        manifest = StoreManifest(buckets_for(tracks))
        try:
            files.write_bytes(path, manifest.to_json().encode())
        except (OSError, ValueError) as error:
            raise UsageError(f"cannot create a store in {root} ({error}): give a writable folder") from error
        return cls(root, manifest.buckets)

    @property
    def up_to_date(self) -> str:
        """Path of the hashes by which a refresh recognises that nothing changed."""
        return files.join(self.root, UP_TO_DATE)

    def bucket_folder(self, bucket: int) -> str:
        """Name of a bucket's folder."""
        return bucket_folder(bucket, self.buckets, self.rebucketed)

    def is_outdated(self, path: str) -> bool:
        """Return whether a path is in a bucket of another division: an old one, or one of a killed ``rebucket``."""
        folder = _BUCKET_FOLDER.search(path)
        return folder is not None and folder[1] != self.bucket_folder(int(folder[2]))

    def warn_of_large_buckets(self, tracks: int) -> None:
        """Log a warning if a catalog has far more tracks per bucket than a new store would get."""
        if tracks > LARGE_BUCKETS * TRACKS_PER_BUCKET * self.buckets and self.buckets < buckets_for(tracks):
            _logger.warning(
                "%s has %d buckets, which is few for about %d tracks: jobs need more memory and use fewer workers; "
                "divide it again with `tracktokens rebucket --store %s`",
                *(self.root, self.buckets, tracks, self.root),
            )

    def vectors(self, modality: str, encoder_id: str, bucket: int) -> str:
        """Folder of the vector records of one bucket."""
        return self._bucket(VECTORS, modality, _part(encoder_id), bucket=bucket)

    def failures(self, modality: str, encoder_id: str, bucket: int) -> str:
        """Folder of the failed inputs of one bucket."""
        return self._bucket(FAILED, modality, _part(encoder_id), bucket=bucket)

    def all_failures(self, modality: str, encoder_id: str) -> str:
        """Folder of all failed inputs of an encoder, by bucket."""
        return files.join(self.root, FAILED, modality, _part(encoder_id))

    def codes(self, bundle_id: str, name: str, bucket: int) -> str:
        """Folder of the code records of one bucket of a column: a modality, or a residual level."""
        return self._bucket(CODES, _part(bundle_id), name, bucket=bucket)

    def bundle(self, bundle_id: str) -> "BundlePaths":
        """Paths of a codebook bundle."""
        return BundlePaths(files.join(self.root, BUNDLES, _part(bundle_id)))

    def release(self, release_id: str) -> "ReleasePaths":
        """Paths of a release."""
        return ReleasePaths(files.join(self.root, RELEASES, _part(release_id)))

    def catalog(self, catalog_id: str) -> "Catalog":
        """Paths of a catalog snapshot."""
        return Catalog(files.join(self.root, CATALOGS, _part(catalog_id)), self.buckets, self.rebucketed)

    def encoder(self, modality: str, encoder_id: str) -> str:
        """Path of the manifest of an encoder."""
        return encoder_manifest(self.root, modality, encoder_id)

    def read_encoder(self, modality: str, encoder_id: str) -> EncoderManifest:
        """Read the manifest of an encoder.

        Raises:
            InvalidDataError: it is missing, or cannot be read.
        """
        found = self.find_encoder(modality, encoder_id)
        if found is None:
            path = self.encoder(modality, encoder_id)
            raise InvalidDataError(f"{path} is missing: restore it from a backup, or run `tracktokens embed` again")
        return found

    def find_encoder(self, modality: str, encoder_id: str) -> EncoderManifest | None:
        """Read the manifest of an encoder; None if the store does not know it.

        Raises:
            InvalidDataError: it cannot be read.
        """
        path = self.encoder(modality, encoder_id)
        content = files.read_existing(path)
        return None if content is None else EncoderManifest.from_json(content, path)

    def _bucket(self, *parts: str, bucket: int) -> str:
        return files.join(self.root, *parts, self.bucket_folder(bucket))


@dataclass(frozen=True)
class Catalog:
    """Paths of one catalog snapshot.

    Attributes:
        folder: folder of the snapshot.
        buckets: buckets of the store.
        rebucketed: whether the store was rebucketed.
    """

    folder: str
    buckets: int
    rebucketed: bool = False

    @property
    def name(self) -> str:
        """Id of the snapshot."""
        return self.folder.rsplit("/", 1)[-1]

    def tracks(self, bucket: int) -> str:
        """Folder of one bucket of accepted tracks."""
        return files.join(self.folder, "tracks", self._bucket(bucket))

    def keys(self, modality: str, bucket: int) -> str:
        """Folder of one bucket of a modality's keys."""
        return files.join(self.folder, "keys", modality, self._bucket(bucket))

    def failures(self, modality: str, bucket: int) -> str:
        """Folder of inputs that failed in this run for a transient reason; permanent failures are in the store."""
        return files.join(self.failures_folder, modality, self._bucket(bucket))

    def all_failures(self, modality: str) -> str:
        """Folder of all transient failures of a modality, by bucket."""
        return files.join(self.failures_folder, modality)

    @property
    def failures_folder(self) -> str:
        """Folder of all transient failures, by modality."""
        return files.join(self.folder, FAILED)

    def vector_locations(self, bucket: int) -> str:
        """Folder of the locations of precomputed embeddings, of one bucket of tracks."""
        return files.join(self.folder, "places", self._bucket(bucket))

    @property
    def counts(self) -> str:
        """Path of the counts of the scan."""
        return files.join(self.folder, "counts.json")

    @property
    def rejects(self) -> str:
        """Folder of the rejects of the scan."""
        return files.join(self.folder, "rejects")

    @property
    def playlists(self) -> str:
        """Folder of everything derived from the playlists."""
        return files.join(self.folder, "playlists")

    @property
    def corpus(self) -> str:
        """Folder of the cleaned playlists."""
        return files.join(self.playlists, "corpus")

    @property
    def playlist_rejects(self) -> str:
        """Folder of the rejected playlists."""
        return files.join(self.playlists, "rejects")

    @property
    def manifest(self) -> str:
        """Path of the manifest that makes the snapshot complete."""
        return files.join(self.folder, CATALOG_MANIFEST)

    @property
    def older_manifest(self) -> str:
        """Path to which ``migrate`` renames a manifest of an older format: the snapshot is incomplete from then on."""
        return files.join(self.folder, OLDER_MANIFEST)

    @property
    def playlists_manifest(self) -> str:
        """Path of the manifest that makes the playlists complete."""
        return files.join(self.playlists, "playlists.json")

    def _bucket(self, bucket: int) -> str:
        return bucket_folder(bucket, self.buckets, self.rebucketed)


@dataclass(frozen=True)
class BundlePaths:
    """Paths of one codebook bundle.

    Attributes:
        folder: folder of the bundle.
    """

    folder: str

    def codebook(self, name: str) -> str:
        """Path of the codebook of a column: a modality, or a residual level such as ``metadata2``."""
        return files.join(self.folder, f"{name}.safetensors")

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

    def popularity_part(self, bucket: int) -> str:
        """Path of the number of playlists of one bucket of tracks; missing if the catalog has a popularity."""
        return files.join(self.folder, "popularity", f"part-{bucket:04d}.parquet")

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
    def serving(self) -> str:
        """Folder of the serving table."""
        return files.join(self.folder, SERVING)

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


def encoder_manifest(root: str, modality: str, encoder_id: str) -> str:
    """Path of the manifest of an encoder in the store at ``root``, which may not exist yet."""
    return store_file(root, VECTORS, modality, _part(encoder_id), ENCODER_MANIFEST)


def store_manifest(root: str) -> str:
    """Path of the manifest of a store; see :func:`store_file`."""
    return store_file(root, STORE_MANIFEST)


def store_file(root: str, *names: str) -> str:
    """Path of a file of a store, which may not exist yet.

    Raises:
        UsageError: Beam has no filesystem for the path.
    """
    try:
        return files.join(root, *names)
    except ValueError as error:
        raise UsageError(f"{root} cannot be a store: {error}") from error


def _part(name: str) -> str:
    """Return an id, which becomes a part of a path.

    Raises:
        UsageError: it leads out of its folder.
    """
    if not is_name(name):
        raise UsageError(
            f"{show_value(name)} cannot be an id: list those of the store with `tracktokens releases list`"
        )
    return name


def bucket_folder(bucket: int, buckets: int, rebucketed: bool) -> str:
    """Name of a bucket's folder; see :attr:`Store.rebucketed`.

    >>> bucket_folder(3, 8, False), bucket_folder(3, 8, True)
    ('bucket=0003', 'bucket=0003-of-0008')
    """
    return f"bucket={bucket:04d}" + (f"-of-{buckets:04d}" if rebucketed else "")


def new_id() -> str:
    """Create an id that sorts by time: UTC to the second, and random digits."""
    return f"{datetime.datetime.now(datetime.timezone.utc):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def made_at(name: str) -> float:
    """Return the time at which :func:`new_id` created an id, in seconds since 1970.

    Raises:
        InvalidDataError: :func:`new_id` did not create it.
    """
    try:
        made = datetime.datetime.strptime(name.partition("-")[0], "%Y%m%dT%H%M%SZ")
    except ValueError as error:
        raise InvalidDataError(f"{show_value(name)} is not an id with a time: restore its manifest") from error
    return made.replace(tzinfo=datetime.timezone.utc).timestamp()


def part_name(keys: pa.Array) -> str:
    """Name the file of a batch of records by a hash of its keys, so that a retried batch overwrites its own file."""
    digest = hashlib.blake2b(key_bytes(keys).tobytes(), digest_size=8)
    return f"part-{digest.hexdigest()}.parquet"


def _refuse_other_folder(root: str) -> None:
    other = next((path for path in files.list_tree(root) if path != LOCK), None)
    if other is not None:
        raise UsageError(
            f"{root} is not a store: {STORE_MANIFEST} is missing, and it contains {other}; give a new or empty folder"
        )
