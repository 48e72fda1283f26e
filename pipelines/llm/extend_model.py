"""Add the tokens of a release to a language model: each becomes one id of the tokenizer, and one embedding row.

It handles the known pitfalls: tokens that the tokenizer splits or decodes with a leading space, ids that are taken,
padding rows beyond the tokenizer's ids, tied and untied output heads, and new rows whose distribution differs from the
old ones (``codebooks.tokens.embedding_init``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from tracktokens.codebooks.numerics.arrays import Floats
from tracktokens.codebooks.tokens.embedding_init import RowStatistics, centroid_rows, mean_rows
from tracktokens.codebooks.tokens.vocabulary import Entry, vocabulary
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import MANIFEST, ReleasePaths
from tracktokens.transforms.store.user_files import check_output_folder, path_errors

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MEAN, CENTROID = "mean", "centroid"
INITS = (MEAN, CENTROID)

CONFIG_KEY = "tracktokens"
"""Key of the model's ``config.json`` with the release and its bundle."""

SHOWN_ROWS = 5
"""Rows that a message names."""

IDS_FILE = "tokens_to_ids.json"


@dataclass(frozen=True)
class TokenRelease:
    """Tokens and centroids of a release.

    Attributes:
        manifest: manifest of the release.
        centroids: column of the token table, except for the number, to float32 (codes, components).
    """

    manifest: ReleaseManifest
    centroids: Mapping[str, Floats]

    @property
    def entries(self) -> list[Entry]:
        """Return all tokens, in the order of the vocabulary."""
        return vocabulary(self.manifest.token_format)


@dataclass(frozen=True)
class ExtensionResult:
    """Outcome of adding tokens to a model.

    Attributes:
        ids: token to id.
        rows_before: embedding rows before.
        rows_after: embedding rows after.
        tied: whether the output head shares its weights with the input embeddings.
        unchanged: whether the model already had the tokens of this bundle.
    """

    ids: Mapping[str, int]
    rows_before: int
    rows_after: int
    tied: bool
    unchanged: bool


def read_token_release(folder: str) -> TokenRelease:
    """Read the folder of a release.

    Raises:
        UsageError: the folder is not a release.
        InvalidDataError: its vocabulary is of another bundle.
    """
    paths = ReleasePaths(folder)
    if not all(map(files.exists, (paths.manifest, paths.token_list, paths.centroids))):
        raise UsageError(f"{folder} is not a release: it needs a {MANIFEST} and a vocabulary")
    manifest = ReleaseManifest.from_json(files.read_bytes(paths.manifest), paths.manifest)
    try:
        bundle = files.read_json(paths.token_list)["bundle"]
        centroids = load(files.read_bytes(paths.centroids))
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise InvalidDataError(f"the vocabulary of {folder} cannot be read: {error}; restore it") from error
    if bundle != manifest.bundle_id:
        raise InvalidDataError(f"{folder} is of bundle {manifest.bundle_id}, its vocabulary of {bundle}: restore it")
    return TokenRelease(manifest, {modality: rows.astype(np.float32) for modality, rows in centroids.items()})


