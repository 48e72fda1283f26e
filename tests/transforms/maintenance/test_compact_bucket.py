"""Buckets of records are compacted."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.warm_command import run_command
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.tables.records import CODE_RECORDS, FAILURES
from tracktokens.transforms.maintenance import compact_bucket
from tracktokens.transforms.maintenance.compact_bucket import (
    CompactBucket,
    due_files,
    parquet_sizes,
    rewrite,
    rows_to_keep,
)
from tracktokens.transforms.maintenance.purge_records import PurgeRecords
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import CODES, FAILED, VECTORS, Store
from tracktokens.transforms.store.record_buckets import RecordBucket, list_record_buckets
from tracktokens.transforms.store.records import make_vector_records, read_vectors, write_vectors

BUCKET = RecordBucket(VECTORS, "e", "lyrics", 0)
MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open_or_create(str(tmp_path / "store"), 1)


def keys_of(*numbers: int) -> pa.Array:
    return pa.array([number.to_bytes(16, "big") for number in numbers], pa.binary(16))


def add(store: Store, *numbers: int) -> None:
    """Add a file of vectors whose values are their keys."""
    vectors = np.repeat(np.array(numbers, np.float16)[:, None], 2, 1)
    write_vectors(store, "lyrics", "e", 0, make_vector_records(keys_of(*numbers), vectors))


def stored(store: Store) -> list[int]:
    """List the numbers of the keys in the files, with repetition; check the vectors."""
    found: list[int] = []
    for name in names(store):
        table = pq.read_table(f"{BUCKET.folder(store)}/{name}")
        numbers = [int.from_bytes(key, "big") for key in table["key"].to_pylist()]
        assert [int(row[0]) for row in table["vector"].to_pylist()] == numbers
        found += numbers
    return sorted(found)


def names(store: Store) -> list[str]:
    return list(parquet_sizes(BUCKET.folder(store)))


@pytest.mark.parametrize(
    ("sizes", "due"),
    [
        ([5] * 7, []),
        ([5] * 8, [0, 1, 2, 3, 4, 5, 6, 7]),
        ([5] * 8 + [20_000 * MIB], [0, 1, 2, 3, 4, 5, 6, 7]),
        ([5] * 7 + [100 * MIB], []),
        ([5] * 7 + [2 * MIB] * 9, [7, 8, 9, 10, 11, 12, 13, 14, 15]),
        ([200 * MIB] * 20, []),
    ],
)
def test_files_are_merged_with_others_of_about_their_size(sizes: list[int], due: list[int]) -> None:
    assert due_files({f"{n:02d}": size for n, size in enumerate(sizes)}) == [f"{n:02d}" for n in due]


def test_a_year_of_refreshes_rewrites_each_record_a_few_times() -> None:
    sizes: dict[str, int] = {}
    rewritten = written = 0
    for day in range(365):
        sizes[f"day{day}"] = 3 * MIB
        written += 3 * MIB
        while due := due_files(sizes):
            merged = sum(sizes.pop(name) for name in due)
            sizes[f"merged{day}-{merged}"] = merged
            rewritten += merged
    assert len(sizes) < 8 * 4 + written / (128 * MIB)
    assert rewritten < 3 * written


def test_the_first_row_of_each_wanted_key_is_kept() -> None:
    keys = keys_of(5, 3, 5, 9, 3)
    assert rows_to_keep(keys, None).tolist() == [True, True, False, True, False]
    assert rows_to_keep(keys, keys_of(3, 9, 4)).tolist() == [False, True, False, True, False]
    assert rows_to_keep(keys_of(), None).tolist() == []


def test_compaction_keeps_every_record_once_in_one_file(store: Store) -> None:
    for number in range(9):
        add(store, number, number + 1)
    counts = dict(CompactBucket(store, ProgressReporter()).process(BUCKET))
    assert stored(store) == list(range(10))
    assert len(names(store)) == 1
    assert (counts["files_before"], counts["files_after"]) == (9, 1)
    [(keys, vectors)] = read_vectors(BUCKET.folder(store), keys_of(4, 7))
    assert dict(zip(keys.to_pylist(), vectors[:, 0].tolist(), strict=True)) == dict(
        zip(keys_of(4, 7).to_pylist(), [4, 7], strict=True)
    )


def test_a_bucket_of_few_files_is_not_rewritten(store: Store) -> None:
    for number in range(7):
        add(store, number)
    before = names(store)
    list(CompactBucket(store, ProgressReporter()).process(BUCKET))
    assert names(store) == before


def test_a_year_of_small_files_is_never_more_than_seven(store: Store) -> None:
    most = 0
    for day in range(365):
        add(store, day)
        list(CompactBucket(store, ProgressReporter()).process(BUCKET))
        most = max(most, len(names(store)))
    assert most == 7
    assert stored(store) == list(range(365))


def test_a_flipped_bit_stops_the_merge_and_gets_no_new_checksum(store: Store) -> None:
    for number in range(8):
        add(store, number)
    broken = Path(BUCKET.folder(store), names(store)[3])
    content = bytearray(broken.read_bytes())
    content[content.index(stored_value(broken))] ^= 1
    broken.write_bytes(content)
    with pytest.raises(InvalidDataError, match=f"{broken.name} cannot be read .*CRC"):
        rewrite(store, BUCKET, names(store))
    assert broken.read_bytes() == content
    assert len(names(store)) == 8


def stored_value(path: Path) -> bytes:
    """Return the bytes of the first vector of a file, which are written without encoding."""
    return np.array(pq.read_table(path)["vector"][0].as_py(), np.float16).tobytes()


def test_new_files_are_of_bounded_size(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact_bucket, "MAX_FILE_BYTES", 60)
    monkeypatch.setattr(files, "READ_ROWS", 2)
    for number in range(8):
        add(store, number)
    rewrite(store, BUCKET, names(store))
    assert stored(store) == list(range(8))
    assert len(names(store)) == 2  # 2 rows of 20 bytes per row group, 60 bytes per file: 4 rows


def test_unwanted_records_are_removed_and_so_is_a_file_without_others(store: Store) -> None:
    add(store, 1, 2)
    add(store, 3)
    rewrite(store, BUCKET, names(store), keys_of(2, 9))
    assert stored(store) == [2]
    rewrite(store, BUCKET, names(store), keys_of(9))
    assert names(store) == []


def test_failures_and_codes_are_compacted_too(store: Store) -> None:
    failure = pa.record_batch([keys_of(1), ["not_finite"], [None]], schema=FAILURES)
    code = pa.record_batch([keys_of(2), [7], [0.5], [None]], schema=CODE_RECORDS)
    failures, codes = RecordBucket(FAILED, "e", "lyrics", 0), RecordBucket(CODES, "b", "lyrics", 0)
    for name in ("a.parquet", "b.parquet"):
        files.write_batches(files.join(failures.folder(store), name), FAILURES, [failure])
        files.write_batches(files.join(codes.folder(store), name), CODE_RECORDS, [code])
    assert {bucket: sorted(found) for bucket, found in list_record_buckets(store).items()} == {
        failures: ["a.parquet", "b.parquet"],
        codes: ["a.parquet", "b.parquet"],
    }
    for bucket, schema, row in ((failures, FAILURES, failure), (codes, CODE_RECORDS, code)):
        rewrite(store, bucket, ["a.parquet", "b.parquet"])
        assert files.read_table(bucket.folder(store), schema).to_pylist() == row.to_pylist()


def test_a_file_that_cannot_be_read_stops_the_merge_before_anything_is_deleted(store: Store) -> None:
    for number in range(8):
        add(store, number)
    broken = Path(BUCKET.folder(store), names(store)[3])
    content = broken.read_bytes()
    broken.write_bytes(content[:-9])
    with pytest.raises(InvalidDataError, match=broken.name):
        rewrite(store, BUCKET, names(store))
    broken.write_bytes(content)
    assert stored(store) == list(range(8))


@pytest.mark.parametrize("moment", [0, 3, 8, 12])
def test_a_copy_that_merges_at_the_same_time_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    for number in range(8):
        add(store, number)
    step = CompactBucket(store, ProgressReporter())
    before_read(monkeypatch, moment, lambda: list(step.process(BUCKET)))
    counts = dict(step.process(BUCKET))
    assert stored(store) == list(range(8))
    assert (counts["files_before"], counts["files_after"]) == (8, 1)


@pytest.mark.parametrize("moment", [0, 3, 8, 10, 12])
def test_a_copy_that_purges_at_the_same_time_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    for number in range(8):
        add(store, number, number + 100)
    step = PurgeRecords(store, [], True, ProgressReporter())
    monkeypatch.setattr(PurgeRecords, "_wanted_keys", lambda *_: keys_of(*range(4), *range(100, 108)))
    before_read(monkeypatch, moment, lambda: list(step.process(BUCKET)))
    list(step.process(BUCKET))
    assert stored(store) == [*range(4), *range(100, 108)]


def before_read(monkeypatch: pytest.MonkeyPatch, moment: int, act: Callable[[], object]) -> None:
    """Act once, before the file is opened that is the ``moment``-th to be read."""
    read, count = files.read_batches, itertools.count()

    def read_batches(*arguments: Any, **options: Any) -> Iterator[pa.RecordBatch]:
        if next(count) == moment:
            act()
        return read(*arguments, **options)

    monkeypatch.setattr(files, "read_batches", read_batches)


def test_a_file_that_stays_missing_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        add(store, number)
    listed = parquet_sizes(BUCKET.folder(store))
    monkeypatch.setattr(compact_bucket, "parquet_sizes", lambda _: listed)
    Path(BUCKET.folder(store), min(listed)).unlink()
    with pytest.raises(FileNotFoundError, match=min(listed)):
        list(CompactBucket(store, ProgressReporter()).process(BUCKET))


KILLED = """
import os, signal, sys
from apache_beam.io.filesystems import FileSystems
from tracktokens.transforms.store import files
from tracktokens.transforms.maintenance.compact_bucket import CompactBucket
from tracktokens.transforms.store.record_buckets import RecordBucket
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store.layout import Store

left = int(sys.argv[2])

def counted(step):
    def work(*arguments):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return step(*arguments)
    return work

FileSystems.rename = staticmethod(counted(FileSystems.rename))
files.delete_tree = counted(files.delete_tree)
list(CompactBucket(Store.open(sys.argv[1]), ProgressReporter()).process(RecordBucket("vectors", "e", "lyrics", 0)))
"""


@pytest.mark.disturbed
@pytest.mark.parametrize(("steps", "left"), [(0, 8), (1, 9), (2, 8), (8, 2)])
def test_a_kill_between_any_two_steps_loses_nothing(store: Store, steps: int, left: int) -> None:
    for number in range(8):
        add(store, number)
    done = run_command("-c", KILLED, store.root, str(steps))
    assert done.returncode == -9
    assert sorted(set(stored(store))) == list(range(8))
    assert len(names(store)) == left
    keys = [key for keys, _ in read_vectors(BUCKET.folder(store), keys_of(*range(8))) for key in keys.to_pylist()]
    assert sorted(keys) == keys_of(*range(8)).to_pylist()
    add(store, *range(8, 16))
    list(CompactBucket(store, ProgressReporter()).process(BUCKET))
    assert sorted(set(stored(store))) == list(range(16))
