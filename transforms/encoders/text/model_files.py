"""Text models on this machine: the folder of a model, the hash of its files, and its own prompts."""

import hashlib
import json
import re
from pathlib import Path

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.encoders.text.minilm import packaged_minilm
from tracktokens.transforms.encoders.weights import hash_file

_IGNORED_SUFFIXES = {".md", ".onnx", ".h5", ".msgpack", ".ot", ".png", ".jpg", ".pyc"}
_IGNORED_FOLDERS = {"onnx", "openvino", "coreml"}
_CONFIG = "config_sentence_transformers.json"
_PROMPT_NAME = re.compile(r"[\w.-]+")


def model_folder(model: str | None) -> Path:
    """Find a model's folder on this machine: the packaged one, a folder, or a snapshot in the Hugging Face cache.

    Raises:
        UsageError: The model is not on this machine, or its folder does not hold a sentence-transformers model.
    """
    if model is None:
        return Path(packaged_minilm())
    folder = Path(model).resolve() if Path(model).is_dir() else _hub_snapshot(model)
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise UsageError(f"text model {folder} is not a sentence-transformers model: no modules.json or config.json")
    return folder


def _hub_snapshot(name: str) -> Path:
    """Find the newest snapshot in the local cache; a name without owner may be one of sentence-transformers' models."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    for repository in (name,) if "/" in name else (name, f"sentence-transformers/{name}"):
        try:
            return Path(snapshot_download(repository, local_files_only=True))
        except (LocalEntryNotFoundError, HFValidationError):
            continue
    raise UsageError(
        f"text model {name}: neither a folder nor in the local Hugging Face cache."
        f" Download it first (hf download {name}), or give --text-model a folder"
    )


def model_hash(folder: Path) -> str:
    """Hash the names and contents of a model's files (32 hex digits of BLAKE2b).

    Files that do not change its vectors are ignored: hidden files, model cards, and copies of the weights for other
    frameworks.
    """
    paths = [path for path in folder.rglob("*") if path.is_file() and _changes_vectors(path.relative_to(folder))]
    return _hash_files(folder, paths)


def _changes_vectors(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return not (hidden or name.suffix in _IGNORED_SUFFIXES or _IGNORED_FOLDERS.intersection(name.parts))


def graph_hash(folder: Path, graph: str) -> str:
    """Hash a graph in a model's folder, and the weight files beside it (32 hex digits of BLAKE2b).

    Raises:
        UsageError: The folder does not have this file.
    """
    path = folder / graph
    if not path.is_file():
        raise UsageError(f"--text-graph {graph}: no such file in the text model's folder, {folder}")
    weights = [path.with_suffix(".bin"), path.with_name(f"{path.name}_data"), path.with_name(f"{path.name}.data")]
    return _hash_files(path.parent, [path, *(file for file in weights if file.is_file())])


def _hash_files(folder: Path, paths: list[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(paths):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        hash_file(digest, path)
    return digest.hexdigest()


def choose_prompt(folder: Path, prompt: str | None) -> str | None:
    """Resolve the user's prompt to the text that precedes every chunk.

    The name of one of the model's own prompts selects that prompt. A value that looks like a name (only letters,
    digits, ``_``, ``-`` and ``.``) must be one: as a text it would join the first word of the input. Any other value,
    such as ``"query: "``, is the text itself. The empty text disables the model's default prompt.

    Args:
        folder: The model's folder.
        prompt: The user's prompt; None if not set.

    Returns:
        The text; None for the model's default.

    Raises:
        UsageError: The model has no prompt with this name.
        InvalidDataError: The file of its prompts is damaged.
    """
    if prompt is None:
        return None
    prompts, default = _own_prompts(folder)
    if prompt not in prompts and _PROMPT_NAME.fullmatch(prompt):
        names = ", ".join(sorted(prompts)) or "none"
        raise UsageError(
            f"--text-prompt {prompt}: the text model's own prompts are: {names}."
            ' To use a text instead, end it with a space or punctuation, such as "query: "'
        )
    text = prompts.get(prompt, prompt)
    return None if text == default else text


def _own_prompts(folder: Path) -> tuple[dict[str, str], str]:
    """Read a model's prompts by name, without empty ones, and the text of its default prompt."""
    path = folder / _CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InvalidDataError(f"{path} is not valid JSON: {error}") from error
    prompts = {name: text for name, text in (config.get("prompts") or {}).items() if text}
    return prompts, prompts.get(config.get("default_prompt_name"), "")
