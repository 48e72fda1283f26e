"""The main job, end to end, on the demo catalog."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import normalized_mutual_info_score

from tests.support.demo_run import CODES, DemoRun, demo_job, token_table
from tracktokens.pipelines.analysis.examples import examples
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs.publish import PublishJob
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.modalities import CONTENT_MODALITIES, MODALITIES
from tracktokens.schemas.tables.rejects import REJECTS
from tracktokens.schemas.tables.tokens import TOKENS
from tracktokens.transforms.store.bundles import read_codebook
from tracktokens.transforms.store.layout import Store

pytestmark = pytest.mark.job


def test_every_row_is_in_the_table_or_in_the_rejects(demo_run: DemoRun) -> None:
    lines = demo_run.catalog.tracks.read_bytes().splitlines()
    rows = demo_run.outcome.release.manifest.rows
    assert rows["read"] == len(lines)
    assert rows["read"] == rows["published"] + rows["rejected"]
    assert token_table(demo_run.outcome).num_rows == rows["published"]


def test_the_rejects_are_those_that_the_demo_was_spoiled_for(demo_run: DemoRun) -> None:
    found = pq.read_table(f"{demo_run.outcome.release.folder}/rejects")
    assert found.schema.equals(REJECTS)
    decided = [row for row in found.to_pylist() if row["track_id"] not in demo_run.catalog.undecided_ids]
    expected = Counter((reject.table, reject.reason) for reject in demo_run.catalog.expected_rejects)
    assert Counter((row["table"], row["reason"]) for row in decided) == expected
    named = {(reject.track_id, reject.reason) for reject in demo_run.catalog.expected_rejects if reject.track_id}
    assert {(row["track_id"], row["reason"]) for row in decided if row["track_id"]} >= named


def test_a_track_with_bad_audio_keeps_its_other_tokens(demo_run: DemoRun) -> None:
    table = {row["track_id"]: row for row in token_table(demo_run.outcome).to_pylist()}
    rejects = pq.read_table(f"{demo_run.outcome.release.folder}/rejects").to_pylist()
    silenced = [row["track_id"] for row in rejects if row["modality"] == "audio"]
    assert len(silenced) >= 4
    for track_id in silenced:
        assert table[track_id]["audio"] is None
        assert table[track_id]["tokens"].endswith("<|audio_none|>")
        assert table[track_id]["metadata"] is not None


def test_the_table_has_the_documented_columns_and_order(demo_run: DemoRun) -> None:
    outcome = demo_run.outcome
    for path in sorted(Path(outcome.release.folder, "tokens").glob("*.parquet")):
        part = pq.read_table(path)
        assert part.schema.equals(TOKENS)
        assert part.schema.metadata[b"tracktokens.bundle"].decode() == outcome.bundle.bundle_id
        assert part["track_id"].to_pylist() == sorted(part["track_id"].to_pylist())


def test_tokens_spell_the_codes(demo_run: DemoRun) -> None:
    for row in token_table(demo_run.outcome).to_pylist():
        codes = ((name, "none" if row[name] is None else row[name]) for name in MODALITIES)
        assert row["tokens"] == "".join(f"<|{name}_{code}|>" for name, code in codes)


def test_other_tools_read_the_table(demo_run: DemoRun) -> None:
    outcome = demo_run.outcome
    pattern = f"{outcome.release.folder}/tokens/*.parquet"
    [(rows, with_audio)] = duckdb.sql(f"SELECT count(*), count(audio) FROM '{pattern}'").fetchall()  # noqa: S608
    assert rows == outcome.release.manifest.rows["published"]
    frame = pd.read_parquet(f"{outcome.release.folder}/tokens")
    assert frame["audio"].notna().sum() == with_audio == outcome.release.metrics["modalities"]["audio"]["tracks"]


def test_the_vocabulary_pack_belongs_to_the_table(demo_run: DemoRun) -> None:
    folder = Path(demo_run.outcome.release.folder, "vocabulary")
    listing = json.loads((folder / "tokens.json").read_text())
    assert listing["format"] == 1
    assert listing["bundle"] == demo_run.outcome.bundle.bundle_id
    assert len(listing["tokens"]) == 5 * CODES + 7
    assert listing["tokens"][CODES] == {"token": "<|tags_0|>", "modality": "tags", "code": 0}
    assert list(json.loads((folder / "added_tokens.json").read_text())) == [row["token"] for row in listing["tokens"]]
    centroids = load_file(folder / "centroids.safetensors")
    assert {name: len(rows) for name, rows in centroids.items()} == dict.fromkeys(MODALITIES, CODES)


def test_latest_names_a_release_whose_files_match_its_manifest(demo_run: DemoRun) -> None:
    release_id = (demo_run.store / "LATEST").read_text().strip()
    folder = demo_run.store / "releases" / release_id
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    assert {"metrics.json", "report.html", "vocabulary/tokens.json"} < files
    assert all((folder / name).stat().st_size == manifest["files"][name]["bytes"] for name in files)


def test_only_descriptors_are_standardised_as_their_encoder_manifest_states(demo_run: DemoRun) -> None:
    store, bundle = Store.open(str(demo_run.store)), demo_run.outcome.bundle
    described = {m: store.read_encoder(m, encoder_id).standardize for m, encoder_id in bundle.encoders.items()}
    assert described == {modality: modality == "audio" for modality in MODALITIES}
    for modality in MODALITIES:
        preprocessing = read_codebook(store, bundle.bundle_id, modality).preprocessing
        assert (preprocessing.mean is not None) == described[modality]


def nmi(table: pd.DataFrame, truth: pd.DataFrame, modality: str, label: str) -> float:
    joined = table.dropna(subset=[modality]).merge(truth, on="track_id")
    return float(normalized_mutual_info_score(joined[label], joined[modality]))


@pytest.mark.parametrize(("modality", "label"), [("audio", "genre"), ("playlist", "cluster")])
def test_tokens_know_what_is_true_of_the_demo(demo_run: DemoRun, modality: str, label: str) -> None:
    table = token_table(demo_run.outcome).to_pandas()
    truth = pd.read_parquet(demo_run.catalog.truth)
    shuffled = table.assign(**{modality: np.random.default_rng(0).permutation(table[modality].to_numpy())})
    known, chance = nmi(table, truth, modality, label), nmi(shuffled, truth, modality, label)
    print(f"normalised mutual information of {modality} token and {label}: {known:.2f}, shuffled {chance:.2f}")
    assert known > 0.6
    assert chance < 0.35


def test_a_second_run_encodes_nothing_and_gives_the_same_table(demo_run: DemoRun) -> None:
    again = demo_job(demo_run.catalog, demo_run.store).run(PipelineRunner())
    assert dict(again.catalog.encoded) == dict.fromkeys(CONTENT_MODALITIES, 0)
    assert again.bundle.bundle_id == demo_run.outcome.bundle.bundle_id
    assert again.release.manifest.release_id != demo_run.outcome.release.manifest.release_id
    assert token_table(again).equals(token_table(demo_run.outcome))


def test_examples_that_sound_alike_have_nothing_else_in_common(demo_run: DemoRun) -> None:
    found = examples(Store.open(str(demo_run.store)))
    assert len(found.complete) == 3
    assert len({row["artist"] for row in found.complete}) == 3
    assert len(found.sound_alike) == 3
    assert len({row["audio"] for row in found.sound_alike}) == 1
    for modality in ("playlist", "tags", "metadata", "lyrics", "artist"):
        assert len({row[modality] for row in found.sound_alike}) == 3


def test_without_playlists_and_audio_those_tokens_are_none_and_their_codes_stay_reserved(
    demo_run: DemoRun, tmp_path: Path
) -> None:
    source = CatalogSource(tracks=str(demo_run.catalog.tracks))
    outcome = RunJob(source=source, store=str(tmp_path / "store"), codebook_size=CODES).run(PipelineRunner())
    table = token_table(outcome)
    for modality in ("playlist", "audio"):
        assert table[modality].null_count == table.num_rows
        assert outcome.bundle.codebooks[modality]["centroids"] == 0
    assert table["tags"].equals(token_table(demo_run.outcome)["tags"])
    listing = json.loads(Path(outcome.release.folder, "vocabulary", "tokens.json").read_text())
    assert len(listing["tokens"]) == 5 * CODES + 7


def test_a_run_without_audio_keeps_the_audio_codebook_for_the_next_one(demo_run: DemoRun, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(demo_run.store, store)
    job = demo_job(demo_run.catalog, store)
    without_audio = replace(job, source=replace(job.source, audio_root=None))
    with pytest.raises(
        InvalidDataError, match=r"^no value is left of what release .* had: audio tokens \(191\)\. Check"
    ):
        without_audio.run(PipelineRunner())
    accepted = replace(without_audio, source=replace(without_audio.source, max_removed=1.0))
    silent = accepted.run(PipelineRunner())
    assert token_table(silent)["audio"].null_count == silent.release.manifest.rows["published"]
    assert silent.bundle.bundle_id == demo_run.outcome.bundle.bundle_id
    assert token_table(job.run(PipelineRunner())).equals(token_table(demo_run.outcome))


def test_other_playlists_change_the_playlist_codebook_and_no_other(demo_run: DemoRun, tmp_path: Path) -> None:
    store, playlists = tmp_path / "store", tmp_path / "playlists.jsonl"
    shutil.copytree(demo_run.store, store)
    playlists.write_bytes(b"\n".join(demo_run.catalog.playlists.read_bytes().splitlines()[:100]))
    job = demo_job(demo_run.catalog, store)
    source = replace(job.source, playlists=str(playlists))
    snapshots, vectors = ({*store.glob(name)} for name in ("catalogs/*/playlists*", "vectors/playlist/*"))
    with pytest.raises(UsageError, match=r"playlist: its encoder changed.* would change their meaning"):
        replace(job, source=source).run(PipelineRunner())
    assert {*store.glob("vectors/playlist/*")} == vectors  # refused before the training
    assert {*store.glob("catalogs/*/playlists*")} == snapshots
    outcome = replace(job, source=source, new_vocabulary=True).run(PipelineRunner())
    before = demo_run.outcome.bundle
    kept = {modality for modality, entry in outcome.bundle.codebooks.items() if entry["kept_from"] == before.bundle_id}
    assert kept == set(CONTENT_MODALITIES)
    assert outcome.bundle.parent == before.bundle_id
    assert outcome.bundle.codebooks["playlist"]["content_hash"] != before.codebooks["playlist"]["content_hash"]
    old, new = token_table(demo_run.outcome), token_table(outcome)
    assert all(new[modality].equals(old[modality]) for modality in CONTENT_MODALITIES)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_record_file_is_refused_by_name_from_any_process(
    demo_run: DemoRun, tmp_path: Path, workers: int
) -> None:
    store = tmp_path / "store"
    shutil.copytree(demo_run.store, store)
    damaged = next(store.glob("codes/*/lyrics/bucket=0000/*.parquet"))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    job = PublishJob(str(store), demo_run.outcome.bundle.bundle_id)
    before = (store / "LATEST").read_text()
    with pytest.raises(InvalidDataError, match=rf"{damaged.name} cannot be read.*remove or restore the file$"):
        job.run(PipelineRunner(workers=workers))
    assert (store / "LATEST").read_text() == before


def test_a_codebook_of_another_encoder_is_refused(demo_run: DemoRun, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(demo_run.store, store)
    manifest = store / "catalogs" / demo_run.outcome.catalog.catalog_id / "catalog.json"
    manifest.write_text(manifest.read_text().replace(demo_run.outcome.catalog.encoders["audio"], "0123456789ab"))
    job = TokenizeJob(str(store), demo_run.outcome.bundle.bundle_id, demo_run.outcome.catalog.catalog_id)
    with pytest.raises(InvalidDataError, match=r"trained on audio encoder .* has vectors of 0123456789ab"):
        job.run(PipelineRunner())
