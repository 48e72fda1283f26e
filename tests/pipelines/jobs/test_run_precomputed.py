"""A catalog of precomputed embeddings, end to end, alone and mixed with encoded modalities."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.support.demo_run import token_table
from tests.support.vector_catalog import GROUPS, TRACKS, group_vectors, job, write_catalog, write_vectors
from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.encoder_config import PrecomputedConfig
from tracktokens.pipelines.runner import PipelineRunner
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.modalities import AUDIO, LYRICS, METADATA, MODALITIES, PLAYLIST, TAGS
from tracktokens.transforms.store.bundles import read_codebook
from tracktokens.transforms.store.layout import Store

pytestmark = pytest.mark.job


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    return write_catalog(tmp_path)


def test_a_catalog_of_embeddings_needs_no_model_and_its_tokens_separate_the_groups(catalog: Path) -> None:
    source = CatalogSource(tracks="", embeddings={m: PrecomputedConfig(path="") for m in MODALITIES})
    assert source.make_encoders() == {}
    outcome = job(catalog, *MODALITIES).run(PipelineRunner())
    table = token_table(outcome).to_pandas()
    group = table["track_id"].str[1:].astype(int) % GROUPS
    for modality in MODALITIES:
        assert table[modality].notna().all()
        assert group.groupby(table[modality]).nunique().eq(1).all()
    expected = {"read": TRACKS, "used": TRACKS, "absent": 0, "unknown": 0, "rejected": 0}
    assert outcome.release.metrics["vectors"] == dict.fromkeys(MODALITIES, expected)
    assert dict(outcome.catalog.encoded) == dict.fromkeys(MODALITIES, TRACKS)


def test_codes_are_those_of_the_nearest_centroid_to_the_given_vector(catalog: Path) -> None:
    outcome = job(catalog, *MODALITIES).run(PipelineRunner())
    book = read_codebook(Store.open(str(catalog / "store")), outcome.bundle.bundle_id, AUDIO)
    source = pq.read_table(catalog / AUDIO).to_pydict()
    vectors = np.array(source["vector"])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = ((vectors[:, None] - book.centroids[None]) ** 2).sum(axis=2).argmin(axis=1)
    codes = dict(zip(source["track_id"], nearest.tolist(), strict=True))
    table = token_table(outcome)
    assert dict(zip(table["track_id"].to_pylist(), table[AUDIO].to_pylist(), strict=True)) == codes


def test_precomputed_embeddings_are_mixed_with_encoded_modalities(catalog: Path) -> None:
    outcome = job(catalog, AUDIO, TAGS).run(PipelineRunner())
    table = token_table(outcome)
    filled = {modality: TRACKS - table[modality].null_count for modality in MODALITIES}
    assert filled == {PLAYLIST: 0, TAGS: TRACKS, METADATA: TRACKS, LYRICS: 0, AUDIO: TRACKS}


def test_rows_that_cannot_be_used_cost_that_token_and_every_row_is_accounted_for(catalog: Path) -> None:
    vectors: list[list[float] | None] = group_vectors(4, 32).tolist()
    vectors[0] = [float("nan")] * 32
    vectors[1], vectors[2] = None, []
    ids = [*(f"t{n}" for n in range(TRACKS)), "t7", "nobody"]
    rows = {"track_id": ids, "vector": pa.array([*vectors, vectors[8], vectors[9]], pa.list_(pa.float32()))}
    pq.write_table(pa.table(rows), catalog / AUDIO / "part.parquet")
    outcome = job(catalog, *MODALITIES).run(PipelineRunner())
    counts = {"read": TRACKS + 2, "used": TRACKS - 3, "absent": 2, "unknown": 1, "rejected": 2}
    assert outcome.release.metrics["vectors"][AUDIO] == counts
    table = {row["track_id"]: row for row in token_table(outcome).to_pylist()}
    assert [name for name, row in table.items() if row[AUDIO] is None] == ["t0", "t1", "t2"]
    assert outcome.release.metrics["rejects"] == {"vectors": {"not_finite": 1, "vector_duplicate": 1}}
    assert outcome.release.manifest.rows == {"read": TRACKS, "published": TRACKS, "rejected": 0}


def test_under_one_id_only_changed_vectors_are_stored_and_tokens_keep_their_meaning(catalog: Path) -> None:
    ids = dict.fromkeys(MODALITIES, "made-by-us")
    first = job(catalog, *MODALITIES, **ids).run(PipelineRunner())
    again = job(catalog, *MODALITIES, **ids).run(PipelineRunner())
    assert dict(again.catalog.encoded) == dict.fromkeys(MODALITIES, 0)
    assert token_table(again).equals(token_table(first))

    vectors = group_vectors(4, 32)
    vectors[5] = vectors[6] + 0.01  # now it sounds like its neighbour
    write_vectors(catalog / AUDIO / "part.parquet", vectors[::-1], [f"t{n}" for n in range(TRACKS)][::-1])
    changed = job(catalog, *MODALITIES, **ids).run(PipelineRunner())
    assert dict(changed.catalog.encoded) == {**dict.fromkeys(MODALITIES, 0), AUDIO: 1}
    assert changed.bundle.bundle_id == first.bundle.bundle_id
    before, after = token_table(first), token_table(changed)
    moved = pc.not_equal(before[AUDIO], after[AUDIO])
    assert before["track_id"].filter(moved).to_pylist() == ["t5"]
    codes = dict(zip(after["track_id"].to_pylist(), after[AUDIO].to_pylist(), strict=True))
    assert codes["t5"] == codes["t6"]


def test_without_a_version_changed_files_are_a_new_encoder_with_a_new_codebook(catalog: Path) -> None:
    first = job(catalog, *MODALITIES).run(PipelineRunner())
    write_vectors(catalog / AUDIO / "part.parquet", group_vectors(9, 32))
    with pytest.raises(
        UsageError, match=rf"^audio: its encoder changed.*: {TRACKS} of the {5 * TRACKS} tokens of release"
    ):
        job(catalog, *MODALITIES).run(PipelineRunner())
    second = replace(job(catalog, *MODALITIES), new_vocabulary=True).run(PipelineRunner())
    assert {m for m in MODALITIES if first.bundle.encoders[m] != second.bundle.encoders[m]} == {AUDIO}
    kept = {m for m, entry in second.bundle.codebooks.items() if entry["kept_from"] == first.bundle.bundle_id}
    assert kept == set(MODALITIES) - {AUDIO}


def test_a_version_cannot_have_vectors_of_a_different_dimension(catalog: Path) -> None:
    job(catalog, *MODALITIES, audio="clap").run(PipelineRunner())
    write_vectors(catalog / AUDIO / "part.parquet", group_vectors(4, 64))
    with pytest.raises(InvalidDataError, match="audio embeddings clap have 64 dimensions, and those in the store 32"):
        job(catalog, *MODALITIES, audio="clap").run(PipelineRunner())


def test_vectors_of_no_track_and_too_many_bad_ones_are_refused(catalog: Path) -> None:
    write_vectors(catalog / AUDIO / "part.parquet", group_vectors(4, 32), [f"other{n}" for n in range(TRACKS)])
    with pytest.raises(InvalidDataError, match="none of 400 rows of audio vectors is of a track of the catalog"):
        job(catalog, *MODALITIES).run(PipelineRunner())
    write_vectors(catalog / AUDIO / "part.parquet", np.where(np.arange(TRACKS)[:, None] < 40, 0, group_vectors(4, 32)))
    with pytest.raises(InvalidDataError, match="40 of 400 rows of audio vectors rejected"):
        job(catalog, *MODALITIES).run(PipelineRunner())


def test_playlists_are_not_learned_beside_given_playlist_vectors(catalog: Path) -> None:
    with pytest.raises(UsageError, match="either playlists to learn from or --embeddings playlist"):
        run = job(catalog, *MODALITIES)
        replace(run, source=replace(run.source, playlists=str(catalog / "tracks.parquet"))).run(PipelineRunner())


def test_worker_processes_give_the_same_tokens(catalog: Path) -> None:
    one = token_table(job(catalog, *MODALITIES).run(PipelineRunner()))
    shutil.rmtree(catalog / "store")
    assert token_table(job(catalog, *MODALITIES).run(PipelineRunner(workers=2))).equals(one)
