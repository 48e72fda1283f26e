"""PEFT adapters of the stages: new rows alone, or LoRA with new rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peft import LoraConfig, get_peft_model
from peft.utils.constants import DUMMY_TARGET_MODULES
from transformers import set_seed

from tracktokens.pipelines.finetuning.settings import FULL, ROWS, FinetuneSettings
from tracktokens.schemas.errors import UsageError


def add_adapter(model: Any, stage: str, settings: FinetuneSettings, rows: Sequence[int]) -> Any:
    """Wrap a model so that a stage trains what it should.

    Args:
        model: a causal language model; it is changed.
        stage: the stage; all weights are trained by :data:`~tracktokens.pipelines.finetuning.settings.FULL`.
        settings: settings of the run.
        rows: ids of the new tokens. Their rows in the head are trained too, as the same ones if it is tied.

    Raises:
        UsageError: the model has no layer of a name in ``settings.lora_modules``.
    """
    if stage == FULL:
        return model.requires_grad_(True)
    set_seed(settings.seed)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        target_modules=DUMMY_TARGET_MODULES if stage == ROWS else _targets(settings.lora_modules),
        trainable_token_indices={name: list(rows) for name in _matrices(model)},
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise UsageError(f"--lora-modules {settings.lora_modules}: {str(error).splitlines()[0]}") from error


def _targets(names: str) -> str | list[str]:
    return names if names == "all-linear" else [name.strip() for name in names.split(",")]


def _matrices(model: Any) -> list[str]:
    """Return the names of the input embeddings and, if it has weights of its own, of the head."""
    inputs, head = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [inputs] if head is None or head.weight is inputs.weight else [inputs, head]
    names = {id(module): name for name, module in model.named_modules()}
    return [names[id(layer)].rpartition(".")[2] for layer in layers]
