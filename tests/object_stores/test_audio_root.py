"""Audio below a root on Google Cloud Storage."""

import pyarrow as pa
import pytest

from tests.support.gcs_server import LIST, STAT, Fault, GcsServer
from tracktokens.schemas.tables.rejects import AUDIO_MISSING
from tracktokens.transforms.readers.audio_root import AudioRoot, AudioVersions
from tracktokens.transforms.store import files

pytestmark = pytest.mark.disturbed

NAMES = [f"sounds/{number}.flac" for number in range(20)]


@pytest.fixture(scope="module")
def root(bucket: str) -> str:
    for name in NAMES:
        files.write_bytes(f"{bucket}/audio/{name}", name.encode())
    return f"{bucket}/audio"


def check(root: str, names: list[str], versions: list[str | None] | None = None) -> AudioVersions:
    given = versions or [None] * len(names)
    return AudioRoot(root).check(pa.array(names, pa.string()), pa.array(given, pa.string()))


def test_many_files_are_listed_and_not_looked_up(gcs: GcsServer, root: str) -> None:
    with gcs.measured() as traffic:
        checked = check(root, NAMES)
    assert dict(traffic.requests) == {LIST: 1}
    assert checked.versions.null_count == 0


def test_a_listed_version_is_that_of_a_look_up(root: str) -> None:
    [alone] = check(root, NAMES[:1]).versions.to_pylist()
    assert check(root, NAMES).versions[0].as_py() == alone


def test_a_file_that_is_not_listed_is_looked_up(gcs: GcsServer, root: str) -> None:
    with gcs.measured() as traffic:
        checked = check(root, [*NAMES, "sounds/none.flac"])
    assert [(problem.row, problem.reason) for problem in checked.problems] == [(len(NAMES), AUDIO_MISSING)]
    assert dict(traffic.requests) == {LIST: 1, STAT: 2}


def test_a_root_that_cannot_be_listed_is_looked_up_file_by_file(gcs: GcsServer, root: str) -> None:
    with gcs.spoiled(Fault(LIST, status=403)):
        assert check(root, NAMES).versions.equals(check(root, NAMES).versions)
        assert check(root, NAMES).problems == ()


def test_given_versions_are_kept(root: str) -> None:
    assert check(root, NAMES, ["v1"] * len(NAMES)).versions.to_pylist() == ["v1"] * len(NAMES)
