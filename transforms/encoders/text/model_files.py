"""Text models on this machine: where one lies, what its files hash to, and the prompts that it brings."""

import hashlib
import json
import re
from pathlib import Path

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.text.minilm import packaged_minilm
from tracktokens.transforms.encoders.weights import feed_file

_UNREAD_SUFFIXES = {".md", ".onnx", ".h5", ".msgpack", ".ot", ".png", ".jpg", ".pyc"}
_UNREAD_FOLDERS = {"onnx", "openvino", "coreml"}
_CONFIG = "config_sentence_transformers.json"
_NAME = re.compile(r"[\w.-]+")


def model_folder(model: str | None) -> Path:
    """Find a model's folder on this machine: the packaged one, a folder, or a snapshot in the Hugging Face cache.

    Raises:
        UsageError: There is none, or it holds no sentence-transformers model.
    """
    if model is None:
        return Path(packaged_minilm())
    folder = Path(model).resolve() if Path(model).is_dir() else _hub_snapshot(model)
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise UsageError(f"text model {folder}: no modules.json or config.json, so not a sentence-transformers model")
    return folder


def _hub_snapshot(name: str) -> Path:
    """Find the newest snapshot in the local cache; a bare name may be one of sentence-transformers' own models."""
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

    Files that do not change its vectors are left out: hidden files, model cards, and copies of the weights for
    other frameworks.
    """
    paths = [path for path in folder.rglob("*") if path.is_file() and _changes_vectors(path.relative_to(folder))]
    return _hash_files(folder, paths)


def _changes_vectors(name: Path) -> bool:
    hidden = any(part.startswith(".") for part in name.parts)
    return not (hidden or name.suffix in _UNREAD_SUFFIXES or _UNREAD_FOLDERS.intersection(name.parts))


def graph_hash(folder: Path, graph: str) -> str:
    """Hash a graph that a model's folder brings, and the files of weights beside it (32 hex digits of BLAKE2b).

    Raises:
        UsageError: There is no such file.
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
        feed_file(digest, path)
    return digest.hexdigest()


def choose_prompt(folder: Path, prompt: str | None) -> str | None:
    """Find the text that is put before every piece, from what the user gave.

    A name of one of the model's own prompts stands for that prompt. What could be a name (letters, digits, ``_``,
    ``-`` and ``.`` alone) has to be one: before a text it would run into its first word. All else is the text itself,
    such as ``"query: "``; the empty text is no prompt, not even one that the model would put there by itself.

    Args:
        folder: The model's folder.
        prompt: What the user gave; None for nothing.

    Returns:
        The text; None for what the model does by itself.

    Raises:
        UsageError: The model has no prompt of this name.
    """
    if prompt is None:
        return None
    prompts, default = _own_prompts(folder)
    if prompt not in prompts and _NAME.fullmatch(prompt):
        known = ", ".join(sorted(prompts)) or "none"
        raise UsageError(
            f"--text-prompt {prompt}: the text model's own prompts are: {known}."
            ' A text of your own ends with a space or a sign, as "query: " does'
        )
    text = prompts.get(prompt, prompt)
    return None if text == default else text


def _own_prompts(folder: Path) -> tuple[dict[str, str], str]:
    """Read a model's prompts by their names, without empty ones, and the text of the one that it uses by itself."""
    path = folder / _CONFIG
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    prompts = {name: text for name, text in (config.get("prompts") or {}).items() if text}
    return prompts, prompts.get(config.get("default_prompt_name"), "")
