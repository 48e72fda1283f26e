"""Forms of rows that trainers read: TRL, LLaMA-Factory and axolotl, and the files that each wants beside the rows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tracktokens.pipelines.training_data.rows import SPLITS, TRAIN, TrainingRow

TRL, LLAMA_FACTORY, AXOLOTL = "trl", "llama-factory", "axolotl"

TRAINERS = (TRL, LLAMA_FACTORY, AXOLOTL)

PROMPT_COMPLETION, MESSAGES = "prompt-completion", "messages"

SHAPES = (PROMPT_COMPLETION, MESSAGES)
"""Forms of a row for TRL. The loss of the second covers what the chat template marks."""

DATASET_INFO = "dataset_info.json"
NEW_TOKENS = "new_tokens.txt"


def split_file(split: str) -> str:
    """Name the file of a split."""
    return f"{split}.jsonl"


def row_fields(row: TrainingRow, trainer: str, shape: str = PROMPT_COMPLETION) -> dict[str, Any]:
    """Return a row as a trainer reads it, ready for JSON.

    TRL: ``prompt`` and ``completion``, or ``messages``. LLaMA-Factory: ``messages``, the last of which is learned with
    its option ``mask_history``. axolotl: ``messages`` with ``train``, true for the last.
    """
    about = {"task": row.task, "id": row.row_id, "tracks": row.tracks}
    if trainer == TRL and shape == PROMPT_COMPLETION:
        return {"prompt": row.prompt, "completion": [row.completion], **about}
    messages = [*row.prompt, row.completion]
    if trainer != AXOLOTL:
        return {"messages": messages, **about}
    last = len(messages) - 1
    return {"messages": [{**entry, "train": number == last} for number, entry in enumerate(messages)], **about}


def further_files(trainer: str, tokens: Sequence[str], counts: Mapping[str, int]) -> dict[str, bytes]:
    """Return the files that a trainer wants beside the rows: name to content.

    LLaMA-Factory: ``dataset_info.json``, which names the data sets ``tracktokens_train`` and so on, and
    ``new_tokens.txt``, the value of its ``add_tokens`` for a model without the tokens.

    Args:
        trainer: one of ``TRAINERS``.
        tokens: the vocabulary, in order.
        counts: split to rows; a split without rows has no data set.
    """
    if trainer != LLAMA_FACTORY:
        return {}
    sets = {f"tracktokens_{split}": _data_set(split) for split in SPLITS if counts[split] or split == TRAIN}
    return {
        DATASET_INFO: (json.dumps(sets, indent=2) + "\n").encode(),
        NEW_TOKENS: (",".join(tokens) + "\n").encode(),
    }


def _data_set(split: str) -> dict[str, Any]:
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    return {
        "file_name": split_file(split),
        "formatting": "sharegpt",
        "columns": {"messages": "messages"},
        "tags": {**tags, "system_tag": "system"},
    }
