"""An incremental refresh and a scan from scratch give the same release."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.fussy_encoder import ASKED, CODEC, FussyEncoder
from tests.support.vector_catalog import DIMS, group_vectors, write_vectors
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunJob, RunResult
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import LYRICS, MODALITIES, PLAYLIST, TAGS
from tracktokens.schemas.tables.catalog import CATALOG_TRACKS, TRACK_KEYS
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import Store

pytestmark = pytest.mark.job

TRACKS = 300
VERSIONS = 5
WITH_CODEC = 2
"""The first version whose failed inputs can be encoded."""


def write_catalog_version(folder: Path, version: int) -> None:
    """Write a catalog; each version adds and removes tracks, and changes tags and vectors of others."""
    folder.mkdir()
    draw = np.random.default_rng(version)
    numbers = [n for n in range(TRACKS) if n < 250 or draw.random() < 0.5]
    lyrics = group_vectors(3, DIMS[LYRICS], TRACKS)
    moved = draw.choice(TRACKS, 12, replace=False)
    lyrics[moved] = lyrics[(moved + 1) % TRACKS] * 1.01
    ids = [f"t{n}" for n in numbers]
    tags = [None if draw.random() < 0.05 else [word(n, version, draw)] for n in numbers]
    table = pa.table({"track_id": ids, "tags": pa.array(tags, pa.list_(pa.string()))})
    pq.write_table(table.take(draw.permutation(len(ids))), folder / "tracks.parquet", row_group_size=70)
    present = [n for n in numbers if draw.random() < 0.9]
    write_vectors(folder / LYRICS / "part.parquet", lyrics[present], [f"t{n}" for n in present])
    lists = [[f"t{n}" for n in draw.choice(numbers, 12, replace=False)] for _ in range(40 + 20 * version)]
    rows = {"playlist_id": [f"p{n}" for n in range(len(lists))], "track_ids": lists}
    pq.write_table(pa.table(rows), folder / "playlists.parquet")


def word(number: int, version: int, draw: np.random.Generator) -> str:
    kind = {0: "odd", 1: "gone"}.get(number % 40, "even")
    return f"{kind} {number % 60}" + (f" changed {version}" if draw.random() < 0.05 else "")


def run_versions(folder: Path) -> Iterator[RunResult]:
    for version in range(VERSIONS):
        catalog = folder / f"version{version}"
        write_catalog_version(catalog, version)
        source = CatalogSource(
            tracks=str(catalog / "tracks.parquet"),
            playlists=str(catalog / "playlists.parquet"),
            embeddings={LYRICS: PrecomputedConfig(path=str(catalog / LYRICS), version="made")},
            encoders={TAGS: FussyEncoder(str(folder))},
        )
        store = str(folder / "store")
        if version == WITH_CODEC:
            (folder / CODEC).touch()
        if version == 0:
            yield RunJob(source=source, store=store, codebook_size=8).run(PipelineRunner())
        else:
            retry = version == WITH_CODEC
            yield RefreshJob(source=source, store=store, retry_rejects=retry).run(PipelineRunner())


def content(outcome: RunResult) -> dict[str, Any]:
    """Everything that a job leaves in the store, without its timings and ids."""
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
    """Drift names the baseline release, whose id differs between stores."""
    drift = found["measured"]["drift"]
    return {**found, "measured": {**found["measured"], "drift": drift and {**drift, "since": ""}}}


def test_an_incremental_refresh_equals_a_scan_from_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "continued").mkdir()
    (tmp_path / "scratch").mkdir()
    continued = list(run_versions(tmp_path / "continued"))
    catalogs = [outcome.catalog.catalog_id for outcome in continued]
    assert [outcome.catalog.base for outcome in continued] == [None, *catalogs[:-1]]
    monkeypatch.setattr(EmbedJob, "base", lambda self, store: None)
    scratch = list(run_versions(tmp_path / "scratch"))
    for one, other in zip(continued, scratch, strict=True):
        assert without_names(content(one)) == without_names(content(other))
    encoded = [(tmp_path / name / ASKED).read_text().splitlines() for name in ("continued", "scratch")]
    assert sorted(encoded[0]) == sorted(encoded[1])
    tried = [text for text in encoded[0] if text.startswith("gone 1")]
    assert len(tried) > len(set(tried))  # transient failures are retried in each refresh
    why = {(row["modality"], row["why"]) for row in pq.read_table(f"{continued[2].release.folder}/changes").to_pylist()}
    assert {(TAGS, "input changed"), (LYRICS, "input changed"), (PLAYLIST, "new"), (PLAYLIST, "removed")} <= why
