"""Evaluation of tokens on held-out playlists."""

import dataclasses
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.support.refreshes import TRACKS, first_job, write_catalog_version
from tests.support.vector_catalog import DIMS, GROUPS, group_vectors
from tracktokens.pipelines.analysis.evaluate import FITTED, NO_ALS, EvaluationOptions, evaluate
from tracktokens.pipelines.analysis.evaluation_scorers import AFFINITY, ALS, ARTIST, EQUAL, GRADED, ITEM_KNN
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import AUDIO, LYRICS, PLAYLIST
from tracktokens.transforms.playlists import als

pytestmark = pytest.mark.job

HELD_OUT = 40


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    catalog = write_catalog_version(folder / "catalog", range(TRACKS), group_vectors(3, DIMS[LYRICS], TRACKS))
    first_job(catalog, folder / "store").run(PipelineRunner())
    return folder / "store"


@pytest.fixture(scope="module")
def held_out(store: Path) -> Path:
    """Playlists of one group each, with an unknown track, and one playlist that is too short."""
    draw = np.random.default_rng(5)
    rows = []
    for number in range(HELD_OUT):
        group = [f"t{n}" for n in draw.permutation(TRACKS) if n % GROUPS == number % GROUPS]
        rows.append([group[0], "unknown", group[0], *group[1:12]])
    table = pa.table({"playlist_id": [f"h{n}" for n in range(len(rows) + 1)], "track_ids": [*rows, ["t1"]]})
    pq.write_table(table, store.parent / "held_out.parquet")
    return store.parent / "held_out.parquet"


def test_tokens_and_vectors_that_know_the_groups_continue_better_than_popularity(store: Path, held_out: Path) -> None:
    found = evaluate(str(store), str(held_out)).qualities
    assert {quality.playlists for quality in found.values()} == {HELD_OUT}
    alone = [f"tokens, {AUDIO} alone", f"tokens, {PLAYLIST} alone", f"vectors, {LYRICS} alone"]
    tries = (AFFINITY, EQUAL, GRADED, ITEM_KNN, "vectors", *alone)
    for name in tries:
        assert found[name].mrr > 2 * max(found["popularity"].mrr, found["random"].mrr), name
        assert found[name].hit_at_100 == 1


def test_modalities_without_codes_are_not_tried(store: Path, held_out: Path) -> None:
    found = evaluate(str(store), str(held_out), EvaluationOptions(vectors=False)).qualities
    assert list(found) == [
        AFFINITY,
        EQUAL,
        GRADED,
        "tokens, playlist alone",
        "tokens, lyrics alone",
        "tokens, audio alone",
        "popularity",
        ARTIST,
        ITEM_KNN,
        *([ALS] if als.is_installed() else []),
        "random",
    ]


def test_popularity_is_the_number_of_training_playlists_whatever_the_catalog_says(store: Path, held_out: Path) -> None:
    training = pq.read_table(store.parent / "catalog" / "playlists.parquet")["track_ids"].to_pylist()
    counts = Counter(track for playlist in training for track in playlist)
    by_count = sorted((f"t{n}" for n in range(TRACKS)), key=lambda track: (-counts[track], -int(track[1:])))
    ranks = []
    for playlist in pq.read_table(held_out)["track_ids"].to_pylist()[:HELD_OUT]:
        known = list(dict.fromkeys(track for track in playlist if track != "unknown"))
        candidates = [track for track in by_count if track not in known[:5]]
        ranks.append(min(candidates.index(track) + 1 for track in known[5:]))
    found = evaluate(str(store), str(held_out), EvaluationOptions(vectors=False)).qualities["popularity"]
    assert found.mrr == pytest.approx(np.mean(1 / np.array(ranks)))
    assert found.standard_errors["mrr"] == pytest.approx(np.std(1 / np.array(ranks), ddof=1) / HELD_OUT**0.5)


def test_ties_are_counted_with_the_best_target(store: Path, held_out: Path) -> None:
    found = evaluate(str(store), str(held_out), EvaluationOptions(vectors=False)).qualities
    assert found["random"].mean_ties == 1
    assert found[EQUAL].median_ties == TRACKS / GROUPS - 5  # the tracks of the seeds' group have the same tokens


