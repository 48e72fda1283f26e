"""Beam's ``RunInference`` and the base class of its models, imported without torch.

Beam imports torch, which takes two seconds, for a class that is not used here and may be missing. Where nothing is left
to encode, nothing else needs torch.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ModelHandler", "RunInference"]


@contextmanager
def _without_torch() -> Iterator[None]:
    """Let the imports in a block find no torch, unless it is loaded already."""
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]


with _without_torch():
    from apache_beam.ml.inference.base import ModelHandler, RunInference
