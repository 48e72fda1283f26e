"""Precomputed embeddings: joined to tracks, and loaded into the store."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.modalities import AUDIO, MODALITIES, TAGS
from tracktokens.schemas.tables.records import INPUT_LOCATIONS
from tracktokens.schemas.tables.tracks import POSITION_SHIFT
from tracktokens.schemas.tables.vectors import VECTOR_LOCATIONS
from tracktokens.transforms.listing.file_states import FileState
from tracktokens.transforms.precomputed import load_vectors, scan_cache
from tracktokens.transforms.precomputed import scan_vectors as module
from tracktokens.transforms.precomputed.load_vectors import SCATTERED_TAG, LoadVectors, WriteScattered, by_fragment
from tracktokens.transforms.precomputed.scan_cache import NO_FINGERPRINT, ScanCache, write_locations
from tracktokens.transforms.precomputed.scan_vectors import (
    PrecomputedEmbeddings,
    ScanVectors,
    join_vectors,
    open_precomputed,
)
from tracktokens.transforms.precomputed.vector_tables import VectorTable
from tracktokens.transforms.readers.file_discovery import PARQUET
from tracktokens.transforms.readers.fragments import Fragment
from tracktokens.transforms.runtime.counters import COUNTS_TAG
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import content_keys, track_numbers
from tracktokens.transforms.store.layout import Catalog, Store
from tracktokens.transforms.store.records import read_vectors


def locations_of(*rows: tuple[str, str, str, int]) -> pa.Table:
    """Rows of (modality, track id, vector, position)."""
    modality, tracks, vectors, positions = zip(*rows, strict=True)
    columns = [
        pa.array([MODALITIES.index(name) for name in modality], pa.int8()),
        pa.array(track_numbers(content_keys(pa.array(tracks)))),
        content_keys(pa.array(vectors)),
        pa.array(np.zeros(len(rows), np.uint64)),
        pa.array(positions),
    ]
    return pa.table(columns, schema=VECTOR_LOCATIONS)


def tracks_of(*ids: str) -> pa.Table:
    return pa.table({"track_id": list(ids), "track": pa.array(track_numbers(content_keys(pa.array(ids))))})


def test_each_track_gets_its_own_vector_of_the_modality() -> None:
    locations = locations_of((AUDIO, "b", "y", 1), (TAGS, "a", "t", 0), (AUDIO, "a", "x", 7), (AUDIO, "z", "q", 2))
    joined = join_vectors(locations, tracks_of("a", "b", "c"), AUDIO)
    x, y = content_keys(pa.array(["x", "y"])).to_pylist()
    assert joined.keys.to_pylist() == [x, y, None]
    assert joined.positions.tolist() == [7, 1, 0]
    assert joined.counts == {"used": 2, "unknown": 1, "rejected": 0}
    assert joined.rejects.num_rows == 0


def test_the_first_of_several_vectors_of_a_track_is_kept_and_the_others_are_rejected() -> None:
    locations = locations_of((AUDIO, "a", "late", 9), (AUDIO, "a", "first", 3), (AUDIO, "a", "middle", 5))
    joined = join_vectors(locations, tracks_of("a"), AUDIO)
    assert joined.keys.to_pylist() == content_keys(pa.array(["first"])).to_pylist()
    assert joined.counts == {"used": 1, "unknown": 0, "rejected": 2}
    assert [(row["table"], row["track_id"], row["reason"]) for row in joined.rejects.to_pylist()] == [
        ("vectors", "a", "vector_duplicate"),
        ("vectors", "a", "vector_duplicate"),
    ]
    assert "row 6" in joined.rejects["detail"][0].as_py()


def test_a_bucket_without_vectors_gives_no_track_one() -> None:
    joined = join_vectors(pa.Table.from_pylist([], VECTOR_LOCATIONS), tracks_of("a"), AUDIO)
    assert joined.keys.to_pylist() == [None]


def test_locations_are_split_by_row_group() -> None:
    positions = pa.array([(2 << POSITION_SHIFT) + 5, 7, 2 << POSITION_SHIFT])
    missing = pa.table([content_keys(pa.array(["a", "b", "c"])), positions], schema=INPUT_LOCATIONS)
    parts = {element: part["position"].to_pylist() for element, part in by_fragment(missing, AUDIO)}
    assert parts == {(AUDIO, 0): [7], (AUDIO, 2): [5, 0]}


@pytest.fixture
def table(tmp_path: Path) -> VectorTable:
    vectors = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
    rows = pa.table({"track_id": [f"t{n}" for n in range(3000)], "vector": list(vectors)})
    pq.write_table(rows, tmp_path / "v.parquet", row_group_size=2000)
    return open_precomputed(str(tmp_path / "v.parquet")).table


def scan_of(table: VectorTable, buckets: int) -> ScanVectors:
    embeddings = {AUDIO: PrecomputedEmbeddings(table, "source")}
    return ScanVectors(embeddings=embeddings, buckets=buckets, progress=ProgressReporter())


def test_scanned_vectors_are_loaded_from_their_locations(table: VectorTable, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"), 4)
    precomputed = PrecomputedEmbeddings(table, "source")
    scan = scan_of(table, buckets=1)
    row_group = ScanCache.of({AUDIO: table}, None).row_groups[1]
    load = LoadVectors(embeddings={AUDIO: precomputed}, store=store, progress=ProgressReporter())
    [(_, locations)] = [part for part in scan.process(row_group) if isinstance(part, tuple)]
    chosen = pa.array([900, 3, 501])
    keys = locations["key"].take(chosen)
    [((_, number), wanted)] = by_fragment(
        pa.table([keys, locations["position"].take(chosen)], schema=INPUT_LOCATIONS), AUDIO
    )
    loaded = list(load.process(((AUDIO, number), [wanted])))
    assert loaded[-1] == ("encoded/audio", 3)
    for element in [part.value for part in loaded[:-1] if part.tag == SCATTERED_TAG]:  # few are sent to their buckets
        WriteScattered(encoders={AUDIO: precomputed.encoder_id}, store=store).process((element[0], [element[1]]))
    stored = [
        dict(zip(part.to_pylist(), vectors.tolist(), strict=True))
        for bucket in range(4)
        for part, vectors in read_vectors(store.vectors(AUDIO, precomputed.encoder_id, bucket), keys)
    ]
    vectors = {key: vector for part in stored for key, vector in part.items()}
    source = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)[[2900, 2003, 2501]]
    expected = source / np.linalg.norm(source, axis=1, keepdims=True)
    np.testing.assert_allclose([vectors[key] for key in keys.to_pylist()], expected, atol=1e-3)


def test_vectors_have_the_id_that_the_user_names_or_one_of_the_files(table: VectorTable, tmp_path: Path) -> None:
    path = str(tmp_path / "v.parquet")
    named, unnamed = open_precomputed(path, source="clap-2024"), open_precomputed(path)
    assert named.encoder_id == PrecomputedEmbeddings(table, "clap-2024").encoder_id != unnamed.encoder_id
    pq.write_table(pa.table({"track_id": ["t0"], "vector": [[1.0, 2, 3, 4]]}), path)
    assert open_precomputed(path, source="clap-2024").encoder_id == named.encoder_id
    assert open_precomputed(path).encoder_id != unnamed.encoder_id


def test_a_named_source_keeps_its_encoder_id_between_versions(table: VectorTable) -> None:
    embeddings = PrecomputedEmbeddings(table, "clap-2024")
    assert embeddings.encoder_id == "bb0e7ab27de2"
    assert embeddings.identity() == {"name": "given", "rule": 1, "source": "clap-2024", "dim": 4}


def test_an_unchanged_file_keeps_its_fingerprint_between_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    fragments = tuple(Fragment(number, "/v.parquet", PARQUET, number, 2000) for number in range(2))
    states = [FileState("/v.parquet", 1000, 1_700_000_000_000_000_000)]
    monkeypatch.setattr(scan_cache, "file_states", lambda paths: states)
    scans = ScanCache.of({AUDIO: VectorTable(fragments, "vector", 4)}, None)
    assert scans.fingerprints[AUDIO, 1] == 0x901E3AB69AE0CD55
    assert len({*scans.fingerprints.values()}) == 2


def scan_all(table: VectorTable, current: Catalog, previous: Catalog | None) -> tuple[list[object], set[object]]:
    """Scan all fragments and store the scan as a catalog does; return rejects, counts and locations."""
    scans = ScanCache.of({AUDIO: table}, previous)
    scan = scan_of(table, current.buckets)
    outputs = [output for row_group in scans.row_groups for output in scan.process(row_group)]
    rows: set[object] = set()
    for bucket in range(current.buckets):
        batches = [part[1] for part in outputs if isinstance(part, tuple) and part[0] == bucket]
        locations = pa.Table.from_batches(batches, VECTOR_LOCATIONS)
        if previous is not None:
            locations = pa.concat_tables([scans.load_cached(previous, bucket), locations])
        write_locations(current, bucket, locations)
        rows |= {tuple(row.values()) for row in locations.to_pylist()}
    counts = Counter[str]()
    for part in outputs:
        if isinstance(part, TaggedOutput) and part.tag == COUNTS_TAG:
            counts[part.value[0]] += part.value[1]
    files.write_json(current.counts, counts)
    rejects = [
        part.value[1].to_pylist() for part in outputs if isinstance(part, TaggedOutput) and part.tag == "rejects"
    ]
    return [counts, rejects], rows


@pytest.fixture
def catalogs(tmp_path: Path) -> list[Catalog]:
    return [Store(str(tmp_path / "store"), 2).catalog(name) for name in ("1", "2", "3")]


def grow_old(path: Path) -> None:
    os.utime(path, (1e9, 1e9))


def test_a_cached_scan_equals_the_first_scan_without_reading(
    table: VectorTable, tmp_path: Path, catalogs: list[Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    grow_old(tmp_path / "v.parquet")
    first = scan_all(table, catalogs[0], None)
    monkeypatch.setattr(module, "read_vector_rows", None)  # nothing may be read
    assert scan_all(table, catalogs[1], catalogs[0]) == first
    assert scan_all(table, catalogs[2], catalogs[1]) == first
    assert len(first[1]) == 3000


def test_row_groups_may_be_renumbered_before_the_next_scan(tmp_path: Path, catalogs: list[Catalog]) -> None:
    def write(name: str, ids: list[str]) -> None:
        rows = {"track_id": ids, "vector": [[float(ord(name)), n, 1.0] for n, _ in enumerate(ids)]}
        pq.write_table(pa.table(rows), tmp_path / "vectors" / f"{name}.parquet")
        grow_old(tmp_path / "vectors" / f"{name}.parquet")

    (tmp_path / "vectors").mkdir()
    write("b", ["t1", "t2"])
    write("c", ["t3"])
    scan_all(open_precomputed(str(tmp_path / "vectors")).table, catalogs[0], None)
    (tmp_path / "vectors" / "c.parquet").unlink()
    write("a", ["t2", "t4"])
    table = open_precomputed(str(tmp_path / "vectors")).table
    again, scratch = scan_all(table, catalogs[1], catalogs[0]), scan_all(table, catalogs[2], None)
    assert again == scratch
    assert len(again[1]) == 4


def test_a_file_that_changed_or_may_still_change_gets_a_new_fingerprint(table: VectorTable, tmp_path: Path) -> None:
    def fingerprints() -> list[int]:
        return list(ScanCache.of({AUDIO: table}, None).fingerprints.values())

    assert fingerprints() == [NO_FINGERPRINT, NO_FINGERPRINT]  # it was written just now
    grow_old(tmp_path / "v.parquet")
    old = fingerprints()
    assert old == fingerprints()
    assert len({*old, NO_FINGERPRINT}) == 3
    os.utime(tmp_path / "v.parquet", (1e9, 1e9 + 1e-3))
    assert not {*fingerprints()} & {*old}


def test_a_row_group_with_faults_is_read_again_so_that_its_rejects_are_reported(
    tmp_path: Path, catalogs: list[Catalog]
) -> None:
    path = tmp_path / "faulty.parquet"
    pq.write_table(pa.table({"track_id": ["a", "b"], "vector": [[1.0, 2], [0.0, 0]]}), path)
    grow_old(path)
    faulty = open_precomputed(str(path)).table
    first = scan_all(faulty, catalogs[0], None)
    assert scan_all(faulty, catalogs[1], catalogs[0]) == first
    assert "vector_zero" in repr(first)


def test_few_vectors_of_many_row_groups_are_written_to_one_file(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((400, 4)).astype(np.float32)
    rows = pa.table({"track_id": [f"t{n}" for n in range(400)], "vector": list(vectors)})
    pq.write_table(rows, tmp_path / "v.parquet", row_group_size=40)
    embeddings, store = {AUDIO: open_precomputed(str(tmp_path / "v.parquet"))}, Store(str(tmp_path / "store"), 1)
    keys = content_keys(pa.array([str(n) for n in range(10)]))

    def wanted(number: int, rows: int) -> pa.RecordBatch:
        columns = [keys.slice(number, 1).take(pa.array([0] * rows)), pa.array(range(rows))]
        return pa.record_batch(columns, schema=INPUT_LOCATIONS)

    load = LoadVectors(embeddings=embeddings, store=store, progress=ProgressReporter())
    scattered = []
    for number in range(10):
        records, count = load.process(((AUDIO, number), [wanted(number, 1)]))
        assert count == ("encoded/audio", 1)
        scattered.append(records.value[1])
    folder = store.vectors(AUDIO, embeddings[AUDIO].encoder_id, 0)
    assert files.list_files(folder, ".parquet") == []
    WriteScattered(encoders={AUDIO: embeddings[AUDIO].encoder_id}, store=store).process(((AUDIO, 0), scattered))
    assert len(files.list_files(folder, ".parquet")) == 1
    assert {key for part, _ in read_vectors(folder, keys) for key in part.to_pylist()} == {*keys.to_pylist()}
    assert list(load.process(((AUDIO, 3), [wanted(3, 5)]))) == [("encoded/audio", 5)]  # an eighth is not few
    load.finish_bundle()
    assert len(files.list_files(folder, ".parquet")) == 2


@pytest.mark.parametrize(("buffer", "expected"), [(1 << 20, 1), (900, 3), (100, 5)])
def test_vectors_of_small_row_groups_share_a_file_until_they_fill_the_buffer(
    tmp_path: Path, buffer: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_vectors, "LEAST_BUFFER", buffer)
    monkeypatch.setattr(load_vectors, "BUCKET_BUFFER", 1)
    vectors = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    rows = pa.table({"track_id": [f"t{n}" for n in range(100)], "vector": list(vectors)})
    pq.write_table(rows, tmp_path / "v.parquet", row_group_size=20)
    embeddings, store = {AUDIO: open_precomputed(str(tmp_path / "v.parquet"))}, Store(str(tmp_path / "store"), 1)
    keys = content_keys(pa.array([str(n) for n in range(100)]))
    for failed in (True, True, False):
        load = LoadVectors(embeddings=embeddings, store=store, progress=ProgressReporter())
        load.setup()
        if failed:  # the runner drops the step
            list(load.process(((AUDIO, 0), [pa.record_batch([keys.slice(0, 20), range(20)], schema=INPUT_LOCATIONS)])))
    list(load.process(((AUDIO, 0), [pa.record_batch([keys.slice(0, 20), range(20)], schema=INPUT_LOCATIONS)])))
    load.start_bundle()  # the bundle before failed
    for number in range(5):
        wanted = pa.record_batch([keys.slice(20 * number, 20), range(20)], schema=INPUT_LOCATIONS)
        assert list(load.process(((AUDIO, number), [wanted]))) == [("encoded/audio", 20)]
    load.finish_bundle()
    folder = store.vectors(AUDIO, embeddings[AUDIO].encoder_id, 0)
    assert len(files.list_files(folder, ".parquet")) == expected
    stored = {
        key: vector
        for part, found in read_vectors(folder, keys)
        for key, vector in zip(part.to_pylist(), found, strict=True)
    }
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose([stored[key] for key in keys.to_pylist()], units, atol=1e-3)
