"""The sample that codebooks are trained on, and its preprocessing."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tracktokens.codebooks.codebook import Codebook
from tracktokens.schemas.token_format import TokenFormat
from tracktokens.transforms.quantization.train_codebooks import (
    SAMPLE_FILES,
    TrainCodebook,
    TrainingFolder,
    bucket_ranges,
    hash_threshold,
    smallest_hashes,
)
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store.bundles import read_codebook_file
from tracktokens.transforms.store.files import write_batches
from tracktokens.transforms.store.keys import content_keys, seeded_hash
from tracktokens.transforms.store.records import make_vector_records


def facts_of(count: int) -> pa.Table:
    keys = content_keys(pa.array([str(number) for number in range(count)]))
    return pa.Table.from_batches([make_vector_records(keys, np.zeros((count, 2), np.float16))])


@pytest.mark.parametrize("wanted", [1, 100, 5_000, 20_000])
def test_the_threshold_lets_enough_through_and_little_more(wanted: int) -> None:
    total = 20_000
    hashes = seeded_hash(facts_of(total)["key"].combine_chunks(), 3)
    passed = int((hashes <= np.uint64(hash_threshold(total, wanted))).sum())
    assert wanted <= passed <= wanted + 12 * np.sqrt(wanted)


def test_everything_is_taken_where_there_is_too_little() -> None:
    assert hash_threshold(10, 10) == (1 << 64) - 1


def test_the_sample_is_the_rows_of_smallest_hash_in_whatever_order_they_come() -> None:
    records = facts_of(1000)
    shuffled = records.take(pa.array(np.random.default_rng(0).permutation(1000)))
    hashes = seeded_hash(records["key"].combine_chunks(), 0)
    expected = {records["key"][int(row)].as_py() for row in np.argsort(hashes)[:100]}
    for table in (records, shuffled):
        assert set(smallest_hashes(table, 100, 0)["key"].to_pylist()) == expected


def trainer(folder: Path, standardized: list[str], starts: dict[str, Codebook]) -> TrainCodebook:
    training = TrainingFolder(str(folder))
    training.write_starts(starts)
    return TrainCodebook(
        folder=training,
        encoders={"audio": "e"},
        standardized=standardized,
        started=list(starts),
        token_format=TokenFormat.of(4),
        sample=100,
        seed=0,
        workers=1,
        progress=ProgressReporter(),
    )


def sample_file(folder: Path, records: pa.RecordBatch) -> str:
    path = TrainingFolder(str(folder)).sample("audio", 0)
    write_batches(path, records.schema, [records])
    return path


def test_a_modality_of_many_buckets_is_sampled_into_few_files() -> None:
    ranges = bucket_ranges([(modality, bucket) for modality in ("tags", "audio") for bucket in range(2048)])
    assert len(ranges) == 2 * SAMPLE_FILES
    for modality in ("tags", "audio"):
        assert [bucket for name, buckets in ranges if name == modality for bucket in buckets] == list(range(2048))


@pytest.mark.parametrize("standardized", [["audio"], []])
def test_the_named_modalities_are_standardised_and_others_scaled_to_unit_length(
    tmp_path: Path, standardized: list[str]
) -> None:
    keys = content_keys(pa.array([str(number) for number in range(100)]))
    records = make_vector_records(keys, np.random.default_rng(0).normal(5, 2, (100, 3)).astype(np.float16))
    train = trainer(tmp_path, standardized, {})
    train.process(("audio", [sample_file(tmp_path, records)]))
    learned = read_codebook_file(str(tmp_path / "audio.safetensors")).preprocessing
    assert (learned.mean is not None) == bool(standardized)
    assert learned.unit_length == (not standardized)


def test_standardised_vectors_that_start_from_a_codebook_stay_in_its_space(tmp_path: Path) -> None:
    keys = content_keys(pa.array([str(number) for number in range(100)]))
    draw = np.random.default_rng(0)

    def learn(folder: Path, vectors: npt.NDArray[np.float64], starts: dict[str, Codebook]) -> Codebook:
        train = trainer(folder, ["audio"], starts)
        records = make_vector_records(keys, vectors.astype(np.float16))
        train.process(("audio", [sample_file(folder, records)]))
        return read_codebook_file(str(folder / "audio.safetensors"))

    first = learn(tmp_path / "first", draw.normal(5, 2, (100, 3)), {})
    second = learn(tmp_path / "second", draw.normal(8, 3, (100, 3)), {"audio": first})
    np.testing.assert_array_equal(second.preprocessing.mean, first.preprocessing.mean)
    np.testing.assert_array_equal(second.preprocessing.projection, first.preprocessing.projection)
    assert second.content_hash != first.content_hash
