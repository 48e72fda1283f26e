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

_SAVED = 80
"""Bytes per id, layer and hidden number that the backward pass needs, in float32 and in bfloat16 alike: autograd kept
70 to 90 of Llamas with LoRA and without."""

_ALLOCATED = 1.25
"""Memory that the allocator takes for activations, whose shapes change from batch to batch."""

_PER_LOGIT = 16
"""Bytes per logit: as a product, in float32, its log-probability, and its gradient."""

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


def estimate_memory(
    config: PreTrainedConfig, settings: FinetuneSettings, tokens: int, longest: int, learned: int
) -> MemoryEstimate:
    """Estimate the memory of training a model, without its weights.

    Args:
        config: the model's configuration.
        settings: settings of the run.
        tokens: number of new tokens.
        longest: ids of the longest sequence.
        learned: most ids of a sequence that have a loss.
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
    per_layer = _SAVED * hidden
    kept = layers * hidden * NUMBER + per_layer if settings.gradient_checkpointing else layers * per_layer
    logits = _PER_LOGIT * vocabulary * settings.batch_size * learned
    activations = int(_ALLOCATED * (ids * kept + logits))
    return MemoryEstimate(weights * NUMBER, trained * NUMBER * STATES, activations)


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
