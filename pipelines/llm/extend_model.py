"""Add the tokens of a release to a language model: each becomes one id of the tokenizer, and one embedding row.

It handles the known pitfalls: tokens that the tokenizer splits or decodes with a leading space, ids that are taken,
padding rows beyond the tokenizer's ids, tied and untied output heads, and new rows whose distribution differs from the
old ones (``codebooks.tokens.embedding_init``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from tracktokens.codebooks.numerics.arrays import Floats
from tracktokens.codebooks.tokens.vocabulary import Entry, vocabulary
from tracktokens.pipelines.llm.embedding_layers import (
    as_array,
    check_finite,
    fill_bias,
    fill_rows,
    grow,
    is_tied,
    matrices,
)
from tracktokens.pipelines.llm.initial_rows import (
    INITS,
    MEAN,
    TEXT,
    WORDS_PER_CODE,
    CodeWords,
    InitialRows,
    find_word_ids,
    known_codes,
)
from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.schemas.manifests.release import ReleaseManifest
from tracktokens.serving.generation.load_model import (
    CONFIG_KEY,
    check_bundle,
    embedding_rows,
    load_model,
    recorded_bundle,
)
from tracktokens.serving.generation.pretrained import quiet_transformers
from tracktokens.transforms.release.track_terms import code_words
from tracktokens.transforms.store import files
from tracktokens.transforms.store.layout import MANIFEST, ReleasePaths, Store
from tracktokens.transforms.store.token_tables import TokenTable
from tracktokens.transforms.store.user_files import check_output_folder, path_errors

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IDS_FILE = "tokens_to_ids.json"


@dataclass(frozen=True)
class TokenRelease:
    """Tokens and centroids of a release.

    Attributes:
        manifest: manifest of the release.
        centroids: column of the token table, except for the number, to float32 (codes, components).
        words: column to the words of each code, which ``init="text"`` needs; see :func:`.code_words`.
    """

    manifest: ReleaseManifest
    centroids: Mapping[str, Floats]
    words: CodeWords | None = None

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
        without_words: codes without words, whose rows ``init="text"`` makes as ``"mean"`` does; None for another init.
    """

    ids: Mapping[str, int]
    rows_before: int
    rows_after: int
    tied: bool
    unchanged: bool
    without_words: int | None = None


def read_token_release(folder: str, words_from: str | None = None) -> TokenRelease:
    """Read the folder of a release.

    Args:
        folder: the folder.
        words_from: root of its store, whose catalog has the words of its codes; None to read no words.

    Raises:
        UsageError: the folder is not a release, or the store does not have it.
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
    words = None if words_from is None else _read_words(words_from, manifest)
    return TokenRelease(manifest, {name: rows.astype(np.float32) for name, rows in centroids.items()}, words)


def _read_words(root: str, manifest: ReleaseManifest) -> CodeWords:
    store = Store.open(root)
    if not files.exists(store.release(manifest.release_id).manifest):
        raise UsageError(f"{root} does not have the release {manifest.release_id}: give the store of the release")
    return code_words(TokenTable.of(store, manifest), WORDS_PER_CODE)


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
        init: ``"mean"``, ``"centroid"`` or ``"text"``; see ``codebooks.tokens.embedding_init``.
        pad_to_multiple_of: at least 1.
        seed: seed of the noise, or of the rotation.

    Raises:
        UsageError: ``init`` or the padding is invalid, or ``init`` needs words that the release was read without.
        InvalidDataError: the model has embeddings that are not finite, or tokens of another or an unknown bundle; the
            tokenizer does not belong to the model, or cannot represent these tokens.
    """
    if init not in INITS or pad_to_multiple_of < 1:
        raise UsageError(
            f"init {init} and padding to {pad_to_multiple_of}: init must be one of {INITS}, the padding at least 1"
        )
    if init == TEXT and release.words is None:
        raise UsageError("init text needs the words of the codes, which the store has: give --store")
    entries = release.entries
    names = [entry.token for entry in entries]
    rows_before = embedding_rows(model)
    tied = is_tied(model)
    if _has_tokens(model, tokenizer, release, names):
        return ExtensionResult(_ids_of(tokenizer, names), rows_before, rows_before, tied, unchanged=True)
    old_ids = np.unique(list(tokenizer.get_vocab().values()))
    if not len(old_ids):
        raise InvalidDataError("the tokenizer has no entries: use the tokenizer of this model")
    if old_ids[-1] >= rows_before:
        raise InvalidDataError(
            f"the tokenizer has ids up to {old_ids[-1]}, the model has {rows_before} rows: "
            "use the tokenizer of this model"
        )
    check_finite(model, tied, old_ids)
    word_ids = find_word_ids(tokenizer, entries, release.words or {}) if init == TEXT else {}
    initial = InitialRows(entries, init, release.centroids, word_ids, seed)
    ids = _add_tokens(tokenizer, names, {int(number) for number in old_ids})
    check_tokens(tokenizer, ids)
    grow(model, max(rows_before, -(-(max(ids.values()) + 1) // pad_to_multiple_of) * pad_to_multiple_of))
    for weight in matrices(model, tied):
        old, rows = initial.make(old_ids, as_array(weight[old_ids.tolist()]))
        fill_rows(weight, rows_before, old, dict(zip(ids.values(), rows, strict=True)))
    fill_bias(model, rows_before, old_ids, ids)
    model.config.update({CONFIG_KEY: {"bundle": release.manifest.bundle_id, "release": release.manifest.release_id}})
    codes = known_codes(entries, release.words) if init == TEXT and release.words else {}
    without = len(codes) - len(word_ids) if init == TEXT else None
    return ExtensionResult(ids, rows_before, embedding_rows(model), tied, unchanged=False, without_words=without)


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


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, target: str) -> None:
    """Write a model and its tokenizer to a folder.

    Raises:
        UsageError: the folder cannot be written.
        OSError: the disk is full.
    """
    try:
        with path_errors(target, "give a new folder"), quiet_transformers():
            model.save_pretrained(target)
            tokenizer.save_pretrained(target)
    except SafetensorError as error:  # of a full disk, for example
        raise OSError(f"{target} cannot be written: {error}") from error


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


def _has_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, release: TokenRelease, names: list[str]
) -> bool:
    """Return whether the model has the tokens of this bundle already."""
    bundle, taken = recorded_bundle(model.config), tokenizer.get_vocab()
    present = [name for name in names if name in taken]
    if bundle is None and present:
        raise InvalidDataError(
            f"the tokenizer has {len(present)} of these tokens already ({present[0]} is id {taken[present[0]]}), and "
            "the model does not name their bundle: use the model from before they were added"
        )
    if bundle is None:
        return False
    check_bundle(model.config, release.manifest.bundle_id)
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


def extension_report(result: ExtensionResult) -> dict[str, Any]:
    """Summarize a result: label to value."""
    fields = asdict(result)
    ids = fields.pop("ids")
    without = fields.pop("without_words")
    words = {} if without is None else {"codes without words": without}
    return {"tokens": len(ids), "first id": min(ids.values()), "last id": max(ids.values()), **fields, **words}
