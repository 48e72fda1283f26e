"""The commands that maintain a store."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.support.vector_catalog import job, write_catalog
from tests.support.warm_command import start_command
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.jobs.publish import PublishJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.serving import CatalogTokens
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import published_release
from tracktokens.transforms.store.writer_lock import writer

pytestmark = pytest.mark.job


@pytest.fixture(scope="module")
def two_releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalog = write_catalog(tmp_path_factory.mktemp("catalog"), 40)
    outcome = job(catalog, *MODALITIES).run(PipelineRunner())
    PublishJob(str(catalog / "store"), outcome.bundle.bundle_id).run(PipelineRunner())
    return catalog / "store"


@pytest.fixture
def store(two_releases: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_releases, tmp_path / "store"))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_releases_are_listed_shown_and_rolled_back_to(store: Path) -> None:
    releases = json.loads(call("releases", "list", "--store", store, "--json").stdout)
    newer, older = (release["release_id"] for release in releases)
    assert newer > older
    assert [release["latest"] for release in releases] == [True, False]
    assert {release["tracks"] for release in releases} == {40}
    result = call("releases", "rollback", older, "--store", store)
    assert result.stdout.splitlines() == [f"LATEST was {newer}", f"LATEST is {older}", f"withdrawn: {newer}"]
    first, second = call("releases", "list", "--store", store).stdout.splitlines()
    assert (first.split()[0], first.split()[-1]) == (newer, "withdrawn")
    assert (second.split()[0], second.split()[-1]) == (older, "LATEST")
    shown = call("releases", "show", older, "--store", store)
    assert f"release_id: {older}" in shown.stdout
    assert "latest: True" in shown.stdout
    assert (
        json.loads(call("releases", "show", newer, "--store", store, "--json").stdout)["metrics"]["rows"]["read"] == 40
    )


def without_serving(store: Path, release: str) -> None:
    """Make a release as an older version left it."""
    path = store / "releases" / release / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = {name: file for name, file in manifest["files"].items() if not name.startswith("serving/")}
    path.write_text(json.dumps(manifest))
    shutil.rmtree(store / "releases" / release / "serving")


def test_a_serving_table_has_the_order_of_the_release_index(store: Path) -> None:
    opened = Store.open(str(store))
    index = ReleaseIndex.read(opened, published_release(opened))
    tokens = CatalogTokens.open(store)
    assert len(tokens) == len(index.index) == 40
    for row, track_id in enumerate(index.track_ids.to_pylist()):
        query = index.index.codes(np.array([row]))[0]
        assert tokens.codes_of(track_id).tolist() == query.tolist()
        assert tokens.match(query.tolist(), 7).track_ids == tuple(index.ids(index.index.match(query, 7).rows))


def test_a_serving_table_is_written_into_a_release_of_an_older_version(store: Path) -> None:
    older, _ = sorted(path.name for path in store.glob("releases/*"))
    folder = store / "releases" / older
    published = {path.name: path.read_bytes() for path in (folder / "serving").iterdir()}
    manifest = json.loads((folder / "manifest.json").read_bytes())
    without_serving(store, older)
    with pytest.raises(UsageError, match="no serving table"):
        CatalogTokens.open(folder)
    assert call("releases", "serving", older, "--store", store).stdout == f"{folder / 'serving'}\n"
    assert {path.name: path.read_bytes() for path in (folder / "serving").iterdir()} == published
    assert json.loads((folder / "manifest.json").read_bytes()) == manifest
    again = call("releases", "serving", older, "--store", store)
    assert (again.exit_code, "has a serving table already" in again.stderr) == (2, True)


def test_gc_counts_and_deletes_only_with_delete(store: Path) -> None:
    older, newer = sorted(path.name for path in store.glob("releases/*"))
    counted = call("gc", "--store", store, "--keep", 1)
    assert "would be removed (nothing was removed; give --delete):" in counted.stdout
    assert "releases: 1, 19 files, " in counted.stdout
    assert (store / "releases" / older).exists()
    record = json.loads(call("gc", "--store", store, "--keep", 1, "--json").stdout)
    assert record["deleted"] is False
    assert list(record["items"]["releases"]) == [f"releases/{older}"]
    assert record["kept"]["releases"] == [newer]
    deleted = call("gc", "--store", store, "--keep", 1, "--delete")
    assert deleted.stdout.startswith("removed:\n")
    assert deleted.stdout.splitlines()[1:] == counted.stdout.splitlines()[1:]
    assert [path.name for path in store.glob("releases/*")] == [newer]
    assert "  nothing\n" in call("gc", "--store", store, "--keep", 1).stdout
    assert call("gc", "--store", store, "--keep", 0).exit_code == 2


def test_compact_reports_what_it_merged(store: Path) -> None:
    assert call("compact", "--store", store).stdout.startswith("0 buckets merged")


def test_rebucket_reports_the_numbers(store: Path) -> None:
    assert call("rebucket", "--store", store).stdout == "1 buckets: nothing to do\n"
    assert call("rebucket", "--store", store, "--buckets", 2).stdout.startswith("1 buckets are now 2, ")
    assert call("rebucket", "--store", store, "--buckets", 3).exit_code == 2


def test_maintenance_prints_json(store: Path) -> None:
    def record(*command: object) -> object:
        return json.loads(call(*command, "--store", store, "--json").stdout)

    older, newer = sorted(path.name for path in store.glob("releases/*"))
    assert record("compact") == dict.fromkeys(
        ("buckets", "files_before", "bytes_before", "files_after", "bytes_after"), 0
    )
    assert record("rebucket") == {"before": 1, "after": 1, "rows": 0}
    assert record("migrate") == {"catalogs": [], "releases": []}
    assert record("releases", "rollback", older) == {"previous": newer, "current": older, "withdrawn": [newer]}


def test_verify_ends_with_3_when_something_is_wrong(store: Path) -> None:
    sound = call("verify", "--store", store)
    assert (sound.exit_code, sound.stdout) == (0, "nothing found\n")
    (store / "LATEST").write_text("nobody")
    assert call("verify", "--store", store).exit_code == 3
    [finding] = json.loads(call("verify", "--store", store, "--json").stdout)
    assert finding["path"] == str(store / "LATEST")
    assert "rollback" in finding["remedy"]


@pytest.mark.parametrize(
    "command", ["train", "tokenize", "publish", "retrain", "compact", "rebucket", "gc --keep 1", "releases rollback x"]
)
def test_a_second_writer_is_turned_away(store: Path, command: str) -> None:
    held = "import sys, time\nfrom tracktokens.transforms.store.writer_lock import writer\n"
    held += f"with writer({str(store)!r}, 'run'):\n print(flush=True)\n time.sleep(600)"
    owner = start_command("-c", held, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    owner.stdout.readline()
    try:
        result = call(*command.split(), "--store", store)
        assert result.exit_code == 5, result.output
        assert f"is being written by `tracktokens run` (process {owner.pid}" in result.stderr
    finally:
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    with writer(str(store), "train"):
        pass


@pytest.mark.parametrize(
    "command",
    ["releases list", "releases show x", "releases rollback x", "compact", "rebucket", "gc --keep 1", "verify"],
)
def test_a_folder_that_is_no_store_is_wrong_usage(tmp_path: Path, command: str) -> None:
    place = [tmp_path / "none"] if command == "verify" else ["--store", tmp_path / "none"]
    result = call(*command.split(), *place)
    assert result.exit_code == 2
    assert "is not a store" in result.stderr
    assert not (tmp_path / "none").exists()


def test_a_bundle_may_be_given_by_its_beginning_by_a_release_or_as_latest(store: Path) -> None:
    release = json.loads(call("releases", "show", "latest", "--store", store, "--json").stdout)
    bundle = release["bundle_id"]
    for given in (bundle, bundle[:6], release["release_id"], "latest"):
        shown = json.loads(call("inspect", given, "--store", store, "--json").stdout)
        assert shown["bundle_id"] == bundle
    refused = call("inspect", "nobody", "--store", store)
    assert refused.exit_code == 2
    assert f"has no codebook bundle nobody; its bundles: {bundle}" in refused.stderr
    codes = json.loads(call("inspect", "latest", "tags", "--store", store, "--json").stdout)
    assert {"code", "tracks", "terms"} == set(codes[0])
    code = json.loads(call("inspect", "latest", "tags", codes[0]["code"], "--store", store, "--json").stdout)
    assert code["summary"]["tracks"] == codes[0]["tracks"]


def test_a_catalog_may_be_given_by_its_beginning_and_a_typo_lists_the_catalogs(store: Path) -> None:
    release = json.loads(call("releases", "show", "latest", "--store", store, "--json").stdout)
    assert (
        call("tokenize", "--store", store, "--bundle", "latest", "--snapshot", release["catalog_id"][:9]).exit_code == 0
    )
    refused = call("train", "--store", store, "--catalog", "nobody")
    assert refused.exit_code == 2
    assert f"has no complete catalog nobody; its catalogs: {release['catalog_id']}" in refused.stderr


def test_show_prints_json(store: Path) -> None:
    shown = json.loads(call("show", "--store", store, "--json").stdout)
    assert {"complete", "sound_alike"} == set(shown)
    assert shown["complete"][0]["track_id"]
