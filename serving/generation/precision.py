"""Precision in which a model computes: that which its device multiplies fastest, with logits in float32."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

AUTO, FLOAT32, BFLOAT16 = PRECISIONS = ("auto", "float32", "bfloat16")
"""Precisions of products. ``auto`` is bfloat16 where the device has it, else float32."""


def has_bfloat16(device: str) -> bool:
    """Return whether a device of torch multiplies bfloat16 in hardware."""
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.10 and later
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))


def move_to_device(model: PreTrainedModel, device: str, precision: str = AUTO) -> PreTrainedModel:
    """Move a model to a device, in a precision; its head computes in float32.

    Logits in bfloat16 have three digits, so that many of the 1,024 codes of a modality would be equally probable.

    Args:
        model: model that is read only; it is changed.
        device: device of torch.
        precision: one of :data:`PRECISIONS`. With ``auto``, a GPU keeps the type of the weights.
    """
    placed: Any = model  # transformers does not type these methods
    head = _in_float32(placed.get_output_embeddings())
    placed.to(device=device, dtype=_dtype(model, device, precision))
    placed.set_output_embeddings(head.to(device))
    return model


def _dtype(model: PreTrainedModel, device: str, precision: str) -> torch.dtype:
    import torch

    if precision == AUTO:
        if device != "cpu":
            return model.dtype
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    return torch.bfloat16 if precision == BFLOAT16 else torch.float32


def _in_float32(head: nn.Module) -> nn.Module:
    """Copy a head, which is not tied to the embeddings then."""
    exact = copy.deepcopy(head).float()
    exact.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))
    return exact
