"""A model with tokens, checked before its weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracktokens.pipelines.llm.extend_model import IDS_FILE
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.serving.generation.load_model import CONFIG_KEY
from tracktokens.serving.generation.pretrained import WITHOUT_CODE, load_failure
from tracktokens.transforms.store import files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

APPLY = "add them with `tracktokens vocabulary apply`"

_CASES = ("Blue Monday", "ÄRGER")


@dataclass(frozen=True)
class TokenModel:
    """A folder of a model with the tokens of a bundle.

    Attributes:
        folder: the folder.
        bundle: id of the bundle.
        release: id of the release that the tokens were added from.
        ids: token to id.
        tokenizer: its tokenizer, with a chat template.
    """

    folder: str
    bundle: str
    release: str
    ids: Mapping[str, int]
    tokenizer: PreTrainedTokenizerBase

    @property
    def rows(self) -> list[int]:
        """Return the ids of the tokens, ascending: the rows that stage 1 trains."""
        return sorted(self.ids.values())


def read_token_model(folder: str) -> TokenModel:
    """Read a model's configuration, tokens and tokenizer, but not its weights.

    Raises:
        UsageError: the folder has no model, no tokens, or no chat template.
        InvalidDataError: its files do not belong together, or the tokenizer ignores case.
    """
    config = _read_json(folder, "config.json", "give the folder of a model")
    recorded = config.get(CONFIG_KEY)
    if not isinstance(recorded, Mapping) or not (Path(folder) / IDS_FILE).exists():
        raise UsageError(f"the model in {folder} has no tokens of a release: {APPLY}")
    content = _read_json(folder, IDS_FILE, APPLY)
    bundle = str(recorded.get("bundle"))
    if content.get("bundle") != bundle:
        raise InvalidDataError(
            f"{folder} is of bundle {bundle}, its {IDS_FILE} of {content.get('bundle')}: use the folder as "
            "`vocabulary apply` wrote it"
        )
    tokenizer = _tokenizer(folder)
    ids = {str(name): int(number) for name, number in dict(content["tokens"]).items()}
    _check_tokenizer(folder, tokenizer, ids)
    return TokenModel(folder, bundle, str(recorded.get("release")), ids, tokenizer)


def _read_json(folder: str, name: str, remedy: str) -> dict[str, Any]:
    path = Path(folder) / name
    if not path.is_file():
        raise UsageError(f"{folder} has no {name}: {remedy}")
    try:
        content = files.read_json(str(path))
    except ValueError as error:
        raise InvalidDataError(f"{path} cannot be read: {error}; use the folder as it was written") from error
    if not isinstance(content, dict):
        raise InvalidDataError(f"{path} has no JSON object: use the folder as it was written")
    return content


def _tokenizer(folder: str) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, **WITHOUT_CODE)
    except Exception as error:  # each library that reads a tokenizer has errors of its own
        raise InvalidDataError(
            f"the tokenizer in {folder} cannot be read: {load_failure(error)}; save it again"
        ) from error
    return tokenizer


def _check_tokenizer(folder: str, tokenizer: PreTrainedTokenizerBase, ids: Mapping[str, int]) -> None:
    if not tokenizer.chat_template:
        raise UsageError(
            f"the tokenizer in {folder} has no chat template: use a model for chats, or put a chat_template.jinja there"
        )
    vocabulary = tokenizer.get_vocab()
    if wrong := [name for name, number in ids.items() if vocabulary.get(name) != number]:
        raise InvalidDataError(
            f"the tokenizer in {folder} lacks {len(wrong)} of {len(ids)} tokens, such as {wrong[0]}: use the tokenizer "
            "that `vocabulary apply` wrote"
        )
    for text in _CASES:
        if tokenizer.encode(text, add_special_tokens=False) == tokenizer.encode(text.lower(), add_special_tokens=False):
            raise InvalidDataError(
                f"the tokenizer in {folder} reads {text!r} as {text.lower()!r}: use a model whose tokenizer keeps case"
            )
    if tokenizer.eos_token is None:
        raise InvalidDataError(
            f"the tokenizer in {folder} has no end of text (`eos_token`): set it in its configuration"
        )
