"""The storage of the tests behaves as Google's does, where our code depends on it."""

import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.io.gcp.gcsio import create_storage_client
from apache_beam.options.pipeline_options import PipelineOptions
from google.api_core.exceptions import Forbidden, PreconditionFailed
from google.cloud.storage.exceptions import InvalidResponse

from tests.support.gcs_server import READ, START, STAT, UPLOAD, Fault, GcsServer
from tracktokens.transforms.store.files import exists, list_tree, read_bytes, write_bytes

pytestmark = pytest.mark.disturbed


def test_files_are_written_renamed_listed_read_and_deleted(bucket: str) -> None:
    write_bytes(f"{bucket}/a/one", b"1234")
    FileSystems.rename([f"{bucket}/a/one"], [f"{bucket}/a/two"])
    assert list_tree(f"{bucket}/a") == {"two": 4}
    assert read_bytes(f"{bucket}/a/two") == b"1234"
    FileSystems.delete([f"{bucket}/a/two"])
    assert list_tree(f"{bucket}/a") == {}


def test_a_write_is_refused_where_the_generation_is_not_the_expected_one(bucket: str) -> None:
    blob = create_storage_client(PipelineOptions()).bucket(bucket.removeprefix("gs://")).blob("condition/x")
    blob.upload_from_string(b"1", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(b"2", if_generation_match=0)
    refused = blob.open("wb", if_generation_match=0)
    refused.write(b"2")
    with pytest.raises(InvalidResponse, match="412"):
        refused.close()
    refused.terminate()  # a writer that is not closed tries again when it is collected, for two minutes
    first = blob.generation
    with blob.open("wb", if_generation_match=first) as file:
        file.write(b"2")
    with pytest.raises(PreconditionFailed):
        blob.delete(if_generation_match=first)
    assert blob.download_as_bytes() == b"2"


def test_requests_and_bytes_are_counted(gcs: GcsServer, bucket: str) -> None:
    with gcs.measured() as traffic:
        write_bytes(f"{bucket}/counted", b"x" * 1000)
        read_bytes(f"{bucket}/counted")
    assert 1000 <= traffic.received[UPLOAD] < 1500  # with the metadata of the object
    assert traffic.sent[READ] == 1000
    assert traffic.names[READ, "counted"] == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"reset": True}, {"seconds": 0.1}])
def test_faults_are_injected_and_survived(gcs: GcsServer, bucket: str, fault: dict[str, float]) -> None:
    spoiled = [Fault(kind, "faults/", times=1, **fault) for kind in (START, UPLOAD, STAT, READ)]
    with gcs.spoiled(*spoiled):
        for name, content in (("small", b"content"), ("large", b"x" * (9 << 20))):
            write_bytes(f"{bucket}/faults/{name}", content)
            assert exists(f"{bucket}/faults/{name}")
            assert read_bytes(f"{bucket}/faults/{name}") == content
    assert [fault.applied for fault in spoiled] == [1, 1, 1, 1]


def test_objects_are_forbidden_by_name(gcs: GcsServer, bucket: str) -> None:
    write_bytes(f"{bucket}/forbidden/a", b"")
    with gcs.spoiled(Fault(name="forbidden/", status=403)), pytest.raises(Forbidden):
        read_bytes(f"{bucket}/forbidden/a")
    assert read_bytes(f"{bucket}/forbidden/a") == b""
