"""Rollback to an older release."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.vector_catalog import CODES, job, write_catalog
from tracktokens.pipelines.jobs.publish import PublishJob
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.jobs.train import TrainJob
from tracktokens.pipelines.maintenance import rollback
from tracktokens.pipelines.maintenance.rollback import RollbackJob, list_releases
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, StoreBusyError, UsageError
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import default_bundle, find_release, frozen_bundle, latest_id

pytestmark = pytest.mark.job

FEW_CODES = 4


@pytest.fixture(scope="module")
def three_releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three releases: the first and second of one bundle, the third of a bundle with fewer codes."""
    catalog = write_catalog(tmp_path_factory.mktemp("catalog"), 40)
    root = str(catalog / "store")
    first = job(catalog, *MODALITIES).run(PipelineRunner())
    PublishJob(root, first.bundle.bundle_id).run(PipelineRunner())
    other = TrainJob(root, FEW_CODES).run(PipelineRunner()).bundle_id
    TokenizeJob(root, other).run(PipelineRunner())
    PublishJob(root, other, new_vocabulary=True).run(PipelineRunner())
    return catalog


@pytest.fixture
def catalog(three_releases: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(three_releases, tmp_path / "catalog"))


@pytest.fixture
def store(catalog: Path) -> Store:
    return Store.open(str(catalog / "store"))


def ids(store: Store) -> list[str]:
    return [release.release_id for release in reversed(list(list_releases(store)))]


def states(store: Store) -> str:
    """State of each release from old to new: L for the latest, w for withdrawn, - for others."""
    found = reversed(list(list_releases(store)))
    return "".join("L" if release.latest else "w" if release.withdrawn else "-" for release in found)


def roll_back(store: Store, release: str) -> None:
    RollbackJob(store.root, release).run()


def test_latest_names_what_was_chosen_and_those_after_it_are_withdrawn(store: Store) -> None:
    first, second, third = ids(store)
    assert states(store) == "--L"
    done = RollbackJob(store.root, first).run()
    assert (done.previous, done.current, set(done.withdrawn)) == (third, first, {second, third})
    assert Path(store.root, "LATEST").read_text() == f"{first}\n"
    assert states(store) == "Lww"


def test_one_can_go_forward_again(store: Store) -> None:
    first, second, third = ids(store)
    roll_back(store, first)
    roll_back(store, second)
    assert states(store) == "-Lw"
    roll_back(store, third)
    assert states(store) == "--L"


def test_the_next_run_starts_from_the_chosen_release(catalog: Path, store: Store) -> None:
    first, _, third = ids(store)
    bundle = find_release(store, first).bundle_id
    assert default_bundle(store) != bundle
    roll_back(store, first)
    assert default_bundle(store) == bundle
    run = job(catalog, *MODALITIES)
    assert run.run(PipelineRunner()).bundle.bundle_id == bundle
    assert states(store) == "-wwL"
    # Neither does a later run with the size of the release that was given up take its codebooks.
    assert frozen_bundle(store, FEW_CODES) is None
    again = replace(run, codebook_size=FEW_CODES, new_vocabulary=True).run(PipelineRunner())
    assert again.bundle.parent is None
    assert find_release(store, third).release_id == third


def test_a_bundle_means_its_release_that_stands(store: Store) -> None:
    first, second, third = ids(store)
    bundle = find_release(store, first).bundle_id
    assert find_release(store, bundle).release_id == second
    roll_back(store, first)
    assert find_release(store, bundle).release_id == first
    assert find_release(store, find_release(store, third).bundle_id).release_id == third  # it has no other


def test_the_same_size_of_vocabulary_takes_the_bundle_that_stands(store: Store) -> None:
    _, second, third = ids(store)
    assert frozen_bundle(store, CODES) == find_release(store, second).bundle_id
    assert frozen_bundle(store, FEW_CODES) == find_release(store, third).bundle_id


@pytest.mark.parametrize("damage", ["changed", "missing", "catalog"])
def test_a_release_that_is_damaged_is_not_rolled_back_to(store: Store, damage: str) -> None:
    first = ids(store)[0]
    part = Path(store.release(first).token_part(0))
    if damage == "changed":
        part.write_bytes(part.read_bytes()[:-1] + b"?")
    elif damage == "missing":
        part.unlink()
    else:
        shutil.rmtree(store.catalog(find_release(store, first).catalog_id).folder)
    before = Path(store.root, "LATEST").read_text()
    with pytest.raises(InvalidDataError, match="LATEST was not moved"):
        roll_back(store, first)
    assert Path(store.root, "LATEST").read_text() == before
    assert states(store) == "--L"


def test_a_release_that_is_not_there_is_wrong_usage(store: Store) -> None:
    with pytest.raises(UsageError, match="has no release nobody"):
        roll_back(store, "nobody")
    with pytest.raises(UsageError, match="is a bundle: give a release id"):
        roll_back(store, default_bundle(store))


def test_a_latest_that_moved_is_not_moved_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = ids(store)
    with pytest.raises(StoreBusyError, match=f"names {third} now, and {second}"):
        RollbackJob(store.root, first, expected_latest=second).run()

    def check(moved: Store, release: object) -> Iterator[object]:
        Path(moved.root, "LATEST").write_text(f"{second}\n")  # as by a publish while the files are checked
        return iter(())

    monkeypatch.setattr(rollback, "check_release_files", check)
    with pytest.raises(StoreBusyError, match=f"names {second} now, and {third}"):
        roll_back(store, first)
    assert states(store) == "-L-"


@pytest.mark.parametrize("change", [{"files": {"/etc/hostname": {"bytes": 1, "sha256": "0"}}}, {"catalog_id": ".."}])
def test_a_manifest_that_names_a_file_outside_is_refused(store: Store, change: dict[str, object]) -> None:
    first, *_, latest = ids(store)
    path = Path(store.release(first).manifest)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InvalidDataError, match=f"{path} has an unusable {next(iter(change))}"):
        roll_back(store, first)
    assert latest_id(store.root) == latest


def test_a_release_may_be_given_by_its_beginning_or_as_latest(store: Store) -> None:
    first, *others = ids(store)
    part = next(first[:end] for end in range(1, len(first)) if not any(name.startswith(first[:end]) for name in others))
    assert RollbackJob(store.root, part).run().current == first
    assert RollbackJob(store.root, "latest").run().current == first
    with pytest.raises(UsageError, match=f"{first[:4]} is the beginning of .*{first}"):
        RollbackJob(store.root, first[:4]).run()
