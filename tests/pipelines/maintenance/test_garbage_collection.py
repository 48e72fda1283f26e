"""Garbage collection and compaction of a whole store."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.demo_run import token_table
from tests.support.vector_catalog import DIMS, job, write_catalog, write_tracks
from tracktokens.pipelines.jobs.train import TrainJob
from tracktokens.pipelines.maintenance.compaction import compact_store
from tracktokens.pipelines.maintenance.garbage_collection import CATALOGS, Garbage, GcJob, StoreItem, kept_catalogs
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import AUDIO, MODALITIES, TAGS
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store

pytestmark = pytest.mark.job

TRACKS = 60
GONE = 7
IDS = dict.fromkeys(MODALITIES, "ours")


def files_of(store: Path) -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*") if path.is_file()}


def keys_in(store: Path, pattern: str) -> set[bytes]:
    return {key for path in store.glob(pattern) for key in pq.read_table(path)["key"].to_pylist()}


def gc(store: Path, keep: int = 1, *names: str, delete: bool = True) -> Garbage:
    return GcJob(str(store), keep, names, delete).run(PipelineRunner())


@pytest.fixture(scope="module")
def kept_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three releases: the second with different audio vectors and so a new bundle, the third without some tracks."""
    catalog = write_catalog(tmp_path_factory.mktemp("catalog"), TRACKS)
    job(catalog, *MODALITIES, **{**IDS, AUDIO: "old"}).run(PipelineRunner())
    replace(job(catalog, *MODALITIES, **IDS), new_vocabulary=True).run(PipelineRunner())
    write_tracks(catalog, TRACKS - GONE)
    job(catalog, *MODALITIES, **IDS).run(PipelineRunner())
    return catalog / "store"


@pytest.fixture
def store(kept_store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(kept_store, tmp_path / "store"))


def audio_encoder(store: Path, release: str) -> str:
    encoder: str = json.loads((store / "releases" / release / "manifest.json").read_text())["encoders"][AUDIO]
    return encoder


def releases_of(store: Path) -> list[str]:
    return sorted(path.parent.name for path in store.glob("releases/*/manifest.json"))


def test_a_dry_run_lists_what_a_collection_removes_and_removes_nothing(store: Path) -> None:
    before = files_of(store)
    found = gc(store, delete=False)
    assert files_of(store) == before
    first, second, _ = releases_of(store)
    assert [item.name for item in found.items["releases"]] == [first, second]
    assert [item.name for item in found.items["vectors"]] == [f"audio/{audio_encoder(store, first)}"]
    assert dict(found.rows) == {f"{kind}/{m}": GONE for kind in ("codes", "vectors") for m in MODALITIES}
    assert found.row_bytes["vectors/audio"] > GONE * 2 * DIMS[AUDIO]

    done = gc(store)
    assert (done.items, done.rows, done.row_bytes) == (found.items, found.rows, found.row_bytes)
    removed = {item.path for items in done.items.values() for item in items}
    assert not any((store / path).exists() for path in removed)
    again = gc(store)
    assert (any(again.items.values()), dict(again.rows)) == (False, {})


def test_the_vectors_of_tracks_that_were_taken_down_go(store: Path) -> None:
    wanted = {modality: keys_in(store, f"vectors/{modality}/*/*/*.parquet") for modality in MODALITIES}
    assert {len(keys) for keys in wanted.values()} == {TRACKS}
    gc(store)
    [catalog] = store.glob("catalogs/*")
    for modality in MODALITIES:
        held = keys_in(store, f"catalogs/{catalog.name}/keys/{modality}/*/*.parquet")
        assert len(held) == TRACKS - GONE
        assert keys_in(store, f"vectors/{modality}/*/*/*.parquet") == held
        assert keys_in(store, f"codes/*/{modality}/*/*.parquet") == held


def test_a_run_after_a_collection_encodes_nothing_and_gives_the_same_tokens(kept_store: Path, tmp_path: Path) -> None:
    catalog = Path(shutil.copytree(kept_store.parent, tmp_path / "catalog"))
    before = pq.read_table(next(catalog.glob(f"store/releases/{releases_of(kept_store)[-1]}/tokens")))
    gc(catalog / "store")
    outcome = job(catalog, *MODALITIES, **IDS).run(PipelineRunner())
    assert set(outcome.catalog.encoded.values()) == {0}
    assert token_table(outcome).equals(before.sort_by("track_id"))


def test_facts_of_an_older_release_stay_as_long_as_it_does(store: Path) -> None:
    first, second, third = releases_of(store)
    found = gc(store, 1, second)
    assert releases_of(store) == [second, third]
    assert [item.name for item in found.items["releases"]] == [first]
    assert dict(found.rows) == {}
    assert [path.name for path in store.glob("vectors/audio/*")] == [audio_encoder(store, second)]
    with pytest.raises(UsageError, match=f"no release {first}"):
        gc(store, 1, first)


