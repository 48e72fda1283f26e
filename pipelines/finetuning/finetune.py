"""Fine-tune a model with tokens: first the rows of the new tokens alone, then LoRA with these rows, or all weights.

    OUT/                  the model: adapter, or with ``merge`` and ``full`` all weights
    OUT/training/         settings.json, metrics.jsonl; checkpoints while the run is not complete

A run that was killed continues when it is started again with the same arguments: from the last checkpoint of its stage.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracktokens.pipelines.finetuning.generation_defaults import generation_config
from tracktokens.pipelines.finetuning.hit_rate import HitRate
from tracktokens.pipelines.finetuning.memory import SHARE, available_memory, estimate_memory
from tracktokens.pipelines.finetuning.metrics_log import NAME, MetricsLog
from tracktokens.pipelines.finetuning.model_folder import TokenModel, read_token_model
from tracktokens.pipelines.finetuning.progress import TITLES, TrainingProgress, minutes
from tracktokens.pipelines.finetuning.settings import ROWS, FinetuneSettings
from tracktokens.pipelines.finetuning.training_rows import (
    CONVERSATION,
    TRAIN,
    VALIDATION,
    EncodedRow,
    EncodedSplit,
    draw,
    encode_split,
    join_turns,
    read_training_folder,
)
from tracktokens.pipelines.llm.extend_model import IDS_FILE, read_token_release, save_model
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.serving.catalog_tokens import CatalogTokens
from tracktokens.serving.generation.load_model import load_model
from tracktokens.serving.generation.pretrained import WITHOUT_CODE
from tracktokens.transforms.store import files
from tracktokens.transforms.store.user_files import check_output_folder

if TYPE_CHECKING:
    from datasets import Dataset

TRAINING = "training"
SETTINGS = "settings.json"
RESULT = "result"
GIB = 1 << 30

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FinetuneJob:
    """A fine-tuning run.

    Attributes:
        model: folder of a model with tokens, as ``vocabulary apply`` writes it.
        data: folder of ``render training``.
        out: folder for the model.
        settings: settings that determine the weights.
        release: folder of the release, to check the bundle and to measure Hit@10; optional.
        merge: whether to write all weights instead of the adapter.
        force: whether to train even if the memory does not seem to suffice.
    """

    model: str
    data: str
    out: str
    settings: FinetuneSettings
    release: str | None = None
    merge: bool = False
    force: bool = False

    def run(self, progress: TrainingProgress) -> FinetuneResult:
        """Train the stages that are not complete, and write the model.

        Raises:
            UsageError: the model, the data and the release are not of one bundle, ``out`` is of a different run, or the
                memory does not suffice.
            InvalidDataError: a file cannot be used, or no row fits.
        """
        check_output_folder(self.out, [self.model, self.data])
        model = read_token_model(self.model)
        catalog = self._open_catalog(model)
        folder = read_training_folder(self.data, model)
        run = {**self.settings.to_json(), "merge": self.merge, "data": folder.fingerprint(), **_identity(model)}
        log = MetricsLog(self._training / NAME)
        if self._is_complete(run):
            return FinetuneResult(tuple(log.read()), complete_before=True)
        train, validation = (
            encode_split(folder, split, model.tokenizer, self.settings.max_length) for split in (TRAIN, VALIDATION)
        )
        sequences = join_turns(train.rows)
        self._report_rows(train, validation, len(sequences), progress)
        self._check_memory(model, [*sequences, *validation.rows])
        self._record(run, complete=False)
        _silence_libraries()
        turns = [row for row in validation.rows if row.task == CONVERSATION and row.tracks]
        size, seed = self.settings.eval_sample, self.settings.seed
        hit_rate = HitRate(draw(turns, size, seed), catalog, model.tokenizer) if catalog and turns else None
        stages = _Stages(self, model, sequences, draw(validation.rows, size, seed), hit_rate, log, progress)
        trained, dtype = stages.run()
        self._write(trained, dtype, model)
        self._record(run, complete=True)
        for stage in self.settings.stages:
            shutil.rmtree(self._training / stage, ignore_errors=True)
        return FinetuneResult(tuple(log.read()), complete_before=False)

    @property
    def _training(self) -> Path:
        return Path(self.out) / TRAINING

    def _open_catalog(self, model: TokenModel) -> CatalogTokens | None:
        if self.release is None:
            return None
        bundle = read_token_release(self.release).manifest.bundle_id
        if bundle != model.bundle:
            raise UsageError(
                f"the model in {model.folder} has tokens of bundle {model.bundle}, the release {self.release} is of "
                f"{bundle}: use the model of this release, or the release that the tokens were added from"
            )
        return CatalogTokens.open(self.release)

    def _record(self, run: dict[str, Any], complete: bool) -> None:
        self._training.mkdir(parents=True, exist_ok=True)
        files.write_json(str(self._training / SETTINGS), {"complete": complete, "settings": run})

    def _is_complete(self, run: dict[str, Any]) -> bool:
        """Compare with the run that ``out`` has, if any; return whether it is complete."""
        path = self._training / SETTINGS
        if not path.exists():
            if files.list_tree(self.out):
                raise UsageError(f"{self.out} is not empty, and has no run to continue: give a new folder")
            return False
        recorded = files.read_json(str(path))
        before = recorded["settings"]
        if changed := [name for name in run if run[name] != before.get(name)]:
            shown = ", ".join(f"{name} was {before.get(name)}, is {run[name]}" for name in changed)
            raise UsageError(
                f"{self.out} has a run with different arguments ({shown}): repeat them, or give a new folder"
            )
        return bool(recorded["complete"])

    def _report_rows(
        self, train: EncodedSplit, validation: EncodedSplit, sequences: int, progress: TrainingProgress
    ) -> None:
        progress.note(
            f"{len(train.rows)} training rows in {sequences} sequences, {len(validation.rows)} validation rows"
        )
        limit = f"--max-length {self.settings.max_length}"
        if too_long := train.too_long + validation.too_long:
            _logger.warning("%d rows are left out: they exceed %s", too_long, limit)
        if shortened := train.shortened + validation.shortened:
            _logger.warning("%d rows are without their oldest messages, to fit into %s", shortened, limit)
        if not train.rows:
            raise InvalidDataError(
                f"{self.data} has no training row that fits: raise --max-length, or render more data"
            )
        if not validation.rows:
            _logger.warning("%s has no validation rows: the last weights are kept, not the best", self.data)

    def _check_memory(self, model: TokenModel, sequences: Sequence[EncodedRow]) -> None:
        from transformers import AutoConfig

        longest, learned = max(len(row.ids) for row in sequences), max(row.learned for row in sequences)
        if self.settings.packing:
            longest, learned = self.settings.max_length, self.settings.max_length
        config = AutoConfig.from_pretrained(model.folder, **WITHOUT_CODE)
        need, free = estimate_memory(config, self.settings, len(model.ids), longest, learned), available_memory()
        if need.total > SHARE * free and not self.force:
            raise UsageError(
                f"training needs about {need.total / GIB:.1f} GiB (weights {need.weights / GIB:.1f}, optimizer "
                f"{need.states / GIB:.1f}, activations {need.activations / GIB:.1f}), and {free / GIB:.1f} are free: "
                "lower --batch-size or --max-length, use --gradient-checkpointing or a smaller model, or try --force"
            )

    def _write(self, trained: Any, dtype: Any, model: TokenModel) -> None:
        """Write the adapter or the model, with all that a release's model has."""
        adapter = hasattr(trained, "merge_and_unload")
        if adapter and self.merge:
            trained, adapter = trained.merge_and_unload(), False
        if not adapter:
            trained = trained.to(dtype)
        defaults = generation_config(trained.generation_config, model.tokenizer)
        trained.generation_config = defaults
        save_model(trained, model.tokenizer, self.out)
        defaults.save_pretrained(self.out)
        files.write_bytes(str(Path(self.out) / IDS_FILE), files.read_bytes(str(Path(model.folder) / IDS_FILE)))


