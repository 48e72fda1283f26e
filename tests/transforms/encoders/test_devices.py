"""Devices of this machine, and of simulated ones."""

import pytest
import torch

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.devices import check_device_name, exact_device, find_device


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let torch report a number of CUDA devices, and otherwise only a CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.delenv("WORKER_ID", raising=False)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "CUDA", ""])
def test_a_name_that_no_device_has_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match=f"--device {name}: devices are named cpu, cuda, cuda:0"):
        check_device_name(name)


def test_names_that_devices_have_are_taken() -> None:
    for name in (None, "cpu", "cuda", "cuda:0", "cuda:12", "mps"):
        check_device_name(name)


@pytest.mark.parametrize("gpus", [0], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_without_a_gpu_the_cpu_is_taken_and_a_gpu_refused() -> None:
    assert find_device(None) == find_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:0", "mps"):
        with pytest.raises(UsageError, match=f"--device {name}: this machine has cpu$"):
            find_device(name)


@pytest.mark.parametrize("gpus", [2], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_a_gpu_is_taken_where_there_is_one_and_one_too_many_refused() -> None:
    assert find_device(None) == find_device("cuda") == torch.device("cuda:0")
    assert find_device("cuda:1") == torch.device("cuda:1")
    assert find_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match=r"--device cuda:2: this machine has cuda, cpu, cuda:0, cuda:1$"):
        find_device("cuda:2")


@pytest.mark.parametrize("gpus", [2], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_worker_processes_take_the_gpus_of_a_machine_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for worker in ("worker_0", "worker_1", "worker_2", "sdk-0-11"):
        monkeypatch.setenv("WORKER_ID", worker)
        taken.append((str(find_device(None)), str(find_device("cuda:1"))))
    assert taken == [("cuda:0", "cuda:1"), ("cuda:1", "cuda:1"), ("cuda:0", "cuda:1"), ("cuda:1", "cuda:1")]


def test_convolutions_keep_the_bits_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert exact_device("cpu") == torch.device("cpu")
    assert not torch.backends.cudnn.allow_tf32
