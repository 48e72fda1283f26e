"""Records in the store."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.records import FAILURES
from tracktokens.transforms.maintenance.compact_bucket import CompactBucket
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.record_buckets import RecordBucket
from tracktokens.transforms.store.records import make_vector_records, read_vectors, unencoded, write_vectors


def keys_of(*numbers: int) -> pa.Array:
    return pa.array([bytes([number]) * 16 for number in numbers], pa.binary(16))


def records_of(*numbers: int, dim: int = 2) -> pa.RecordBatch:
    return make_vector_records(keys_of(*numbers), np.repeat(np.array(numbers, np.float16)[:, None], dim, 1))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open_or_create(str(tmp_path / "store"), 1)


def test_keys_with_a_vector_or_a_failure_need_no_encoding(store: Store) -> None:
    write_vectors(store, "lyrics", "e", 0, records_of(1, 2))
    failure = pa.record_batch([keys_of(3), ["not_finite"], [None]], schema=FAILURES)
    files.write_batches(files.join(store.failures("lyrics", "e", 0), "part-a.parquet"), FAILURES, [failure])
    assert unencoded(store, "lyrics", "e", 0, keys_of(4, 3, 2, 1, 5)).equals(keys_of(4, 5))
    assert unencoded(store, "lyrics", "other", 0, keys_of(1)).equals(keys_of(1))


def test_an_error_of_the_system_that_an_older_release_kept_as_a_crash_is_tried_again(store: Store) -> None:
    details = [
        "PermissionError: [Errno 13] Permission denied: 'the file'",
        "OSError: [Errno 5] Input/output error",
        "FileNotFoundError: [Errno 2] No such file or directory: 'the file'",
        "InvalidDataError: [Errno 1094995529] Invalid data found when processing input",
        "IndexError: nothing",
        "the decoder was terminated by SIGSEGV",
    ]
    reasons = ["audio_crashed"] * len(details)
    failure = pa.record_batch([keys_of(*range(len(details))), reasons, details], schema=FAILURES)
    files.write_batches(files.join(store.failures("audio", "e", 0), "part-a.parquet"), FAILURES, [failure])
    assert unencoded(store, "audio", "e", 0, keys_of(*range(len(details)))).equals(keys_of(0, 1, 2))


def test_wanted_vectors_are_read_once_even_if_written_twice(store: Store) -> None:
    write_vectors(store, "lyrics", "e", 0, records_of(1, 2, 3))
    write_vectors(store, "lyrics", "e", 0, records_of(3, 4))
    found = list(read_vectors(store.vectors("lyrics", "e", 0), keys_of(2, 3, 4, 9)))
    keys = pa.concat_arrays([keys for keys, _ in found])
    vectors = np.concatenate([vectors for _, vectors in found])
    assert sorted(keys.to_pylist()) == keys_of(2, 3, 4).to_pylist()
    assert [bytes([int(row[0])]) * 16 for row in vectors] == keys.to_pylist()


def test_a_key_that_is_twice_in_a_file_is_read_once(store: Store) -> None:
    write_vectors(store, "lyrics", "e", 0, records_of(1, 1, 2))
    [(keys, vectors)] = read_vectors(store.vectors("lyrics", "e", 0), keys_of(1, 2))
    assert keys.equals(keys_of(1, 2))
    assert vectors.tolist() == [[1, 1], [2, 2]]


def test_vectors_of_two_dimensions_are_refused(store: Store) -> None:
    write_vectors(store, "lyrics", "e", 0, records_of(1))
    write_vectors(store, "lyrics", "e", 0, records_of(2, dim=3))
    with pytest.raises(InvalidDataError, match=r"vectors of \[2, 3\] dimensions"):
        list(read_vectors(store.vectors("lyrics", "e", 0), keys_of(1, 2)))


def test_a_reader_finds_records_that_were_merged_after_it_listed_the_files(store: Store) -> None:
    for number in range(1, 9):
        write_vectors(store, "lyrics", "e", 0, records_of(number))
    folder = store.vectors("lyrics", "e", 0)
    wanted = keys_of(*range(1, 9))
    reading = read_vectors(folder, wanted)
    found = [next(reading)]
    list(CompactBucket(store, ProgressReporter()).process(RecordBucket("vectors", "e", "lyrics", 0)))
    found += reading
    assert len(files.list_files(folder, ".parquet")) == 1
    assert sorted(key for keys, _ in found for key in keys.to_pylist()) == wanted.to_pylist()
    assert {int(row[0]) for _, vectors in found for row in vectors} == set(range(1, 9))
