"""Trainer of a stage: TRL's, with a loss that works with trained rows and computes the head where it is needed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from tracktokens.pipelines.finetuning.hit_rate import HitRate
from tracktokens.pipelines.finetuning.metrics_log import MetricsLog
from tracktokens.pipelines.finetuning.progress import TrainingProgress
from tracktokens.pipelines.finetuning.settings import ROWS, FinetuneSettings
from tracktokens.pipelines.finetuning.training_rows import IGNORED
from tracktokens.serving.generation.precision import AUTO, BFLOAT16, has_bfloat16

LOG_EVERY = 10
WARM_UP = 0.05
"""Share of the steps in which the learning rate rises."""

SORTED_BATCHES = 50
"""Batches whose rows are sorted by length together, so that the rows of a batch are of about the same length."""

_STATE = "trainer_state.json"
_CHECKPOINT = "checkpoint-"


class LengthOrder(Sampler[int]):
    """Order of the rows in an epoch: random, but with rows of about the same length in a batch.

    It depends on the seed and the epoch alone, so that a run that continues sees the same batches.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        """Take the lengths of the rows in ids."""
        self._lengths = np.asarray(lengths)
        self._batch, self._seed, self._epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        """List the rows: batches of similar length in random order, the incomplete one last."""
        draw = np.random.default_rng([self._seed, self._epoch])
        order = draw.permutation(len(self._lengths))
        step = self._batch * SORTED_BATCHES
        chunks = [order[start : start + step] for start in range(0, len(order), step)]
        by_length = np.concatenate([chunk[np.argsort(-self._lengths[chunk], kind="stable")] for chunk in chunks])
        whole = len(by_length) // self._batch * self._batch
        batches = by_length[:whole].reshape(-1, self._batch)
        return iter([*batches[draw.permutation(len(batches))].flatten().tolist(), *by_length[whole:].tolist()])


def mean_batch(lengths: Sequence[int], size: int) -> tuple[list[int], float]:
    """Choose a batch of about the mean length, and return its length as a share of the mean.

    The time of a step is in proportion to its length. Rows may be of two kinds, with nothing in between.

    Example:
        >>> mean_batch([10, 30, 10, 30], 2)
        ([1, 3], 1.5)
    """
    known = np.array(lengths)
    by_length = np.argsort(known, kind="stable")
    first = int(np.searchsorted(known[by_length], known.mean()))
    chosen = by_length[max(0, min(first, len(known) - size)) :][:size]
    return chosen.tolist(), float(known[chosen].mean() / known.mean())


class StageTrainer(SFTTrainer):
    """Trains one stage of a run."""

    def __init__(
        self,
        *,
        settings: FinetuneSettings,
        stage: str,
        hit_rate: HitRate | None,
        log: MetricsLog,
        progress: TrainingProgress,
        **options: Any,
    ) -> None:
        """Prepare a stage.

        Args:
            settings: settings of the run.
            stage: the stage.
            hit_rate: measured at each evaluation, if given.
            log: file for the measurements.
            progress: display of the steps.
            options: arguments of TRL's trainer.
        """
        self._settings, self._stage, self._hit_rate = settings, stage, hit_rate
        self._log, self._begun = log, time.monotonic()
        super().__init__(**options)
        self.remove_callback(PrinterCallback)
        self.add_callback(_Reports(stage, log, progress))
        steps = -(-len(self.get_train_dataloader()) // settings.gradient_accumulation)
        self.steps = settings.stage1_steps
        if stage != ROWS:
            self.steps = max(1, round(steps * settings.epochs))
            self.steps = min(self.steps, settings.max_steps or self.steps)
        self.args.max_steps = self.steps
        self.args.warmup_steps = int(WARM_UP * self.steps)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the mean cross entropy of the completions, with the head at their positions only.

        TRL's own loss multiplies by the head's weight directly, without the rows that are trained beside it.
        """
        following = inputs["labels"][:, 1:]
        learned = following != IGNORED
        targets = following[learned]
        arguments = {name: value for name, value in inputs.items() if name != "labels"}
        with _head_at(self._head, learned):
            outputs = model(**arguments, use_cache=False)
        loss = torch.nn.functional.cross_entropy(outputs.logits[0].float(), targets, reduction="sum")
        count = len(targets) if num_items_in_batch is None else num_items_in_batch
        loss = loss / torch.as_tensor(count).clamp(min=1).to(loss.device)
        return (loss, outputs) if return_outputs else loss

    @property
    def _head(self) -> torch.nn.Module:
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        head: torch.nn.Module = base.get_output_embeddings()
        return head

    def create_optimizer(self, *arguments: Any, **options: Any) -> Any:
        """Make AdamW without weight decay; new rows have a learning rate of their own."""
        if getattr(self, "optimizer", None) is None:
            trained = [(name, weight) for name, weight in self.model.named_parameters() if weight.requires_grad]
            groups = [
                {"params": [weight for name, weight in trained if ("trainable_tokens" in name) is rows], "lr": rate}
                for rows, rate in (
                    (True, self._settings.row_learning_rate),
                    (False, self._settings.rate_of(self._stage)),
                )
            ]
            chosen = [group for group in groups if group["params"]]
            self.optimizer = torch.optim.AdamW(chosen, weight_decay=0.0)
        return self.optimizer

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthOrder:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return LengthOrder([len(ids) for ids in rows["input_ids"]], self.args.train_batch_size, self._settings.seed)

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Measure the validation loss and Hit@10, and write them to the log."""
        metrics: dict[str, float] = super().evaluate(*arguments, **options)
        values = {"validation_loss": metrics["eval_loss"]}
        if self._hit_rate is not None:
            self.model.eval()
            with self.compute_loss_context_manager():
                values["hit_at_10"] = metrics["eval_hit_at_10"] = self._hit_rate.measure(self.model)
        self._log.append(
            self._stage, self.state.global_step, **values, seconds=round(time.monotonic() - self._begun, 1)
        )
        return metrics

    def create_model_card(self, *arguments: Any, **options: Any) -> None:
        """Write no model card into checkpoints."""

    def seconds_per_step(self) -> float:
        """Time one step, forwards and backwards, on rows of about the mean length; the weights stay as they are."""
        rows = self.train_dataset
        chosen, share = mean_batch([len(ids) for ids in rows["input_ids"]], self.args.train_batch_size)
        batch = self._prepare_inputs(self.data_collator([rows[row] for row in chosen]))
        self.model.train()
        with torch.random.fork_rng():
            for _ in range(2):  # the first one also allocates
                begun = time.monotonic()
                with self.compute_loss_context_manager():
                    loss = self.compute_loss(self.model, batch)
                loss.backward()
                elapsed = time.monotonic() - begun
                self.model.zero_grad()
        return elapsed / share * self._settings.gradient_accumulation

    def train_from(self, checkpoint: Path | None) -> None:
        """Train the remaining steps, and load the best weights; see :func:`last_checkpoint`."""
        if checkpoint is None:
            self.train()
        elif step_of(checkpoint) < self.steps:
            self.train(resume_from_checkpoint=str(checkpoint))
        else:
            best = json.loads((checkpoint / _STATE).read_bytes())["best_model_checkpoint"]
            self._load_from_checkpoint(best or str(checkpoint))


@contextmanager
def _head_at(head: torch.nn.Module, learned: torch.Tensor) -> Iterator[None]:
    """Compute a head where the next id is learned: its inputs (batch, length, hidden) become (1, learned, hidden)."""

    def choose(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0][:, :-1][learned][None], *inputs[1:])

    handle = head.register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


