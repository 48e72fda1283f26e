"""A store of a small catalog with titles and audio tokens only, made without an encoder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.vector_catalog import write_vectors
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import AUDIO


def make_titled_store(folder: Path, titles: Sequence[str], codes: int = 8) -> Path:
    """Publish tracks ``t0``, ``t1``, ... by somebody, with these titles; return the store."""
    table = {
        "track_id": [f"t{n}" for n in range(len(titles))],
        "title": list(titles),
        "artist": ["somebody"] * len(titles),
    }
    pq.write_table(pa.table(table), folder / "tracks.parquet")
    vectors = np.random.default_rng(0).standard_normal((len(titles), 8)).astype(np.float32)
    write_vectors(folder / "audio.parquet", vectors)
    embeddings = {AUDIO: PrecomputedConfig(path=str(folder / "audio.parquet"), version="x")}
    source = CatalogSource(tracks=str(folder / "tracks.parquet"), embeddings=embeddings, encoders={})
    RunJob(source=source, store=str(folder / "store"), codebook_size=codes).run(PipelineRunner())
    return folder / "store"
