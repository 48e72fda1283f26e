"""Memory that a training stage needs, estimated from the model's configuration before its weights are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracktokens.pipelines.finetuning.settings import FULL, LORA, FinetuneSettings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

NUMBER = 4
"""Bytes per number: weights, gradients and states of the optimizer are float32."""

STATES = 3
"""Numbers per trained weight beside the weight: its gradient and two moments of AdamW."""

SHARE = 0.95
"""Share of the available memory that a run may need."""

_SAVED = 34
"""Activations per id and layer that the backward pass needs, as multiples of half the hidden size; see
arXiv 2205.05198, section 4.1."""

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that the largest stage of a run needs.

    Attributes:
        weights: weights of the model.
        states: gradients, moments, and the adapter's weights.
        activations: results of the forward pass for one batch, and its logits.
    """

    weights: int
    states: int
    activations: int

    @property
    def total(self) -> int:
        """Return all bytes."""
        return self.weights + self.states + self.activations


def estimate_memory(config: PreTrainedConfig, settings: FinetuneSettings, tokens: int, longest: int) -> MemoryEstimate:
    """Estimate the memory of training a model, without its weights.

    Args:
        config: the model's configuration.
        settings: settings of the run.
        tokens: number of new tokens.
        longest: ids of the longest row; with packing, of a sequence.
    """
    import torch
    from transformers import AutoModelForCausalLM

    auto: Any = AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    weights = sum(weight.numel() for weight in model.parameters())
    text = config.get_text_config()
    layers, hidden, vocabulary = text.num_hidden_layers, text.hidden_size, text.vocab_size
    matrices = 1 if text.tie_word_embeddings else 2
    trained = tokens * hidden * matrices
    if FULL in settings.stages:
        trained = weights
    elif LORA in settings.stages:
        trained += _lora_weights(model, settings)
    ids = settings.batch_size * longest
    per_layer = _SAVED * hidden * NUMBER // 2
    kept = layers * hidden * NUMBER + per_layer if settings.gradient_checkpointing else layers * per_layer
    logits = 2 * NUMBER * vocabulary * min(ids, 128 * settings.batch_size)  # completions, and their gradients
    return MemoryEstimate(weights * NUMBER, trained * NUMBER * STATES, ids * kept + logits)


def _lora_weights(model: Any, settings: FinetuneSettings) -> int:
    names = settings.lora_modules.split(",")
    head = model.get_output_embeddings()
    shapes = [
        module.weight.shape
        for name, module in model.named_modules()
        if getattr(module, "weight", None) is not None and module.weight.dim() == 2 and module is not head
        if name.split(".")[-1] in names or (names == ["all-linear"] and "embed" not in name)
    ]
    return sum(settings.lora_rank * sum(shape) for shape in shapes)


def available_memory() -> int:
    """Return the bytes that a process can still use: of the accelerator if there is one, else of this machine."""
    import psutil
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((_CGROUP / "memory.max").read_text()) - int((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no limit
        return free
    return min(free, limit)
