"""Add a release's tokens to a language model: each becomes one id of the tokenizer, and a row of the embeddings.

What is known to go wrong is looked at: tokens that the tokenizer splits or decodes with a space before them, ids that
are taken, rows that the model keeps beyond its tokenizer, heads that are tied or are not, and rows of new tokens that
are unlike the old ones (``codebooks.embedding_rows``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from safetensors.numpy import load

from tracktokens.codebooks.numerics.arrays import Floats
from tracktokens.codebooks.tokens.embedding_init import RowStatistics, centroid_rows, mean_rows
from tracktokens.codebooks.tokens.vocabulary import Entry, vocabulary
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.schemas.modalities import MODALITIES
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import MANIFEST, ReleasePaths

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MEAN, CENTROID = "mean", "centroid"
INITS = (MEAN, CENTROID)

CONFIG_KEY = "tracktokens"
"""Key of the model's ``config.json`` that names the release and its bundle."""

IDS_FILE = "tokens_to_ids.json"


@dataclass(frozen=True)
class TokenRelease:
    """What a model needs of a release.

    Attributes:
        manifest: of the release.
        centroids: modality to float32 (codes, components).
    """

    manifest: ReleaseManifest
    centroids: Mapping[str, Floats]

    @property
    def entries(self) -> list[Entry]:
        """All tokens, in their frozen order."""
        return vocabulary(self.manifest.codebook_size)


@dataclass(frozen=True)
class ExtensionResult:
    """What became of a model.

    Attributes:
        ids: token to id.
        rows_before: rows of the embeddings before.
        rows_after: rows now.
        tied: whether the output head shares its weights with the input embeddings.
        unchanged: whether the model had the tokens of this bundle already.
    """

    ids: Mapping[str, int]
    rows_before: int
    rows_after: int
    tied: bool
    unchanged: bool


def read_token_release(folder: str) -> TokenRelease:
    """Read the folder of a release.

    Raises:
        UsageError: it is not one.
        InvalidDataError: its files do not belong together.
    """
    paths = ReleasePaths(folder)
    path, vectors = paths.manifest, paths.centroids
    if not files.exists(path) or not files.exists(vectors):
        raise UsageError(f"{folder} is not a release: it has no {MANIFEST} with a vocabulary beside it")
    manifest = ReleaseManifest.from_json(files.read_bytes(path), path)
    named = files.read_json(paths.token_list)["bundle"]
    if named != manifest.bundle_id:
        raise InvalidDataError(f"{folder} is of bundle {manifest.bundle_id}, its vocabulary of {named}: restore it")
    return TokenRelease(manifest, {m: found.astype(np.float32) for m, found in load(files.read_bytes(vectors)).items()})


