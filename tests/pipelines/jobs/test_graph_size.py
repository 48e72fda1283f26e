"""Graphs that jobs send to a runner: they hold no codebook, and do not grow with the catalog."""

import json
import random
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.support.graph_sizes import MEGABYTE, GraphRecorder, NotRunError
from tests.support.vector_catalog import job as precomputed_job
from tests.support.vector_catalog import write_catalog, write_tracks, write_vectors
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.jobs import embed, playlist_vectors, up_to_date
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.plan import plan_refresh
from tracktokens.pipelines.jobs.publish import PublishJob
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.retrain import RetrainJob
from tracktokens.pipelines.jobs.run import RunJob
from tracktokens.pipelines.jobs.tokenize import TokenizeJob
from tracktokens.pipelines.jobs.train import TrainJob
from tracktokens.pipelines.maintenance.compaction import compact_store
from tracktokens.pipelines.maintenance.garbage_collection import GcJob
from tracktokens.pipelines.maintenance.verify import verify_store
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.listing.file_states import FileState
from tracktokens.transforms.precomputed import scan_cache
from tracktokens.transforms.precomputed.scan_vectors import PrecomputedEmbeddings
from tracktokens.transforms.precomputed.vector_tables import VectorTable
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.store.layout import Store

CODES, DIM, TRACKS = 512, 768, 518
FILES, BUCKETS = 10_000, 2_048


def wide_catalog(folder: Path) -> RunJob:
    """Tracks with distinct vectors of 768 dimensions in all modalities, for codebooks of 512 codes: 1.5 MB each."""
    write_tracks(folder, TRACKS)
    for seed, modality in enumerate(MODALITIES):
        vectors = np.random.default_rng(seed).standard_normal((TRACKS, DIM)).astype(np.float32)
        write_vectors(folder / modality / "part.parquet", vectors)
    job = precomputed_job(folder, *MODALITIES, **dict.fromkeys(MODALITIES, "wide"))
    return RunJob(source=job.source, store=job.store, codebook_size=CODES)


@pytest.mark.job
def test_no_graph_of_any_job_holds_a_codebook(tmp_path: Path) -> None:
    runner = GraphRecorder()
    job = wide_catalog(tmp_path)
    outcome = job.run(runner)
    RefreshJob(source=job.source, store=job.store).run(runner)
    plan_refresh(RefreshJob(source=job.source, store=job.store), runner)
    RetrainJob(job.store, outcome.bundle.bundle_id).run(runner)
    verify_store(job.store, runner)
    assert len(runner.sizes) >= 11
    assert max(runner.sizes) < MEGABYTE // 4


def export(name: str) -> Sequence[Fragment]:
    """An export of many files, whose names do not compress."""
    draw = random.Random(name)
    names = (f"part-{n:05d}-{uuid.UUID(int=draw.getrandbits(128))}.c000.snappy.parquet" for n in range(FILES))
    return [Fragment(n, f"gs://music/exports/{name}/{file}", "parquet", 0, 10_000) for n, file in enumerate(names)]


@pytest.fixture
def large_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store for 100 M tracks, whose tables are exports of 10,000 files each that need not exist."""
    for module in (embed, playlist_vectors):
        monkeypatch.setattr(module, "find_fragments", lambda path, table: export(table))
        monkeypatch.setattr(module, "check_table", lambda fragments, schema: [])
    for module in (scan_cache, up_to_date):
        monkeypatch.setattr(module, "file_states", lambda paths: [FileState(p, len(p), hash(p)) for p in paths])
    store = Store.open_or_create(str(tmp_path / "store"), FILES * 10_000)
    assert store.buckets == BUCKETS
    return store


@pytest.mark.parametrize("given", [(), MODALITIES])
def test_the_graph_of_a_scan_does_not_grow_with_the_number_of_files(
    large_store: Store, tmp_path: Path, given: Sequence[str]
) -> None:
    runner = GraphRecorder(runs=False)
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "a.mp3").touch()
    job = EmbedJob(source=CatalogSource(tracks="x", audio_root=str(tmp_path / "audio")), store=large_store.root)
    tables = {m: PrecomputedEmbeddings(VectorTable(export(m), "vector", DIM), "v") for m in given}
    job.__dict__.update(precomputed=tables)  # files that need not exist
    with pytest.raises(NotRunError):
        job.run(runner)
    assert runner.sizes[0] < MEGABYTE // 2


def jobs_of(job: RunJob, bundle_id: str) -> dict[str, Callable[[GraphRecorder], object]]:
    """Every job that sends buckets to workers, by name."""
    return {
        "train": TrainJob(job.store).run,
        "tokenize": TokenizeJob(job.store, bundle_id).run,
        "publish": PublishJob(job.store, bundle_id).run,
        "refresh": RefreshJob(source=job.source, store=job.store).run,
        "plan": partial(plan_refresh, RefreshJob(source=job.source, store=job.store)),
        "retrain": RetrainJob(job.store, bundle_id).run,
        "compact": partial(compact_store, Store.open(job.store)),
        "gc": GcJob(job.store, keep=1).run,
        "verify": partial(verify_store, job.store),
    }


def add_record_files(store: Path) -> None:
    """Add empty record files to every bucket, so many that a compaction is due."""
    for bucket in range(BUCKETS):
        for modality in MODALITIES:
            [encoder] = (store / "vectors" / modality).iterdir()
            folder = encoder / f"bucket={bucket:04d}"
            folder.mkdir(exist_ok=True)
            for number in range(8):
                (folder / f"{number}.parquet").touch()


@pytest.mark.job
def test_no_graph_grows_with_the_number_of_buckets(tmp_path: Path) -> None:
    job = precomputed_job(write_catalog(tmp_path), *MODALITIES)
    outcome = job.run(PipelineRunner())
    layout = Path(job.store) / "store.json"
    layout.write_text(json.dumps({**json.loads(layout.read_text()), "buckets": BUCKETS}))
    add_record_files(Path(job.store))
    sizes = {}
    for name, run in jobs_of(job, outcome.bundle.bundle_id).items():
        runner = GraphRecorder(runs=False)
        with pytest.raises(NotRunError):
            run(runner)
        sizes[name] = runner.sizes[0]
    assert max(sizes.values()) < MEGABYTE // 2, sizes
