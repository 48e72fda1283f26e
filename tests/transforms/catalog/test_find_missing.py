"""Missing inputs are found and read from their locations."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.pvalue import TaggedOutput

from tracktokens.schemas.errors import InvalidDataError
from tracktokens.schemas.modalities import AUDIO, LYRICS, MODALITIES, TAGS
from tracktokens.schemas.tables.catalog import KEY_DIFF, TRACK_KEYS
from tracktokens.schemas.tables.records import FAILURES, INPUTS
from tracktokens.schemas.tables.tracks import POSITION_SHIFT
from tracktokens.transforms.catalog.find_missing import WANTED_INPUTS, CutBatches, FindMissing, ReadInputs
from tracktokens.transforms.catalog.snapshot_writer import BucketWriter, DryRunWriter, SnapshotWriter
from tracktokens.transforms.readers.fragments import Fragment, find_fragments
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import content_keys
from tracktokens.transforms.store.layout import Catalog, Store

LINES = ["la la la", "oh oh oh", "doo be doo"]


@pytest.fixture
def fragments(tmp_path: Path) -> list[Fragment]:
    rows = {
        "track_id": ["a", "b", "c"],
        "lyrics": LINES,
        "audio_path": ["a.wav", None, "c.wav"],
    }
    pq.write_table(pa.table(rows), tmp_path / "tracks.parquet", row_group_size=2)
    return find_fragments(str(tmp_path / "tracks.parquet"), "tracks")


def wanted(*rows: tuple[str, str, int, int]) -> pa.RecordBatch:
    """Rows of (modality, input of the key, fragment, row)."""
    columns = [
        pa.array([MODALITIES.index(modality) for modality, *_ in rows], pa.int8()),
        content_keys(pa.array([text for _, text, *_ in rows])),
        pa.array([(fragment << POSITION_SHIFT) + row for *_, fragment, row in rows]),
    ]
    return pa.record_batch(columns, schema=WANTED_INPUTS)


def test_inputs_are_read_from_their_locations(fragments: list[Fragment]) -> None:
    read = ReadInputs(fragments=fragments, buckets=1)
    first = list(read.process((0, [wanted((LYRICS, LINES[1], 0, 1)), wanted((AUDIO, "of the file", 0, 0))])))
    assert {element: part["input"].to_pylist() for element, part in first} == {
        (LYRICS, 0): [LINES[1]],
        (AUDIO, 0): ["a.wav"],
    }
    [(_, second)] = read.process((1, [wanted((LYRICS, LINES[2], 1, 0))]))
    assert second.to_pylist() == [{"key": content_keys(pa.array(LINES))[2].as_py(), "input": LINES[2]}]


def test_absolute_audio_paths_are_read_as_relative_ones(tmp_path: Path) -> None:
    rows = {"track_id": ["a", "b"], "audio_path": [f"{tmp_path}/music/a.wav", "b.wav"]}
    pq.write_table(pa.table(rows), tmp_path / "tracks.parquet")
    fragments = find_fragments(str(tmp_path / "tracks.parquet"), "tracks")
    read = ReadInputs(fragments=fragments, buckets=1, audio_root=f"{tmp_path}/music")
    [(_, inputs)] = read.process((0, [wanted((AUDIO, "a", 0, 0), (AUDIO, "b", 0, 1))]))
    assert inputs["input"].to_pylist() == ["a.wav", "b.wav"]


def test_a_table_that_changes_while_it_is_read_is_refused(fragments: list[Fragment]) -> None:
    with pytest.raises(InvalidDataError, match=r"tracks\.parquet changed while it was read"):
        list(ReadInputs(fragments=fragments, buckets=1).process((0, [wanted((LYRICS, "the previous text", 0, 1))])))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"), 1)


def keys_of(catalog: Catalog, modality: str) -> list[dict[str, object]]:
    return files.read_table(catalog.keys(modality, 0), TRACK_KEYS).to_pylist()


def write_keys(catalog: Catalog, row: dict[str, object]) -> None:
    """One track with a key, as in a catalog."""
    stored = pa.Table.from_pylist([{**row, "changed": False, "new": False}]).select(TRACK_KEYS.names).cast(TRACK_KEYS)
    files.write_batches(files.join(catalog.keys(TAGS, 0), "part.parquet"), TRACK_KEYS, [stored])


def find(
    store: Store,
    base: Catalog | None,
    changes: pa.RecordBatch,
    *,
    precomputed: bool = False,
    writer: BucketWriter | None = None,
) -> list[TaggedOutput]:
    dofn = FindMissing(
        store=store,
        writer=writer or SnapshotWriter(store.catalog("current")),
        base=base,
        encoders={TAGS: "e"},
        precomputed=[TAGS] if precomputed else [],
        retry=False,
        progress=ProgressReporter(),
    )
    return list(dofn.process(((TAGS, 0), {"changes": [changes]}), False))


def change(text: str, track: int, position: int, removed: bool = False) -> dict[str, object]:
    key = content_keys(pa.array([text]))[0].as_py()
    return {"key": key, "track": track, "position": position, "removed": removed}


def changes_of(*rows: dict[str, object]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), KEY_DIFF)


def counts(outputs: list[TaggedOutput]) -> dict[str, int]:
    return dict(part.value for part in outputs if part.tag == "counts")


def test_an_input_is_wanted_once_though_two_tracks_have_it(store: Store) -> None:
    outputs = find(store, None, changes_of(change("x", 1, 7), change("x", 2, (3 << POSITION_SHIFT) + 8)))
    [(number, locations)] = [part.value for part in outputs if part.tag == "wanted"]
    assert (number, locations["position"].to_pylist()) == (0, [7])
    assert counts(outputs) == {
        "keys_written": 2, "tracks_with/tags": 2, "inputs/tags": 1, "missing/tags": 1, "records_lost": 0,
    }  # fmt: skip


def test_a_missing_precomputed_embedding_is_located_in_its_row_group(store: Store) -> None:
    outputs = find(store, None, changes_of(change("x", 1, (3 << POSITION_SHIFT) + 8)), precomputed=True)
    [(element, locations)] = [part.value for part in outputs if part.tag == "locations"]
    assert (element, locations["position"].to_pylist()) == ((TAGS, 3), [8])


def test_a_lost_record_of_an_unchanged_key_is_detected(store: Store) -> None:
    base = store.catalog("base")
    stored = (
        pa.Table.from_pylist([{**change("x", 1, 0), "changed": True, "new": True}])
        .select(TRACK_KEYS.names)
        .cast(TRACK_KEYS)
    )
    files.write_batches(files.join(base.keys(TAGS, 0), "part.parquet"), TRACK_KEYS, [stored])
    outputs = find(store, base, changes_of())
    assert counts(outputs)["records_lost"] == 1
    assert [row["changed"] for row in keys_of(store.catalog("current"), TAGS)] == [False]


def test_a_key_that_failed_in_the_base_counts_as_changed(store: Store) -> None:
    base = store.catalog("base")
    row = change("x", 1, 0)
    write_keys(base, row)
    failure = pa.Table.from_pylist([{"key": row["key"], "reason": "encoder_failed", "detail": None}], FAILURES)
    files.write_batches(files.join(store.failures(TAGS, "e", 0), "part.parquet"), FAILURES, [failure])
    assert counts(find(store, base, changes_of()))["records_lost"] == 0
    assert [row["changed"] for row in keys_of(store.catalog("current"), TAGS)] == [True]


def test_a_dry_run_finds_the_same_inputs_and_writes_nothing(store: Store) -> None:
    changes = changes_of(change("x", 1, 7))
    dry = find(store, None, changes, writer=DryRunWriter())
    assert not Path(store.root).exists()
    written = find(store, None, changes)
    assert [(part.tag, part.value) for part in dry] == [(part.tag, part.value) for part in written]
    assert len(keys_of(store.catalog("current"), TAGS)) == 1


def test_batches_are_cut_in_order_of_key() -> None:
    texts = pa.array([f"text {n}" for n in range(3000)])
    inputs = pa.record_batch([content_keys(texts), texts], schema=INPUTS)
    batches = [part.value for part in CutBatches().process(((LYRICS, 0), [inputs.slice(0, 900), inputs.slice(900)]))]
    assert [batch.num_rows for batch in batches] == [2048, 952]
    keys = [key for batch in batches for key in batch["key"].to_pylist()]
    assert keys == sorted(content_keys(texts).to_pylist())
