"""Files of a store, on any Beam filesystem: list, read, and write atomically."""

import contextlib
import glob
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.request import url2pathname

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.transforms.store.object_store import (
    open_arrow,
    open_ranges,
    read_whole,
    remember_sizes,
    share_clients,
    upload_when_complete,
)

share_clients()
if FileSystems._pipeline_options is None:  # those of a pipeline replace them
    FileSystems.set_options(PipelineOptions([]))

Rows = TypeVar("Rows")
AnyRows = TypeVar("AnyRows", pa.RecordBatch, pa.Table)

PARTIAL = ".partial"
"""Suffix of a file that is being written. Readers ignore it, so the files of a killed job are never read."""

PARQUET = ".parquet"
"""Suffix of tables. A table of the store never changes under its name."""

WHOLE_FILE = 1 << 24
"""Largest number of bytes of a remote file that is hashed in memory."""

READ_ROWS = 1 << 14
"""Rows per batch when a file of the store is read."""


def absolute(path: str) -> str:
    """Make a local path absolute, since worker processes run in other folders; return a remote path unchanged.

    A URL ``file://`` is a local path.
    """
    if re.match("file://", path, re.IGNORECASE):
        path = url2pathname(path[len("file://") :].removeprefix("localhost"))
    return path if is_remote(path) else os.path.abspath(path)  # noqa: PTH100 - strings, as in Beam


def is_remote(path: str) -> bool:
    """Return whether a path is not on the local filesystem."""
    return "://" in path


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or in it, by their texts: both absolute, without links.

    >>> is_below("/a/b", "/a"), is_below("/a/", "/a"), is_below("/ab", "/a")
    (True, True, False)
    """
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")


def is_within(path: str, folder: str) -> bool:
    """Return whether a path that exists is a regular file below a folder, whatever links it goes through."""
    if is_remote(path):
        return True
    real = os.path.realpath(path)
    return is_below(real, os.path.realpath(folder)) and (not Path(real).exists() or Path(real).is_file())


def join(base: str, *parts: str) -> str:
    """Append parts to a path, on any filesystem."""
    return str(FileSystems.join(base, *parts))


def exists(path: str) -> bool:
    """Return whether a file exists."""
    return bool(FileSystems.exists(path))


LISTED_FILES = 1000
"""Files that an object store lists in one request."""


class Listings:
    """Listings of remote folders of buckets, made once, which answer for each bucket in them.

    A folder of so many files that one request does not list it is listed bucket by bucket: on a cluster, each process
    reads a few buckets of it.
    They do not have the files that are written later, so a step holds its own, for folders that are complete before it
    starts or that only the step itself writes, per bucket, after it has read the bucket. Pickled, they are empty.
    """

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, list[str]]] = {}
        self._large: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the listings: a worker makes its own."""
        return Listings, ()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Have reads of folders in this block use the listings. The block must not yield to other steps."""
        token = _listings.set(self)
        try:
            yield
        finally:
            _listings.reset(token)

    def each(self, rows: Iterator[Rows]) -> Iterator[Rows]:
        """Iterate, and use the listings while the iterator runs."""
        while True:
            with self.used():
                row = next(rows, None)
            if row is None:
                return
            yield row

    def tables(self, folder: str) -> list[str]:
        """List the Parquet files of a bucket, sorted."""
        parent = folder.rpartition("/")[0]
        if parent not in self._buckets:
            self._buckets[parent] = self._list(parent)
        buckets = self._buckets[parent]
        if parent in self._large and folder not in buckets:
            buckets[folder] = list_files(folder, PARQUET)
        return buckets.get(folder, [])

    def _list(self, parent: str) -> dict[str, list[str]]:
        """List the tables below a folder, by folder; none if there are more than one request lists."""
        sizes = list_all(parent, LISTED_FILES)
        if len(sizes) == LISTED_FILES:
            self._large.add(parent)
            return {}
        tables = {join(parent, name): size for name, size in sizes.items() if name.endswith(PARQUET)}
        remember_sizes(tables)
        folders: dict[str, list[str]] = {}
        for path in tables:
            folders.setdefault(path.rpartition("/")[0], []).append(path)
        return folders

    def forget(self, folder: str) -> None:
        """List a folder again when it is next read."""
        self._buckets.pop(folder.rpartition("/")[0], None)


_listings: ContextVar[Listings | None] = ContextVar("listings", default=None)


def _list_tables(folder: str) -> list[str]:
    listings = _listings.get()
    return listings.tables(folder) if listings is not None and is_remote(folder) else list_files(folder, PARQUET)


def _forget(folder: str) -> None:
    if (listings := _listings.get()) is not None:
        listings.forget(folder)


def list_files(folder: str, ending: str) -> list[str]:
    """List the paths of the files directly in a folder with this suffix, sorted; empty if the folder does not exist."""
    matches = FileSystems.match([join(glob.escape(folder), f"*{ending}")])[0].metadata_list
    if ending == PARQUET and is_remote(folder):
        remember_sizes({match.path: match.size_in_bytes for match in matches})
    return sorted(match.path for match in matches)


def list_folders_with(folder: str, name: str) -> list[str]:
    """List the names of the folders directly in a folder that contain a file of this name, sorted."""
    matches = FileSystems.match([join(glob.escape(folder), "*", name)])[0].metadata_list
    return sorted(match.path.removesuffix(f"/{name}").rsplit("/", 1)[-1] for match in matches)


def list_tree(folder: str) -> dict[str, int]:
    """List every file below a folder: relative path to size in bytes; without files that are being written."""
    return {path: size for path, size in list_all(folder).items() if not path.endswith(PARTIAL)}


def list_all(folder: str, most: int | None = None) -> dict[str, int]:
    """List every file below a folder, or ``most`` of them, with files that are being written; see :func:`list_tree`."""
    base = folder.rstrip("/") + "/"
    matches = FileSystems.match([glob.escape(base) + "**"], [most])[0].metadata_list
    sizes = {match.path[len(base) :]: match.size_in_bytes for match in matches}
    return {path: sizes[path] for path in sorted(sizes)}


def modified(path: str) -> float:
    """Return the modification time of a file, in seconds since 1970."""
    return float(FileSystems.last_updated(path))


def open_bytes(path: str) -> IO[bytes]:
    """Open a file for reading, without decompression."""
    file: IO[bytes] = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return file


def read_bytes(path: str) -> bytes:
    """Read a whole file.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    if is_remote(path):
        content = read_whole(path)
        if content is None:
            raise FileNotFoundError(path)
        return content
    with open_bytes(path) as file:
        return bytes(file.read())


