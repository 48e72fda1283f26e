"""Residual levels and numbers through all jobs: run, refresh, retrain, verify and gc."""

import json
import re
import shutil
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from tokenizers import Tokenizer, decoders, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.support.demo_run import token_table
from tests.support.vector_catalog import CODES, DIMS, GROUPS, group_vectors, job, write_vectors
from tracktokens.codebooks.assign import assign
from tracktokens.codebooks.tokens.vocabulary import vocabulary
from tracktokens.pipelines.analysis.diff import diff_releases
from tracktokens.pipelines.analysis.inspect import Inspector
from tracktokens.pipelines.analysis.match import find_tracks
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.publish import PublishJob, Release
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.retrain import RetrainJob
from tracktokens.pipelines.jobs.run import RunJob, RunResult
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.llm.extend_model import MEAN, apply_vocabulary, read_token_release
from tracktokens.pipelines.llm.render import render_tracks
from tracktokens.pipelines.maintenance.garbage_collection import GcJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO, METADATA, MODALITIES
from tracktokens.schemas.tables.token_changes import CODEBOOK_CHANGED
from tracktokens.schemas.token_format import NUMBER, NUMBERED, FurtherTokens
from tracktokens.serving import CatalogTokens
from tracktokens.transforms.store.bundles import read_bundle, read_manifest
from tracktokens.transforms.store.layout import Store

pytestmark = pytest.mark.job

TRACKS, NEW, GONE = 120, 24, 10
MADE = (METADATA, AUDIO)
LEVEL_CODES = 3
NUMBERS = 64
FURTHER = FurtherTokens(levels={METADATA: (2, LEVEL_CODES)}, numbers=NUMBERS)
COLUMNS = (*MODALITIES, "metadata2", NUMBER)


def write_version(folder: Path, tracks: range) -> None:
    """Write tracks of ``GROUPS`` groups, of which t000 to t063 are 16 songs with four ids each."""
    folder.mkdir()
    ids = [f"t{n:03}" for n in tracks]
    rows = {
        "track_id": ids,
        "title": [song_of(track) for track in ids],
        "artist": ["artist"] * len(ids),
        "popularity": [float(n * 37 % 100) for n in tracks],
    }
    pq.write_table(pa.table(rows), folder / "tracks.parquet")
    for modality in MADE:
        write_vectors(folder / modality / "part.parquet", vectors_of(modality)[tracks.start : tracks.stop], ids)


def song_of(track_id: str) -> str:
    number = int(track_id[1:])
    return f"song {number % 16 if number < 64 else number}"


def vectors_of(modality: str) -> np.ndarray:
    return group_vectors(MODALITIES.index(modality), DIMS[modality], TRACKS + NEW)


def job_of(folder: Path, store: Path, tokens: FurtherTokens = FURTHER) -> RunJob:
    source = job(folder, *MADE, **dict.fromkeys(MADE, "ours")).source
    return RunJob(source=source, store=str(store), codebook_size=CODES, tokens=tokens)


def codes_of(release: str) -> dict[str, tuple[int | None, ...]]:
    """Track id to its codes, in order of column."""
    rows = pq.read_table(f"{release}/tokens").to_pylist()
    return {row["track_id"]: tuple(row[name] for name in COLUMNS) for row in rows}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("further")
    write_version(folder / "first", range(TRACKS))
    write_version(folder / "second", range(GONE, TRACKS + NEW))
    return folder


@pytest.fixture(scope="module")
def first(folder: Path) -> RunResult:
    return job_of(folder / "first", folder / "store").run(PipelineRunner())


@pytest.fixture(scope="module")
def refreshed(folder: Path, first: RunResult) -> RunResult:
    source = job_of(folder / "second", folder / "store").source
    return RefreshJob(source=source, store=str(folder / "store")).run(PipelineRunner())


@pytest.fixture(scope="module")
def retrained(folder: Path, refreshed: RunResult) -> Release:
    """Release of a retrained bundle."""
    store = str(folder / "store")
    bundle_id = RetrainJob(store, refreshed.bundle.bundle_id, seed=1).run(PipelineRunner()).bundle.bundle_id
    TokenizeJob(store, bundle_id).run(PipelineRunner())
    return PublishJob(store, bundle_id).run(PipelineRunner())


