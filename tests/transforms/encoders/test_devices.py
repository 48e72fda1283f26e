"""Devices of this machine, and of machines with GPUs, which are simulated."""

import sys
from pathlib import Path

import pytest
import torch

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders import devices
from tracktokens.transforms.encoders.devices import check_device_name, find_device, find_exact_device


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Make torch report the given number of CUDA devices, a CPU and nothing else."""
    monkeypatch.setattr(devices, "_has_gpu_driver", lambda: request.param > 0)
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
    assert find_device(None) == find_device("cpu") == "cpu"
    for name in ("cuda", "cuda:0", "mps"):
        with pytest.raises(UsageError, match=f"--device {name}: this machine has cpu$"):
            find_device(name)


@pytest.mark.parametrize("gpus", [2], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_a_gpu_is_selected_if_there_is_one_and_a_missing_one_refused() -> None:
    assert find_device(None) == find_device("cuda") == "cuda:0"
    assert find_device("cuda:1") == "cuda:1"
    assert find_device("cpu") == "cpu"
    with pytest.raises(UsageError, match=r"--device cuda:2: this machine has cuda, cpu, cuda:0, cuda:1$"):
        find_device("cuda:2")


@pytest.mark.parametrize("gpus", [2], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_worker_processes_are_distributed_over_the_gpus_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    selected = []
    for worker in ("worker_0", "worker_1", "worker_2", "sdk-0-11"):
        monkeypatch.setenv("WORKER_ID", worker)
        selected.append((find_device(None), find_device("cuda:1")))
    assert selected == [("cuda:0", "cuda:1"), ("cuda:1", "cuda:1"), ("cuda:0", "cuda:1"), ("cuda:1", "cuda:1")]


def test_convolutions_are_computed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert find_exact_device("cpu") == "cpu"
    assert not torch.backends.cudnn.allow_tf32


def test_torch_is_asked_for_a_gpu_only_where_a_driver_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(asked.append("cuda")))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(devices, "_DRIVER_FILES", (str(tmp_path / "driver"),))
    find_device(None)
    assert not asked
    (tmp_path / "driver").touch()
    find_device(None)
    assert asked == ["cuda"]
