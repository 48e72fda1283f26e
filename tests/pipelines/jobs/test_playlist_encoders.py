"""The choice of the playlist encoder, from the run to refreshes and retraining."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.support.demo_run import DemoRun, demo_job, token_table
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.demo.catalog import DemoCatalog
from tracktokens.pipelines.jobs.playlist_vectors import PlaylistsJob
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.retrain import RetrainJob
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.manifests.catalog import PlaylistsManifest
from tracktokens.schemas.manifests.encoder import EncoderManifest
from tracktokens.schemas.modalities import PLAYLIST
from tracktokens.schemas.playlist_encoders import ALS, AUTO, WORD2VEC
from tracktokens.transforms.playlists import als, train_vectors
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.snapshots import open_snapshot

pytestmark = pytest.mark.job


@pytest.fixture(scope="module")
def als_run(demo_run: DemoRun, tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """A run with als over the demo catalog, whose other vectors are in the store already."""
    store = tmp_path_factory.mktemp("als") / "store"
    shutil.copytree(demo_run.store, store)
    job = replace(demo_job(demo_run.catalog, store), playlist_encoder=ALS, new_vocabulary=True)
    return DemoRun(demo_run.catalog, store, job.run(PipelineRunner()))


@pytest.fixture
def store(als_run: DemoRun, tmp_path: Path) -> Path:
    """A copy of the store that a test may change."""
    shutil.copytree(als_run.store, tmp_path / "store")
    return tmp_path / "store"


def write_playlists(catalog: DemoCatalog, path: Path, leave_out: int = 0, more: tuple[list[str], ...] = ()) -> Path:
    lines = catalog.playlists.read_text().splitlines()
    added = [json.dumps({"playlist_id": f"more-{n}", "track_ids": ids}) for n, ids in enumerate(more)]
    path.write_text("\n".join([*lines[: len(lines) - leave_out], *added]) + "\n")
    return path


def described(store: Path, encoder_id: str) -> EncoderManifest:
    return Store.open(str(store)).read_encoder(PLAYLIST, encoder_id)


def playlists_of(outcome: RunResult, store: Path) -> PlaylistsManifest:
    snapshot = open_snapshot(Store.open(str(store)), outcome.catalog.catalog_id)
    assert snapshot.playlists is not None
    return snapshot.playlists


def test_a_run_with_als_names_it_and_its_settings(als_run: DemoRun, demo_run: DemoRun) -> None:
    encoder_id = als_run.outcome.bundle.encoders[PLAYLIST]
    learned = playlists_of(als_run.outcome, als_run.store)
    identity = described(als_run.store, encoder_id).identity

    assert encoder_id != demo_run.outcome.bundle.encoders[PLAYLIST]
    assert (learned.encoder_id, learned.encoder, learned.trained) == (encoder_id, ALS, True)
    assert (identity["name"], identity["dim"]) == (ALS, 64)
    assert als_run.outcome.release.manifest.options["playlist-encoder"] == ALS
    assert als_run.outcome.release.metrics["playlists"]["encoder"] == ALS
    codes = als_run.outcome.bundle.codebooks
    others = demo_run.outcome.bundle.codebooks
    assert {m: codes[m]["encoder_id"] for m in codes if m != PLAYLIST} == {
        m: others[m]["encoder_id"] for m in others if m != PLAYLIST
    }


def playlist_codes(outcome: RunResult) -> dict[str, int | None]:
    table = token_table(outcome)
    return dict(zip(table["track_id"].to_pylist(), table[PLAYLIST].to_pylist(), strict=True))


def test_a_refresh_folds_new_tracks_into_the_space_of_als(als_run: DemoRun, store: Path, tmp_path: Path) -> None:
    before = playlist_codes(als_run.outcome)
    listed = [line["track_ids"] for line in map(json.loads, als_run.catalog.playlists.read_text().splitlines())]
    neighbours = next(ids for ids in listed if len({before.get(i) for i in ids}) < len(ids) / 2)
    unlisted = [track for track, code in before.items() if code is None]
    new, lonely = unlisted[0], unlisted[1:3]
    playlists = write_playlists(als_run.catalog, tmp_path / "more.jsonl", more=([*neighbours, new], lonely))
    source = replace(demo_job(als_run.catalog, store).source, playlists=str(playlists))

    refreshed = RefreshJob(source=source, store=str(store)).run(PipelineRunner())

    after, learned = playlist_codes(refreshed), playlists_of(refreshed, store)
    assert (learned.encoder, learned.folded, learned.trained, learned.without_vector) == (ALS, 1, False, 2)
    assert {track: after[track] for track in before if track != new} == {t: c for t, c in before.items() if t != new}
    assert after[new] in {before[track] for track in neighbours if before.get(track) is not None}


def test_als_continues_from_a_bundle_of_als_and_keeps_most_codes(als_run: DemoRun, store: Path, tmp_path: Path) -> None:
    old = als_run.outcome.bundle
    playlists = write_playlists(als_run.catalog, tmp_path / "fewer.jsonl", leave_out=3)

    learned = PlaylistsJob(str(playlists), str(store), from_bundle=old.bundle_id).run(PipelineRunner())
    retrained = RetrainJob(str(store), old.bundle_id).run(PipelineRunner())

    assert learned.encoder == ALS
    assert described(store, learned.encoder_id).identity["start"]["encoder_id"] == old.encoders[PLAYLIST]
    assert "rotation_cosine" not in retrained.bundle.codebooks[PLAYLIST]["training"]
    assert (retrained.kept[PLAYLIST] or 0) > 0.8


def test_another_kind_than_the_bundles_is_trained_from_scratch_and_says_so(
    als_run: DemoRun, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = als_run.outcome.bundle
    job = PlaylistsJob(
        str(als_run.catalog.playlists), str(store), encoder=WORD2VEC, from_bundle=old.bundle_id, max_reject_rate=1.0
    )

    with caplog.at_level(logging.WARNING):
        learned = job.run(PipelineRunner())

    retrained = RetrainJob(str(store), old.bundle_id).run(PipelineRunner())

    assert learned.encoder == WORD2VEC
    assert "start" not in described(store, learned.encoder_id).identity
    assert "rotation_cosine" not in retrained.bundle.codebooks[PLAYLIST]["training"]
    assert retrained.kept[PLAYLIST] is not None
    assert f"the playlist vectors of bundle {old.bundle_id} are of als: word2vec is trained from scratch" in caplog.text


def test_auto_keeps_the_encoder_with_the_higher_mrr_and_compares_once(
    als_run: DemoRun, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    playlists = write_playlists(als_run.catalog, tmp_path / "fewer.jsonl", leave_out=1)
    job = PlaylistsJob(str(playlists), str(store), encoder=AUTO)

    learned = job.run(PipelineRunner())

    assert learned.comparison is not None
    mrr = {name: figures["mrr"] for name, figures in learned.comparison.items()}
    assert mrr.keys() == {WORD2VEC, ALS}
    assert learned.encoder == max(mrr, key=lambda name: mrr[name])
    assert described(store, learned.encoder_id).comparison == learned.comparison
    monkeypatch.setattr(train_vectors, "compare", None)
    assert replace(job.run(PipelineRunner()), trained=True) == learned


def test_auto_without_implicit_is_word2vec(als_run: DemoRun, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als, "is_installed", lambda: False)

    learned = PlaylistsJob(str(als_run.catalog.playlists), str(store), encoder=AUTO).run(PipelineRunner())

    assert (learned.encoder, learned.comparison) == (WORD2VEC, None)


def test_als_without_implicit_is_a_usage_error_before_anything_is_written(
    als_run: DemoRun, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(als, "is_installed", lambda: False)
    catalog = als_run.catalog
    paths = [f"--tracks={catalog.tracks}", f"--playlists={catalog.playlists}", f"--store={tmp_path / 'new'}"]

    result = CliRunner().invoke(main, ["run", *paths, "--playlist-encoder=als"])

    assert result.exit_code == 2
    assert "the playlist encoder als needs implicit, which is not installed" in result.output
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="needs implicit"):
        RefreshJob(source=demo_job(catalog, store).source, store=str(store)).run(PipelineRunner())


@pytest.mark.parametrize("kind", [WORD2VEC, ALS])
def test_tracks_of_isolated_lists_are_counted_and_get_no_vector(
    kind: str, als_run: DemoRun, store: Path, tmp_path: Path
) -> None:
    unlisted = [track for track, code in playlist_codes(als_run.outcome).items() if code is None][:2]
    playlists = write_playlists(als_run.catalog, tmp_path / "more.jsonl", more=(unlisted,))

    learned = PlaylistsJob(str(playlists), str(store), encoder=kind).run(PipelineRunner())

    folder = store / "vectors" / PLAYLIST / learned.encoder_id
    vectors = sum(pq.read_metadata(path).num_rows for path in folder.rglob("*.parquet"))
    assert learned.without_vector == 2
    assert learned.tracks == vectors + learned.without_vector