def test_a_release_has_a_column_per_level_and_a_number(first: RunResult) -> None:
    table = token_table(first)
    assert [name for name in table.column_names if name in COLUMNS] == list(COLUMNS)
    row = table.to_pylist()[0]
    assert row["tokens"].endswith(f"<|metadata2_{row['metadata2']}|><|n_{row[NUMBER]}|>")
    assert set(table["metadata2"].to_pylist()) == set(range(LEVEL_CODES))


def test_a_level_quantizes_what_the_level_before_leaves(folder: Path, first: RunResult) -> None:
    bundle = read_bundle(Store.open(str(folder / "store")), first.bundle.bundle_id)
    vectors = vectors_of(METADATA)[:TRACKS].astype(np.float16).astype(np.float64)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    left = units - bundle[METADATA].centroids[assign(bundle[METADATA], vectors.astype(np.float16)).codes]
    distances = ((left[:, None] - bundle["metadata2"].centroids[None]) ** 2).sum(axis=2)
    codes = codes_of(first.release.folder)
    column = COLUMNS.index("metadata2")
    assert [codes[f"t{n:03}"][column] for n in range(TRACKS)] == distances.argmin(axis=1).tolist()


def test_songs_with_equal_tokens_have_different_numbers(first: RunResult) -> None:
    songs = defaultdict(set)
    for track, codes in codes_of(first.release.folder).items():
        songs[codes].add(song_of(track))
    assert {len(sharing) for sharing in songs.values()} == {1}


def test_ids_of_a_song_with_equal_tokens_share_a_number(first: RunResult) -> None:
    numbers = defaultdict(set)
    for track, (*codes, number) in codes_of(first.release.folder).items():
        numbers[song_of(track), tuple(codes)].add(number)
    assert {len(different) for different in numbers.values()} == {1}
    assert len(numbers) < TRACKS


def test_the_most_popular_song_of_a_tuple_has_number_0(first: RunResult) -> None:
    codes = codes_of(first.release.folder)
    best: dict[tuple[int | None, ...], str] = {}
    for track in sorted(codes, key=lambda track: (-(int(track[1:]) * 37 % 100), track)):
        best.setdefault(codes[track][:-1], track)
    assert {codes[track][-1] for track in best.values()} == {0}


def test_the_metrics_compare_the_first_tokens_with_all(first: RunResult) -> None:
    metrics = first.release.metrics
    rates = [metrics["prefixes"][name]["tokens"]["conflict_rate"] for name in ("5", "6")]
    groups = Counter(codes_of(first.release.folder).values())
    conflict_rate = sum(count for count in groups.values() if count > 1) / TRACKS
    assert metrics["tokens"]["conflict_rate"] == pytest.approx(conflict_rate)
    assert rates[0] >= rates[1] > conflict_rate
    assert metrics["tokens"]["collision_rate"] == 0
    assert metrics["numbers"] == {"size": NUMBERS, "overflow": 0}


def test_a_refresh_keeps_the_tuples_of_unchanged_tracks(first: RunResult, refreshed: RunResult) -> None:
    before, after = codes_of(first.release.folder), codes_of(refreshed.release.folder)
    kept = before.keys() & after.keys()
    assert len(kept) == TRACKS - GONE
    assert {track: after[track] for track in kept} == {track: before[track] for track in kept}
    assert len(after) == TRACKS + NEW - GONE


def test_new_tracks_get_the_codes_of_a_run_from_scratch(folder: Path, refreshed: RunResult) -> None:
    """The same bundle without a previous release: only numbers depend on the past."""
    store = Path(shutil.copytree(folder / "store", folder / "fresh"))
    shutil.rmtree(store / "releases")
    (store / "LATEST").unlink()
    release = PublishJob(str(store), refreshed.bundle.bundle_id).run(PipelineRunner())
    fresh, after = codes_of(release.folder), codes_of(refreshed.release.folder)
    assert {track: codes[:-1] for track, codes in fresh.items()} == {
        track: codes[:-1] for track, codes in after.items()
    }
    assert Counter(codes[:-1] for codes in fresh.values()) == Counter(codes[:-1] for codes in after.values())


