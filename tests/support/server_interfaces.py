"""Interfaces of inference servers, for tests where these are not installed.

The signatures are those of vLLM 0.32.0 (``vllm/v1/sample/logits_processor/interface.py``,
``vllm/v1/worker/gpu/sample/logits_processor/interface.py``) and SGLang 0.5.23
(``sglang/srt/sampling/custom_logit_processor.py``).
"""

import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import ModuleType
from typing import Any

import pytest
import torch

VLLM_V1 = "vllm.v1.sample.logits_processor"
VLLM_V2 = "vllm.v1.worker.gpu.sample.logits_processor"
SGLANG = "sglang.srt.sampling.custom_logit_processor"

INSTALLED = [package for package in ("vllm", "sglang") if importlib.util.find_spec(package) is not None]


class MoveDirectionality(Enum):
    UNIDIRECTIONAL = auto()
    SWAP = auto()


@dataclass(frozen=True)
class BatchUpdate:
    batch_size: int
    removed: Sequence[int]
    added: Sequence[tuple[int, Any, list[int] | None, list[int]]]
    moved: Sequence[tuple[int, int, MoveDirectionality]]


class V1Processor(ABC):
    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        return None

    @abstractmethod
    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None: ...

    @abstractmethod
    def apply(self, logits: torch.Tensor) -> torch.Tensor: ...

    @abstractmethod
    def is_argmax_invariant(self) -> bool: ...

    @abstractmethod
    def update_state(self, batch_update: BatchUpdate | None) -> None: ...


class V2Processor(ABC):
    def __init__(self, vllm_config: Any, req_states: Any) -> None: ...  # noqa: B027

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        return None

    def add_request(self, req_idx: int, sampling_params: Any) -> bool:
        return True

    def apply_staged_writes(self) -> None: ...  # noqa: B027

    @abstractmethod
    def apply(self, logits: torch.Tensor, ctx: Any) -> torch.Tensor: ...


class CustomLogitProcessor(ABC):
    @abstractmethod
    def __call__(self, logits: torch.Tensor, custom_param_list: list[dict[str, Any]] | None = None) -> torch.Tensor: ...


def provide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put modules with these interfaces in place of packages that are not installed."""
    names = {
        VLLM_V1: {
            "LogitsProcessor": V1Processor, "BatchUpdate": BatchUpdate, "MoveDirectionality": MoveDirectionality,
        },
        VLLM_V2: {"LogitsProcessor": V2Processor},
        SGLANG: {"CustomLogitProcessor": CustomLogitProcessor},
    }  # fmt: skip
    for name, content in names.items():
        if name.partition(".")[0] not in INSTALLED:
            for depth in range(1, name.count(".") + 2):
                parent = ".".join(name.split(".")[:depth])
                if parent not in sys.modules:
                    monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
            for key, value in content.items():
                setattr(sys.modules[name], key, value)
