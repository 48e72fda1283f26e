"""Conditional writes on object stores: an object is replaced only if it is still the version that was read.

Google Cloud Storage compares generations, S3 compares ETags. Both answer 412 where the object is another version, and
:class:`ConflictError` is raised. Beam's filesystems have no such writes, so their own clients are used.
"""

from dataclasses import dataclass
from typing import Protocol

from apache_beam.io.filesystems import FileSystems

from tracktokens.schemas.filesystem_errors import converted_errors
from tracktokens.transforms.store.object_store import gcs_blob


class ConflictError(Exception):
    """The object is not the expected version; it was not written."""


class NotConditionalError(Exception):
    """The object store has no conditional writes; nothing was written."""


@dataclass(frozen=True)
class StoredObject:
    """An object as it was read.

    Attributes:
        content: its bytes.
        version: its generation or ETag.
        updated: time of its last write by the clock of the object store, in seconds since 1970.
    """

    content: bytes
    version: str
    updated: float


class ObjectStore(Protocol):
    """Client of an object store. Paths are URLs, such as ``gs://bucket/store/LATEST``."""

    def read(self, path: str) -> StoredObject | None:
        """Read an object; None if there is none."""

    def write(self, path: str, content: bytes, version: str | None) -> str:
        """Write an object if it has this version, or, with None, if there is none. Return the new version.

        Raises:
            ConflictError: it has another version.
            NotConditionalError: the object store has no conditional writes.
        """

    def delete(self, path: str) -> None:
        """Delete an object."""

    def list_one(self, path: str) -> None:
        """List at most one object below a path, to find out whether the bucket exists and may be read."""


def object_store(path: str) -> ObjectStore | None:
    """Return the client of a path's object store; None if the filesystem is not one with conditional writes."""
    scheme = FileSystems.get_scheme(path)
    if scheme not in ("gs", "s3"):
        return None
    with converted_errors(path):
        return _GoogleObjects() if scheme == "gs" else _S3Objects()


def check_access(path: str) -> None:
    """Check the credentials, the bucket and the right to list a path on an object store.

    Beam tries requests again for minutes where the credentials are missing, and takes a missing bucket as empty.

    Raises:
        UsageError: the credentials, the bucket or the right are missing.
    """
    store = object_store(path)
    if store is not None:
        with converted_errors(path):
            store.list_one(path)


def replace(store: ObjectStore, path: str, content: bytes, version: str | None) -> str:
    """Write an object conditionally, see :meth:`ObjectStore.write`; the content must be one that only this call writes.

    A request is sent again if its answer was lost. Then its own first attempt is the conflict, and no error.
    """
    with converted_errors(path):
        try:
            return store.write(path, content, version)
        except ConflictError:
            found = store.read(path)
            if found is None or found.content != content:
                raise
            return found.version


class _GoogleObjects:
    """Objects of Google Cloud Storage."""

    def read(self, path: str) -> StoredObject | None:
        from google.api_core.exceptions import NotFound, PreconditionFailed

        while True:
            blob = gcs_blob(path)
            try:
                blob.reload()
            except NotFound:
                return None
            try:
                content = blob.download_as_bytes(if_generation_match=blob.generation)
                return StoredObject(content, str(blob.generation), blob.updated.timestamp())
            except (NotFound, PreconditionFailed):
                continue  # it was replaced since the first request

    def write(self, path: str, content: bytes, version: str | None) -> str:
        from google.api_core.exceptions import PreconditionFailed

        blob = gcs_blob(path)
        try:
            blob.upload_from_string(content, if_generation_match=int(version or 0))
        except PreconditionFailed:
            raise ConflictError(path) from None
        return str(blob.generation)

    def delete(self, path: str) -> None:
        gcs_blob(path).delete()

    def list_one(self, path: str) -> None:
        below = gcs_blob(f"{path}/")
        list(below.client.list_blobs(below.bucket, prefix=below.name, max_results=1))


_NO_CONDITION = ("NotImplemented", "InvalidArgument")
"""Error codes of servers that speak the protocol of S3, without its conditional writes."""


class _S3Objects:
    """Objects of S3, and of servers that speak its protocol."""

    def __init__(self) -> None:
        from apache_beam.io.aws.clients.s3.boto3_client import Client

        self._client = Client(FileSystems._pipeline_options).client

    @staticmethod
    def _address(path: str) -> dict[str, str]:
        from apache_beam.io.aws.s3io import parse_s3_path

        bucket, name = parse_s3_path(path)
        return {"Bucket": bucket, "Key": name}

    def read(self, path: str) -> StoredObject | None:
        try:
            found = self._client.get_object(**self._address(path))
        except self._client.exceptions.NoSuchKey:
            return None
        return StoredObject(found["Body"].read(), found["ETag"], found["LastModified"].timestamp())

    def write(self, path: str, content: bytes, version: str | None) -> str:
        condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
        try:
            written = self._client.put_object(**self._address(path), Body=content, **condition)
        except self._client.exceptions.ClientError as error:
            code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in (409, 412) or code == "NoSuchKey":
                raise ConflictError(path) from None
            if code in _NO_CONDITION:
                raise NotConditionalError(path) from None
            raise
        return str(written["ETag"])

    def delete(self, path: str) -> None:
        self._client.delete_object(**self._address(path))

    def list_one(self, path: str) -> None:
        address = self._address(f"{path}/")
        self._client.list_objects_v2(Bucket=address["Bucket"], Prefix=address["Key"], MaxKeys=1)