def test_a_retrained_bundle_keeps_its_levels(folder: Path, refreshed: RunResult, retrained: Release) -> None:
    store = Store.open(str(folder / "store"))
    old, new = (read_bundle(store, name) for name in (refreshed.bundle.bundle_id, retrained.manifest.bundle_id))
    assert new.token_format == old.token_format
    assert new["metadata2"].content_hash == old["metadata2"].content_hash
    assert new["metadata"].content_hash != old["metadata"].content_hash
    assert read_manifest(store, new.bundle_id).codebooks["metadata2"]["kept_from"] == old.bundle_id
    diff = diff_releases(store.root, refreshed.release.manifest.release_id, retrained.manifest.release_id)
    assert set(diff.churn.modalities) == set(COLUMNS)
    assert diff.churn.modalities["metadata"].recoded == 0
    assert diff.churn.modalities["metadata2"].recoded < 0.1


def test_codes_and_numbers_change_with_the_codebooks_before_them(retrained: Release) -> None:
    changes = pq.read_table(f"{retrained.folder}/changes").to_pylist()
    assert {row["modality"] for row in changes} <= {"metadata2", NUMBER}
    assert {row["why"] for row in changes} == {CODEBOOK_CHANGED}


def test_a_level_with_codes_to_spare_is_trained_on_more_tracks(folder: Path, tmp_path: Path) -> None:
    write_version(tmp_path / "few", range(GROUPS))
    tokens = FurtherTokens(levels={METADATA: (2, CODES)})
    first = job_of(tmp_path / "few", tmp_path / "store", tokens).run(PipelineRunner())
    EmbedJob(source=job_of(folder / "first", tmp_path / "store").source, store=str(tmp_path / "store")).run(
        PipelineRunner()
    )
    bundle_id = RetrainJob(str(tmp_path / "store"), first.bundle.bundle_id).run(PipelineRunner()).bundle.bundle_id
    store = Store.open(str(tmp_path / "store"))
    sizes = [read_bundle(store, name)["metadata2"].num_centroids for name in (first.bundle.bundle_id, bundle_id)]
    assert sizes[0] < sizes[1] == CODES


def test_each_id_has_a_number_of_its_own_if_wanted(folder: Path) -> None:
    tokens = replace(FURTHER, same_song=NUMBERED)
    outcome = job_of(folder / "first", folder / "numbered", tokens).run(PipelineRunner())
    assert max(Counter(codes_of(outcome.release.folder).values()).values()) == 1
    assert outcome.release.metrics["oracle"]["every_track"]["mrr"] == 1


