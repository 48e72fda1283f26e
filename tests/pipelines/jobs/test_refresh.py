"""A refresh gives changed tracks codes from the frozen codebooks, and leaves all other tokens as they are."""

import copyreg
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from tests.support.demo_run import token_table
from tests.support.refreshes import NEW, TRACKS, changes, first_job, options, refresh_job, write_catalog_version
from tests.support.vector_catalog import DIMS, GROUPS, group_vectors
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.modalities import AUDIO, LYRICS, MODALITIES, PLAYLIST

pytestmark = pytest.mark.job


@dataclasses.dataclass(frozen=True)
class RefreshedStore:
    store: Path
    catalogs: tuple[Path, Path]
    first: RunResult
    second: RunResult


@pytest.fixture(scope="module")
def lyrics() -> tuple[np.ndarray, np.ndarray]:
    before = group_vectors(3, DIMS[LYRICS], TRACKS + NEW)
    after = before.copy()
    after[10:20] = before[11:21] * 1.01 + 0.001  # of the next group, and unique
    return before, after


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory, lyrics: tuple[np.ndarray, np.ndarray]) -> RefreshedStore:
    folder = tmp_path_factory.mktemp("refresh")
    store = folder / "store"
    one = write_catalog_version(folder / "one", range(TRACKS), lyrics[0])
    two = write_catalog_version(folder / "two", range(10, TRACKS + NEW), lyrics[1])
    first = first_job(one, store).run(PipelineRunner())
    return RefreshedStore(store, (one, two), first, refresh_job(two, store).run(PipelineRunner()))


def test_only_what_changed_is_encoded(refreshed: RefreshedStore) -> None:
    assert refreshed.second.catalog.encoded[LYRICS] == NEW + 10
    assert refreshed.second.catalog.encoded[AUDIO] == NEW


def test_the_bundle_stays_and_so_does_every_token_of_an_unchanged_track(refreshed: RefreshedStore) -> None:
    assert refreshed.second.bundle.bundle_id == refreshed.first.bundle.bundle_id
    before = token_table(refreshed.first).to_pylist()
    after = {row["track_id"]: row for row in token_table(refreshed.second).to_pylist()}
    same = [row for row in before if row["track_id"] not in {f"t{n}" for n in range(20)}]
    assert len(same) == TRACKS - 20
    assert all(after[row["track_id"]] == row for row in same)


def test_removed_tracks_have_no_tokens_and_new_ones_have_tokens(refreshed: RefreshedStore) -> None:
    found = set(token_table(refreshed.second)["track_id"].to_pylist())
    assert found == {f"t{n}" for n in range(10, TRACKS + NEW)}


def test_new_tracks_in_playlists_get_the_code_of_those_around_them(refreshed: RefreshedStore) -> None:
    table = {row["track_id"]: row for row in token_table(refreshed.second).to_pylist()}
    for number in (n for n in range(TRACKS, TRACKS + NEW) if n not in range(405, 410)):
        group = {table[f"t{n}"][PLAYLIST] for n in range(20, TRACKS) if n % GROUPS == number % GROUPS}
        assert table[f"t{number}"][PLAYLIST] in group
    assert all(table[f"t{n}"][PLAYLIST] is None for n in range(405, 410))


def test_changes_list_each_changed_token_with_its_reason(refreshed: RefreshedStore) -> None:
    before = {row["track_id"]: row for row in token_table(refreshed.first).to_pylist()}
    after = {row["track_id"]: row for row in token_table(refreshed.second).to_pylist()}
    expected = [
        (track_id, modality, before.get(track_id, {}).get(modality), after.get(track_id, {}).get(modality))
        for track_id in sorted(before.keys() | after.keys())
        for modality in MODALITIES
        if before.get(track_id, {}).get(modality) != after.get(track_id, {}).get(modality)
    ]
    found = changes(refreshed.second)
    assert [(r["track_id"], r["modality"], r["old_code"], r["new_code"]) for r in found] == expected
    why = {row["track_id"]: row["why"] for row in found}
    assert {why[f"t{n}"] for n in range(10)} == {"removed"}
    assert {why[f"t{n}"] for n in range(10, 20)} == {"input changed"}
    assert {why[f"t{n}"] for n in range(TRACKS, TRACKS + NEW)} == {"new"}
    counted = refreshed.second.release.metrics["changes"]
    assert counted[AUDIO] == {"new": NEW, "removed": 10, "input changed": 0, "codebook changed": 0}
    assert refreshed.second.release.manifest.previous == refreshed.first.release.manifest.release_id


