"""A night that is compared with the one before comes to what it would come to if it were compared with nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.fussy_encoder import ASKED, CODEC, FussyEncoder
from tests.support.vector_catalog import DIMS, group_vectors, write_vectors
from tracktokens.pipelines.encoder_config import PrecomputedConfig, VectorSources
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunJob, RunResult
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import LYRICS, MODALITIES, PLAYLIST, TAGS
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store

TRACKS = 300
NIGHTS = 5
WITH_CODEC = 2
"""The night from which on inputs can be encoded that failed before."""


def write_night(folder: Path, night: int) -> None:
    """Write a night's catalog: some tracks come and go, some have other tags or another vector, or none."""
    folder.mkdir()
    draw = np.random.default_rng(night)
    numbers = [n for n in range(TRACKS) if n < 250 or draw.random() < 0.5]
    lyrics = group_vectors(3, DIMS[LYRICS], TRACKS)
    moved = draw.choice(TRACKS, 12, replace=False)
    lyrics[moved] = lyrics[(moved + 1) % TRACKS] * 1.01
    ids = [f"t{n}" for n in numbers]
    tags = [None if draw.random() < 0.05 else [word(n, night, draw)] for n in numbers]
    table = pa.table({"track_id": ids, "tags": pa.array(tags, pa.list_(pa.string()))})
    pq.write_table(table.take(draw.permutation(len(ids))), folder / "tracks.parquet", row_group_size=70)
    present = [n for n in numbers if draw.random() < 0.9]
    write_vectors(folder / LYRICS / "part.parquet", lyrics[present], [f"t{n}" for n in present])
    lists = [[f"t{n}" for n in draw.choice(numbers, 12, replace=False)] for _ in range(40 + 20 * night)]
    rows = {"playlist_id": [f"p{n}" for n in range(len(lists))], "track_ids": lists}
    pq.write_table(pa.table(rows), folder / "playlists.parquet")


def word(number: int, night: int, draw: np.random.Generator) -> str:
    kind = {0: "odd", 1: "gone"}.get(number % 40, "even")
    return f"{kind} {number % 60}" + (f" changed {night}" if draw.random() < 0.05 else "")


def run_nights(folder: Path) -> Iterator[RunResult]:
    for night in range(NIGHTS):
        catalog = folder / f"night{night}"
        write_night(catalog, night)
        given = VectorSources(vectors={LYRICS: PrecomputedConfig(str(catalog / LYRICS), source="made")}).given()
        tracks, playlists = str(catalog / "tracks.parquet"), str(catalog / "playlists.parquet")
        encoders = {TAGS: FussyEncoder(str(folder))}
        if night == WITH_CODEC:
            (folder / CODEC).touch()
        if night == 0:
            job = RunJob(tracks, str(folder / "store"), encoders, playlists, codebook_size=8, vectors=given)
            yield job.run(PipelineRunner())
        else:
            retry = night == WITH_CODEC
            store = str(folder / "store")
            yield RefreshJob(tracks, store, encoders, playlists, vectors=given, retry_rejects=retry).run(
                PipelineRunner()
            )


def content(outcome: RunResult) -> dict[str, Any]:
    """All that a night leaves, but for what says how it came about."""
    store = Store.open(outcome.release.folder.rpartition("/releases/")[0])
    catalog = store.catalog(outcome.catalog.catalog_id)
    folders = [
        path for name in ("tokens", "rejects", "changes") if (path := Path(outcome.release.folder, name)).is_dir()
    ]
    found: dict[str, Any] = {path.name: sorted(map(str, pq.read_table(path).to_pylist())) for path in folders}
    for bucket in range(store.buckets):
        found[f"tracks {bucket}"] = files.read_table(catalog.tracks(bucket), CATALOG_TRACKS).to_pylist()
        for modality in MODALITIES:
            keys = files.read_table(catalog.keys(modality, bucket), TRACK_KEYS, ["key", "track"]).to_pylist()
            found[f"{modality} {bucket}"] = sorted(map(str, keys))
    counted = outcome.catalog
    found["counts"] = [counted.tracks_with, counted.inputs, counted.encoded, counted.failed, counted.vectors]
    return {
        **found,
        "measured": {n: outcome.release.metrics[n] for n in ("modalities", "tokens", "oracle", "changes", "drift")},
    }


def without_names(found: dict[str, Any]) -> dict[str, Any]:
    """The drift names the first release, which has another id in each store."""
    drift = found["measured"]["drift"]
    return {**found, "measured": {**found["measured"], "drift": drift and {**drift, "since": ""}}}


def test_nights_that_are_compared_with_the_one_before_are_as_if_they_were_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "continued").mkdir()
    (tmp_path / "anew").mkdir()
    continued = list(run_nights(tmp_path / "continued"))
    nights = [outcome.catalog.catalog_id for outcome in continued]
    assert [outcome.catalog.base for outcome in continued] == [None, *nights[:-1]]
    monkeypatch.setattr(EmbedJob, "base", lambda self, store: None)
    anew = list(run_nights(tmp_path / "anew"))
    for one, other in zip(continued, anew, strict=True):
        assert without_names(content(one)) == without_names(content(other))
    encoded = [(tmp_path / name / ASKED).read_text().splitlines() for name in ("continued", "anew")]
    assert sorted(encoded[0]) == sorted(encoded[1])
    tried = [text for text in encoded[0] if text.startswith("gone 1")]
    assert len(tried) > len(set(tried))  # what failed for a while is tried each night
    why = {(row["modality"], row["why"]) for row in pq.read_table(f"{continued[2].release.folder}/changes").to_pylist()}
    assert {(TAGS, "input changed"), (LYRICS, "input changed"), (PLAYLIST, "new"), (PLAYLIST, "removed")} <= why