def test_the_latest_release_stays_though_it_is_not_among_the_newest(store: Path) -> None:
    first, _, third = releases_of(store)
    (store / "LATEST").write_text(first)
    gc(store)
    assert releases_of(store) == [first, third]
    assert keys_in(store, f"vectors/audio/{audio_encoder(store, first)}/*/*.parquet")


def test_a_bundle_that_was_just_trained_stays_and_leftovers_go(store: Path) -> None:
    trained = TrainJob(str(store), 4).run(PipelineRunner()).bundle_id
    leftovers = [
        "codebooks/retraining-20260101T000000Z-ab/pairs.json",
        "codebooks/training-20260101T000000Z-ab/audio.safetensors.0123.partial",
        "working/20260101T000000Z-ab/counts.json",
        "releases/20260101T000000Z-ab/tokens/part-0000.parquet",
        "vectors/tags/ours/bucket=0000/part-a.parquet.0123.partial",
        "LATEST.0123.partial",
    ]
    for name in leftovers:
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text("half")
    (store / "notes.txt").write_text("mine")
    gc(store)
    assert (store / "codebooks" / trained / "manifest.json").exists()
    assert [name for name in leftovers if (store / name).exists()] == []
    assert (store / "notes.txt").read_text() == "mine"


def test_a_store_that_is_damaged_is_not_collected(store: Path) -> None:
    latest = json.loads((store / "releases" / releases_of(store)[-1] / "manifest.json").read_text())
    shutil.rmtree(store / "catalogs" / latest["catalog_id"])
    before = files_of(store)
    with pytest.raises(InvalidDataError, match=f"is of catalog {latest['catalog_id']}, which"):
        gc(store)
    assert files_of(store) == before


def test_a_store_in_which_nothing_is_complete_is_not_emptied(tmp_path: Path) -> None:
    Store.open_or_create(str(tmp_path), 1)
    (tmp_path / "vectors" / TAGS / "e").mkdir(parents=True)
    (tmp_path / "vectors" / TAGS / "e" / "encoder.json").write_text("{}")
    with pytest.raises(UsageError, match="no complete catalog"):
        gc(tmp_path)


@pytest.mark.parametrize("deletions", [1, 3, 5, 7, 9, 11, 13])
def test_a_collection_that_is_killed_leaves_a_sound_store_and_the_next_one_ends_it(
    store: Path, deletions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = deletions
    delete = files.delete_tree

    def killed(path: str) -> None:
        nonlocal left
        if path.startswith(str(store)):
            if not left:
                raise RuntimeError("killed")
            left -= 1
        delete(path)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(files, "delete_tree", killed)
        gc(store)
    assert verify_store(str(store), PipelineRunner()) == []
    gc(store)
    assert len(releases_of(store)) == len(list(store.glob("releases/*"))) == len(list(store.glob("catalogs/*"))) == 1
    assert verify_store(str(store), PipelineRunner()) == []


def manifest(release_id: str, catalog_id: str) -> ReleaseManifest:
    return ReleaseManifest(release_id, "b", catalog_id, 8, {}, {"read": 1, "published": 1, "rejected": 0}, {})


@pytest.mark.parametrize(
    ("complete", "incomplete", "expected"),
    [
        ("135", "", "35"),  # 5 may become a release
        ("13", "2", "3"),  # older than the latest release's: no run continues from it
        ("13", "4", "34"),  # a run was killed
        ("135", "4", "35"),  # and ran again
    ],
)
def test_a_catalog_that_may_become_a_release_stays(complete: str, incomplete: str, expected: str) -> None:
    items = [StoreItem(f"{CATALOGS}/{name}", {"catalog.json": 1}) for name in complete]
    items += [StoreItem(f"{CATALOGS}/{name}", {"counts.json": 1}) for name in incomplete]
    latest = manifest("r3", "3")
    assert kept_catalogs(items, [latest], latest) == frozenset(expected)


def test_compaction_leaves_the_same_records_in_fewer_files(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path, TRACKS)
    store = tmp_path / "store"
    job(catalog, *MODALITIES, **IDS).run(PipelineRunner())
    [folder] = store.glob("vectors/audio/*/bucket=0000")
    for path in list(folder.iterdir()):
        table = pq.read_table(path)
        for row in range(20):
            pq.write_table(table.slice(row * 3, 3), folder / f"part{row}.parquet")
        path.unlink()
    opened = Store.open(str(store))
    done = compact_store(opened, PipelineRunner(workers=2))
    assert (done.buckets, done.files_before, done.files_after) == (1, 20, 1)
    assert len(list(folder.iterdir())) == 1
    assert compact_store(opened, PipelineRunner()).buckets == 0
    again = job(catalog, *MODALITIES, **IDS).run(PipelineRunner())
    assert set(again.catalog.encoded.values()) == {0}
