"""Exported text models in the cache folder of this machine."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracktokens.schemas.errors import UsageError
from tracktokens.transforms.encoders.base import identity_hash
from tracktokens.transforms.encoders.onnx_graphs import (
    brief,
    cached_graph,
    exporter_versions,
    quantize_to_int8,
    require_packages,
)
from tracktokens.transforms.encoders.text.exported_model import (
    FLOAT32,
    INT8,
    MIN_COSINE,
    SETTINGS_FILE,
    TOKENIZER_FILE,
    ExportedModel,
    check_cosine,
)

if TYPE_CHECKING:
    from tracktokens.transforms.encoders.text.torch_model import TorchModel

EXPORT = 2
"""Version of the export. Raise it to export all models again."""

NETWORK = "/transformer/transformer.0/"
"""Prefix of the names of the transformer's nodes; those of the pooling and of later modules have others."""


def exported_model(
    load: Callable[[], "TorchModel"], *, weights: str, backend: str, precision: str, threads: int
) -> ExportedModel:
    """Open a model's graph, which is exported unless this machine has it already.

    Args:
        load: loads the model in torch, on the CPU in float32; called only to export it.
        weights: hash of the model's files.
        backend: ``ONNX`` or ``OPENVINO``.
        precision: ``FLOAT32`` or ``INT8``.
        threads: forward passes at a time.

    Raises:
        UsageError: a package is missing, the model cannot be exported, the graph does not run, or its vectors differ
            from those of torch.
    """
    require_packages(backend)
    path = cached_graph(_name(weights, FLOAT32), partial(_export, load))
    if precision == INT8:
        path = cached_graph(_name(weights, INT8), partial(_quantize, path))
    return _open(path, backend, threads, MIN_COSINE[precision])


def _name(weights: str, precision: str) -> str:
    content = {"weights": weights, "precision": precision, "export": EXPORT, "versions": exporter_versions()}
    return identity_hash(content)


def _export(load: Callable[[], "TorchModel"], target: Path) -> None:
    from tracktokens.transforms.encoders.text.export_model import export_model

    export_model(load(), target)


def _quantize(source: Path, target: Path) -> None:
    quantize_to_int8(source, target, NETWORK)
    for name in (TOKENIZER_FILE, SETTINGS_FILE):
        shutil.copyfile(source.parent / name, target.parent / name)


def _open(path: Path, backend: str, threads: int, min_cosine: float) -> ExportedModel:
    try:
        model = ExportedModel(path, backend, threads)
        cosine = model.cosine_with_torch()
    except Exception as error:  # the runtimes' errors have no common type
        raise UsageError(f"{path} does not run in {backend} ({brief(error)}): use --text-backend torch") from error
    check_cosine(cosine, min_cosine, path, backend)
    return model
