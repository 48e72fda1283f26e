"""Commands on Google Cloud Storage give what they give on a local store."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from tests.support.gcs_server import BUCKET, UPLOAD, Fault, GcsServer
from tests.support.refreshes import NEW, PRECOMPUTED, TRACKS, write_catalog_version
from tests.support.vector_catalog import CODES, DIMS, group_vectors
from tracktokens.pipelines.cli.main import main
from tracktokens.schemas.modalities import LYRICS
from tracktokens.schemas.tables.tokens import TOKENS
from tracktokens.transforms.store import files

pytestmark = pytest.mark.disturbed


@dataclass(frozen=True)
class Place:
    """A folder, local or remote, with two versions of a catalog and a store."""

    root: str

    @property
    def store(self) -> str:
        return f"{self.root}/store"

    def catalog(self, version: str) -> list[str]:
        embeddings = [f"{modality}={self.root}/{version}/{modality}" for modality in PRECOMPUTED]
        tables = [f"--{name}={self.root}/{version}/{name}.parquet" for name in ("tracks", "playlists")]
        versions = [f"--embeddings-version={modality}={modality}" for modality in PRECOMPUTED]
        return [*tables, *(f"--embeddings={path}" for path in embeddings), *versions]

    def call(self, *arguments: str) -> str:
        """Run a command on the store, and return what it prints without the path and the ids of releases."""
        result = self.invoke(*arguments)
        assert result.exit_code == 0, result.output
        return re.sub(r"\d{8}T\d{6}Z-\w+", "RELEASE", result.stdout.replace(self.root, "ROOT"))

    def invoke(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, f"--store={self.store}"])

    def releases(self) -> list[str]:
        listed = json.loads(self.invoke("releases", "list", "--json").stdout)
        return [release["release_id"] for release in listed]

    def tokens(self) -> pa.Table:
        latest = files.read_bytes(f"{self.store}/LATEST").decode().strip()
        return files.read_table(f"{self.store}/releases/{latest}/tokens", TOKENS).sort_by("track_id")


@dataclass(frozen=True)
class Twins:
    """The same commands on a local and on a remote store."""

    local: Place
    remote: Place

    def same(self, call: Callable[[Place], object]) -> object:
        expected = call(self.local)
        assert call(self.remote) == expected
        return expected


@pytest.fixture(scope="module")
def twins(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Twins:
    folder = tmp_path_factory.mktemp("local")
    lyrics = group_vectors(3, DIMS[LYRICS], TRACKS + NEW)
    write_catalog_version(folder / "first", range(TRACKS), lyrics)
    changed = lyrics.copy()
    changed[10:20] = lyrics[11:21]
    write_catalog_version(folder / "second", range(10, TRACKS + NEW), changed)
    for path in folder.rglob("*.parquet"):
        files.write_bytes(f"{bucket}/{path.relative_to(folder)}", path.read_bytes())
    made = Twins(Place(str(folder)), Place(bucket))
    made.same(lambda place: place.call("run", *place.catalog("first"), f"--codebook-size={CODES}") and place.tokens())
    made.same(lambda place: place.call("refresh", *place.catalog("second")) and place.tokens())
    return made


def bundle(place: Place) -> str:
    manifest = files.read_json(f"{place.store}/releases/{place.releases()[0]}/manifest.json")
    return str(manifest["bundle_id"])


READ_ONLY = {
    "verify": lambda place: CliRunner().invoke(main, ["verify", place.store, "--json"]).stdout,
    "plan": lambda place: place.call("plan", "--json", *place.catalog("first")),
    "list": lambda place: len(place.releases()),
    "show": lambda place: place.call("show"),
    "release": lambda place: place.call("releases", "show", place.releases()[0]).count("\n"),
    "diff": lambda place: place.call("diff", *reversed(place.releases()[:2]), "--json"),
    "inspect": lambda place: place.call("inspect", bundle(place)),
    "codes": lambda place: place.call("inspect", bundle(place), LYRICS, "1"),
    "match": lambda place: place.call("match", place.tokens()["tokens"][0].as_py(), "--json"),
    "evaluate": lambda place: place.call("evaluate", f"--playlists={place.root}/first/playlists.parquet", "--json"),
}


@pytest.mark.parametrize("name", READ_ONLY)
def test_a_command_that_reads_prints_the_same(twins: Twins, name: str) -> None:
    assert twins.same(READ_ONLY[name])


def test_texts_are_rendered_alike(twins: Twins, tmp_path: Path) -> None:
    def render(place: Place) -> bytes:
        out = tmp_path / "tracks.jsonl"
        place.call("render", "tracks", f"--out={out}")
        return out.read_bytes()

    assert twins.same(render)


def test_a_refresh_of_nothing_uses_few_connections_and_requests(gcs: GcsServer, twins: Twins) -> None:
    with gcs.measured() as traffic:
        twins.remote.call("refresh", *twins.remote.catalog("second"))
    assert traffic.connections < 20
    assert traffic.requests[BUCKET] == 0
    assert traffic.total < 600


FORGOTTEN = "t200"

STEPS = {
    "embed": lambda place: place.call("embed", *[text for text in place.catalog("first") if "playlists" not in text]),
    "playlists": lambda place: place.call("playlists", f"--playlists={place.root}/first/playlists.parquet"),
    "train": lambda place: place.call("train", f"--codebook-size={CODES}"),
    "retrain": lambda place: place.call("retrain"),
    "tokenize": lambda place: place.call("tokenize"),
    "publish": lambda place: place.call("publish"),
    "retry": lambda place: place.call("rejects", "retry", *place.catalog("second")),
    "compact": lambda place: place.call("compact"),
    "rollback": lambda place: place.call("releases", "rollback", place.releases()[1]),
    "gc": lambda place: place.call("gc", "--keep=1", "--delete"),
    "forget": lambda place: place.call("forget", FORGOTTEN, f"--receipt={place.root}/receipt.json"),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_command_that_writes_leaves_the_same_tokens(twins: Twins, name: str) -> None:
    for place in (twins.local, twins.remote):
        STEPS[name](place)
    assert twins.local.tokens().equals(twins.remote.tokens())
    assert (FORGOTTEN in twins.remote.tokens()["track_id"].to_pylist()) == (name != "forget")
    if name in ("compact", "gc", "forget"):
        assert CliRunner().invoke(main, ["verify", twins.remote.store]).exit_code == 0


def test_faults_of_the_store_are_survived(gcs: GcsServer, twins: Twins) -> None:
    faults = [
        Fault(every=150, status=503),
        Fault(after=50, every=150, status=429),
        Fault(after=100, every=150, reset=True),
        Fault(UPLOAD, every=10, seconds=0.5),
    ]
    twins.local.call("refresh", *twins.local.catalog("first"))
    with gcs.spoiled(*faults):
        twins.remote.call("refresh", *twins.remote.catalog("first"))
    assert all(fault.applied for fault in faults)
    assert twins.local.tokens().equals(twins.remote.tokens())