def read_existing(path: str) -> bytes | None:
    """Read a whole file; None if it does not exist. An object store gets one request for both."""
    if is_remote(path):
        return read_whole(path)
    return read_bytes(path) if exists(path) else None


def sha256(path: str, size: int | None = None) -> str:
    """Hash a file with SHA-256, to hexadecimal digits. A remote file that is known to be small is read in one go."""
    if size is not None and size <= WHOLE_FILE and is_remote(path):
        return hashlib.sha256(read_bytes(path)).hexdigest()
    digest = hashlib.sha256()
    with open_bytes(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_writer(path: str) -> Iterator[IO[bytes]]:
    """Open a file for writing; it exists under its name when the block ends, and not at all if the block raises."""
    with upload_when_complete(path) if is_remote(path) else _rename_when_complete(path) as file:
        yield file


@contextlib.contextmanager
def _rename_when_complete(path: str) -> Iterator[IO[bytes]]:
    partial = f"{path}.{uuid.uuid4().hex[:12]}{PARTIAL}"
    try:
        with FileSystems.create(partial, compression_type=CompressionTypes.UNCOMPRESSED) as file:
            yield file
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to show
            delete_tree(partial)
        raise
    FileSystems.rename([partial], [path])


def write_bytes(path: str, content: bytes) -> None:
    """Write a whole file, atomically."""
    with atomic_writer(path) as file:
        file.write(content)


def write_json(path: str, content: Mapping[str, object]) -> None:
    """Write an object as indented JSON, atomically."""
    write_bytes(path, orjson.dumps(dict(content), option=orjson.OPT_INDENT_2) + b"\n")


def read_json(path: str) -> dict[str, Any]:
    """Read a JSON object."""
    content: dict[str, Any] = orjson.loads(read_bytes(path))
    return content


def find_json(path: str) -> dict[str, Any] | None:
    """Read a JSON object; None if the file does not exist, or is damaged."""
    content = read_existing(path)
    try:
        found = None if content is None else orjson.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def delete_tree(path: str) -> None:
    """Delete a file, or a folder with its contents, if it exists."""
    if is_remote(path):
        FileSystems.delete([path] if exists(path) else [join(path, name) for name in list_all(path)])
    elif Path(path).is_dir():
        shutil.rmtree(path)
    else:
        Path(path).unlink(missing_ok=True)


def move_tree(source: str, target: str) -> None:
    """Move a folder with its contents; it replaces the target, if there is one. Not atomic."""
    delete_tree(target)
    if is_remote(source):
        names = list(list_tree(source))
        FileSystems.rename([join(source, name) for name in names], [join(target, name) for name in names])
    else:
        Path(source).rename(target)


def sync(paths: Iterable[str]) -> None:
    """Flush local files and their directory entries to disk."""
    for path in paths:
        if not is_remote(path):
            for target in (Path(path), Path(path).parent):
                descriptor = os.open(target, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)


def share_file(source: str, target: str) -> None:
    """Give a file that never changes a second name; it is copied where the filesystem has no links."""
    if is_remote(source):
        FileSystems.copy([source], [target])
        return
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with Path(source).open("rb") as original, atomic_writer(target) as copy:
            shutil.copyfileobj(original, copy, 1 << 24)


def copy_files(sources: list[str], folder: str) -> None:
    """Copy files into a folder under their own names."""
    for source in sources:
        write_bytes(join(folder, source.rsplit("/", 1)[-1]), read_bytes(source))


@contextlib.contextmanager
def parquet_writer(path: str, schema: pa.Schema, **options: Any) -> Iterator[pq.ParquetWriter]:
    """Open a Parquet file with checksums for writing, atomically; see :func:`write_batches`."""
    with (
        atomic_writer(path) as file,
        pq.ParquetWriter(file, schema, write_page_checksum=True, **options) as writer,
    ):
        yield writer


def write_batches(path: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch | pa.Table], **options: Any) -> int:
    """Write batches as one Parquet file, atomically, and return the number of rows.

    Each page has a checksum, which :func:`read_batches` verifies if ``checked``.

    Args:
        path: path of the file.
        schema: schema of the batches.
        batches: the rows.
        options: options of ``pyarrow.parquet.ParquetWriter``.
    """
    rows = 0
    with parquet_writer(path, schema, **options) as writer:
        for batch in batches:
            writer.write(batch)
            rows += batch.num_rows
    return rows


