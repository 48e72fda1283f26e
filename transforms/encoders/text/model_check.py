"""Checks of a text model as soon as it is loaded, so that no job fails at its first batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracktokens.schemas.errors import TracktokensError, UsageError
from tracktokens.transforms.encoders.bisect import is_out_of_memory

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

PROBE_TEXTS = ("a song", "?", "rock, 1999, live: songs of a long day and b", "中文 歌词", "d c b")
"""Texts of different lengths, which every model can encode and whose vectors are not all equal."""

_MAX_PROBE_PIECES = 1024
_TOLERANCE = 0.02
"""Difference of unit vectors that padding may make: numbers of 16 bits differ by less."""


def probe_texts(window: int) -> list[str]:
    """Return texts to encode at once; the last one is longer than the model's window, unless that is long."""
    return [*PROBE_TEXTS, " ".join(["song"] * (window + 1 if window <= _MAX_PROBE_PIECES else 8))]


def ensure_padding(transformer: "SentenceTransformer") -> bool:
    """Pad with the end token if a tokenizer has no padding token, as those of Llama and Mistral; return True if so.

    Raises:
        UsageError: it has no end token.
    """
    tokenizer = transformer.tokenizer
    if getattr(tokenizer, "pad_token", "") is not None:
        return False
    token = tokenizer.eos_token or tokenizer.unk_token
    if token is None:
        raise UsageError(
            "the text model's tokenizer has neither a padding nor an end token: set pad_token in its "
            "tokenizer_config.json, or give another --text-model"
        )
    tokenizer.pad_token = token
    return True


def check_vocabulary(transformer: "SentenceTransformer") -> None:
    """Check that the model has a row for each token of its tokenizer, except for special ones that no text has.

    Raises:
        UsageError: it has fewer rows.
    """
    model: Any = getattr(transformer[0], "auto_model", None)
    if not hasattr(model, "get_input_embeddings") or not hasattr(transformer.tokenizer, "get_vocab"):
        return
    rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    special = set(getattr(transformer.tokenizer, "all_special_ids", ()))
    added = getattr(transformer.tokenizer, "added_tokens_decoder", {})
    special |= {number for number, token in added.items() if getattr(token, "special", False)}
    largest = max((number for number in transformer.tokenizer.get_vocab().values() if number not in special), default=0)
    if rows is not None and largest >= rows:
        raise UsageError(
            f"the text model has {rows:,} embeddings, and its tokenizer has a token with number {largest:,}: "
            "model and tokenizer do not belong together; give another --text-model"
        )


@contextmanager
def model_errors() -> Iterator[None]:
    """Convert errors of a model that cannot encode ordinary texts.

    Raises:
        UsageError: in place of any error that is not our own, and not out of memory.
    """
    try:
        yield
    except TracktokensError:
        raise
    except Exception as error:  # third-party code: any type
        if is_out_of_memory(error):
            raise
        message = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UsageError(f"the text model cannot encode a text ({message}): give another --text-model") from error


def check_vectors(vectors: npt.NDArray[np.float32]) -> None:
    """Check the vectors of ``PROBE_TEXTS``, float32 of shape (texts, dim).

    Raises:
        UsageError: a value is not finite, or all vectors are equal.
    """
    if not np.isfinite(vectors).all():
        raise UsageError("the text model overflows in this precision: give --text-precision float32")
    if (vectors == vectors[0]).all():
        raise UsageError(
            "the text model has the same vector for every text: its weights are damaged; give another --text-model"
        )


def check_padding(together: npt.NDArray[np.float32], alone: npt.NDArray[np.float32]) -> None:
    """Check that padding with the end token does not change vectors: unit vectors, float32 of shape (texts, dim).

    Raises:
        UsageError: it does.
    """
    if np.abs(together - alone).max() > _TOLERANCE:
        raise UsageError(
            "the text model's tokenizer has no padding token, and padding with its end token changes vectors: set "
            "pad_token in its tokenizer_config.json, or give another --text-model"
        )
