"""Chat templates: those whose marks show a trainer which parts of a chat the assistant wrote."""

import re
from pathlib import Path
from typing import cast

from tracktokens.schemas.errors import UsageError
from tracktokens.serving.generation.pretrained import WITHOUT_CODE, load_failure

_MARK = re.compile(r"\{%-?\s*generation\b")


def has_marks(template: str) -> bool:
    """Return whether a template marks the assistant's parts with ``{% generation %}``."""
    return _MARK.search(template) is not None


def check_marks(model: str) -> None:
    """Check that the loss of a model's chats can cover the assistant's parts alone.

    Raises:
        UsageError: the folder has no tokenizer, no chat template, or a template without marks.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, **WITHOUT_CODE)
    except Exception as error:
        cause = load_failure(error) if Path(model).exists() else "no such folder"
        raise UsageError(f"{model} has no tokenizer: {cause}") from error
    template = cast("str | None", tokenizer.chat_template)
    if not template:
        raise UsageError(f"{model} has no chat template: use an instruct model, or put a chat_template.jinja there")
    if not has_marks(template):
        raise UsageError(
            f"the chat template of {model} has no {{% generation %}} marks, so assistant_only_loss would find nothing "
            "to learn: leave out --shape messages, since prompts and completions need no marks"
        )