def apply_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    release: TokenRelease,
    init: str = MEAN,
    pad_to_multiple_of: int = 64,
    seed: int = 0,
) -> ExtensionResult:
    """Add the tokens of a release to a tokenizer and a model, in place.

    New tokens get the ids after the tokenizer's last, in the order of the vocabulary. They fill the model's padding
    rows first; then the model grows to a multiple of ``pad_to_multiple_of`` rows. It never shrinks.

    Args:
        model: any causal language model of transformers.
        tokenizer: its tokenizer.
        release: the tokens and their centroids.
        init: ``"mean"`` or ``"centroid"``; see ``codebooks.tokens.embedding_init``.
        pad_to_multiple_of: at least 1.
        seed: seed of the noise, or of the rotation.

    Raises:
        UsageError: ``init`` or the padding is invalid.
        InvalidDataError: the model has embeddings that are not finite, or tokens of another or an unknown bundle; the
            tokenizer does not belong to the model, or cannot represent these tokens.
    """
    if init not in INITS or pad_to_multiple_of < 1:
        raise UsageError(
            f"init {init} and padding to {pad_to_multiple_of}: init must be one of {INITS}, the padding at least 1"
        )
    names = [entry.token for entry in release.entries]
    rows_before = _rows(model)
    tied = _tied(model)
    if _has_tokens(model, tokenizer, release, names):
        return ExtensionResult(_ids_of(tokenizer, names), rows_before, rows_before, tied, unchanged=True)
    old_ids = np.unique(list(tokenizer.get_vocab().values()))
    if old_ids[-1] >= rows_before:
        raise InvalidDataError(
            f"the tokenizer has ids up to {old_ids[-1]}, the model has {rows_before} rows: "
            "use the tokenizer of this model"
        )
    _check_finite(model, tied, old_ids)
    ids = _add_tokens(tokenizer, names, {int(number) for number in old_ids})
    check_tokens(tokenizer, ids)
    _grow(model, max(rows_before, -(-(max(ids.values()) + 1) // pad_to_multiple_of) * pad_to_multiple_of))
    for weight in _weights(model, tied):
        old = RowStatistics(_numbers(weight[old_ids.tolist()]))
        _fill(weight, rows_before, old, _new_rows(old, release, ids, init, seed))
    _fill_bias(model, rows_before, old_ids, ids)
    model.config.update({CONFIG_KEY: {"bundle": release.manifest.bundle_id, "release": release.manifest.release_id}})
    return ExtensionResult(ids, rows_before, _rows(model), tied, unchanged=False)


def apply_to_folder(source: str, target: str, release: TokenRelease, **settings: Any) -> ExtensionResult:
    """Read a model's folder, add the tokens of a release, and write a new folder; see :func:`apply_vocabulary`.

    Args:
        source: folder of the model and its tokenizer.
        target: folder to write, new or empty.
        release: the tokens and their centroids.
        settings: keyword arguments of :func:`apply_vocabulary`.

    Raises:
        UsageError: ``source`` has no model, or ``target`` is not a new or empty folder outside of it.
        InvalidDataError: the model cannot be read; see also :func:`apply_vocabulary`.
    """
    check_output_folder(target, [source])
    if files.list_tree(target):
        raise UsageError(f"{target} is not empty: give a new folder")
    model, tokenizer = load_model(source)
    result = apply_vocabulary(model, tokenizer, release, **settings)
    save_model(model, tokenizer, target)
    content = {"format": 1, "bundle": release.manifest.bundle_id, "release": release.manifest.release_id}
    files.write_json(files.join(target, IDS_FILE), {**content, "tokens": dict(result.ids)})
    return result


def load_model(source: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model and the tokenizer of a folder; the weights keep their type.

    Raises:
        UsageError: the folder has no causal language model.
        InvalidDataError: a file of the model cannot be read, or weights are missing.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source, dtype="auto", local_files_only=True, output_loading_info=True
        )
    except (OSError, ValueError, ImportError) as error:
        cause = _first_line(error) if Path(source).exists() else "no such folder"
        raise UsageError(f"{source} has no causal language model with a tokenizer: {cause}") from error
    except Exception as error:
        cause = f"{type(error).__name__}: {_first_line(error)}"
        raise InvalidDataError(f"the model in {source} cannot be read: {cause}; save it again") from error
    model, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        raise InvalidDataError(
            f"the model in {source} lacks {len(missing)} weights, such as {missing[0]}: use the complete model"
        )
    return model, tokenizer


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, target: str) -> None:
    """Write a model and its tokenizer to a folder.

    Raises:
        UsageError: the folder cannot be written.
        OSError: the disk is full.
    """
    try:
        with path_errors(target, "give a new folder"):
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
    except SafetensorError as error:  # of a full disk, for example
        raise OSError(f"{target} cannot be written: {error}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def check_tokens(tokenizer: PreTrainedTokenizerBase, ids: Mapping[str, int]) -> None:
    """Check that each token is one id, alone and among others, and decodes to itself without a space beside it.

    Raises:
        InvalidDataError: a token is split, or decodes to a different text.
    """
    names, numbers = list(ids), list(ids.values())
    for text, expected in (("".join(names), numbers), *((name, [number]) for name, number in ids.items())):
        encoded = tokenizer.encode(text, add_special_tokens=False)
        if encoded != expected:
            wrong = next(n for n, number in enumerate([*encoded, None]) if [number] != expected[n : n + 1])
            raise InvalidDataError(
                f"the tokenizer splits {names[min(wrong, len(names) - 1)]} (ids {encoded[wrong : wrong + 5]}): "
                "it cannot represent these tokens"
            )
    decoded = tokenizer.decode(numbers, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if decoded != "".join(names):
        raise InvalidDataError(
            f"the tokenizer decodes {''.join(names)[:60]!r} to {decoded[:60]!r}: it cannot represent these tokens"
        )


def new_parameters(model: PreTrainedModel, tokens: int) -> int:
    """Count the parameters that new tokens add to a model: one row per token in each embedding matrix."""
    return tokens * sum(int(weight.shape[1]) for weight in _weights(model, _tied(model)))


def _has_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, release: TokenRelease, names: list[str]
) -> bool:
    """Return whether the model has the tokens of this bundle already."""
    recorded, taken = getattr(model.config, CONFIG_KEY, None), tokenizer.get_vocab()
    present = [name for name in names if name in taken]
    if recorded is None and present:
        raise InvalidDataError(
            f"the tokenizer has {len(present)} of these tokens already ({present[0]} is id {taken[present[0]]}), and "
            "the model does not name their bundle: use the model from before they were added"
        )
    if recorded is None:
        return False
    bundle = recorded.get("bundle") if isinstance(recorded, Mapping) else recorded
    if bundle != release.manifest.bundle_id:
        raise InvalidDataError(
            f"the model has tokens of bundle {bundle}, the release is of {release.manifest.bundle_id}: its "
            "codes may have other meanings; use the model without these tokens, or see `tracktokens diff`"
        )
    if len(present) < len(names):
        raise InvalidDataError(
            f"the model names bundle {bundle}, and its tokenizer has {len(present)} of "
            f"{len(names)} tokens: use the tokenizer that was saved with it"
        )
    return True


def _add_tokens(tokenizer: PreTrainedTokenizerBase, names: list[str], taken: set[int]) -> dict[str, int]:
    from transformers import AddedToken

    # Not special: decoding with skip_special_tokens would drop them.
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
    _write_without_spaces(tokenizer, names)
    ids = _ids_of(tokenizer, names)
    if len(set(ids.values())) < len(names) or taken & set(ids.values()):
        raise InvalidDataError("the tokenizer assigns taken ids to new tokens: it cannot represent these tokens")
    return ids


def _ids_of(tokenizer: PreTrainedTokenizerBase, names: list[str]) -> dict[str, int]:
    numbers = cast("list[int]", tokenizer.convert_tokens_to_ids(names))
    return dict(zip(names, numbers, strict=True))


def _write_without_spaces(tokenizer: PreTrainedTokenizerBase, names: list[str]) -> None:
    """Remove the space that a WordPiece decoder writes before each token."""
    from tokenizers import decoders

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not isinstance(backend.decoder, decoders.WordPiece):
        return
    starts = dict.fromkeys(name[: name.rfind("_") + 1] or name for name in names)
    backend.decoder = decoders.Sequence([backend.decoder, *(decoders.Replace(f" {start}", start) for start in starts)])


def _head(model: PreTrainedModel) -> Any:
    """Return the output layer; None for a model without one."""
    return model.get_output_embeddings()  # type: ignore[no-untyped-call]


def _inputs(model: PreTrainedModel) -> Tensor:
    return cast("Tensor", model.get_input_embeddings().weight)


def _rows(model: PreTrainedModel) -> int:
    return int(_inputs(model).shape[0])


def _tied(model: PreTrainedModel) -> bool:
    head = _head(model)
    return head is None or head.weight is _inputs(model)


def _weights(model: PreTrainedModel, tied: bool) -> list[Tensor]:
    """List the matrices with one row per token."""
    return [_inputs(model)] if tied else [_inputs(model), _head(model).weight]


def _check_finite(model: PreTrainedModel, tied: bool, rows: Any) -> None:
    """Check the rows that new rows are made from."""
    parts = dict(zip(("input embeddings", "output head"), _weights(model, tied), strict=False))
    if (bias := getattr(_head(model), "bias", None)) is not None:
        parts["bias of the output head"] = bias[:, None]
    for name, weight in parts.items():
        finite = weight[rows.tolist()].isfinite().all(dim=1).cpu().numpy()
        if not finite.all():
            wrong = rows[~finite]
            more = f" and {len(wrong) - SHOWN_ROWS} more" if len(wrong) > SHOWN_ROWS else ""
            raise InvalidDataError(
                f"{model.name_or_path or 'the model'}: rows {', '.join(map(str, wrong[:SHOWN_ROWS]))}{more} of the "
                f"{name} are not finite: use weights without NaN and infinity"
            )


def _grow(model: PreTrainedModel, rows: int) -> None:
    if rows > _rows(model):
        model.resize_token_embeddings(rows, mean_resizing=False)


def _new_rows(
    old: RowStatistics, release: TokenRelease, ids: Mapping[str, int], init: str, seed: int
) -> dict[int, Floats]:
    """Initialize the new rows: id to row."""
    rows = dict(zip(ids.values(), mean_rows(old, len(ids), seed), strict=True))
    if init == CENTROID:
        by_code = centroid_rows(old, release.centroids, seed)
        for entry in release.entries:
            known = by_code.get(entry.modality or "")
            if known is not None and entry.code is not None and entry.code < len(known):
                rows[ids[entry.token]] = known[entry.code]
    return rows


def _fill(weight: Tensor, rows_before: int, old: RowStatistics, rows: Mapping[int, Floats]) -> None:
    """Write new rows, and the mean of the old ones into padding rows."""
    import torch

    with torch.no_grad():
        weight[rows_before:] = torch.from_numpy(old.mean).to(weight)
        weight[list(rows)] = torch.from_numpy(np.stack(list(rows.values()))).to(weight)
    if not weight[list(rows)].isfinite().all():
        raise InvalidDataError(
            f"the rows of the new tokens exceed the range of {weight.dtype}: the old rows are too large, use the "
            "model in a wider type"
        )


def _fill_bias(model: PreTrainedModel, rows_before: int, old_ids: Any, ids: Mapping[str, int]) -> None:
    import torch

    bias = getattr(_head(model), "bias", None)
    if bias is None:
        return
    with torch.no_grad():
        mean = bias[old_ids.tolist()].float().mean().to(bias)
        bias[rows_before:] = mean
        bias[list(ids.values())] = mean


def _numbers(weight: Tensor) -> Floats:
    numbers: Floats = weight.detach().float().cpu().numpy()
    return numbers


def extension_report(result: ExtensionResult) -> dict[str, Any]:
    """Summarize a result: label to value."""
    fields = asdict(result)
    ids = fields.pop("ids")
    return {"tokens": len(ids), "first id": min(ids.values()), "last id": max(ids.values()), **fields}
