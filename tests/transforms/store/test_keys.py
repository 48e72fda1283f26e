"""Content keys and buckets."""

import hashlib

import numpy as np
import pyarrow as pa

from tracktokens.transforms.store.keys import (
    bucket_numbers,
    content_keys,
    key_words,
    seeded_hash,
    sort_by_key,
    split_by_bucket,
)


def keys_of(*prefixes: int) -> pa.Array:
    return pa.array([prefix.to_bytes(2, "big") + bytes(14) for prefix in prefixes], pa.binary(16))


def test_a_key_is_the_blake2b_of_the_utf8_text_and_null_stays_null() -> None:
    keys = content_keys(pa.array(["歌", None, ""])).to_pylist()
    assert keys[0] == hashlib.blake2b("歌".encode(), digest_size=16).digest()
    assert keys[1] is None
    assert keys[2] == hashlib.blake2b(b"", digest_size=16).digest()


def test_equal_texts_have_equal_keys_and_a_slice_has_those_of_its_rows() -> None:
    keys = content_keys(pa.array(["a", "b", "a"]))
    assert keys[0] == keys[2] != keys[1]
    assert content_keys(pa.array(["a", "b", "a"]).slice(1)).equals(keys[1:])
    assert len(content_keys(pa.array([], pa.string()))) == 0


def test_the_bucket_is_the_first_bits_of_the_key() -> None:
    keys = keys_of(0x0000, 0x3FFF, 0x4000, 0x8000, 0xFFFF)
    assert bucket_numbers(keys, 4).tolist() == [0, 0, 1, 2, 3]
    assert bucket_numbers(keys, 1).tolist() == [0, 0, 0, 0, 0]
    assert bucket_numbers(keys, 1 << 14).tolist() == [0, 0x0FFF, 0x1000, 0x2000, 0x3FFF]


def test_buckets_of_a_slice_are_those_of_its_own_rows() -> None:
    assert bucket_numbers(keys_of(0x0000, 0x8000, 0xFFFF).slice(1), 2).tolist() == [1, 1]


def test_splitting_keeps_every_row_once_and_in_order() -> None:
    batch = pa.record_batch({"row": [0, 1, 2, 3, 4]})
    parts = {bucket: part["row"].to_pylist() for bucket, part in split_by_bucket(batch, np.array([2, 0, 2, 0, 1]))}
    assert parts == {0: [1, 3], 1: [4], 2: [0, 2]}


def test_splitting_an_empty_batch_yields_no_parts() -> None:
    assert list(split_by_bucket(pa.record_batch({"row": pa.array([], pa.int64())}), np.array([], np.int64))) == []


def test_keys_sort_as_bytes_do() -> None:
    generator = np.random.default_rng(0)
    values = [generator.bytes(16) for _ in range(200)] + [bytes(16), b"\xff" * 16, b"\x00" * 15 + b"\x01"]
    table = pa.table({"key": pa.array(values, pa.binary(16)), "row": range(len(values))})
    assert sort_by_key(table)["key"].to_pylist() == sorted(values)


def test_equal_keys_sort_by_the_columns_that_follow() -> None:
    table = pa.table({"key": keys_of(1, 0, 1), "a": pa.array([2, 9, 1]), "b": pa.array([0, 0, 0])})
    assert sort_by_key(table, "a", "b")["a"].to_pylist() == [9, 1, 2]


def test_key_words_hold_the_key_most_significant_word_first() -> None:
    key = bytes(range(16))
    assert key_words(pa.array([key], pa.binary(16))).tolist() == [
        [int.from_bytes(key[:8], "big"), int.from_bytes(key[8:], "big")]
    ]


def test_the_seeded_hash_is_uniform_and_differs_by_seed() -> None:
    keys = content_keys(pa.array([str(number) for number in range(4000)]))
    first, second = seeded_hash(keys, 0), seeded_hash(keys, 1)
    for hashes in (first, second):
        eighths = np.bincount((hashes >> np.uint64(61)).astype(int), minlength=8)
        assert (np.abs(eighths - 500) < 100).all()
    assert len(np.intersect1d(first, second)) == 0
