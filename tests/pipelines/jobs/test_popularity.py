"""Popularity of a release whose catalog has none: the playlists that hold a track."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.refreshes import TRACKS, first_job, write_catalog_version
from tests.support.vector_catalog import DIMS, group_vectors
from tracktokens.codebooks.metrics.oracle import expected_reciprocal_rank, tie_sizes
from tracktokens.pipelines.jobs.run import RunResult
from tracktokens.pipelines.maintenance.rebucket import RebucketJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import LYRICS
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.release_index import ReleaseIndex
from tracktokens.transforms.store.releases import latest_release
from tracktokens.transforms.store.token_tables import TokenTable

pytestmark = pytest.mark.job


def write_catalog(folder: Path, popularity: list[float | None] | None) -> Path:
    catalog = write_catalog_version(folder, range(TRACKS), group_vectors(3, DIMS[LYRICS], TRACKS))
    tracks = pq.read_table(catalog / "tracks.parquet").drop_columns(["popularity"])
    if popularity is not None:
        tracks = tracks.append_column("popularity", pa.array(popularity, pa.float64()))
    pq.write_table(tracks, catalog / "tracks.parquet")
    return catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_catalog(tmp_path_factory.mktemp("unpopular") / "catalog", None)


@pytest.fixture(scope="module")
def released(catalog: Path) -> RunResult:
    return first_job(catalog, catalog.parent / "store").run(PipelineRunner())


@pytest.fixture(scope="module")
def listed(catalog: Path) -> Counter[str]:
    """The number of playlists of each track, counted in plain Python."""
    playlists = pq.read_table(catalog / "playlists.parquet")["track_ids"].to_pylist()
    return Counter(track for playlist in playlists for track in set(playlist))


def test_ties_are_broken_by_the_number_of_playlists(catalog: Path, released: RunResult, listed: Counter[str]) -> None:
    store = Store.open(str(catalog.parent / "store"))
    ids = ReleaseIndex.read(store, latest_release(store)).track_ids.to_pylist()
    assert ids == sorted(ids, key=lambda track: (-listed[track], track))


def test_the_oracle_weighs_tracks_by_playlists(catalog: Path, released: RunResult, listed: Counter[str]) -> None:
    store = Store.open(str(catalog.parent / "store"))
    index = ReleaseIndex.read(store, latest_release(store))
    gains = expected_reciprocal_rank(tie_sizes(index.index.codes(np.arange(len(index.index)))))
    weights = np.array([listed[track] for track in index.track_ids.to_pylist()], float)
    assert released.release.metrics["oracle"]["by_popularity"]["mrr"] == pytest.approx(
        np.average(gains, weights=weights)
    )


def test_the_release_records_the_source(catalog: Path, released: RunResult) -> None:
    assert released.release.manifest.popularity == released.release.metrics["popularity"] == "playlists"
    assert any(path.startswith("popularity/") for path in released.release.manifest.files)
    assert verify_store(str(catalog.parent / "store"), PipelineRunner()) == []


def test_other_buckets_have_the_same_popularity(
    catalog: Path, released: RunResult, listed: Counter[str], tmp_path: Path
) -> None:
    store = Path(shutil.copytree(catalog.parent / "store", tmp_path / "store"))
    RebucketJob(str(store), 4).run(PipelineRunner())
    opened = Store.open(str(store))
    table = TokenTable.of(opened, latest_release(opened))
    found = {}
    for bucket in range(4):
        ids = table.tracks(bucket, ["track_id"])["track_id"].to_pylist()
        found |= dict(zip(ids, table.popularity(bucket).tolist(), strict=True))
    assert found == {track: float(listed[track]) for track in found}
    assert len(found) == TRACKS


def test_one_popular_track_decides_for_the_catalog(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path / "catalog", [*[None] * (TRACKS - 1), 1.0])
    manifest = first_job(catalog, tmp_path / "store").run(PipelineRunner()).release.manifest
    assert manifest.popularity == "catalog"
    assert not any(path.startswith("popularity/") for path in manifest.files)
