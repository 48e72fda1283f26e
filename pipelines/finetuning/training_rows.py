"""Rows of a folder of ``render training``, as ids: the loss is computed on completions only.

The turns of a conversation are rows of which each continues the one before. They are joined for training, so that a
model reads a conversation once, and learns from each of its turns what it would learn from the row of the turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from tracktokens.pipelines.finetuning.model_folder import TokenModel
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.store import files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MANIFEST = "training.json"
TRL = "trl"
TRAIN, VALIDATION = "train", "validation"
CONVERSATION = "conversation"
IGNORED = -100
"""Label of an id without a loss."""

_CHUNK = 512

Message = dict[str, Any]


@dataclass(frozen=True)
class TrainingFolder:
    """A folder of training files for this model.

    Attributes:
        folder: the folder.
        manifest: content of its ``training.json``.
    """

    folder: str
    manifest: Mapping[str, Any]

    def path(self, split: str) -> Path:
        """Return the file of a split."""
        return Path(self.folder) / f"{split}.jsonl"

    def fingerprint(self) -> str:
        """Return a hash of the files that are read."""
        digest = hashlib.sha256()
        for split in (TRAIN, VALIDATION):
            digest.update(split.encode())
            if self.path(split).exists():
                digest.update(files.sha256(str(self.path(split))).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class EncodedRow:
    """A row as ids.

    Attributes:
        ids: prompt and completion.
        prompt_length: ids of the prompt, which have no loss.
        task: task of the row.
        tracks: ids of the completion's tracks.
        earlier: first and last place (exclusive) of each completion in the prompt that is learned too.
    """

    ids: list[int]
    prompt_length: int
    task: str
    tracks: tuple[str, ...]
    earlier: tuple[tuple[int, int], ...] = ()

    @property
    def labels(self) -> list[int]:
        """Return the ids of the completions, and :data:`IGNORED` elsewhere."""
        labels = [IGNORED] * len(self.ids)
        for first, last in self._completions:
            labels[first:last] = self.ids[first:last]
        return labels

    @property
    def learned(self) -> int:
        """Return the number of ids that have a loss."""
        return sum(last - first for first, last in self._completions)

    @property
    def _completions(self) -> tuple[tuple[int, int], ...]:
        return (*self.earlier, (self.prompt_length, len(self.ids)))


@dataclass(frozen=True)
class EncodedSplit:
    """Rows of a split, in the order of the file.

    Attributes:
        rows: rows that fit.
        shortened: rows whose oldest messages were removed to fit.
        too_long: rows that were left out, since their last messages exceed the length.
    """

    rows: list[EncodedRow]
    shortened: int = 0
    too_long: int = 0


def read_training_folder(folder: str, model: TokenModel) -> TrainingFolder:
    """Open a folder of ``render training``.

    Raises:
        UsageError: the folder is not one, is of another bundle than the model, or is for another trainer.
        InvalidDataError: its manifest cannot be read.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise UsageError(f"{folder} has no {MANIFEST}: write the folder with `tracktokens render training`")
    try:
        manifest = files.read_json(str(path))
        bundle, trainer = manifest["bundle"], manifest["trainer"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidDataError(f"{path} cannot be read: {error}; render the folder again") from error
    if trainer != TRL:
        raise UsageError(f"{folder} is for {trainer}: render it with `--trainer {TRL}`")
    if bundle != model.bundle:
        raise UsageError(
            f"{folder} is of bundle {bundle}, the model in {model.folder} of {model.bundle}: render the data and add "
            "the tokens from the same release"
        )
    if not (Path(folder) / f"{TRAIN}.jsonl").is_file():
        raise InvalidDataError(f"{folder} has no {TRAIN}.jsonl: render the folder again")
    return TrainingFolder(folder, manifest)


def encode_split(
    folder: TrainingFolder, split: str, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> EncodedSplit:
    """Read the rows of a split, and encode them with the chat template.

    If a row is too long, its oldest messages are removed, but not the system message, until it fits.

    Args:
        folder: the training files.
        split: name of the split; one without a file has no rows.
        tokenizer: tokenizer with a chat template.
        max_length: longest row in ids, at least 1.

    Raises:
        InvalidDataError: a line is not a row, or the template does not render the prompt as the beginning of prompt and
            completion, so that the loss would be on wrong ids.
    """
    rows: list[EncodedRow] = []
    shortened = too_long = 0
    lines = _read_rows(folder.path(split))
    while chunk := list(islice(lines, _CHUNK)):
        for (place, row), encoded in zip(chunk, _encode(chunk, tokenizer), strict=True):
            fitting, prompt = encoded, row["prompt"]
            while len(fitting.ids) > max_length and (prompt := _without_oldest(prompt)):
                [fitting] = _encode([(place, {**row, "prompt": prompt})], tokenizer)
            if len(fitting.ids) > max_length:
                too_long += 1
                continue
            shortened += fitting is not encoded
            rows.append(fitting)
    return EncodedSplit(rows, shortened, too_long)


def join_turns(rows: Sequence[EncodedRow]) -> list[EncodedRow]:
    """Join each row with one that begins with it, if there is one; the order stays that of the longer rows."""
    order = sorted(range(len(rows)), key=lambda place: rows[place].ids)
    joined: dict[int, EncodedRow] = dict(enumerate(rows))
    for place, following in pairwise(order):  # a row that begins others is followed by one of them
        row, longer = joined[place], joined[following]
        if len(row.ids) < len(longer.ids) and longer.ids[: len(row.ids)] == row.ids:
            learned = (*row.earlier, (row.prompt_length, len(row.ids)))
            joined[following] = replace(longer, earlier=learned)
            del joined[place]
    return list(joined.values())


def draw(rows: Sequence[EncodedRow], size: int, seed: int) -> list[EncodedRow]:
    """Draw up to ``size`` rows, in their order."""
    chosen = np.random.default_rng(seed).permutation(len(rows))[:size]
    return [rows[place] for place in sorted(chosen.tolist())]


def _read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the rows of a file, each with its place for messages."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            place = f"{path}, line {number}"
            try:
                row = orjson.loads(line)
                valid = _is_messages(row["prompt"]) and _is_messages(row["completion"]) and len(row["completion"]) == 1
            except (orjson.JSONDecodeError, KeyError, TypeError):
                valid = False
            if not valid:
                raise InvalidDataError(f"{place}: no row with prompt and completion; render the folder again")
            yield place, row


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(message.get("role"), str) and isinstance(message.get("content"), str) for message in value
    )


def _without_oldest(prompt: Sequence[Message]) -> list[Message]:
    """Remove the oldest messages up to the next one of the user; empty if only the last request is left."""
    system = [message for message in prompt[:1] if message["role"] == "system"]
    rest = prompt[len(system) :]
    starts = [place for place, message in enumerate(rest) if message["role"] == "user" and place > 0]
    return [*system, *rest[starts[0] :]] if starts else []


def _encode(chunk: Sequence[tuple[str, dict[str, Any]]], tokenizer: PreTrainedTokenizerBase) -> list[EncodedRow]:
    prompts = _ids(tokenizer, [_render(tokenizer, row["prompt"], True, place) for place, row in chunk])
    texts = [_render(tokenizer, [*row["prompt"], *row["completion"]], False, place) for place, row in chunk]
    encoded = []
    for (place, row), prompt, both in zip(chunk, prompts, _ids(tokenizer, texts), strict=True):
        if both[: len(prompt)] != prompt or len(both) == len(prompt):
            raise InvalidDataError(
                f"{place}: the chat template does not render the prompt as the beginning of prompt and completion, so "
                "the loss would be on wrong tokens; use a template that renders a message alike wherever it is"
            )
        encoded.append(EncodedRow(both, len(prompt), str(row.get("task", "")), tuple(row.get("tracks") or ())))
    return encoded


def _render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], prompt: bool, place: str) -> str:
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt))
    except Exception as error:  # templates raise errors of their own, for roles that do not alternate for example
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidDataError(f"{place}: the chat template does not accept the messages: {cause}") from error


def _ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return encoded
