"""A refresh of unchanged inputs publishes nothing; any change of an input, an option or the store makes it publish."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.support.demo_run import token_table
from tests.support.refreshes import TRACKS, first_job, options, refresh_job, write_catalog_version
from tests.support.vector_catalog import DIMS, group_vectors, write_vectors
from tracktokens.codebooks.metrics.drift import DriftLimits
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.jobs import up_to_date
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import LYRICS
from tracktokens.transforms.listing import file_states
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import latest_id

pytestmark = pytest.mark.job

LONG_AGO = 1_700_000_000


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """A catalog that was run and refreshed once.

    Attributes:
        catalog: its folder, whose files are old.
        store: its store.
        outcome: result of the refresh.
    """

    catalog: Path
    store: Path
    outcome: RunResult

    @property
    def job(self) -> RefreshJob:
        return refresh_job(self.catalog, self.store)

    def refresh(self) -> RunResult:
        return self.job.run(PipelineRunner())


def age(folder: Path) -> None:
    """Date all files of a folder back."""
    for path in folder.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Refreshed:
    folder = tmp_path_factory.mktemp("made")
    catalog, store = folder / "catalog", folder / "store"
    write_catalog_version(catalog, range(TRACKS), group_vectors(3, DIMS[LYRICS], TRACKS))
    age(catalog)
    first_job(catalog, store).run(PipelineRunner())
    return Refreshed(catalog, store, refresh_job(catalog, store).run(PipelineRunner()))


@pytest.fixture
def refreshed(made: Refreshed, tmp_path: Path) -> Iterator[Refreshed]:
    """The same under the same paths, as it was after its refresh."""
    kept = tmp_path / "kept"
    shutil.copytree(made.catalog.parent, kept)
    yield made
    shutil.rmtree(made.catalog.parent)
    shutil.copytree(kept, made.catalog.parent)


def test_a_refresh_of_unchanged_inputs_writes_nothing(refreshed: Refreshed) -> None:
    before = sorted(state for state in file_states.list_states(str(refreshed.store)) if state.path != "writer.lock")
    again = refreshed.refresh()
    assert not again.published
    assert again.release.manifest == refreshed.outcome.release.manifest
    assert again.release.folder == refreshed.outcome.release.folder
    assert again.release.metrics == json.loads(json.dumps(refreshed.outcome.release.metrics))
    assert again.catalog == refreshed.outcome.catalog
    assert again.bundle == refreshed.outcome.bundle
    after = sorted(state for state in file_states.list_states(str(refreshed.store)) if state.path != "writer.lock")
    assert after == before


def test_the_command_names_the_release_in_use(refreshed: Refreshed, tmp_path: Path) -> None:
    figures = tmp_path / "figures.prom"
    command = ["refresh", *options(refreshed.catalog, refreshed.store), "--metrics-file", str(figures)]
    ended = CliRunner().invoke(main, command, catch_exceptions=False)
    assert ended.exit_code == 0
    assert "Nothing changed since this release" in ended.output
    assert ended.stdout.splitlines()[-1] == f"release: {refreshed.outcome.release.folder}"
    assert refreshed.outcome.release.manifest.release_id in figures.read_text()


def touched(name: str) -> Callable[[Refreshed], None]:
    return lambda made: (made.catalog / name).touch()


def edited(made: Refreshed) -> None:
    """Replace a file by one of the same rows and size, with the time of now."""
    table = pq.read_table(made.catalog / "tracks.parquet")
    pq.write_table(table, made.catalog / "tracks.parquet")


def moved_away(made: Refreshed) -> None:
    (made.catalog / LYRICS / "part.parquet").rename(made.catalog / LYRICS / "other.parquet")


def added(made: Refreshed) -> None:
    write_vectors(made.catalog / LYRICS / "z.parquet", group_vectors(3, DIMS[LYRICS], 1), ["unknown"])
    os.utime(made.catalog / LYRICS / "z.parquet", (LONG_AGO, LONG_AGO))


def without_a_record_file(made: Refreshed) -> None:
    next(made.store.glob("codes/*/audio/bucket=*/*.parquet")).unlink()


def restored(made: Refreshed) -> None:
    """Write a file of the store again, with the same content."""
    path = next(made.store.glob("vectors/audio/*/bucket=*/*.parquet"))
    path.write_bytes(path.read_bytes())


def rolled_back(made: Refreshed) -> None:
    first = min(path.name for path in (made.store / "releases").iterdir())
    arguments = ["releases", "rollback", first, "--store", str(made.store)]
    assert CliRunner().invoke(main, arguments, catch_exceptions=False).exit_code == 0


def damaged_hashes(made: Refreshed) -> None:
    (made.store / "up-to-date.json").write_text("{")


CHANGES = [
    touched("tracks.parquet"),
    touched("playlists.parquet"),
    touched("audio/part.parquet"),
    edited,
    moved_away,
    added,
    without_a_record_file,
    restored,
    rolled_back,
    damaged_hashes,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_any_change_of_the_inputs_or_the_store_is_published(
    refreshed: Refreshed, change: Callable[[Refreshed], None]
) -> None:
    change(refreshed)
    before = latest_id(str(refreshed.store))
    again = refreshed.refresh()
    assert again.published
    assert again.release.manifest.previous == before
    assert latest_id(str(refreshed.store)) == again.release.manifest.release_id
    assert token_table(again).equals(token_table(refreshed.outcome))


def test_an_option_that_differs_is_published(refreshed: Refreshed) -> None:
    source = dataclasses.replace(refreshed.job.source, max_lost=0.4)
    assert dataclasses.replace(refreshed.job, source=source).run(PipelineRunner()).published
    assert dataclasses.replace(refreshed.job, limits=DriftLimits(coverage_loss=0.5)).run(PipelineRunner()).published


def test_a_retry_of_rejects_encodes_them_whatever_changed(refreshed: Refreshed) -> None:
    assert dataclasses.replace(refreshed.job, retry_rejects=True).run(PipelineRunner()).published


def test_a_refresh_after_a_change_is_followed_by_one_that_writes_nothing(refreshed: Refreshed) -> None:
    path = refreshed.catalog / "tracks.parquet"
    os.utime(path, (LONG_AGO + 60, LONG_AGO + 60))
    second = refreshed.refresh()
    third = refreshed.refresh()
    assert (second.published, third.published) == (True, False)
    assert third.release.manifest == second.release.manifest


def test_an_input_that_was_modified_just_now_is_read_again(
    refreshed: Refreshed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (refreshed.catalog / "tracks.parquet").touch()
    monkeypatch.setattr(file_states, "CLOCK_TICK_SECONDS", 3600.0)
    assert [refreshed.refresh().published for _ in range(2)] == [True, True]


def test_a_run_that_learns_playlists_leaves_the_folding_in_to_a_refresh(made: Refreshed, tmp_path: Path) -> None:
    job = first_job(made.catalog, tmp_path / "store")
    job.run(PipelineRunner())
    assert RefreshJob(source=job.source, store=job.store).run(PipelineRunner()).published


def test_after_a_run_without_playlists_a_refresh_has_nothing_to_do(made: Refreshed, tmp_path: Path) -> None:
    job = first_job(made.catalog, tmp_path / "store")
    job = dataclasses.replace(job, source=dataclasses.replace(job.source, playlists=None))
    first = job.run(PipelineRunner())
    again = RefreshJob(source=job.source, store=job.store).run(PipelineRunner())
    assert not again.published
    assert again.release.manifest == first.release.manifest


def test_an_input_that_failed_for_now_is_tried_again(refreshed: Refreshed) -> None:
    store = Store.open(str(refreshed.store))
    failures = Path(store.catalog(refreshed.outcome.catalog.catalog_id).failures_folder)
    up_to_date.keep_up_to_date(store, refreshed.outcome.release, "inputs")
    assert json.loads(Path(store.up_to_date).read_text())["inputs"] == "inputs"
    (failures / "audio").mkdir(parents=True)
    (failures / "audio" / "part.parquet").touch()
    up_to_date.keep_up_to_date(store, refreshed.outcome.release, "other inputs")
    assert json.loads(Path(store.up_to_date).read_text())["inputs"] == "inputs", "not written again"


def test_a_store_or_an_input_that_cannot_be_listed_is_read_again(
    refreshed: Refreshed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: object) -> list[file_states.FileState]:
        raise PermissionError(13, "Permission denied", "lost+found")

    for name in ("list_states", "file_states"):
        with monkeypatch.context() as patched:
            patched.setattr(up_to_date, name, denied)
            assert [refreshed.refresh().published for _ in range(2)] == [True, True]


def test_a_refresh_with_drift_warns_each_time(refreshed: Refreshed) -> None:
    os.utime(refreshed.catalog / "tracks.parquet", (LONG_AGO + 60, LONG_AGO + 60))
    job = dataclasses.replace(refreshed.job, limits=DriftLimits(stability_index=-1.0))
    assert [job.run(PipelineRunner()).published for _ in range(2)] == [True, True]