@contextlib.contextmanager
def open_parquet(path: str, checked: bool = False) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file: memory-mapped if it is local, otherwise through Beam, which reads the ranges of its columns.

    Checksums of pages are verified if ``checked``, which is slower.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    with contextlib.ExitStack() as stack:
        remote = is_remote(path)
        source = stack.enter_context(open_arrow(path, _open_remote) if remote else pa.memory_map(path))
        yield stack.enter_context(pq.ParquetFile(source, page_checksum_verification=checked, pre_buffer=remote))


def _open_remote(path: str) -> IO[bytes]:
    if (listings := _listings.get()) is not None:
        listings.tables(path.rpartition("/")[0])  # with the size of the file
    try:
        return open_ranges(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # each filesystem has its own error for a missing file
        if not exists(path):
            raise FileNotFoundError(path) from error
        raise


def read_folder(folder: str, schema: pa.Schema, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Read the Parquet files of a folder as batches of ``schema``, in order of their names.

    Checksums are verified, at about 4 GB/s: a corrupt code would be published.

    Raises:
        InvalidDataError: a file cannot be read, or has other columns.
    """
    return read_each(folder, lambda path: read_batches(path, schema, columns, checked=True))


def read_each(folder: str, read: Callable[[str], Iterator[Rows]], backwards: bool = False) -> Iterator[Rows]:
    """Read the Parquet files of a folder with a function, in order of their names, or backwards.

    A file that vanishes after it was listed was merged with others into a new file: the folder is listed again, and the
    files that were not read yet are read. Rows may be repeated then.
    """
    done: set[str] = set()
    vanished: set[str] = set()
    while left := [path for path in _list_tables(folder) if path not in done]:
        for path in reversed(left) if backwards else left:
            try:
                yield from read(path)
            except FileNotFoundError:
                if path in vanished:  # listed again, and missing again
                    raise
                vanished.add(path)
                _forget(folder)
                break
            done.add(path)
        else:
            return


def read_batches(
    path: str,
    schema: pa.Schema | Callable[[pa.Schema], pa.Schema],
    columns: list[str] | None = None,
    checked: bool = False,
    holding: pa.Array | None = None,
) -> Iterator[pa.RecordBatch]:
    """Read one Parquet file of a known schema; see :func:`read_folder` and :func:`open_parquet`.

    ``schema`` may be a function, which gets the schema of the file and returns the expected one.

    With ``holding``, row groups without any of these values in their first column are skipped. Nullable columns that an
    older version did not write are null.
    """
    with _opened(path, schema, checked) as (file, expected):
        wanted = _select_fields(expected, columns)
        groups = [group for group in range(file.num_row_groups) if holding is None or _holds(file, group, holding)]
        for batch in file.iter_batches(READ_ROWS, groups, _present(file, wanted)) if groups else ():
            yield _with_missing_columns(batch, wanted)


@contextlib.contextmanager
def _opened(
    path: str, schema: pa.Schema | Callable[[pa.Schema], pa.Schema], checked: bool
) -> Iterator[tuple[pq.ParquetFile, pa.Schema]]:
    """Open a file of a known schema; raise InvalidDataError if it differs, or if the block cannot read it."""
    try:
        with open_parquet(path, checked) as file:
            expected = schema(file.schema_arrow) if callable(schema) else schema
            present = [field for field in expected if field.name in file.schema_arrow.names or not field.nullable]
            if not file.schema_arrow.equals(pa.schema(present)):
                names = str(file.schema_arrow).replace("\n", ", ")
                raise InvalidDataError(f"{path} has the columns {names}: wrong schema; remove or restore the file")
            yield file, expected
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:  # Arrow raises OSError for a corrupt page
        raise InvalidDataError(f"{path} cannot be read ({error}): remove or restore the file") from error


def _select_fields(schema: pa.Schema, columns: list[str] | None) -> pa.Schema:
    return schema if columns is None else pa.schema([schema.field(name) for name in columns])


def _present(file: pq.ParquetFile, wanted: pa.Schema) -> list[str]:
    return [name for name in wanted.names if name in file.schema_arrow.names]


def _with_missing_columns(rows: AnyRows, wanted: pa.Schema) -> AnyRows:
    """Order columns as in a schema, and add those that the file lacks as null."""
    if rows.schema.names == wanted.names:
        return rows
    names, absent = rows.schema.names, pa.nulls(rows.num_rows)
    columns = [rows.column(f.name) if f.name in names else absent.cast(f.type) for f in wanted]
    complete: AnyRows = type(rows).from_arrays(columns, schema=wanted)
    return complete


def _holds(file: pq.ParquetFile, group: int, values: pa.Array) -> bool:
    """Return whether the first column of a row group has any of the values."""
    [column] = file.read_row_group(group, columns=file.schema_arrow.names[:1]).columns
    return bool(pc.any(pc.is_in(column, value_set=values)).as_py())


def read_table(folder: str, schema: pa.Schema, columns: list[str] | None = None) -> pa.Table:
    """Read all Parquet files of a folder into one table; see :func:`read_folder`."""
    wanted = _select_fields(schema, columns)

    def read(path: str) -> Iterator[pa.Table]:
        with _opened(path, schema, checked=True) as (file, _):
            yield _with_missing_columns(file.read(_present(file, wanted)), wanted)

    tables = list(read_each(folder, read))
    return pa.concat_tables(tables).combine_chunks() if tables else wanted.empty_table()
