"""Evaluation of tokens on held-out playlists."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.support.refreshes import TRACKS, first_job, write_catalog_version
from tests.support.vector_catalog import DIMS, GROUPS, group_vectors
from tracktokens.pipelines.analysis.evaluate import FITTED, EvaluationOptions, evaluate
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import AUDIO, LYRICS, PLAYLIST

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
    tries = ("tokens", f"tokens, {AUDIO} alone", f"tokens, {PLAYLIST} alone", "vectors", f"vectors, {LYRICS} alone")
    for name in tries:
        assert found[name].mrr > 2 * max(found["popularity"].mrr, found["random"].mrr), name
        assert found[name].hit_at_100 == 1


def test_modalities_without_codes_are_not_tried(store: Path, held_out: Path) -> None:
    found = evaluate(str(store), str(held_out), EvaluationOptions(vectors=False)).qualities
    assert list(found) == [
        "tokens",
        "tokens, playlist alone",
        "tokens, lyrics alone",
        "tokens, audio alone",
        "popularity",
        "random",
    ]


def test_weights_are_fitted_on_one_half_and_measured_on_the_other(store: Path, held_out: Path) -> None:
    found = evaluate(str(store), str(held_out), EvaluationOptions(fit=True, vectors=False))
    assert found.fitted is not None
    assert max(found.fitted.values()) == 1
    assert found.qualities[FITTED].playlists == HELD_OUT // 2
    assert found == evaluate(str(store), str(held_out), EvaluationOptions(fit=True, vectors=False))


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
    assert told["qualities"]["tokens"]["playlists"] == HELD_OUT // 2
