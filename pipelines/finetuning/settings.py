"""Settings of a fine-tuning run. A run that continues needs the same settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tracktokens.schemas.errors import UsageError
from tracktokens.serving.generation.precision import AUTO

ROWS, LORA, FULL = "rows", "lora", "full"
"""Stages: the rows of the new tokens alone; then LoRA with these rows, or all weights."""

LEARNING_RATES = {LORA: 5e-4, FULL: 5e-5}
"""Default peak learning rate of the old weights in stage 2."""


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Settings that determine the weights of a run, beside its model and its data.

    Attributes:
        stage1_steps: steps of stage 1; 0 leaves it out.
        epochs: passes of stage 2 over the training rows; 0 leaves it out.
        max_steps: limit of the steps of stage 2.
        full: whether stage 2 trains all weights instead of LoRA.
        lora_rank: rank of the LoRA matrices.
        lora_alpha: LoRA's scale; updates are multiplied by ``lora_alpha / lora_rank``.
        lora_modules: names of the layers with LoRA, separated by commas; ``all-linear`` for all but the head.
        batch_size: rows per batch.
        gradient_accumulation: batches per step.
        learning_rate: peak learning rate of the old weights in stage 2; by default that of :data:`LEARNING_RATES`.
        row_learning_rate: peak learning rate of the new rows in stage 1, and in stage 2 with LoRA.
        max_length: longest row, in ids.
        packing: whether several rows fill one sequence of ``max_length``.
        precision: precision of products; weights and their updates are float32 always.
        gradient_checkpointing: whether activations are computed again in the backward pass, which saves memory.
        eval_every: steps between evaluations, which also write a checkpoint.
        eval_sample: validation rows that are evaluated, and turns of conversations for Hit@10.
        seed: seed of the order of the rows and of LoRA's start.
    """

    stage1_steps: int = 200
    epochs: float = 1.0
    max_steps: int | None = None
    full: bool = False
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_modules: str = "all-linear"
    batch_size: int = 8
    gradient_accumulation: int = 1
    learning_rate: float | None = None
    row_learning_rate: float = 5e-3
    max_length: int = 1024
    packing: bool = False
    precision: str = AUTO
    gradient_checkpointing: bool = False
    eval_every: int = 100
    eval_sample: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that there is something to train.

        Raises:
            UsageError: both stages are left out.
        """
        if not self.stages:
            raise UsageError("both stages have 0 steps: set --stage1-steps or --epochs above 0")

    @property
    def stages(self) -> tuple[str, ...]:
        """Return the stages of the run, in order."""
        second = (FULL if self.full else LORA,) if self.epochs > 0 and self.max_steps != 0 else ()
        return (*((ROWS,) if self.stage1_steps else ()), *second)

    def rate_of(self, stage: str) -> float:
        """Return the peak learning rate of a stage's old weights; that of the new rows in stage 1."""
        if stage == ROWS:
            return self.row_learning_rate
        return LEARNING_RATES[stage] if self.learning_rate is None else self.learning_rate

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        return asdict(self)
