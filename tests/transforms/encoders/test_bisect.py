"""Batches that break an encoder, with encoders defined here."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from tracktokens.schemas.errors import UsageError
from tracktokens.schemas.tables.rejects import AUDIO_EMPTY, ENCODER_FAILED, ENCODER_UNAVAILABLE, OUT_OF_MEMORY
from tracktokens.transforms.encoders.base import Encoded, Failure, LoadedEncoder
from tracktokens.transforms.encoders.bisect import encode_by_bisection, is_out_of_memory, with_smaller_batches


class Fragile(LoadedEncoder):
    """Encodes a text as its length; raises the error that ``breaks`` returns for a batch, and records all batches."""

    def __init__(self, breaks: Callable[[list[str]], Exception | None], works: bool | Exception = True) -> None:
        self._breaks = breaks
        self._works = works
        self.batches: list[list[str]] = []

    def encode(self, inputs: pa.StringArray) -> Encoded:
        texts = inputs.to_pylist()
        self.batches.append(texts)
        if error := self._breaks(texts):
            raise error
        lengths = np.array([[len(text), 1.0] for text in texts], np.float32)
        return Encoded(lengths, {row: Failure(AUDIO_EMPTY, "") for row, t in enumerate(texts) if not t}, len(texts))

    def probe(self) -> bool:
        if isinstance(self._works, Exception):
            raise self._works
        return self._works


def poison(*bad: str) -> Callable[[list[str]], Exception | None]:
    return lambda texts: IndexError("poison") if set(texts) & set(bad) else None


def test_a_batch_that_does_not_raise_is_encoded_once() -> None:
    encoder = Fragile(poison())
    result = encode_by_bisection(encoder, pa.array(["a", "bb"]))
    assert encoder.batches == [["a", "bb"]]
    np.testing.assert_array_equal(result.vectors, [[1, 1], [2, 1]])


def test_bisection_finds_the_input_that_raises_and_only_it_fails() -> None:
    encoder = Fragile(poison("ccc"))
    result = encode_by_bisection(encoder, pa.array(["a", "bb", "ccc", "dddd", ""]))
    assert encoder.batches == [["a", "bb", "ccc", "dddd", ""], ["a", "bb"], ["ccc", "dddd", ""], ["ccc"], ["dddd", ""]]
    np.testing.assert_array_equal(result.vectors, [[1, 1], [2, 1], [0, 0], [4, 1], [0, 1]])
    assert {row: failure.reason for row, failure in result.failures.items()} == {2: ENCODER_FAILED, 4: AUDIO_EMPTY}
    assert result.failures[2].detail == "IndexError('poison')"
    assert result.decoding_seconds == 4


@pytest.mark.parametrize("error", [PermissionError(13, "denied"), TimeoutError("slow"), ConnectionResetError()])
def test_an_input_that_the_system_refuses_is_not_called_a_failure_of_the_encoder(error: OSError) -> None:
    encoder = Fragile(lambda texts: error if "bad" in texts else None)
    result = encode_by_bisection(encoder, pa.array(["a", "bad", "c"]))
    assert {row: failure.reason for row, failure in result.failures.items()} == {1: ENCODER_UNAVAILABLE}


def test_an_error_of_the_configuration_in_a_part_of_a_batch_is_raised() -> None:
    encoder = Fragile(lambda texts: ValueError() if len(texts) > 1 else UsageError("no such device"))
    with pytest.raises(UsageError, match="no such device"):
        encode_by_bisection(encoder, pa.array(["a", "b"]))


def test_no_input_fails_if_half_a_batch_fits_in_memory() -> None:
    encoder = Fragile(lambda texts: MemoryError() if len(texts) > 2 else None)
    result = encode_by_bisection(encoder, pa.array(["a", "bb", "ccc", "dddd", "eeeee"]))
    assert not result.failures
    np.testing.assert_array_equal(result.vectors[:, 0], [1, 2, 3, 4, 5])


def test_an_input_that_does_not_fit_in_memory_has_its_own_reason() -> None:
    result = encode_by_bisection(
        Fragile(lambda texts: MemoryError() if "huge" in texts else None), pa.array(["huge", "a"])
    )
    assert result.failures[0].reason == OUT_OF_MEMORY
    np.testing.assert_array_equal(result.vectors, [[0, 0], [1, 1]])


def test_an_encoder_that_cannot_encode_its_own_probe_is_broken_and_no_input_fails() -> None:
    encoder = Fragile(poison("a"), works=RuntimeError("device lost"))
    with pytest.raises(RuntimeError, match="device lost"):
        encode_by_bisection(encoder, pa.array(["a", "b"]))


def test_an_encoder_without_a_probe_that_fails_on_all_of_several_inputs_is_broken() -> None:
    broken = Fragile(lambda texts: ValueError("no weights"), works=False)
    with pytest.raises(ValueError, match="no weights"):
        encode_by_bisection(broken, pa.array(["a", "b", "c"]))


def test_an_encoder_without_a_probe_may_fail_on_some_inputs_or_on_the_only_one() -> None:
    encoder = Fragile(poison("a"), works=False)
    assert list(encode_by_bisection(encoder, pa.array(["a", "b"])).failures) == [0]
    assert list(encode_by_bisection(encoder, pa.array(["a"])).failures) == [0]


def test_all_inputs_can_fail_if_the_encoder_works() -> None:
    result = encode_by_bisection(Fragile(poison("a", "b")), pa.array(["a", "b"]))
    assert sorted(result.failures) == [0, 1]
    assert result.vectors.shape == (2, 1)


def test_a_usage_error_is_not_a_failure_of_an_input() -> None:
    encoder = Fragile(lambda texts: UsageError("no such model"))
    with pytest.raises(UsageError, match="no such model"):
        encode_by_bisection(encoder, pa.array(["a", "b"]))
    assert len(encoder.batches) == 1


def test_batches_get_smaller_until_they_fit() -> None:
    tried: list[int] = []

    def run(batch_size: int) -> str:
        tried.append(batch_size)
        if batch_size > 4:
            raise MemoryError
        return "fits"

    assert with_smaller_batches(run, 32) == "fits"
    assert tried == [32, 16, 8, 4]


def test_a_batch_of_one_that_does_not_fit_is_an_error_and_so_is_any_other_error() -> None:
    def raise_error(error: Exception) -> Callable[[int], None]:
        def run(batch_size: int) -> None:
            raise error

        return run

    with pytest.raises(MemoryError):
        with_smaller_batches(raise_error(MemoryError()), 2)
    with pytest.raises(ValueError, match="other"):
        with_smaller_batches(raise_error(ValueError("other")), 2)


def test_out_of_memory_errors_of_torch_and_onnx_runtime_are_recognised() -> None:
    import torch

    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert is_out_of_memory(RuntimeError("Failed to allocate memory for requested buffer of size 8"))
    assert not is_out_of_memory(ValueError("shape mismatch"))
