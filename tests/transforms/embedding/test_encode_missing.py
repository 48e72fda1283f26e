"""Encoding of missing inputs, with an encoder defined here."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import TracktokensError
from tracktokens.schemas.tables.records import FAILURES, INPUTS
from tracktokens.schemas.tables.rejects import AUDIO_MISSING, AUDIO_UNDECODABLE, NOT_FINITE
from tracktokens.transforms.embedding.batches import (
    MAX_FILES,
    MAX_TEXT_BYTES,
    MAX_TEXTS,
    LazyEncoder,
    encode_inputs,
    encoding_batches,
)
from tracktokens.transforms.embedding.encode_missing import WriteEncoded
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder, encoded
from tracktokens.transforms.runtime.progress import ProgressReporter
from tracktokens.transforms.store import files
from tracktokens.transforms.store.keys import content_keys
from tracktokens.transforms.store.layout import Store
from tracktokens.transforms.store.records import read_vectors, unencoded


@dataclass(frozen=True)
class LengthEncoder(Encoder):
    """Encodes a text as its length; a text that is a reason fails with that reason."""

    loads: list[int] = field(default_factory=list)

    def identity(self) -> Mapping[str, object]:
        return {"name": "length"}

    def load(self, threads: int) -> LoadedEncoder:
        self.loads.append(threads)
        return LoadedLengthEncoder()


class LoadedLengthEncoder(LoadedEncoder):
    def encode(self, inputs: pa.StringArray) -> Encoded:
        return encoded([self._one(text) for text in inputs.to_pylist()], 2)

    def _one(self, text: str) -> Failure | np.ndarray:
        if text in (AUDIO_MISSING, AUDIO_UNDECODABLE):
            return Failure(text, "requested by the test")
        return np.array([len(text), 1e6 if text == "huge" else 0], np.float32)


def writer(store: Store) -> WriteEncoded:
    return WriteEncoded(
        store=store, catalog=store.catalog("c"), modality="audio", encoder_id="e", progress=ProgressReporter()
    )


def inputs_of(*texts: str) -> pa.RecordBatch:
    return pa.record_batch([content_keys(pa.array(texts)), pa.array(texts)], schema=INPUTS)


def test_batches_hold_every_input_once_within_the_limits() -> None:
    half = MAX_TEXT_BYTES // 2
    texts = ["x" * half, "y" * half, "z", "w" * (4 * half)] + ["short"] * 5000
    inputs = pa.record_batch([pa.array([bytes(16)] * len(texts), pa.binary(16)), pa.array(texts)], schema=INPUTS)
    batches = list(encoding_batches(inputs, "lyrics"))
    assert [text for batch in batches for text in batch["input"].to_pylist()] == texts
    assert [batch.num_rows for batch in batches[:3]] == [2, 1, 1]
    assert all(batch.num_rows <= MAX_TEXTS for batch in batches)
    assert [batch.num_rows for batch in encoding_batches(inputs.slice(4, 70), "audio")] == [MAX_FILES, MAX_FILES, 6]
    assert list(encoding_batches(inputs.slice(0, 0), "lyrics")) == []


def test_batches_of_a_slice_are_cut_by_its_own_sizes() -> None:
    inputs = inputs_of("x" * MAX_TEXT_BYTES, "a", "b").slice(1)
    assert [batch.num_rows for batch in encoding_batches(inputs, "tags")] == [2]


def test_the_model_is_loaded_once_and_only_if_inputs_are_encoded() -> None:
    encoder = LengthEncoder()
    lazy = LazyEncoder(encoder, workers=1000)
    assert encoder.loads == []
    for text in ("a", "bb"):
        assert lazy.encode(pa.array([text])).vectors[0, 0] == len(text)
    assert encoder.loads == [1]


def test_failures_and_float16_overflows_have_a_reason_instead_of_a_vector() -> None:
    records = encode_inputs(inputs_of("abc", AUDIO_UNDECODABLE, "huge"), LazyEncoder(LengthEncoder(), 1))
    assert records["reason"].to_pylist() == [None, AUDIO_UNDECODABLE, NOT_FINITE]
    assert records["vector"][0].as_py() == [3, 0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open_or_create(str(tmp_path / "store"), 1)


def test_vectors_and_permanent_failures_become_records_and_a_missing_file_is_retried(store: Store) -> None:
    catalog = store.catalog("c")
    records = encode_inputs(inputs_of("abc", AUDIO_UNDECODABLE, AUDIO_MISSING), LazyEncoder(LengthEncoder(), 1))
    counts = dict(writer(store).process(records))
    assert (counts["encoded/audio"], counts["failed/audio"]) == (1, 2)

    keys = content_keys(pa.array(["abc", AUDIO_UNDECODABLE, AUDIO_MISSING]))
    assert unencoded(store, "audio", "e", 0, keys).equals(keys[2:])
    [(encoded_keys, vectors)] = read_vectors(store.vectors("audio", "e", 0), keys)
    assert encoded_keys.equals(keys[:1])
    assert vectors.tolist() == [[3, 0]]
    assert files.read_table(catalog.failures("audio", 0), FAILURES)["key"].to_pylist() == keys[2:].to_pylist()


def test_the_cost_of_encoding_is_counted_with_the_batch(tmp_path: Path) -> None:
    class Slow(LengthEncoder):
        def load(self, threads: int) -> LoadedEncoder:
            return LoadedSlowEncoder()

    class LoadedSlowEncoder(LoadedLengthEncoder):
        def encode(self, inputs: pa.StringArray) -> Encoded:
            time.sleep(0.05)
            return replace(super().encode(inputs), decoding_seconds=1.5)

    store = Store(str(tmp_path), 1)
    records = encode_inputs(inputs_of("abc"), LazyEncoder(Slow(), 1))
    counts = dict(writer(store).process(records))
    assert counts["decoding_milliseconds/audio"] == 1500
    assert 50 <= counts["encoding_milliseconds/audio"] < 1500


@pytest.mark.parametrize("shape", [(1, 4), (8,), (2, 2, 2)])
def test_an_encoder_that_does_not_return_one_vector_per_input_is_an_error(shape: tuple[int, ...]) -> None:
    class Odd(LengthEncoder):
        def load(self, threads: int) -> LoadedEncoder:
            return LoadedOdd()

    class LoadedOdd(LoadedEncoder):
        def encode(self, inputs: pa.StringArray) -> Encoded:
            return Encoded(np.zeros(shape, np.float32), {})

    with pytest.raises(TracktokensError, match=r"LoadedOdd returned an array of shape .* for 2 inputs"):
        LazyEncoder(Odd(), 1).encode(pa.array(["a", "b"]))
