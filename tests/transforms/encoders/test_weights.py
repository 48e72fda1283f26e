"""What encoders with weights share."""

import pytest
import torch

from tracktokens.schemas.errors import DataRefusedError, UsageError
from tracktokens.transforms.encoders.weights import check_fit, check_hash, exact_device


@pytest.fixture(params=[0, 2])
def gpus(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A machine of so many GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    return request.param


def test_a_gpu_is_taken_where_there_is_one(gpus: int) -> None:
    assert exact_device(None) == torch.device("cuda" if gpus else "cpu")


def test_a_device_is_what_it_is_called(gpus: int) -> None:
    assert exact_device("cpu") == torch.device("cpu")
    if gpus:
        assert exact_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize("name", ["cuda:2", "gpu", "", "meta"])
def test_a_device_that_is_not_there_is_wrong_usage_in_one_line_that_says_what_is(gpus: int, name: str) -> None:
    there = "cuda, cuda:0, cuda:1, cpu" if gpus else "cpu"
    with pytest.raises(UsageError) as refused:
        exact_device(name)
    assert str(refused.value) == f"--device {name}: this machine has {there}"


def test_convolutions_keep_the_bits_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    exact_device("cpu")
    assert not torch.backends.cudnn.allow_tf32


def test_another_hash_is_refused() -> None:
    check_hash("12", "12", "the model")
    with pytest.raises(DataRefusedError, match=r"the model hashes to 12, and the job was started with 13\. Give every"):
        check_hash("12", "13", "the model")


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({"a": (1,)}, r"x: b is missing, not \(2, 3\); y"),
        ({"a": (2,), "b": (3, 2)}, r"x: a is \(2,\), not \(1,\), and 1 more; y"),
        ({"a": (1,), "b": (2, 3), "c": (4,)}, r"x: c is \(4,\), not a part of it; y"),
    ],
)
def test_weights_that_do_not_fit_are_refused(found: dict[str, tuple[int, ...]], fault: str) -> None:
    wanted = {"a": (1,), "b": (2, 3)}
    check_fit(wanted, wanted, "x", "y")
    with pytest.raises(DataRefusedError, match=f"^{fault}$"):
        check_fit(found, wanted, "x", "y")
