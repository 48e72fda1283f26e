"""Given vectors: joined to tracks, and taken into the store."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.facts import INPUTS
from tracktokens.schemas.modalities import AUDIO, MODALITIES, TAGS
from tracktokens.schemas.vectors import VECTOR_PLACES
from tracktokens.transforms import given_vectors as module
from tracktokens.transforms.facts import read_vectors
from tracktokens.transforms.given_vectors import (
    GivenVectors,
    ScanVectors,
    TakeVectors,
    by_fragment,
    given_vectors,
    join_vectors,
)
from tracktokens.transforms.inputs.vector_tables import VectorTable
from tracktokens.transforms.keys import content_keys
from tracktokens.transforms.progress import Board
from tracktokens.transforms.store import Catalog, Store
from tracktokens.transforms.vector_scans import fingerprint


def places_of(*rows: tuple[str, str, str, int]) -> pa.Table:
    """Rows of (modality, track id, what the vector is, position)."""
    modality, tracks, vectors, positions = zip(*rows, strict=True)
    columns = [
        pa.array([MODALITIES.index(name) for name in modality], pa.int8()),
        content_keys(pa.array(tracks)),
        content_keys(pa.array(vectors)),
        pa.array(positions),
    ]
    return pa.table(columns, schema=VECTOR_PLACES)


def tracks_of(*ids: str) -> pa.Table:
    return pa.table({"track_id": list(ids), "track_key": content_keys(pa.array(ids))})


def test_each_track_gets_its_own_vector_of_the_modality() -> None:
    found = places_of((AUDIO, "b", "y", 1), (TAGS, "a", "t", 0), (AUDIO, "a", "x", 7), (AUDIO, "z", "q", 2))
    joined = join_vectors(found, tracks_of("a", "b", "c"), AUDIO)
    x, y = content_keys(pa.array(["x", "y"])).to_pylist()
    assert joined.keys.to_pylist() == [x, y, None]
    assert joined.inputs.to_pylist() == [{"key": y, "input": "1"}, {"key": x, "input": "7"}]
    assert joined.counts == {"used": 2, "unknown": 1, "rejected": 0}
    assert joined.rejects.num_rows == 0


def test_the_first_of_several_vectors_of_a_track_stays_and_the_others_are_rejected() -> None:
    found = places_of((AUDIO, "a", "late", 9), (AUDIO, "a", "first", 3), (AUDIO, "a", "middle", 5))
    joined = join_vectors(found, tracks_of("a"), AUDIO)
    assert joined.keys.to_pylist() == content_keys(pa.array(["first"])).to_pylist()
    assert joined.counts == {"used": 1, "unknown": 0, "rejected": 2}
    assert [(row["table"], row["track_id"], row["reason"]) for row in joined.rejects.to_pylist()] == [
        ("vectors", "a", "vector_duplicate"),
        ("vectors", "a", "vector_duplicate"),
    ]
    assert "row 6" in joined.rejects["detail"][0].as_py()


def test_a_bucket_without_vectors_gives_no_track_one() -> None:
    joined = join_vectors(pa.Table.from_pylist([], VECTOR_PLACES), tracks_of("a"), AUDIO)
    assert joined.keys.to_pylist() == [None]
    assert joined.inputs.num_rows == 0


def test_places_are_divided_by_the_row_group_that_they_are_in() -> None:
    positions = pa.array([str((2 << 40) + 5), "7", str(2 << 40)])
    missing = pa.record_batch([content_keys(pa.array(["a", "b", "c"])), positions], schema=INPUTS)
    parts = {element: part["input"].to_pylist() for element, part in by_fragment(missing, AUDIO)}
    assert parts == {(AUDIO, 0): ["7"], (AUDIO, 2): ["5", "0"]}


@pytest.fixture
def table(tmp_path: Path) -> VectorTable:
    vectors = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
    rows = pa.table({"track_id": [f"t{n}" for n in range(3000)], "vector": list(vectors)})
    pq.write_table(rows, tmp_path / "v.parquet", row_group_size=2000)
    return given_vectors(str(tmp_path / "v.parquet")).table


@pytest.mark.parametrize("buffer", [1 << 27, 4000])
def test_what_a_scan_found_can_be_taken_from_the_same_places(
    table: VectorTable, tmp_path: Path, buffer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_BUFFER", buffer)
    monkeypatch.setattr(module, "BUCKET_BUFFER", 1)
    store = Store(str(tmp_path / "store"), 4)
    given = GivenVectors(table, "source")
    scan, take = ScanVectors({AUDIO: given}, 1, None, None, Board()), TakeVectors({AUDIO: given}, store, Board())
    [(_, places)] = [part for part in scan.process((AUDIO, 1)) if isinstance(part, tuple)]
    chosen = pa.array([900, 3, 501])
    keys = places["key"].take(chosen)
    [((_, number), wanted)] = by_fragment(
        pa.record_batch([keys, places["position"].take(chosen).cast(pa.string())], schema=INPUTS), AUDIO
    )
    assert dict(take.process(((AUDIO, number), [wanted]))) == {"encoded/audio": 3}
    stored = [
        dict(zip(found.to_pylist(), vectors.tolist(), strict=True))
        for bucket in range(4)
        for found, vectors in read_vectors(store.vectors(AUDIO, given.encoder_id, bucket), keys)
    ]
    vectors = {key: vector for part in stored for key, vector in part.items()}
    source = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)[[2900, 2003, 2501]]
    expected = source / np.linalg.norm(source, axis=1, keepdims=True)
    np.testing.assert_allclose([vectors[key] for key in keys.to_pylist()], expected, atol=1e-3)


def test_vectors_have_the_id_that_the_user_names_or_one_of_the_files(table: VectorTable, tmp_path: Path) -> None:
    path = str(tmp_path / "v.parquet")
    named, unnamed = given_vectors(path, source="clap-2024"), given_vectors(path)
    assert named.encoder_id == GivenVectors(table, "clap-2024").encoder_id != unnamed.encoder_id
    pq.write_table(pa.table({"track_id": ["t0"], "vector": [[1.0, 2, 3, 4]]}), path)
    assert given_vectors(path, source="clap-2024").encoder_id == named.encoder_id
    assert given_vectors(path).encoder_id != unnamed.encoder_id


def scan_all(table: VectorTable, now: Catalog, before: Catalog | None) -> list[object]:
    """Outputs of a scan of all fragments, as values."""
    scan = ScanVectors({AUDIO: GivenVectors(table, "source")}, 2, now, before, Board())
    outputs = [output for part in table.fragments for output in scan.process((AUDIO, part.number))]
    return [part if isinstance(part, TaggedOutput) else (part[0], part[1].to_pydict()) for part in outputs]


def plain(outputs: list[object]) -> list[object]:
    return sorted((repr((part.tag, part.value)) if isinstance(part, TaggedOutput) else repr(part)) for part in outputs)


@pytest.fixture
def scans(tmp_path: Path) -> list[Catalog]:
    return [Store(str(tmp_path / "store"), 2).catalog(name) for name in ("1", "2", "3")]


def grow_old(path: Path) -> None:
    os.utime(path, (1e9, 1e9))


def test_what_a_scan_found_is_what_the_next_one_finds_without_reading(
    table: VectorTable, tmp_path: Path, scans: list[Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    grow_old(tmp_path / "v.parquet")
    first = scan_all(table, scans[0], None)
    monkeypatch.setattr(module, "read_vector_rows", None)  # nothing is read any more
    second = scan_all(table, scans[1], scans[0])
    assert plain(scan_all(table, scans[2], scans[1])) == plain(second)

    def keys(outputs: list[object]) -> set[tuple[bytes, bytes, int]]:
        rows = [part[1] for part in outputs if isinstance(part, tuple)]
        return {row for part in rows for row in zip(part["track_key"], part["key"], part["position"], strict=True)}

    assert keys(second) == keys(first)
    assert len(keys(first)) == 3000


def test_a_file_that_changed_or_may_change_still_is_read(table: VectorTable, tmp_path: Path) -> None:
    assert fingerprint(table, 0) is None  # it was written just now
    grow_old(tmp_path / "v.parquet")
    old = fingerprint(table, 0)
    assert old == fingerprint(table, 0) != fingerprint(table, 1)
    os.utime(tmp_path / "v.parquet", (1e9, 1e9 + 1e-3))
    assert fingerprint(table, 0) != old


def test_a_row_group_with_faults_is_read_again_so_that_its_rejects_are_there(
    tmp_path: Path, scans: list[Catalog]
) -> None:
    path = tmp_path / "faulty.parquet"
    pq.write_table(pa.table({"track_id": ["a", "b"], "vector": [[1.0, 2], [0.0, 0]]}), path)
    grow_old(path)
    faulty = given_vectors(str(path)).table
    first = scan_all(faulty, scans[0], None)
    assert plain(scan_all(faulty, scans[1], scans[0])) == plain(first)
    assert any("vector_zero" in text for text in map(repr, plain(first)))
