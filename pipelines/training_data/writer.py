"""The folder of a training file set: rows per split, rejects, and ``training.json``, which appears last."""

import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from tracktokens.pipelines.training_data.permutation import permute_row
from tracktokens.pipelines.training_data.rows import SPLITS, TASKS, TRAIN, TrainingRow
from tracktokens.pipelines.training_data.sampling import Chance
from tracktokens.pipelines.training_data.trainers import row_fields, split_file
from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.store import files
from tracktokens.transforms.store.user_files import check_output_folder, path_errors

REJECTS_FILE = "rejects.jsonl"
TRAINING_FILE = "training.json"


class TrainingWriter:
    """Writes rows into a folder, and counts them.

    Attributes:
        counts: split and task to rows.
        permuted: rows whose tracks have another order.
        rejected: lines of the rejects.
    """

    def __init__(
        self, opened: Mapping[str, IO[bytes]], trainer: str, shape: str, orders: tuple[Sequence[str], Chance] | None
    ) -> None:
        self._files = opened
        self._trainer, self._shape, self._orders = trainer, shape, orders
        self.counts: Counter[tuple[str, str]] = Counter()
        self.permuted = 0
        self.rejected = 0

    def write(self, split: str, row: TrainingRow, copy: int = 0) -> None:
        """Write a row. A training row may get another order of tokens, by its number among its source's rows."""
        if self._orders is not None and split == TRAIN:
            plain, row = row, permute_row(row, *self._orders, copy=copy)
            self.permuted += row is not plain
        self._files[split].write(orjson.dumps(row_fields(row, self._trainer, self._shape)) + b"\n")
        self.counts[split, row.task] += 1

    def reject(self, source: str, reason: str, **where: Any) -> None:
        """Write what was not used, with its place and reason."""
        self._files[REJECTS_FILE].write(orjson.dumps({"input": source, **where, "reason": reason}) + b"\n")
        self.rejected += 1

    def table(self) -> dict[str, dict[str, int]]:
        """Return split to task to rows; tasks without rows are left out."""
        return {
            split: {task: self.counts[split, task] for task in TASKS if self.counts[split, task]} for split in SPLITS
        }


@contextmanager
def new_folder(target: str) -> Iterator[Path]:
    """Make a folder beside a target, which takes its place when the block ends, and is removed if it raises.

    Raises:
        UsageError: the target is a file, or a folder that is not empty.
    """
    check_output_folder(target)
    if files.list_tree(target):
        raise UsageError(f"{target} is not empty: give a new folder")
    partial = Path(f"{target.rstrip('/')}.{uuid.uuid4().hex[:12]}{files.PARTIAL}")
    with path_errors(target, "give a new folder"):
        partial.mkdir(parents=True)
    try:
        yield partial
        with path_errors(target, "give a new folder"):
            partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def open_writer(
    folder: Path, trainer: str, shape: str, orders: tuple[Sequence[str], Chance] | None
) -> Iterator[TrainingWriter]:
    """Open the files of a folder for rows and rejects."""
    with ExitStack() as stack:
        opened = {split: stack.enter_context((folder / split_file(split)).open("wb")) for split in SPLITS}
        opened[REJECTS_FILE] = stack.enter_context((folder / REJECTS_FILE).open("wb"))
        yield TrainingWriter(opened, trainer, shape, orders)