def test_too_few_numbers_are_reported(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = replace(FURTHER, numbers=1)
    outcome = job_of(folder / "first", folder / "few", tokens).run(PipelineRunner())
    overflow = outcome.release.metrics["numbers"]["overflow"]
    assert overflow > 0
    assert f"{overflow} tracks share the last number" in caplog.text


def test_a_run_without_the_options_keeps_levels_and_numbers(folder: Path, retrained: Release) -> None:
    store = Path(shutil.copytree(folder / "store", folder / "again"))
    outcome = job_of(folder / "first", store, FurtherTokens()).run(PipelineRunner())
    assert outcome.bundle.bundle_id == retrained.manifest.bundle_id


def test_the_store_is_sound_and_gc_keeps_what_releases_need(folder: Path, retrained: Release) -> None:
    store = Path(shutil.copytree(folder / "store", folder / "collected"))
    assert verify_store(str(store), PipelineRunner()) == []
    GcJob(str(store), 1, (), True).run(PipelineRunner())
    assert verify_store(str(store), PipelineRunner()) == []
    assert {path.name for path in (store / "codes" / retrained.manifest.bundle_id).iterdir()} >= {"metadata2"}
    assert [path.name for path in (store / "releases").iterdir()] == [retrained.manifest.release_id]


def test_a_number_that_does_not_exist_is_found(folder: Path, first: RunResult) -> None:
    store = Path(shutil.copytree(folder / "store", folder / "damaged"))
    part = next((store / "releases" / first.release.manifest.release_id / "tokens").iterdir())
    table = pq.read_table(part)
    column = table.schema.get_field_index(NUMBER)
    damaged = pa.array(np.full(table.num_rows, NUMBERS, np.int16))
    pq.write_table(table.set_column(column, table.schema.field(column), damaged), part)
    found = [finding.problem for finding in verify_store(str(store), PipelineRunner())]
    assert any("n codes that the codebook does not have" in problem for problem in found)


def test_every_reader_of_tokens_knows_them(folder: Path, refreshed: RunResult, tmp_path: Path) -> None:
    store, release = str(folder / "store"), refreshed.release.manifest.release_id
    rows = {row["track_id"]: row["tokens"] for row in token_table(refreshed).to_pylist()}
    written = rows["t070"]
    found = find_tracks(store, written, release).tracks
    assert (found[0].track_id, found[0].score) == ("t070", 1)
    assert found[1].score < 1
    assert CatalogTokens.open(refreshed.release.folder).lookup(written) == ["t070"]
    render_tracks(store, str(tmp_path / "tracks.jsonl"), release)
    lines = map(json.loads, (tmp_path / "tracks.jsonl").read_text().splitlines())
    completions = [line["completion"][0]["content"] for line in lines]
    assert sorted(text.removeprefix("<|track|>").removesuffix("<|/track|>") for text in completions) == sorted(
        rows.values()
    )
    view = Inspector(Store.open(store), refreshed.bundle.bundle_id, "metadata2").code(1)
    of_code = [
        track for track, codes in codes_of(refreshed.release.folder).items() if codes[COLUMNS.index("metadata2")] == 1
    ]
    assert view.summary.tracks == len(of_code)
    assert {track.track_id for track in view.nearest_tracks} <= set(of_code)


def test_playlists_are_continued_by_the_five_tokens(folder: Path, refreshed: RunResult, tmp_path: Path) -> None:
    lists = [[f"t{n:03}" for n in range(64 + group, TRACKS, GROUPS)] for group in range(GROUPS)]
    table = pa.table({"playlist_id": [f"p{group}" for group in range(GROUPS)], "track_ids": lists})
    pq.write_table(table, tmp_path / "playlists.parquet")
    arguments = ["--playlists", str(tmp_path / "playlists.parquet"), "--store", str(folder / "store")]
    release = ["--release", refreshed.release.manifest.release_id]
    result = CliRunner().invoke(main, ["evaluate", *arguments, *release, "--tokens-only", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["qualities"]["tokens"]["hit_at_100"] == 1


def test_a_language_model_gets_a_row_per_token(first: RunResult) -> None:
    words = Tokenizer(models.BPE({"a": 0}, []))
    words.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    settings = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**settings, vocab_size=8))
    applied = apply_vocabulary(model, tokenizer, read_token_release(first.release.folder), MEAN)
    assert len(applied.ids) == len(MODALITIES) * (CODES + 1) + 2 + LEVEL_CODES + 1 + NUMBERS
    for tokens in token_table(first)["tokens"].to_pylist():
        ids = tokenizer.encode(f"<|track|>{tokens}<|/track|>", add_special_tokens=False)
        assert len(ids) == len(COLUMNS) + 2
        assert tokenizer.decode(ids) == f"<|track|>{tokens}<|/track|>"


def test_decoding_reaches_each_tuple_with_its_levels_and_number(first: RunResult) -> None:
    tokens = CatalogTokens.open(first.release.folder)
    names = [entry.token for entry in vocabulary(first.bundle.token_format)]
    ids = {name: number for number, name in enumerate(names)}
    constraint = tokens.constraint(ids)
    text = token_table(first)["tokens"].to_pylist()[0]
    prompt = [ids["<|track|>"]]
    for name in re.findall(r"<\|[^|]*\|>", text):
        scores = constraint(torch.tensor([prompt]), torch.zeros(1, len(ids)))
        assert torch.isfinite(scores[0, ids[name]])
        prompt.append(ids[name])
    scores = constraint(torch.tensor([prompt]), torch.zeros(1, len(ids)))
    assert torch.isfinite(scores[0]).nonzero().flatten().tolist() == [ids["<|/track|>"]]
