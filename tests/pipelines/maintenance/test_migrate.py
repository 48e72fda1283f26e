"""``migrate``: a store with catalogs of an older format keeps its tokens, and encodes nothing again."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.older_store import UNREAD_STORES, call, latest, unpack
from tracktokens.pipelines.maintenance.migrate import MigrateJob
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import OLDER_MANIFEST

pytestmark = pytest.mark.job


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    return unpack(UNREAD_STORES[0], tmp_path)


def options(folder: Path) -> list[object]:
    catalog = folder / "two"
    tables = ["--tracks", catalog / "tracks.jsonl", "--playlists", catalog / "playlists.jsonl"]
    embeddings = ["--embeddings", f"lyrics={catalog / 'lyrics.parquet'}", "--embeddings-version", "lyrics=made"]
    return [*tables, *embeddings, "--store", folder / "store"]


def test_the_error_names_the_command_and_after_it_a_refresh_keeps_all_tokens(unpacked: Path) -> None:
    store = unpacked / "store"
    old = latest(store)
    for command in ("run", "refresh"):
        assert "`tracktokens migrate`, which keeps its tokens" in call(command, *options(unpacked), code=3).output
    moved = call("migrate", "--store", store).stdout
    assert moved.startswith("removed 2 catalog snapshots of an older format: ")
    assert f"tracktokens refresh --store {store}\n" in moved
    assert call("verify", "--store", store).stdout == "nothing found\n"
    assert "scan the catalog again with `tracktokens refresh`" in call("plan", *options(unpacked), code=3).output

    output = call("refresh", *options(unpacked)).output
    new = latest(store)
    assert new != old
    tables = [pq.read_table(release / "tokens").sort_by("track_id") for release in (old, new)]
    assert tables[0].equals(tables[1])
    assert (
        json.loads((new / "manifest.json").read_bytes())["bundle_id"]
        == json.loads((old / "manifest.json").read_bytes())["bundle_id"]
    )
    catalog = json.loads(next(store.glob("catalogs/*/catalog.json")).read_bytes())
    assert not any(catalog["encoded"].values()), output
    call("refresh", "--store", store)
    call("verify", "--store", store)
    assert call("migrate", "--store", store).stdout == "nothing to migrate: this version reads all of the store\n"


def test_gc_removes_what_is_left_of_a_migrated_snapshot_with_its_releases(unpacked: Path) -> None:
    store = unpacked / "store"
    call("migrate", "--store", store)
    call("refresh", *options(unpacked))
    call("gc", "--keep", "2", "--delete", "--store", store)
    assert len(list(store.glob("catalogs/*"))) == 2
    call("gc", "--keep", "1", "--delete", "--store", store)
    assert [path.name for path in store.glob("catalogs/*/*.json") if "older" in path.name] == []
    assert call("verify", "--store", store).stdout == "nothing found\n"


def test_a_newer_catalog_is_refused(unpacked: Path) -> None:
    path = next((unpacked / "store/catalogs").glob("*/catalog.json"))
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "format": 99}))
    output = call("migrate", "--store", unpacked / "store", code=3).output
    assert "has format version 99" in output
    assert "install the version of tracktokens that wrote it, or a newer one" in output


def test_a_migration_that_was_killed_begins_again(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = unpacked / "store"
    deleted: list[str] = []

    def delete_few(path: str) -> None:
        if len(deleted) == 2:
            raise OSError("killed")
        deleted.append(path)
        Path(path).unlink()

    with monkeypatch.context() as patched:
        patched.setattr(files, "delete_tree", delete_few)
        with pytest.raises(OSError, match="killed"):
            MigrateJob(str(store)).run()
    assert len(MigrateJob(str(store)).run().catalogs) == 2
    assert [path for path in store.glob("catalogs/*/**/*") if path.is_file() and path.name != OLDER_MANIFEST] == []
