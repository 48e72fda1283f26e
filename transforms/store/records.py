"""Records in the store: keys that have one, and vectors as Arrow columns and as NumPy arrays."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables import rejects
from tracktokens.schemas.tables.catalog import TRACK_KEYS
from tracktokens.schemas.tables.records import CODE_RECORDS, FAILURES, KEY, vector_records
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import distinct_sorted
from tracktokens.transforms.store.layout import Catalog, Store, part_name

_SYSTEM_ERROR = r"\A(?:OS|Permission|FileNotFound|NotADirectory|Timeout|BlockingIO|Interrupted)Error: \[Errno \d{1,3}\]"


def catalog_keys(catalog: Catalog, modality: str, bucket: int) -> pa.Array:
    """Read the distinct keys of one bucket of a modality in a catalog, sorted."""
    keys = files.read_table(catalog.keys(modality, bucket), TRACK_KEYS, [KEY.name])
    return distinct_sorted(keys[KEY.name].combine_chunks())


def unencoded(
    store: Store, modality: str, encoder_id: str, bucket: int, keys: pa.Array, retry: bool = False
) -> pa.Array:
    """Return the keys of a bucket that have no vector, and no failure unless ``retry``."""
    tried = encoded(store, modality, encoder_id, bucket)
    if not retry:
        failures = files.read_folder(store.failures(modality, encoder_id, bucket), FAILURES)
        tried += [batch.filter(pc.invert(misjudged(batch)))["key"] for batch in failures]
    return without(keys, tried)


def misjudged(failures: pa.RecordBatch) -> pa.BooleanArray:
    """Mark permanent ``FAILURES`` that are not: older releases took errors of the system for crashes of the decoder."""
    crashed = pc.equal(failures["reason"], rejects.AUDIO_CRASHED)
    return pc.and_(crashed, pc.fill_null(pc.match_substring_regex(failures["detail"], _SYSTEM_ERROR), False))


def uncoded(store: Store, bundle_id: str, modality: str, bucket: int, keys: pa.Array) -> pa.Array:
    """Return the keys of a bucket that have no code under a bundle."""
    return without(keys, _keys(store.codes(bundle_id, modality, bucket), CODE_RECORDS))


def failed(store: Store, catalog: Catalog, modality: str, encoder_id: str, bucket: int) -> pa.Table:
    """Read the failed inputs of a bucket: permanent failures, and before them transient ones of the catalog's run."""
    permanent = files.read_table(store.failures(modality, encoder_id, bucket), FAILURES)
    transient = files.read_table(catalog.failures(modality, bucket), FAILURES)
    return pa.concat_tables([transient, permanent]).combine_chunks()  # the latest first


def encoded(store: Store, modality: str, encoder_id: str, bucket: int) -> list[pa.Array]:
    """Read the keys of a bucket that have a vector, in chunks."""
    return list(_vector_keys(store.vectors(modality, encoder_id, bucket)))


def without(keys: pa.Array, chunks: list[pa.Array]) -> pa.Array:
    """Return the keys that are in none of the chunks."""
    if not chunks:
        return keys
    return keys.filter(pc.invert(pc.is_in(keys, value_set=pa.concat_arrays(chunks))))


def write_vectors(store: Store, modality: str, encoder_id: str, bucket: int, records: pa.RecordBatch) -> None:
    """Write vector records of one bucket as a new file."""
    path = files.join(store.vectors(modality, encoder_id, bucket), part_name(records["key"]))
    files.write_batches(path, records.schema, [records], **VECTOR_FILE)


VECTOR_FILE = {
    "compression": "none",
    "use_dictionary": False,
    "write_statistics": False,
    "write_batch_size": 1 << 17,
}
"""Parquet options: vectors and hashes do not compress, and plain pages are read without a copy. A vector is hundreds of
values, which are written faster in large batches."""


def make_vector_records(keys: pa.Array, vectors: npt.NDArray[np.float16]) -> pa.RecordBatch:
    """Combine keys and vectors of shape (keys, dim) into a batch of vector records."""
    dim = vectors.shape[1]
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.record_batch([keys, pa.FixedSizeListArray.from_arrays(flat, dim)], schema=vector_records(dim))


def read_vectors(folder: str, wanted: pa.Array) -> Iterator[tuple[pa.Array, npt.NDArray[np.float16]]]:
    """Read the vector records of a bucket that have one of the wanted keys.

    Yields:
        Keys, and float16 vectors of shape (keys, dim). Each key is read once, even if its record was written twice.

    Raises:
        InvalidDataError: files differ in dimension, or one cannot be read or fails its checksums.
    """
    dims: set[int] = set()

    remaining = wanted

    def same_dim(found: pa.Schema) -> pa.Schema:
        schema = vectors_of_any_dim(found)
        dims.add(schema.field("vector").type.list_size)
        if len(dims) > 1:
            raise InvalidDataError(f"{folder} has vectors of {sorted(dims)} dimensions: remove the wrong files")
        return schema

    def read(path: str) -> Iterator[pa.RecordBatch]:
        return files.read_batches(path, same_dim, checked=True, holding=remaining)

    for batch in files.read_each(folder, read, backwards=True):  # new files first, then merged files
        chosen = first_of(batch, remaining)
        if chosen.num_rows:
            remaining = without(remaining, [chosen["key"]])
            yield chosen["key"], as_matrix(chosen["vector"])
        if not len(remaining):
            return


def first_of(batch: pa.RecordBatch, wanted: pa.Array) -> pa.RecordBatch:
    """Keep the first row of each wanted key; return the batch itself, without a copy, if all rows are kept."""
    mask = pc.is_in(batch["key"], value_set=wanted)
    chosen = batch if pc.all(mask).as_py() else batch.filter(mask)
    if pc.count_distinct(chosen["key"]).as_py() == chosen.num_rows:
        return chosen
    _, first = np.unique(np.asarray(chosen["key"].dictionary_encode().indices), return_index=True)
    return chosen.take(pa.array(first))


def as_matrix(vectors: pa.FixedSizeListArray) -> npt.NDArray[np.float16]:
    """View a fixed size list column as an array of shape (rows, dim), without a copy."""
    flat = vectors.flatten().to_numpy(zero_copy_only=True)
    matrix: npt.NDArray[np.float16] = flat.reshape(len(vectors), vectors.type.list_size)
    return matrix


def vectors_of_any_dim(found: pa.Schema) -> pa.Schema:
    """Return the schema of vector records that have the dimension of a file; 0 if the file has no such vectors."""
    vector_type = found.field("vector").type if "vector" in found.names else None
    return vector_records(getattr(vector_type, "list_size", 0))


def vector_schema(path: str) -> pa.Schema:
    """Return the schema of a file of vector records, of any dimension.

    Raises:
        InvalidDataError: it is not such a file.
    """
    try:
        with files.open_parquet(path) as file:
            return vectors_of_any_dim(file.schema_arrow)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise InvalidDataError(f"{path} cannot be read as vectors ({error}): remove or restore the file") from error


def _vector_keys(folder: str) -> Iterator[pa.Array]:
    def read(path: str) -> Iterator[pa.Array]:
        for batch in files.read_batches(path, vectors_of_any_dim, [KEY.name], checked=True):
            yield batch["key"]

    return files.read_each(folder, read)


def _keys(folder: str, schema: pa.Schema) -> list[pa.Array]:
    return [batch["key"] for batch in files.read_folder(folder, schema, [KEY.name])]
