"""A catalog of precomputed embeddings, so that a run takes seconds: tracks in groups, which all modalities separate."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.schemas.modalities import AUDIO, LYRICS, METADATA, PLAYLIST, TAGS

CODES = 8
GROUPS = 8
TRACKS = 400
DIMS = {PLAYLIST: 16, TAGS: 12, METADATA: 12, LYRICS: 20, AUDIO: 32}


def group_vectors(seed: int, dim: int, tracks: int = TRACKS) -> np.ndarray:
    """Vectors around ``GROUPS`` centres: track n is near centre n % ``GROUPS``, and no two vectors are equal."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((GROUPS, dim)) * 10
    return (centres[np.arange(tracks) % GROUPS] + draw.standard_normal((tracks, dim)) * 0.1).astype(np.float32)


def write_vectors(path: Path, vectors: np.ndarray, ids: list[str] | None = None) -> None:
    path.parent.mkdir(exist_ok=True)
    table = pa.table({"track_id": ids or [f"t{n}" for n in range(len(vectors))], "vector": list(vectors)})
    pq.write_table(table, path, row_group_size=150)


def write_tracks(folder: Path, tracks: int = TRACKS) -> None:
    numbers = range(tracks)
    rows = {
        "track_id": [f"t{n}" for n in numbers],
        "title": [f"song {n}" for n in numbers],
        "artist": [f"artist {n // 3}" for n in numbers],
        "tags": [[f"group{n % GROUPS}", "all"] for n in numbers],
        "popularity": [float(n) for n in numbers],
    }
    pq.write_table(pa.table(rows), folder / "tracks.parquet")


def write_catalog(folder: Path, tracks: int = TRACKS) -> Path:
    """Write tracks, and a folder of vectors for each modality."""
    write_tracks(folder, tracks)
    for seed, (modality, dim) in enumerate(DIMS.items()):
        write_vectors(folder / modality / "part.parquet", group_vectors(seed, dim)[:tracks])
    return folder


def job(catalog: Path, *modalities: str, **ids: str) -> RunJob:
    """Build the main job: some modalities have precomputed embeddings, with versions in ``ids``; others are encoded."""
    embeddings = {m: PrecomputedConfig(path=str(catalog / m), version=ids.get(m)) for m in modalities}
    source = CatalogSource(tracks=str(catalog / "tracks.parquet"), embeddings=embeddings)
    return RunJob(source=source, store=str(catalog / "store"), codebook_size=CODES)
