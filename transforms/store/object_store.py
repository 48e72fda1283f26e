"""Files on object stores, with few requests: one client per process, exact ranges, uploads that complete or vanish."""

import contextlib
import functools
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import IO, Any, cast

import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from tracktokens.schemas.filesystem_errors import converted_errors

SMALL_FILE = 1 << 18
"""Bytes up to which a Parquet file is read whole: a request takes longer than the rest of so small a file."""

_REMEMBERED = 1 << 17
"""Most files whose sizes are kept."""

_MEMORY = 1 << 24
"""Bytes of a file that are kept in memory before its upload; a larger file waits on the local disk."""

_ONE_UPLOAD = 1 << 23
"""Bytes of a file that are uploaded in one request; a larger upload is started first, and can be resumed."""


def share_clients() -> None:
    """Have Beam use one client of Google Cloud Storage per process and options, where it makes one per call.

    A client has its connections: a new one per call opens a new connection per call. Its traces ask for the metadata of
    the bucket at each of its first requests; they are switched off where the environment does not switch them on.
    """
    _share_s3_clients()
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "1")
    try:
        from apache_beam.io.gcp.gcsfilesystem import GCSFileSystem
        from apache_beam.io.gcp.gcsio import GcsIO
    except ImportError:  # installed without apache-beam[gcp]
        return

    @functools.lru_cache(maxsize=16)
    def shared(options: object, emulator: str | None) -> Any:
        return GcsIO(pipeline_options=options)

    def client(filesystem: Any) -> Any:
        options = filesystem._pipeline_options
        if not isinstance(options, Hashable):
            return GcsIO(pipeline_options=options)
        return shared(options, os.environ.get("STORAGE_EMULATOR_HOST"))

    GCSFileSystem._gcsIO = client
    os.register_at_fork(after_in_child=shared.cache_clear)


_listed_sizes: dict[str, int] = {}


def remember_sizes(sizes: Mapping[str, int]) -> None:
    """Keep the bytes of remote files that never change, so that opening them needs no request."""
    if len(_listed_sizes) > _REMEMBERED:
        _listed_sizes.clear()
    _listed_sizes.update(sizes)


def _share_s3_clients() -> None:
    """Have Beam use one client of boto3 per process, options and variables of the environment that boto3 reads."""
    try:
        from apache_beam.io.aws.clients.s3.boto3_client import Client, boto3
    except ImportError:
        return
    if boto3 is None:  # installed without apache-beam[aws]
        return
    connect = Client.__init__

    @functools.lru_cache(maxsize=16)
    def shared(options: object, variables: object) -> Any:
        made = object.__new__(Client)
        connect(made, options)
        return made.client

    def share(client: Any, options: object) -> None:
        if not isinstance(options, Hashable):
            connect(client, options)
            return
        client.client = shared(options, tuple(sorted(i for i in os.environ.items() if i[0].startswith("AWS_"))))
        client._download_request = client._download_stream = None
        client._download_pos = 0

    Client.__init__ = share
    os.register_at_fork(after_in_child=shared.cache_clear)


def open_ranges(path: str) -> IO[bytes]:
    """Open a remote file, unbuffered: each read is a request of exactly its bytes.

    Raises:
        FileNotFoundError: the file does not exist; raised by a read if the size of the file was listed before.
    """
    filesystem = FileSystems.get_filesystem(path)
    if filesystem.scheme() == "gs":
        return _open_gcs(filesystem._gcsIO(), path)
    file = filesystem.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    # A buffer that is freed would close the file inside.
    unbuffered: Any = file.detach() if isinstance(file, io.BufferedReader) else file
    return cast(IO[bytes], unbuffered)


def _open_gcs(client: Any, path: str) -> IO[bytes]:
    size = _listed_sizes.get(path)
    if size is None:
        exact: IO[bytes] = client.open(path, "rb", read_buffer_size=1)
        return exact
    from google.api_core.exceptions import NotFound
    from google.cloud.storage.fileio import BlobReader  # type: ignore[import-untyped]

    class Reader(BlobReader):
        def read(self, size: int = -1) -> Any:
            try:
                return super().read(size)
            except NotFound as error:
                raise FileNotFoundError(path) from error

    blob = gcs_blob(path)
    blob._properties["size"] = size  # as a listing of the client itself sets it
    reader: IO[bytes] = Reader(blob, chunk_size=1, retry=client._storage_client_retry, raw_download=True)
    return reader


def read_whole(path: str) -> bytes | None:
    """Read a remote file in one request, without the one for its size that Beam makes; None if there is none."""
    filesystem = FileSystems.get_filesystem(path)
    if filesystem.scheme() == "gs":
        return _read_gcs(filesystem._gcsIO(), path)
    if not filesystem.exists(path):
        return None
    with filesystem.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return bytes(file.read())


def _read_gcs(client: Any, path: str) -> bytes | None:
    from google.api_core.exceptions import NotFound

    try:
        return bytes(gcs_blob(path).download_as_bytes(raw_download=True, retry=client._storage_client_retry))
    except NotFound:
        return None


def gcs_blob(path: str) -> Any:
    """Return an object of Google Cloud Storage, as its library has it, with the client of this process; no request."""
    from apache_beam.io.gcp.gcsio import parse_gcs_path

    bucket, name = parse_gcs_path(path)
    return FileSystems.get_filesystem(path)._gcsIO().client.bucket(bucket).blob(name)


@contextlib.contextmanager
def open_arrow(path: str, open_file: Callable[[str], IO[bytes]]) -> Iterator[pa.NativeFile]:
    """Open a remote file for Arrow, which reads the ranges that it needs. A small file is read whole."""
    with open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        with pa.BufferReader(file.read(size)) if size <= SMALL_FILE else pa.PythonFile(file, "r") as source:
            yield source


@contextlib.contextmanager
def upload_when_complete(path: str) -> Iterator[IO[bytes]]:
    """Open a remote file for writing. Nothing is uploaded before the block ends, or if it raises.

    Raises:
        UsageError: the credentials, the right or the bucket are missing.
        TracktokensError: the upload failed for another reason.
    """
    with tempfile.SpooledTemporaryFile(_MEMORY) as content:
        yield content
        with converted_errors(path):
            _upload(content, path)


def _upload(content: IO[bytes], path: str) -> None:
    filesystem, size = FileSystems.get_filesystem(path), content.seek(0, os.SEEK_END)
    content.seek(0)
    if filesystem.scheme() == "gs" and size <= _ONE_UPLOAD:
        client = filesystem._gcsIO()
        gcs_blob(path).upload_from_file(content, size=size, retry=client._storage_client_retry)
    else:
        _upload_in_parts(content, path)


def _upload_in_parts(content: IO[bytes], path: str) -> None:
    file = FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED)
    try:
        shutil.copyfileobj(content, file, _MEMORY)
        file.close()
    except BaseException as error:
        _abandon(file, error)
        raise


def _abandon(file: Any, error: BaseException) -> None:
    """Give up an upload that failed. A writer of Beam would complete it, with a part of the file, when it is freed."""
    with contextlib.suppress(Exception):  # the first error is the one to show
        file.raw._uploader.last_error = error  # S3 refuses to complete after an error
    with contextlib.suppress(Exception):
        file.terminate()  # Google Cloud Storage
    with contextlib.suppress(Exception):
        file._buffer.close()  # if the request of terminate() failed too
