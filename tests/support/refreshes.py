"""Two versions of a small catalog with precomputed embeddings, and the jobs that run and refresh it."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.vector_catalog import CODES, DIMS, GROUPS, group_vectors, write_vectors
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunJob, RunResult
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO, LYRICS

PRECOMPUTED = (LYRICS, AUDIO)
TRACKS = 400
NEW = 20
"""The second version adds t400 to t419, removes t0 to t9, and gives t10 to t19 the lyrics of another group."""


def write_catalog_version(folder: Path, tracks: "range", lyrics: np.ndarray) -> Path:
    """Write a catalog with some tracks; without tags and titles, so that no model is needed."""
    folder.mkdir()
    ids = [f"t{n}" for n in tracks]
    pq.write_table(pa.table({"track_id": ids, "popularity": [float(n) for n in tracks]}), folder / "tracks.parquet")
    write_vectors(folder / LYRICS / "part.parquet", lyrics[tracks.start : tracks.stop], ids)
    audio = group_vectors(4, DIMS[AUDIO], TRACKS + NEW)
    write_vectors(folder / AUDIO / "part.parquet", audio[tracks.start : tracks.stop], ids)
    write_playlists(folder, tracks)
    return folder


def write_playlists(folder: Path, tracks: "range") -> None:
    """Write playlists with tracks of one group each; t405 to t409 are in none of them."""
    draw = np.random.default_rng(1)
    rows = []
    for number in range(200):
        group = [n for n in tracks if n % GROUPS == number % GROUPS and n not in range(405, 410)]
        rows.append([f"t{n}" for n in draw.permutation(group)[:15]])
    table = pa.table({"playlist_id": [f"p{n}" for n in range(len(rows))], "track_ids": rows})
    pq.write_table(table, folder / "playlists.parquet")


def first_job(catalog: Path, store: Path) -> RunJob:
    source = CatalogSource(
        tracks=str(catalog / "tracks.parquet"),
        playlists=str(catalog / "playlists.parquet"),
        embeddings={m: PrecomputedConfig(path=str(catalog / m), version=m) for m in PRECOMPUTED},
    )
    return RunJob(source=source, store=str(store), codebook_size=CODES)


def refresh_job(catalog: Path, store: Path) -> RefreshJob:
    first = first_job(catalog, store)
    return RefreshJob(source=first.source, store=first.store)


def release_first_version(folder: Path) -> tuple[Path, RunResult]:
    """Write both versions of the catalog to a folder, and a store of the first; the store and the result of its run."""
    lyrics = group_vectors(3, DIMS[LYRICS], TRACKS + NEW)
    first = write_catalog_version(folder / "first", range(TRACKS), lyrics)
    moved = lyrics.copy()
    moved[10:20] = np.roll(lyrics, 1, axis=0)[10:20]
    write_catalog_version(folder / "second", range(10, TRACKS + NEW), moved)
    return folder / "store", first_job(first, folder / "store").run(PipelineRunner())


def changes(outcome: RunResult) -> list[dict[str, object]]:
    return pq.read_table(f"{outcome.release.folder}/changes").to_pylist()


def options(catalog: Path, store: Path) -> list[str]:
    embeddings = [
        text for m in PRECOMPUTED for text in ("--embeddings", f"{m}={catalog / m}", "--embeddings-version", f"{m}={m}")
    ]
    tables = ["--tracks", str(catalog / "tracks.parquet"), "--playlists", str(catalog / "playlists.parquet")]
    return [*tables, "--store", str(store), *embeddings]