class _Reports(TrainerCallback):
    """Reports the steps to the display and to the log, and evaluates after the last one."""

    def __init__(self, stage: str, log: MetricsLog, progress: TrainingProgress) -> None:
        self._stage, self._log, self._progress = stage, log, progress
        self._loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        self._progress.start(self._stage, state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **options: Any) -> None:
        self._progress.update(state.global_step, self._loss)
        last = state.global_step >= state.max_steps
        if last or state.global_step % args.save_steps == 0:  # losses of a checkpoint's steps are logged before it
            control.should_log = True
        if last:
            control.should_save = True
            control.should_evaluate = args.eval_strategy != "no"

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **options: Any) -> None:
        if "loss" in logs:
            self._loss = float(logs["loss"])
            values = {name: float(logs[name]) for name in ("loss", "grad_norm", "learning_rate") if name in logs}
            self._log.append(self._stage, state.global_step, **values)


def stage_arguments(settings: FinetuneSettings, folder: Path, validation: bool, evaluate_first: bool) -> SFTConfig:
    """Make the arguments of TRL's trainer for a stage."""
    on_gpu = torch.cuda.is_available()
    interval = "steps" if validation else "no"
    return SFTConfig(
        output_dir=str(folder),
        max_steps=1,  # set when the number of batches is known
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        gradient_checkpointing=settings.gradient_checkpointing,
        learning_rate=settings.row_learning_rate,
        lr_scheduler_type="linear",
        max_length=settings.max_length if settings.packing else None,
        packing=settings.packing,
        eval_packing=False,
        eval_strategy=interval,
        eval_steps=settings.eval_every,
        eval_on_start=validation and evaluate_first,
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=settings.eval_every,
        save_total_limit=1,
        load_best_model_at_end=validation,
        metric_for_best_model="eval_loss" if validation else None,
        greater_is_better=False if validation else None,
        logging_steps=LOG_EVERY,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=[],
        dataloader_pin_memory=on_gpu,
        use_cpu=not on_gpu,
        bf16=settings.precision == BFLOAT16
        or (settings.precision == AUTO and has_bfloat16("cuda" if on_gpu else "cpu")),
        seed=settings.seed,
        remove_unused_columns=True,
    )


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last complete checkpoint of a stage; None if there is none. The folder may have been moved."""
    for checkpoint in sorted(folder.glob(f"{_CHECKPOINT}*"), key=step_of, reverse=True):
        try:
            state = json.loads((checkpoint / _STATE).read_bytes())
        except (OSError, ValueError):  # written last: the checkpoint is incomplete
            continue
        if best := state.get("best_model_checkpoint"):
            state["best_model_checkpoint"] = str(folder / Path(best).name)
            (checkpoint / _STATE).write_text(json.dumps(state, indent=2))
        return checkpoint
    return None


def step_of(checkpoint: Path) -> int:
    """Return the step of a checkpoint's folder."""
    return int(checkpoint.name.removeprefix(_CHECKPOINT))