@dataclass(frozen=True)
class FinetuneResult:
    """Outcome of a run.

    Attributes:
        metrics: lines of ``metrics.jsonl``.
        complete_before: whether the run was complete already, so that nothing was done.
    """

    metrics: Sequence[dict[str, Any]]
    complete_before: bool

    def evaluations(self) -> list[dict[str, Any]]:
        """Return the lines with a validation loss."""
        return [line for line in self.metrics if "validation_loss" in line]


@dataclass(frozen=True)
class _Stages:
    """The stages of a run, one after the other."""

    job: FinetuneJob
    model: TokenModel
    train: Sequence[EncodedRow]
    validation: Sequence[EncodedRow]
    hit_rate: HitRate | None
    log: MetricsLog
    progress: TrainingProgress

    def run(self) -> tuple[Any, Any]:
        """Train; return the model of the last stage, and the type of the weights that were loaded."""
        weights: Any = load_model(self.model.folder)[0]
        dtype = weights.dtype
        weights = weights.float()  # products may be in bfloat16
        if weights.generation_config is not None:
            weights.generation_config = generation_config(weights.generation_config, self.model.tokenizer)
        stages = self.job.settings.stages
        trained: Any = weights
        for stage in stages:
            trained = self._run_stage(stage, weights)
            if stage != stages[-1]:
                weights = trained.merge_and_unload()
        return trained, dtype

    def _run_stage(self, stage: str, weights: Any) -> Any:
        from peft import PeftModel

        from tracktokens.pipelines.finetuning.adapters import add_adapter
        from tracktokens.pipelines.finetuning.stage_trainer import (
            StageTrainer,
            last_checkpoint,
            stage_arguments,
            step_of,
        )

        folder = Path(self.job.out).resolve() / TRAINING / stage
        settings, stages = self.job.settings, self.job.settings.stages
        if (folder / RESULT).is_dir():  # a later stage was not complete
            return PeftModel.from_pretrained(weights, str(folder / RESULT))
        checkpoint = last_checkpoint(folder)
        self.log.rewind(stages, stage, None if checkpoint is None else step_of(checkpoint))
        first = stage == stages[0] and checkpoint is None
        trainer = StageTrainer(
            settings=settings,
            stage=stage,
            hit_rate=self.hit_rate,
            log=self.log,
            progress=self.progress,
            model=add_adapter(weights, stage, settings, self.model.rows),
            args=stage_arguments(settings, folder, bool(self.validation), first),
            train_dataset=_dataset(self.train),
            eval_dataset=_dataset(self.validation) if self.validation else None,
            processing_class=self.model.tokenizer,
        )
        left = trainer.steps - (0 if checkpoint is None else step_of(checkpoint))
        if left:
            pace = trainer.seconds_per_step()
            self.progress.note(
                f"{TITLES[stage]}: {left} steps of about {pace:.1f} s, {minutes(left * pace)} without evaluations"
            )
        trainer.train_from(checkpoint)
        trained = trainer.model
        if stage == ROWS and stage != stages[-1]:
            partial = folder / f"{RESULT}{files.PARTIAL}"
            trained.save_pretrained(str(partial), save_embedding_layers=False)
            partial.rename(folder / RESULT)
        return trained


def _dataset(rows: Sequence[EncodedRow]) -> Dataset:
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": [row.ids for row in rows], "labels": [row.labels for row in rows]})


def _identity(model: TokenModel) -> dict[str, Any]:
    """Return what identifies a model, without reading its weights."""
    sizes = {
        name: size for name, size in sorted(files.list_tree(model.folder).items()) if name.endswith(".safetensors")
    }
    return {"bundle": model.bundle, "weights": json.dumps(sizes)}


def _silence_libraries() -> None:
    """Turn off the bars and notes of libraries: the display shows the progress."""
    import warnings

    import datasets
    from transformers.utils import logging as transformers_logging

    shown: Any = transformers_logging
    datasets.disable_progress_bars()
    shown.disable_progress_bar()
    shown.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
