"""Texts that LLaMA-Factory and axolotl learn of a file, read by their own code, where they are installed."""

from pathlib import Path
from typing import Any

UNLEARNED = -100


def learned_by_llama_factory(config: dict[str, Any]) -> list[str]:
    """Load ``dataset`` of a configuration as LLaMA-Factory does, and decode the labels of each row."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    model, data, training, _, _ = get_train_args(config)
    modules = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(modules["tokenizer"], data)
    loaded = get_dataset(template, model, data, training, "sft", **modules)
    return [_labels(modules["tokenizer"], row) for row in loaded["train_dataset"]]


def learned_by_axolotl(config: Path) -> list[str]:
    """Load ``datasets`` of a configuration file as axolotl does, and decode the labels of each row, in its order."""
    import axolotl.utils.data.sft as reading
    from axolotl.cli.config import load_cfg
    from axolotl.common.datasets import load_datasets
    from axolotl.loaders import load_tokenizer

    reading.save_preprocessed_dataset = lambda *_arguments, **_options: None  # a copy that is not needed
    settings = load_cfg(str(config))
    tokenizer = load_tokenizer(settings)
    return [_labels(tokenizer, row) for row in load_datasets(cfg=settings).train_dataset]


def _labels(tokenizer: Any, row: dict[str, Any]) -> str:
    return str(tokenizer.decode([label for label in row["labels"] if label != UNLEARNED]))