def apply_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    release: TokenRelease,
    init: str = MEAN,
    pad_to_multiple_of: int = 64,
    seed: int = 0,
) -> ExtensionResult:
    """Add the tokens of a release to a tokenizer and a model, which are changed.

    New tokens follow those that the tokenizer has, in their frozen order. Rows that the model has beyond its tokenizer
    are used first, then it grows to a multiple of ``pad_to_multiple_of``. It never shrinks.

    Args:
        model: any causal language model of transformers.
        tokenizer: its tokenizer.
        release: the tokens, and the centroids behind them.
        init: ``"mean"`` or ``"centroid"``; see ``codebooks.embedding_rows``.
        pad_to_multiple_of: at least 1.
        seed: of the noise, or of the rotation.

    Raises:
        UsageError: ``init`` or the padding is not possible.
        InvalidDataError: the model has tokens of another bundle, or of no bundle that it names; or the tokenizer is
            not the model's, or cannot have these tokens.
    """
    if init not in INITS or pad_to_multiple_of < 1:
        raise UsageError(f"init {init} and padding to {pad_to_multiple_of}: give one of {INITS}, and at least 1")
    names = [entry.token for entry in release.entries]
    before = _rows(model)
    tied = _tied(model)
    if _has_tokens(model, tokenizer, release, names):
        return ExtensionResult(_ids_of(tokenizer, names), before, before, tied, unchanged=True)
    old_ids = np.unique(list(tokenizer.get_vocab().values()))
    if old_ids[-1] >= before:
        raise InvalidDataError(
            f"the tokenizer has ids up to {old_ids[-1]}, the model has {before} rows: give the tokenizer of this model"
        )
    ids = _add_tokens(tokenizer, names, {int(number) for number in old_ids})
    check_tokens(tokenizer, ids)
    _grow(model, max(before, -(-(max(ids.values()) + 1) // pad_to_multiple_of) * pad_to_multiple_of))
    for weight in _weights(model, tied):
        old = RowStatistics(_numbers(weight[old_ids.tolist()]))
        _fill(weight, before, old, _new_rows(old, release, ids, init, seed))
    _fill_bias(model, before, old_ids, ids)
    model.config.update({CONFIG_KEY: {"bundle": release.manifest.bundle_id, "release": release.manifest.release_id}})
    return ExtensionResult(ids, before, _rows(model), tied, unchanged=False)


def apply_to_folder(source: str, target: str, release: TokenRelease, **settings: Any) -> ExtensionResult:
    """Read a model's folder, add the tokens of a release, and write another folder; see :func:`apply_vocabulary`.

    Raises:
        UsageError: there is no model, or the other folder is not empty.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if files.list_tree(target):
        raise UsageError(f"{target} is not empty: give a new folder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", local_files_only=True)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{source} has no causal language model with a tokenizer: {str(error).splitlines()[0]}"
        ) from error
    applied = apply_vocabulary(model, tokenizer, release, **settings)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    content = {"format": 1, "bundle": release.manifest.bundle_id, "release": release.manifest.release_id}
    files.write_json(files.join(target, IDS_FILE), {**content, "tokens": dict(applied.ids)})
    return applied


def check_tokens(tokenizer: PreTrainedTokenizerBase, ids: Mapping[str, int]) -> None:
    """Check that each token is one id, alone and among others, and comes back as it was, with no space beside it.

    Raises:
        InvalidDataError: when one is split, or written otherwise.
    """
    names, numbers = list(ids), list(ids.values())
    for text, expected in (("".join(names), numbers), *((name, [number]) for name, number in ids.items())):
        found = tokenizer.encode(text, add_special_tokens=False)
        if found != expected:
            wrong = next(
                place for place, number in enumerate([*found, None]) if [number] != expected[place : place + 1]
            )
            raise InvalidDataError(
                f"the tokenizer splits {names[min(wrong, len(names) - 1)]} (ids {found[wrong : wrong + 5]}): "
                "it cannot have these tokens"
            )
    written = tokenizer.decode(numbers, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    if written != "".join(names):
        raise InvalidDataError(f"the tokenizer writes {written[:60]!r} for {''.join(names)[:60]!r}")


def new_parameters(model: PreTrainedModel, codes: int) -> int:
    """Parameters that so many new tokens add to a model: a row in each matrix that has one a token."""
    return codes * sum(int(weight.shape[1]) for weight in _weights(model, _tied(model)))


def _has_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, release: TokenRelease, names: list[str]
) -> bool:
    """Whether the model has the tokens of this bundle already."""
    known, taken = getattr(model.config, CONFIG_KEY, None), tokenizer.get_vocab()
    present = [name for name in names if name in taken]
    if known is None and present:
        raise InvalidDataError(
            f"the tokenizer has {len(present)} of these tokens already ({present[0]} is id {taken[present[0]]}), and "
            "the model names no bundle that they are of: give the model as it was before they were added"
        )
    if known is None:
        return False
    if known["bundle"] != release.manifest.bundle_id:
        raise InvalidDataError(
            f"the model has tokens of bundle {known['bundle']}, the release is of {release.manifest.bundle_id}: its "
            "codes may mean something else; give the model as it was before, or see `tracktokens diff`"
        )
    if len(present) < len(names):
        raise InvalidDataError(
            f"the model names bundle {known['bundle']}, and its tokenizer has {len(present)} of "
            f"{len(names)} tokens: give the tokenizer that was saved with it"
        )
    return True


def _add_tokens(tokenizer: PreTrainedTokenizerBase, names: list[str], taken: set[int]) -> dict[str, int]:
    from transformers import AddedToken

    # Not special: what a model writes would vanish where special tokens are skipped.
    tokenizer.add_tokens([AddedToken(name, normalized=False, special=False) for name in names])
    _write_without_spaces(tokenizer)
    ids = _ids_of(tokenizer, names)
    if len(set(ids.values())) < len(names) or taken & set(ids.values()):
        raise InvalidDataError("the tokenizer gives new tokens ids that are taken: it cannot have these tokens")
    return ids


def _ids_of(tokenizer: PreTrainedTokenizerBase, names: list[str]) -> dict[str, int]:
    numbers = cast("list[int]", tokenizer.convert_tokens_to_ids(names))
    return dict(zip(names, numbers, strict=True))


def _write_without_spaces(tokenizer: PreTrainedTokenizerBase) -> None:
    """Take out the space that a WordPiece decoder writes before each token that begins no word piece."""
    from tokenizers import decoders

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not isinstance(backend.decoder, decoders.WordPiece):
        return
    starts = [*(f"<|{modality}_" for modality in MODALITIES), "<|track|>", "<|/track|>"]
    backend.decoder = decoders.Sequence([backend.decoder, *(decoders.Replace(f" {start}", start) for start in starts)])


def _head(model: PreTrainedModel) -> Any:
    """The output layer; None where a model has none of its own."""
    return model.get_output_embeddings()  # type: ignore[no-untyped-call]


def _inputs(model: PreTrainedModel) -> Tensor:
    return cast("Tensor", model.get_input_embeddings().weight)


def _rows(model: PreTrainedModel) -> int:
    return int(_inputs(model).shape[0])


def _tied(model: PreTrainedModel) -> bool:
    head = _head(model)
    return head is None or head.weight is _inputs(model)


def _weights(model: PreTrainedModel, tied: bool) -> list[Tensor]:
    """The matrices that have a row a token."""
    return [_inputs(model)] if tied else [_inputs(model), _head(model).weight]


def _grow(model: PreTrainedModel, rows: int) -> None:
    if rows > _rows(model):
        model.resize_token_embeddings(rows, mean_resizing=False)


def _new_rows(
    old: RowStatistics, release: TokenRelease, ids: Mapping[str, int], init: str, seed: int
) -> dict[int, Floats]:
    """A row for each id."""
    rows = dict(zip(ids.values(), mean_rows(old, len(ids), seed), strict=True))
    if init == CENTROID:
        made = centroid_rows(old, release.centroids, seed)
        for entry in release.entries:
            if entry.modality is not None and entry.code is not None and entry.code < len(made[entry.modality]):
                rows[ids[entry.token]] = made[entry.modality][entry.code]
    return rows


def _fill(weight: Tensor, before: int, old: RowStatistics, rows: Mapping[int, Floats]) -> None:
    """Write new rows, and into rows that are there for padding alone the mean of the old ones."""
    import torch

    with torch.no_grad():
        weight[before:] = torch.from_numpy(old.mean).to(weight)
        weight[list(rows)] = torch.from_numpy(np.stack(list(rows.values()))).to(weight)


def _fill_bias(model: PreTrainedModel, before: int, old_ids: Any, ids: Mapping[str, int]) -> None:
    import torch

    bias = getattr(_head(model), "bias", None)
    if bias is None:
        return
    with torch.no_grad():
        mean = bias[old_ids.tolist()].float().mean().to(bias)
        bias[before:] = mean
        bias[list(ids.values())] = mean


def _numbers(weight: Tensor) -> Floats:
    found: Floats = weight.detach().float().cpu().numpy()
    return found


def extension_report(applied: ExtensionResult) -> dict[str, Any]:
    """What the command prints."""
    told = asdict(applied)
    ids = told.pop("ids")
    return {"tokens": len(ids), "first id": min(ids.values()), "last id": max(ids.values()), **told}
