"""Record batches as Beam elements."""

import copyreg
from collections.abc import Iterable, Iterator

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam import coders
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from tracktokens.transforms.runtime.arrow_coder import Keyed, ModalityKeyed, RecordBatchCoder


def test_a_decoded_batch_equals_the_encoded_one() -> None:
    batch = pa.record_batch({"text": ["a", None], "list": [[1], []]})
    assert RecordBatchCoder().decode(RecordBatchCoder().encode(batch)).equals(batch)


def test_a_slice_is_written_without_its_parent() -> None:
    parent = pa.record_batch({"number": range(100_000)})
    assert len(RecordBatchCoder().encode(parent.slice(70_000, 10))) < 1_000


def test_beam_finds_the_coder_inside_keyed_types() -> None:
    for hint in (Keyed, ModalityKeyed):
        assert "RecordBatchCoder" in str(coders.registry.get_coder(hint))


@pytest.fixture
def unpicklable_batches() -> Iterator[None]:
    def refuse(batch: pa.RecordBatch) -> str:
        raise AssertionError("a record batch was pickled")

    copyreg.pickle(pa.RecordBatch, refuse)
    yield
    del copyreg.dispatch_table[pa.RecordBatch]


def three_rows(key: int) -> tuple[int, pa.RecordBatch]:
    return key, pa.record_batch({"number": [1, 2, 3]})


def by_size(batch: pa.RecordBatch) -> tuple[int, pa.RecordBatch]:
    return batch.num_rows, batch


def count_rows(element: tuple[int, Iterable[pa.RecordBatch]]) -> int:
    return sum(batch.num_rows for batch in element[1])


def expect_six(found: list[int]) -> None:
    assert found == [6]


@pytest.mark.usefixtures("unpicklable_batches")
def test_no_batch_is_pickled_in_groupings_and_reshuffles() -> None:
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        batches = pipeline | beam.Create([0, 1]) | beam.Map(three_rows).with_output_types(Keyed)
        again = batches | beam.Values() | beam.Reshuffle() | beam.Map(by_size).with_output_types(Keyed)
        again | beam.GroupByKey() | beam.Map(count_rows) | beam.combiners.ToList() | beam.Map(expect_six)
