"""Content keys: hash inputs and track ids to keys, and divide keys into buckets."""

import hashlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tracktokens.codebooks.numerics.hashing import GOLDEN_GAMMA, mix64
from tracktokens.schemas.tables.records import KEY, KEY_BYTES


def content_keys(inputs: pa.StringArray) -> pa.FixedSizeBinaryArray:
    """Hash strings to 16-byte BLAKE2b keys (RFC 7693) of their UTF-8; null stays null."""
    encoded = inputs.dictionary_encode()
    distinct = encoded.dictionary.cast(pa.binary()).to_pylist()
    digests = b"".join(hashlib.blake2b(value, digest_size=KEY_BYTES).digest() for value in distinct)
    keys = pa.FixedSizeBinaryArray.from_buffers(KEY.type, len(distinct), [None, pa.py_buffer(digests)])
    return keys.take(encoded.indices)


def key_bytes(keys: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint8]:
    """View keys without nulls as a uint8 array of shape (n, 16), without a copy."""
    if not len(keys):
        return np.zeros((0, KEY_BYTES), np.uint8)  # an empty array may have no buffer
    flat = np.frombuffer(keys.buffers()[1], np.uint8, len(keys) * KEY_BYTES, keys.offset * KEY_BYTES)
    return flat.reshape(-1, KEY_BYTES)


def key_words(keys: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    """View keys as a uint64 array of shape (n, 2), most significant word first, so that numeric order is byte order."""
    return key_bytes(keys).view(">u8").astype(np.uint64)


def bucket_numbers(keys: pa.FixedSizeBinaryArray, buckets: int) -> npt.NDArray[np.int64]:
    """Return the bucket of each key: its first bits, as a number below ``buckets``, a power of two."""
    bits = buckets.bit_length() - 1
    prefix = key_bytes(keys)[:, :2].astype(np.int64)
    return (prefix[:, 0] << 8 | prefix[:, 1]) >> (16 - bits)


def track_numbers(track_keys: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint64]:
    """Return the number of each track: the first 8 bytes of the key of its id."""
    return key_words(track_keys)[:, 0]


def track_buckets(tracks: npt.NDArray[np.uint64], buckets: int) -> npt.NDArray[np.int64]:
    """Return the bucket of each track: that of the key of its id."""
    bits = buckets.bit_length() - 1
    return (tracks >> np.uint64(48)).astype(np.int64) >> (16 - bits)


def overlapping_buckets(bucket: int, buckets: int, others: int) -> range:
    """Return the buckets of a division into ``others`` that share keys with a bucket of a division into ``buckets``.

    >>> overlapping_buckets(3, 4, 8), overlapping_buckets(3, 4, 2)
    (range(6, 8), range(1, 2))
    """
    first = bucket * others // buckets
    return range(first, first + max(1, others // buckets))


def split_by_bucket(batch: pa.RecordBatch, numbers: npt.NDArray[np.int64]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Split a batch into one batch per bucket, rows in order. ``numbers`` has the bucket of each row."""
    if not batch.num_rows:
        return
    order = np.argsort(numbers, kind="stable")
    present, starts = np.unique(numbers[order], return_index=True)
    arranged = batch if len(present) == 1 else batch.take(pa.array(order))
    ends = [*starts[1:], batch.num_rows]
    for bucket, start, end in zip(present.tolist(), starts.tolist(), ends, strict=True):
        yield bucket, arranged.slice(start, end - start)


def sort_by_key(table: pa.Table, *tie_breakers: str) -> pa.Table:
    """Sort a table by its ``key`` column, then by the tie breakers."""
    words = key_words(table["key"].combine_chunks())
    rest = [table[name].to_numpy() for name in reversed(tie_breakers)]
    return table.take(pa.array(np.lexsort((*rest, words[:, 1], words[:, 0]))))


def distinct_keys(keys: pa.FixedSizeBinaryArray) -> pa.FixedSizeBinaryArray:
    """Return the distinct keys, in order of first occurrence."""
    return pc.unique(keys)


def distinct_sorted(keys: pa.FixedSizeBinaryArray) -> pa.FixedSizeBinaryArray:
    """Return the distinct keys of sorted keys."""
    words = key_words(keys)
    first = np.ones(len(words), bool)
    first[1:] = (words[1:] != words[:-1]).any(axis=1)
    return keys.filter(pa.array(first))


def seeded_hash(keys: pa.FixedSizeBinaryArray, seed: int) -> npt.NDArray[np.uint64]:
    """Mix keys and a seed to uniform 64-bit numbers (SplitMix64, Steele et al., OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        increment = np.uint64(seed) * GOLDEN_GAMMA
    return mix64(key_words(keys)[:, 1] + increment)
