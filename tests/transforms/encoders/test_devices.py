"""Devices of this machine, and of machines with GPUs, which are simulated."""

import pytest
import torch

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.devices import check_device_name, find_device, find_exact_device


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make torch report the given number of CUDA devices, a CPU and nothing else."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.delenv("WORKER_ID", raising=False)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "CUDA", ""])
def test_an_invalid_device_name_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match=f"--device {name}: use cpu, cuda, cuda:0"):
        check_device_name(name)


def test_valid_device_names_are_accepted() -> None:
    for name in (None, "cpu", "cuda", "cuda:0", "cuda:12", "mps"):
        check_device_name(name)


@pytest.mark.parametrize("gpus", [0], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_without_a_gpu_the_cpu_is_selected_and_a_gpu_refused() -> None:
    assert find_device(None) == find_device("cpu") == torch.device("cpu")
    for name in ("cuda", "cuda:0", "mps"):
        with pytest.raises(UsageError, match=f"--device {name}: this machine has cpu$"):
            find_device(name)


@pytest.mark.parametrize("gpus", [2], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_a_gpu_is_selected_if_there_is_one_and_a_missing_one_refused() -> None:
    assert find_device(None) == find_device("cuda") == torch.device("cuda:0")
    assert find_device("cuda:1") == torch.device("cuda:1")
    assert find_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match=r"--device cuda:2: this machine has cuda, cpu, cuda:0, cuda:1$"):
        find_device("cuda:2")


@pytest.mark.parametrize("gpus", [2], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_worker_processes_are_distributed_over_the_gpus_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    selected = []
    for worker in ("worker_0", "worker_1", "worker_2", "sdk-0-11"):
        monkeypatch.setenv("WORKER_ID", worker)
        selected.append((str(find_device(None)), str(find_device("cuda:1"))))
    assert selected == [("cuda:0", "cuda:1"), ("cuda:1", "cuda:1"), ("cuda:0", "cuda:1"), ("cuda:1", "cuda:1")]


def test_convolutions_are_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert find_exact_device("cpu") == torch.device("cpu")
    assert not torch.backends.cudnn.allow_tf32