def test_a_refresh_without_playlists_keeps_the_playlist_tokens(refreshed: RefreshedStore, tmp_path: Path) -> None:
    job = refresh_job(refreshed.catalogs[1], refreshed.store)
    without = dataclasses.replace(job, source=dataclasses.replace(job.source, playlists=None))
    third = without.run(PipelineRunner())
    assert token_table(third).equals(token_table(refreshed.second))
    assert changes(third) == []


def with_embeddings(job: RefreshJob, embeddings: dict[str, PrecomputedConfig]) -> RefreshJob:
    return dataclasses.replace(job, source=dataclasses.replace(job.source, embeddings=embeddings))


def test_different_encoders_than_the_releases_are_refused(refreshed: RefreshedStore) -> None:
    job = refresh_job(refreshed.catalogs[1], refreshed.store)
    other = PrecomputedConfig(path=str(refreshed.catalogs[1] / LYRICS), version="other")
    with pytest.raises(InvalidDataError, match=r"lyrics: release .* has vectors of encoder"):
        with_embeddings(job, {**job.source.embeddings, LYRICS: other}).run(PipelineRunner())
    with pytest.raises(InvalidDataError, match=r"audio: .* this refresh has none"):
        with_embeddings(job, {LYRICS: job.source.embeddings[LYRICS]}).run(PipelineRunner())


def test_batches_travel_as_arrow_and_are_never_pickled(refreshed: RefreshedStore, tmp_path: Path) -> None:
    """A pickled slice carries its whole parent: a batch split into 32 buckets would be sent 32 times."""

    def refuse(batch: pa.RecordBatch) -> None:
        raise AssertionError(f"pickled: {batch.schema}")

    copyreg.pickle(pa.RecordBatch, refuse)
    try:
        first_job(refreshed.catalogs[0], tmp_path / "store").run(PipelineRunner())
        refresh_job(refreshed.catalogs[1], tmp_path / "store").run(PipelineRunner())
    finally:
        del copyreg.dispatch_table[pa.RecordBatch]


def test_a_store_without_a_release_is_an_error(tmp_path: Path, refreshed: RefreshedStore) -> None:
    with pytest.raises(UsageError, match="is not a store"):
        refresh_job(refreshed.catalogs[1], tmp_path / "none").run(PipelineRunner())


def test_a_plan_counts_what_a_refresh_does_and_writes_nothing(
    refreshed: RefreshedStore, lyrics: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(refreshed.store, store)
    third = write_catalog_version(tmp_path / "three", range(12, TRACKS + NEW), lyrics[0])
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    result = CliRunner().invoke(main, ["plan", *options(third, store), "--json"])
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
    plan = json.loads(result.stdout)
    assert plan["rows"] == {"read": 408, "rejected": 0, "new": 0, "changed": 8, "removed": 2}
    assert plan["inputs"][LYRICS] == 0  # the old lyrics of t12 to t19 are stored
    assert plan["tokens"][LYRICS] == {"new": 0, "changed": 8, "removed": 2}
    assert plan["coverage"][LYRICS] == {"before": 1, "after": 1}
    assert refresh_job(third, store).run(PipelineRunner()).catalog.encoded[LYRICS] == 0


def test_the_command_ends_with_the_release(refreshed: RefreshedStore, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(refreshed.store, store)
    result = CliRunner().invoke(main, ["refresh", *options(refreshed.catalogs[1], store)])
    assert result.exit_code == 0, result.output
    release = Path(result.stdout.splitlines()[-1].removeprefix("release: "))
    assert release.name == (store / "LATEST").read_text().strip()


def test_drift_is_a_warning_or_with_fail_on_drift_an_error(
    refreshed: RefreshedStore, lyrics: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(refreshed.store, store)
    elsewhere = np.random.default_rng(9).standard_normal(lyrics[1].shape).astype(np.float32)
    moved = write_catalog_version(tmp_path / "moved", range(10, TRACKS + NEW), elsewhere)
    latest = (store / "LATEST").read_text()
    result = CliRunner().invoke(main, ["refresh", *options(moved, store), "--fail-on-drift"])
    assert result.exit_code == 4, result.output
    assert "lyrics: 100% of 410 new tracks are farther from their centroid than 95 % of the baseline" in result.stderr
    assert (store / "LATEST").read_text() == latest
    published = refresh_job(moved, store).run(PipelineRunner()).release.metrics["drift"]
    assert any(text.startswith("lyrics: 100%") for text in published["warnings"])
    assert not any(text.startswith("audio") for text in published["warnings"])
