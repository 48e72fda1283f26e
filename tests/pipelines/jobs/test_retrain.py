"""Retraining: tokens keep their meaning, and the report shows which do not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.demo_run import DemoRun, token_table
from tests.support.vector_catalog import CODES, DIMS, GROUPS, group_vectors, job, write_catalog, write_vectors
from tracktokens.pipelines.analysis.atlas.changes import retraining_changes
from tracktokens.pipelines.analysis.atlas.source import AtlasSource
from tracktokens.pipelines.analysis.diff import Diff, diff_releases
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.playlist_vectors import PlaylistsJob
from tracktokens.pipelines.jobs.publish import PublishJob
from tracktokens.pipelines.jobs.retrain import RetrainJob, RetrainResult
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.jobs.train import TrainJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.modalities import AUDIO, METADATA, MODALITIES, PLAYLIST, TAGS
from tracktokens.transforms.playlists.word2vec import Word2VecConfig
from tracktokens.transforms.store.bundles import read_bundle
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.releases import published_release

pytestmark = pytest.mark.job

IDS = dict.fromkeys(MODALITIES, "made-by-us")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunResult]:
    """A catalog of 360 tracks, and its first release."""
    folder = write_catalog(tmp_path_factory.mktemp("first"), 360)
    return folder, job(folder, *MODALITIES, **IDS).run(PipelineRunner())


@pytest.fixture
def first(made: tuple[Path, RunResult], tmp_path: Path) -> tuple[Path, RunResult]:
    """A copy of the catalog and store, which a test may change."""
    shutil.copytree(made[0], tmp_path / "catalog")
    return tmp_path / "catalog", made[1]


def scan(folder: Path, **ids: str) -> None:
    run = job(folder, *MODALITIES, **{**IDS, **ids})
    EmbedJob(source=run.source, store=run.store).run(PipelineRunner())


def publish(store: Path, bundle_id: str, max_churn: float | None = None, new_vocabulary: bool = False) -> str:
    TokenizeJob(str(store), bundle_id).run(PipelineRunner())
    job = PublishJob(str(store), bundle_id, max_churn=max_churn, new_vocabulary=new_vocabulary)
    return job.run(PipelineRunner()).manifest.release_id


def retrain(store: Path, outcome: RunResult) -> tuple[RetrainResult, Diff]:
    retrained = RetrainJob(str(store), outcome.bundle.bundle_id).run(PipelineRunner())
    release = publish(store, retrained.bundle.bundle_id)
    return retrained, diff_releases(str(store), outcome.release.manifest.release_id, release)


def recoded(diff: Diff) -> dict[str, float | None]:
    return {modality: churn.recoded for modality, churn in diff.churn.modalities.items()}


def test_tokens_stay_when_a_catalog_has_grown(first: tuple[Path, RunResult]) -> None:
    folder, outcome = first
    write_catalog(folder)
    scan(folder)
    retrained, diff = retrain(folder / "store", outcome)
    assert retrained.bundle.parent == outcome.bundle.bundle_id
    assert retrained.bundle.bundle_id != outcome.bundle.bundle_id
    assert diff.churn.tracks == 360
    assert recoded(diff) == dict.fromkeys(MODALITIES, 0.0)
    assert dict(retrained.kept) == dict.fromkeys(MODALITIES, 1.0)


def turn(vectors: np.ndarray) -> np.ndarray:
    """A different encoder: the same neighbourhoods in a randomly rotated space."""
    dim = vectors.shape[1]
    turned, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((dim, dim)))
    return (vectors @ turned).astype(np.float32)


def test_tokens_stay_though_the_encoder_is_another(first: tuple[Path, RunResult]) -> None:
    folder, outcome = first
    write_vectors(folder / AUDIO / "part.parquet", turn(group_vectors(4, DIMS[AUDIO])[:360]))
    scan(folder, audio="another")
    retrained, diff = retrain(folder / "store", outcome)
    assert recoded(diff)[AUDIO] == 0
    assert retrained.kept[AUDIO] == 1
    assert (retrained.kept_without[AUDIO] or 0) < 0.9
    assert diff.moved[AUDIO] is None
    assert diff.moved[TAGS] == ()


def test_the_jobs_count_of_kept_codes_matches_the_releases(first: tuple[Path, RunResult]) -> None:
    folder, outcome = first
    mixed = group_vectors(4, DIMS[AUDIO])[:360]
    mixed[::9] = group_vectors(4, DIMS[AUDIO])[1:361:9]  # every ninth track moves to the next group
    write_vectors(folder / AUDIO / "part.parquet", mixed)
    scan(folder)
    retrained, diff = retrain(folder / "store", outcome)
    assert recoded(diff)[AUDIO] == pytest.approx(40 / 360)
    assert retrained.kept[AUDIO] == pytest.approx(320 / 360)
    store = Store.open(str(folder / "store"))
    changes = retraining_changes(AtlasSource.published(store, published_release(store)))
    assert list(changes) == [AUDIO]
    assert [flow.tracks for flow in changes[AUDIO].flows] == [5] * GROUPS  # of each group to the next
    assert (
        {flow.old for flow in changes[AUDIO].flows} == {flow.new for flow in changes[AUDIO].flows} == set(range(GROUPS))
    )
    assert len(diff.churn.worst) == 40
    most_popular = diff.churn.worst[0]
    assert (most_popular.track_id, most_popular.modalities) == ("t351", (AUDIO,))
    assert diff.names["t351"] == "song 351 - artist 117"
    weights = np.arange(360)
    assert diff.churn.modalities[AUDIO].churn_by_popularity == pytest.approx(weights[::9].sum() / weights.sum())


def test_playlists_are_retrained_in_the_old_space(demo_run: DemoRun, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(demo_run.store, store)
    lines = demo_run.catalog.playlists.read_text().splitlines()
    (tmp_path / "playlists.jsonl").write_text("\n".join(lines[:-3]) + "\n")
    PlaylistsJob(str(tmp_path / "playlists.jsonl"), str(store)).run(PipelineRunner())
    retrained, diff = retrain(store, demo_run.outcome)
    entry = retrained.bundle.codebooks[PLAYLIST]
    assert entry["encoder_id"] != demo_run.outcome.bundle.encoders[PLAYLIST]
    assert entry["training"]["rotation_cosine"] > 0.8
    assert 1 - (recoded(diff)[PLAYLIST] or 0) == pytest.approx(retrained.kept[PLAYLIST])
    plain = TrainJob(str(store), demo_run.outcome.bundle.codebook_size).run(PipelineRunner())
    anew = diff_releases(str(store), diff.old, publish(store, plain.bundle_id))
    assert (recoded(diff)[PLAYLIST] or 0) < (recoded(anew)[PLAYLIST] or 0) / 2


def test_playlist_vectors_that_start_from_a_bundle_keep_codes_without_a_rotation(
    demo_run: DemoRun, tmp_path: Path
) -> None:
    store, old = tmp_path / "store", demo_run.outcome.bundle
    shutil.copytree(demo_run.store, store)
    lines = demo_run.catalog.playlists.read_text().splitlines()
    (tmp_path / "playlists.jsonl").write_text("\n".join(lines[:-3]) + "\n")
    learn = PlaylistsJob(str(tmp_path / "playlists.jsonl"), str(store), from_bundle=old.bundle_id)
    learned = learn.run(PipelineRunner())
    retrained, diff = retrain(store, demo_run.outcome)
    entry = retrained.bundle.codebooks[PLAYLIST]
    identity = Store.open(str(store)).read_encoder(PLAYLIST, learned.encoder_id).identity
    assert identity["start"]["encoder_id"] == old.encoders[PLAYLIST]
    assert entry["encoder_id"] == learned.encoder_id != old.encoders[PLAYLIST]
    assert "rotation_cosine" not in entry["training"]
    assert (recoded(diff)[PLAYLIST] or 0) < 0.1
    again = learn.run(PipelineRunner())
    assert (again.encoder_id, again.trained) == (learned.encoder_id, False)


def test_precomputed_vectors_cannot_be_a_warm_start(first: tuple[Path, RunResult], demo_run: DemoRun) -> None:
    folder, outcome = first
    tracks = [f"t{number}" for number in range(2)]
    (folder / "playlists.jsonl").write_text(json.dumps({"playlist_id": "p", "track_ids": tracks}) + "\n")
    modalities = [modality for modality in MODALITIES if modality != PLAYLIST]
    run = job(folder, *modalities, **{modality: IDS[modality] for modality in modalities})
    EmbedJob(source=run.source, store=run.store).run(PipelineRunner())
    learn = PlaylistsJob(str(folder / "playlists.jsonl"), run.store, from_bundle=outcome.bundle.bundle_id)
    with pytest.raises(UsageError, match="are precomputed embeddings"):
        learn.run(PipelineRunner())


def test_a_bundle_without_playlist_vectors_cannot_be_a_warm_start(tmp_path: Path) -> None:
    run = job(write_catalog(tmp_path, 60), TAGS, **{TAGS: IDS[TAGS]})
    bundle_id = run.run(PipelineRunner()).bundle.bundle_id
    (tmp_path / "playlists.jsonl").write_text(json.dumps({"playlist_id": "p", "track_ids": ["t1", "t2"]}) + "\n")
    with pytest.raises(UsageError, match=f"bundle {bundle_id} has no playlist vectors"):
        PlaylistsJob(str(tmp_path / "playlists.jsonl"), run.store, from_bundle=bundle_id).run(PipelineRunner())


def test_vectors_of_different_dimensions_cannot_be_a_warm_start(demo_run: DemoRun) -> None:
    bundle_id = demo_run.outcome.bundle.bundle_id
    playlists = str(demo_run.catalog.playlists)
    learn = PlaylistsJob(playlists, str(demo_run.store), config=Word2VecConfig(dim=8), from_bundle=bundle_id)
    with pytest.raises(UsageError, match="have 64 dimensions, new ones 8"):
        learn.run(PipelineRunner())


def test_a_bundle_that_was_never_published_has_no_tokens_to_keep(first: tuple[Path, RunResult]) -> None:
    folder, _ = first
    other = TrainJob(str(folder / "store"), CODES, seed=3).run(PipelineRunner())
    with pytest.raises(UsageError, match=f"has no release {other.bundle_id}, and no release of a bundle"):
        RetrainJob(str(folder / "store"), other.bundle_id).run(PipelineRunner())


def test_nothing_is_published_past_the_bound_of_churn(first: tuple[Path, RunResult]) -> None:
    folder, outcome = first
    mixed = group_vectors(4, DIMS[AUDIO])[:360]
    mixed[::9] = group_vectors(4, DIMS[AUDIO])[1:361:9]
    write_vectors(folder / AUDIO / "part.parquet", mixed)
    scan(folder)
    latest = (folder / "store" / "LATEST").read_text()
    with pytest.raises(InvalidDataError, match=r"11\.11% of the audio tokens would change .* more than 10\.00%"):
        publish(folder / "store", outcome.bundle.bundle_id, max_churn=0.1)
    assert (folder / "store" / "LATEST").read_text() == latest
    with pytest.raises(UsageError, match="has no release"):
        diff_releases(str(folder / "store"), latest.strip(), "nothing")
    publish(folder / "store", outcome.bundle.bundle_id, max_churn=0.12)
    assert (folder / "store" / "LATEST").read_text() != latest


def test_a_vocabulary_of_another_size_is_past_every_bound(first: tuple[Path, RunResult]) -> None:
    folder, _ = first
    smaller = TrainJob(str(folder / "store"), CODES // 2).run(PipelineRunner())
    with pytest.raises(InvalidDataError, match="8 codes per modality, this one 4: every token gets another id"):
        publish(folder / "store", smaller.bundle_id, max_churn=1.0, new_vocabulary=True)
    with pytest.raises(UsageError, match="--new-vocabulary"):
        publish(folder / "store", smaller.bundle_id)
    release = publish(folder / "store", smaller.bundle_id, new_vocabulary=True)
    with pytest.raises(InvalidDataError, match="different sizes cannot be compared"):
        diff_releases(str(folder / "store"), first[1].release.manifest.release_id, release)


def test_a_token_table_of_another_bundle_is_refused(first: tuple[Path, RunResult]) -> None:
    folder, outcome = first
    other = TrainJob(str(folder / "store"), CODES, seed=3).run(PipelineRunner())
    release = publish(folder / "store", other.bundle_id)
    old = outcome.release.manifest.release_id
    for part in (folder / "store" / "releases" / old / "tokens").glob("*.parquet"):
        shutil.copy(part, folder / "store" / "releases" / release / "tokens" / part.name)
    with pytest.raises(InvalidDataError, match=f"has codes of bundle {outcome.bundle.bundle_id}, its release has"):
        diff_releases(str(folder / "store"), old, release)


def test_a_retrained_codebook_of_equal_size_in_the_place_of_another_is_refused(first: tuple[Path, RunResult]) -> None:
    folder, outcome = first
    store = Store.open(str(folder / "store"))
    other = TrainJob(store.root, CODES, seed=3).run(PipelineRunner())
    mine, others = Path(store.bundle(outcome.bundle.bundle_id).folder), Path(store.bundle(other.bundle_id).folder)
    shutil.copy(others / "audio.safetensors", mine / "audio.safetensors")
    with pytest.raises(InvalidDataError, match=r"audio\.safetensors has the hash .*, its manifest has"):
        read_bundle(store, outcome.bundle.bundle_id)
    for path in others.iterdir():
        shutil.copy(path, mine / path.name)
    with pytest.raises(InvalidDataError, match=f"contains bundle {other.bundle_id}: the bundle was replaced"):
        read_bundle(store, outcome.bundle.bundle_id)


def test_vectors_of_another_encoder_revision_are_refused(first: tuple[Path, RunResult]) -> None:
    folder, outcome = first
    scan(folder, audio="revision-2")
    with pytest.raises(InvalidDataError, match="was trained on audio encoder"):
        TokenizeJob(str(folder / "store"), outcome.bundle.bundle_id).run(PipelineRunner())


def call(*arguments: object) -> str:
    result = CliRunner(env={"COLUMNS": "160"}).invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_inspect_describes_a_code_in_words(made: tuple[Path, RunResult]) -> None:
    folder, outcome = made
    store, bundle = folder / "store", outcome.bundle.bundle_id
    table = token_table(outcome).to_pylist()
    code = next(row[METADATA] for row in table if row["track_id"] == "t3")
    report = call("inspect", bundle, METADATA, code, "--store", store)
    assert f"<|metadata_{code}|>: {360 // GROUPS} tracks, 12.50% of those with this modality" in report
    assert "most distinctive terms: group3" in report
    nearest = [line for line in report.splitlines() if " - artist " in line]
    assert len(nearest) == 10
    assert all(int(line.split("song ")[1].split()[0]) % GROUPS == 3 for line in nearest)
    codes = call("inspect", bundle, METADATA, "--store", store)
    assert all(f"group{group}" in codes for group in range(GROUPS))
    assert "all" not in codes.replace("--store", "").split()
    overview = call("inspect", bundle, "--store", store)
    assert all(modality in overview for modality in MODALITIES)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [(["sound"], "sound is not one of playlist, tags"), ([AUDIO, "8"], "the codes 0 to 7, not 8")],
)
def test_inspect_refuses_what_is_not_there(made: tuple[Path, RunResult], arguments: list[str], fault: str) -> None:
    folder, outcome = made
    command = ["inspect", outcome.bundle.bundle_id, *arguments, "--store", str(folder / "store")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert fault in result.stderr


def test_diff_prints_a_table_and_json(first: tuple[Path, RunResult]) -> None:
    folder, outcome = first
    old = outcome.release.manifest.release_id
    new = publish(folder / "store", outcome.bundle.bundle_id)
    found = json.loads(call("diff", old, new, "--store", folder / "store", "--json"))
    assert found["churn"]["tracks"] == 360
    assert found["churn"]["changed_tracks"] == 0
    assert "0 of 360 common tracks have changed tokens" in call("diff", old, new, "--store", folder / "store")


def test_a_release_reports_the_quality_of_its_tokens(made: tuple[Path, RunResult]) -> None:
    metrics = made[1].release.metrics
    assert metrics["tokens"]["tracks"] == 360
    assert metrics["tokens"]["distinct_tuples"] == GROUPS
    assert metrics["tokens"]["collision_rate"] == 1
    harmonic = sum(1 / rank for rank in range(1, 46)) / 45  # 45 tracks of a group have the same tokens
    assert metrics["oracle"]["every_track"]["mrr"] == pytest.approx(harmonic)
    assert metrics["oracle"]["every_track"]["hit_at_10"] == pytest.approx(10 / 45)
    for modality in MODALITIES:
        quality = metrics["modalities"][modality]
        assert quality["perplexity"] == pytest.approx(8)
        assert quality["dead_codes"] == 0
        assert quality["explained_variance"] > 0.99
        assert quality["neighbours"]["same_code"] == 1
        assert quality["neighbours"]["recall"] == pytest.approx(10 / 44)
