"""Files on Google Cloud Storage: the requests that they cost, and uploads that fail."""

import copy
import gc
import hashlib

import numpy as np
import pyarrow as pa
import pytest

from tests.support.gcs_server import LIST, READ, START, STAT, UPLOAD, Fault, GcsServer
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.readers.parquet_reader import count_group_rows, read_row_group
from tracktokens.transforms.store import files

pytestmark = pytest.mark.disturbed

SCHEMA = pa.schema([pa.field("key", pa.int64(), False), pa.field("vector", pa.binary(1000), False)])


def write_rows(path: str, rows: int) -> pa.RecordBatch:
    content = np.random.default_rng(0).bytes(1000 * rows)
    vectors = pa.FixedSizeBinaryArray.from_buffers(pa.binary(1000), rows, [None, pa.py_buffer(content)])
    batch = pa.record_batch([pa.array(range(rows)), vectors], schema=SCHEMA)
    files.write_batches(path, SCHEMA, [batch], compression="none", use_dictionary=False)
    return batch


def test_a_file_is_written_under_its_name_in_one_request(gcs: GcsServer, bucket: str) -> None:
    files.exists(f"{bucket}/first")  # the first request of a process asks for credentials too
    with gcs.measured() as traffic:
        files.write_bytes(f"{bucket}/two/file", b"content")
        files.write_bytes(f"{bucket}/two/large", b"x" * (20 << 20))
    assert dict(traffic.names) == {(UPLOAD, "two/file"): 1, (START, "two/large"): 1, (UPLOAD, "two/large"): 2}


def test_requests_share_a_connection(gcs: GcsServer, bucket: str) -> None:
    files.exists(f"{bucket}/first")
    with gcs.measured() as traffic:
        for number in range(20):
            files.exists(f"{bucket}/{number}")
    assert dict(traffic.requests) == {STAT: 20}
    assert traffic.connections <= 1


def test_a_small_file_is_looked_up_and_read_in_one_request(gcs: GcsServer, bucket: str) -> None:
    files.write_bytes(f"{bucket}/one/file", b"content")
    with gcs.measured() as traffic:
        assert files.read_existing(f"{bucket}/one/file") == b"content"
        assert files.read_bytes(f"{bucket}/one/file") == b"content"
        assert files.sha256(f"{bucket}/one/file", len(b"content")) == hashlib.sha256(b"content").hexdigest()
        assert files.read_existing(f"{bucket}/one/none") is None
    assert dict(traffic.requests) == {READ: 4}
    with pytest.raises(FileNotFoundError):
        files.read_bytes(f"{bucket}/one/none")


@pytest.mark.parametrize("content", [b"half", b"x" * (20 << 20)])
def test_a_file_whose_writer_fails_does_not_exist(gcs: GcsServer, bucket: str, content: bytes) -> None:
    with gcs.measured() as traffic:
        with pytest.raises(RuntimeError), files.atomic_writer(f"{bucket}/fails/{len(content)}") as file:
            file.write(content)
            raise RuntimeError("killed")
        gc.collect()
    assert dict(traffic.requests) == {}


def test_an_upload_that_breaks_off_does_not_complete(gcs: GcsServer, bucket: str) -> None:
    second_part = Fault(UPLOAD, "broken", status=403, after=1, times=1)
    with (
        gcs.spoiled(second_part),
        pytest.raises(UsageError, match=f"^{bucket}/broken: these credentials may not access it"),
    ):
        files.write_bytes(f"{bucket}/broken", b"x" * (40 << 20))
    gc.collect()  # a writer that is not closed completes its upload now
    assert second_part.applied == 1
    assert files.list_all(bucket + "/broken") == {}
    assert not files.exists(f"{bucket}/broken")


def test_a_replaced_file_is_the_old_or_the_new_one(gcs: GcsServer, bucket: str) -> None:
    files.write_bytes(f"{bucket}/replaced", b"old")
    with gcs.spoiled(Fault(UPLOAD, "replaced", status=403)), pytest.raises(UsageError, match=f"^{bucket}/replaced: "):
        files.write_bytes(f"{bucket}/replaced", b"new")
    assert files.read_bytes(f"{bucket}/replaced") == b"old"


def test_a_column_is_read_without_the_others(gcs: GcsServer, bucket: str) -> None:
    rows = write_rows(f"{bucket}/columns/a.parquet", 5000)
    with gcs.measured() as traffic:
        table = files.read_table(f"{bucket}/columns", SCHEMA, ["key"])
    assert table["key"].to_pylist() == rows["key"].to_pylist()
    assert traffic.sent[READ] < 2 * (rows["key"].nbytes + (1 << 16))  # the footer is read with what is before it
    assert dict(traffic.requests) == {LIST: 1, READ: 2}