def test_weights_are_fitted_on_training_playlists_and_measured_on_all_others(store: Path, held_out: Path) -> None:
    found = evaluate(str(store), str(held_out), EvaluationOptions(fit=True, vectors=False))
    assert found.fitted is not None
    assert max(found.fitted.values()) == 1
    assert found.qualities[FITTED].playlists == HELD_OUT
    assert found == evaluate(str(store), str(held_out), EvaluationOptions(fit=True, vectors=False))


def test_a_release_without_playlists_is_measured_by_its_other_tokens(
    store: Path, held_out: Path, tmp_path: Path
) -> None:
    job = first_job(store.parent / "catalog", tmp_path / "store")
    source = dataclasses.replace(job.source, playlists=None)
    dataclasses.replace(job, source=source).run(PipelineRunner())
    found = evaluate(str(tmp_path / "store"), str(held_out), EvaluationOptions(fit=True))
    assert found.fitted is None
    assert not {ITEM_KNN, f"tokens, {PLAYLIST} alone"} & set(found.qualities)
    assert found.qualities[AFFINITY].mrr > 2 * found.qualities["random"].mrr


def test_a_missing_package_is_reported_in_the_row_of_its_scorer(
    store: Path, held_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(als, "is_installed", lambda: False)
    found = evaluate(str(store), str(held_out), EvaluationOptions(vectors=False))
    assert found.left_out == {ALS: NO_ALS}


def test_playlists_of_which_most_are_lost_are_refused(store: Path, tmp_path: Path) -> None:
    (tmp_path / "lost.jsonl").write_text('{"playlist_id": "a", "track_ids": ["t1", "t2"]}\n{\n{\n')
    with pytest.raises(
        InvalidDataError, match=r"^2 of 3 playlists rejected, .*\(malformed_row 2\).*nothing was measured"
    ):
        evaluate(str(store), str(tmp_path / "lost.jsonl"))
    found = evaluate(str(store), str(tmp_path / "lost.jsonl"), EvaluationOptions(max_reject_rate=0.7, vectors=False))
    assert found.qualities["tokens"].playlists == 1


def test_playlists_of_other_tracks_are_refused(store: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table({"playlist_id": ["a"], "track_ids": [["x", "y"]]}), tmp_path / "other.parquet")
    with pytest.raises(InvalidDataError, match="has two tracks of release"):
        evaluate(str(store), str(tmp_path / "other.parquet"))


def test_the_command_prints_a_table_or_json(store: Path, held_out: Path) -> None:
    options = ["evaluate", "--playlists", str(held_out), "--store", str(store), "--tokens-only"]
    shown = CliRunner().invoke(main, options, env={"COLUMNS": "120"})
    assert shown.exit_code == 0, shown.output
    assert "nDCG@20" in shown.output
    told = json.loads(CliRunner().invoke(main, [*options, "--json", "--fit-weights"]).stdout)
    assert told["qualities"]["tokens"]["playlists"] == HELD_OUT
    assert told["qualities"]["tokens"]["standard_errors"]["mrr"] > 0


def test_a_script_that_shares_no_code_computes_the_same_figures(store: Path, held_out: Path) -> None:
    script = Path(__file__).parents[3] / "benchmarks" / "recompute_evaluate.py"
    assert not re.search(r"^\s*(from|import) tracktokens", script.read_text(), re.MULTILINE)
    command = [sys.executable, str(script), str(store), str(held_out)]
    recomputed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found = evaluate(str(store), str(held_out), EvaluationOptions(vectors=False)).qualities
    assert set(recomputed) == set(found) - {GRADED, ALS, "random"}
    for name, figures in recomputed.items():
        quality = found[name]
        assert figures == pytest.approx(
            {
                "mrr": quality.mrr,
                "hit_at_10": quality.hit_at_10,
                "mrr_error": quality.standard_errors["mrr"],
                "hit_at_10_error": quality.standard_errors["hit_at_10"],
                "median_ties": quality.median_ties,
            }
        ), name