def test_a_large_file_is_read_in_one_go(gcs: GcsServer, bucket: str) -> None:
    rows = write_rows(f"{bucket}/whole/a.parquet", 5000)
    with gcs.measured() as traffic:
        assert files.read_table(f"{bucket}/whole", SCHEMA).to_batches() == [rows]
    assert traffic.requests[READ] <= 3
    assert traffic.sent[READ] < rows.nbytes + (1 << 18)


def test_a_small_file_is_read_in_two_requests(gcs: GcsServer, bucket: str) -> None:
    rows = write_rows(f"{bucket}/small/a.parquet", 10)
    with gcs.measured() as traffic:
        assert list(files.read_batches(f"{bucket}/small/a.parquet", SCHEMA)) == [rows]
    assert dict(traffic.requests) == {STAT: 1, READ: 1}


def test_precomputed_embeddings_are_read_without_the_other_columns(gcs: GcsServer, bucket: str) -> None:
    rows = write_rows(f"{bucket}/embeddings.parquet", 5000)
    schema = pa.schema([("key", pa.int64())])
    with gcs.measured() as traffic:
        assert count_group_rows(f"{bucket}/embeddings.parquet") == [5000]
        chunks = list(read_row_group(f"{bucket}/embeddings.parquet", 0, schema, 1000))
    assert [key for chunk in chunks for key in chunk.columns["key"].column.to_pylist()] == rows["key"].to_pylist()
    assert traffic.sent[READ] < 2 * rows["key"].nbytes + (1 << 18)
    assert dict(traffic.requests) == {STAT: 2, READ: 3}


def test_a_missing_parquet_file_is_a_missing_file(bucket: str) -> None:
    with pytest.raises(FileNotFoundError), files.open_parquet(f"{bucket}/none.parquet"):
        pass


@pytest.mark.parametrize("rows", [10, 5000])
def test_a_file_that_is_merged_after_the_listing_is_found_in_the_next(bucket: str, rows: int) -> None:
    folder = f"{bucket}/merged-{rows}"
    write_rows(f"{folder}/a.parquet", rows)
    write_rows(f"{folder}/b.parquet", rows)
    batches = files.read_each(folder, lambda path: files.read_batches(path, SCHEMA, ["key"]))
    read = [next(batches)]
    files.delete_tree(f"{folder}/b.parquet")
    write_rows(f"{folder}/c.parquet", rows)
    read += batches
    assert sum(batch.num_rows for batch in read) == 2 * rows


def test_the_buckets_of_a_folder_are_listed_once(gcs: GcsServer, bucket: str) -> None:
    folder, listings = f"{bucket}/buckets", files.Listings()
    for number in range(3):
        write_rows(f"{folder}/bucket={number}/a.parquet", 10)
    with gcs.measured() as traffic, listings.used():
        rows = [files.read_table(f"{folder}/bucket={number}", SCHEMA, ["key"]).num_rows for number in range(4)]
    assert rows == [10, 10, 10, 0]
    assert copy.deepcopy(listings)._buckets == {}  # as it is pickled
    assert dict(traffic.requests) == {LIST: 1, READ: 3}


def test_a_folder_of_many_files_is_listed_by_bucket(
    gcs: GcsServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LISTED_FILES", 2)
    folder, listings = f"{bucket}/many", files.Listings()
    for number in range(3):
        write_rows(f"{folder}/bucket={number}/a.parquet", 10)
    with gcs.measured() as traffic, listings.used():
        rows = [files.read_table(f"{folder}/bucket={number}", SCHEMA, ["key"]).num_rows for number in (1, 1, 3)]
    assert rows == [10, 10, 0]
    assert dict(traffic.requests) == {LIST: 3, READ: 2}


def test_listings_answer_only_where_they_are_used(bucket: str) -> None:
    folder, listings = f"{bucket}/later", files.Listings()
    write_rows(f"{folder}/bucket=0/a.parquet", 10)
    with listings.used():
        first = files.read_table(f"{folder}/bucket=0", SCHEMA)
    write_rows(f"{folder}/bucket=0/b.parquet", 10)
    assert first.num_rows == 10
    assert files.read_table(f"{folder}/bucket=0", SCHEMA).num_rows == 20
    with files.Listings().used():
        assert files.read_table(f"{folder}/bucket=0", SCHEMA).num_rows == 20


def test_a_file_that_is_merged_after_the_buckets_are_listed_is_found(bucket: str) -> None:
    folder, listings = f"{bucket}/compacted", files.Listings()
    write_rows(f"{folder}/bucket=0/a.parquet", 10)
    with listings.used():
        files.read_table(f"{folder}/bucket=0", SCHEMA)
    files.delete_tree(f"{folder}/bucket=0/a.parquet")
    write_rows(f"{folder}/bucket=0/b.parquet", 20)
    reads = files.read_each(f"{folder}/bucket=0", lambda path: files.read_batches(path, SCHEMA, ["key"]))
    assert sum(batch.num_rows for batch in listings.each(reads)) == 20
