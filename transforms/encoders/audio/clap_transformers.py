"""The learned audio encoder from a folder that transformers saved: the audio half of a ``ClapModel``.

The vector of a window equals that of ``ClapModel.get_audio_features`` with the folder's own feature extractor.
laion-clap is not needed. A fused model receives ``is_longer=False`` for every window, since windows are never longer
than its input. (The extractor marks one of several windows as longer at random, which only training needs.)
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.audio import DECODING_VERSION, Signal, Windows
from tracktokens.transforms.audio.errors import one_line
from tracktokens.transforms.encoders.audio.clap_backends import find_clap_device, run_in_backend
from tracktokens.transforms.encoders.audio.clap_base import (
    BATCH_SIZE,
    ClapNetwork,
    LoadedClapEncoder,
    Trunk,
)
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoders.onnx_graphs import AUTO
from tracktokens.transforms.encoders.weights import SharedModels, check_hash, check_shapes, hash_file, shapes

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"
EXTRACTORS = ("processor_config.json", "preprocessor_config.json")
"""Files that may describe the feature extractor; transformers reads the first that does."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""The weights, or the index of the files that they are split into; the first existing file is read."""

AVERAGING = 1
"""Version of the averaging of windows. Raise it when vectors change."""

_AUDIO_PARTS = ("audio_model.", "audio_projection.")
_COMPUTED = ("relative_position_index", "num_batches_tracked")
"""Suffixes of names that only some folders have: these tensors are computed, or not used."""


@dataclass(frozen=True, kw_only=True)
class TransformersClapEncoder(Encoder):
    """The audio half of a ``ClapModel``; create it with :func:`transformers_clap_encoder`.

    Attributes:
        root: folder that audio paths are relative to, local or ``scheme://...``; not in the identity.
        folder: path of the model's folder, the same on every worker.
        weights: hash of its weights and configurations, by :func:`folder_hash`.
        windows: parts of a file that are embedded; the model's feature extractor determines their length.
        batch_size: windows per forward pass. Changes vectors by rounding only.
        device: torch device, such as ``cpu`` or ``cuda:1``; None for a GPU if there is one, else the CPU. Changes
            vectors by rounding only.
        backend: library that runs the network on a CPU: ``torch``, ``onnx``, ``openvino``, or ``auto`` for the fastest
            with torch's vectors. Changes vectors by rounding only.
    """

    root: str
    folder: str
    weights: str
    windows: Windows
    batch_size: int = BATCH_SIZE
    device: str | None = None
    backend: str = AUTO

    def identity(self) -> Mapping[str, object]:
        """Return the hash of the model, the windows, and the versions of decoding and averaging."""
        return {
            "name": "transformers-clap",
            "weights": self.weights,
            "windows": asdict(self.windows),
            "decoding": DECODING_VERSION,
            "averaging": AVERAGING,
        }

    def load(self, threads: int) -> LoadedClapEncoder:
        """Load the weights, or share the copy that this process has loaded already.

        Raises:
            UsageError: the folder or the device is not on this machine, or the backend cannot run the network.
            InvalidDataError: the folder is not the one that the job was started with, or its weights do not fit its
                configuration.
        """
        key = (self.weights, self.device, self.backend)
        network = _networks.get(key, lambda: _load_network(self, threads))
        return LoadedClapEncoder(network, self.root, self.batch_size, threads)


def transformers_clap_encoder(
    root: str, *, folder: Path, device: str | None = None, backend: str = AUTO
) -> TransformersClapEncoder:
    """Describe the encoder of a folder on this machine; its files are hashed.

    Raises:
        UsageError: the folder lacks a file.
        InvalidDataError: it holds a different type of model, or its configuration is invalid.
    """
    weights = folder_hash(folder)
    _read_config(folder)
    windows = _windows(_read_extractor(folder))
    return TransformersClapEncoder(
        root=root, folder=str(folder), weights=weights, windows=windows, device=device, backend=backend
    )


def folder_hash(folder: Path) -> str:
    """Hash the files that are read from a folder: weights and configurations (32 hex digits of BLAKE2b).

    Raises:
        UsageError: a file is missing.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in [folder / CONFIG, *_existing_files(folder, EXTRACTORS), *_weight_files(folder)]:
        if not path.is_file():
            raise UsageError(f"CLAP model {folder}: {path.name} is missing")
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        hash_file(digest, path)
    return digest.hexdigest()


def _existing_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the paths of the files that exist, at least one."""
    paths = [folder / name for name in names if (folder / name).is_file()]
    if not paths:
        raise UsageError(f"CLAP model {folder}: none of {', '.join(names)} exists")
    return paths


def _weight_files(folder: Path) -> list[Path]:
    first = _existing_files(folder, WEIGHTS)[0]
    if first.suffix != ".json":
        return [first]
    return [folder / Path(name).name for name in sorted(set(_read_json(first).get("weight_map", {}).values()))]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidDataError(f"{path} is not valid JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def _read_config(folder: Path) -> Any:
    """Read the configuration of the audio half, a ``ClapAudioConfig``."""
    model_type = _read_json(folder / CONFIG).get("model_type")
    if model_type != "clap":
        raise InvalidDataError(f"{folder} is a model of type {model_type}, not clap")
    from transformers import ClapConfig

    try:
        return ClapConfig.from_pretrained(folder, local_files_only=True).audio_config
    except Exception as error:  # the type depends on the version of transformers
        raise InvalidDataError(f"{folder / CONFIG} cannot be used: {one_line(str(error))}") from error


def _read_extractor(folder: Path) -> Any:
    """Read the feature extractor, a ``ClapFeatureExtractor``."""
    from transformers import ClapFeatureExtractor

    try:
        extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        _windows(extractor)
    except Exception as error:  # the type depends on the version of transformers
        raise InvalidDataError(f"the feature extractor of {folder} cannot be used: {one_line(str(error))}") from error
    return extractor


def _windows(extractor: Any) -> Windows:
    return Windows(seconds=float(extractor.max_length_s), sample_rate=int(extractor.sampling_rate))


class _TransformersNetwork(ClapNetwork):
    """A network that transformers built, and its feature extractor."""

    def __init__(self, model: Any, extractor: Any) -> None:
        self._in_torch = _transformers_trunk(model)
        trunk = None if model.config.enable_fusion else self._in_torch
        super().__init__(_windows(extractor), int(model.config.projection_dim), model.device, trunk)
        self._run: Trunk = self._in_torch
        self._extractor = extractor

    def use_trunk(self, trunk: Trunk | None) -> None:
        self._run = self._in_torch if trunk is None else trunk

    def embed(self, windows: Sequence[Signal]) -> npt.NDArray[np.float32]:
        import torch

        signals = [window[: self._extractor.nb_max_samples] for window in windows]  # resampling may add a sample
        rate = self._extractor.sampling_rate
        features = self._extractor(signals, sampling_rate=rate, return_tensors="pt")["input_features"]
        with torch.inference_mode():
            embeds = self._run(features.to(self.device))
            vectors: npt.NDArray[np.float32] = torch.nn.functional.normalize(embeds, dim=-1).cpu().numpy()
        return vectors


_networks: SharedModels[_TransformersNetwork] = SharedModels()


def _transformers_trunk(model: Any) -> "torch.nn.Module":
    """Return the network of transformers from the extractor's spectrograms to projected embeddings."""
    import torch

    class Embeddings(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            longer = torch.zeros((len(features), 1), dtype=torch.bool)
            embeddings: torch.Tensor = model(input_features=features, is_longer=longer).audio_embeds
            return embeddings

    return Embeddings()


def _load_network(encoder: TransformersClapEncoder, threads: int) -> _TransformersNetwork:
    device = find_clap_device(encoder.device, encoder.backend)
    folder = Path(encoder.folder)
    check_hash(folder_hash(folder), encoder.weights, f"CLAP model {folder}")
    from transformers import ClapAudioModelWithProjection

    model: Any = ClapAudioModelWithProjection(_read_config(folder))
    _load_weights(model, folder)
    extractor = _read_extractor(folder)
    if model.config.enable_fusion != (extractor.truncation == "fusion"):
        raise InvalidDataError(
            f"{folder}: {CONFIG} and the feature extractor do not agree on enable_fusion: save the model again"
        )
    network = _TransformersNetwork(model.to(device).eval(), extractor)
    run_in_backend(network, encoder.backend, weights=encoder.weights, device=device, threads=threads)
    return network


def _load_weights(model: "torch.nn.Module", folder: Path) -> None:
    """Load the folder's weights into a model; every weight must be replaced."""
    weights = {name: tensor for path in _weight_files(folder) for name, tensor in _read_weights(path).items()}
    actual, expected = (
        {name: shape for name, shape in shapes(state).items() if not name.endswith(_COMPUTED)}
        for state in (weights, model.state_dict())
    )
    problem = f"the weights of {folder} do not fit its {CONFIG}"
    check_shapes(actual, expected, problem=problem, remedy="save the model again")
    model.load_state_dict(weights, strict=False)


def _read_weights(path: Path) -> dict[str, "torch.Tensor"]:
    """Read only the audio half; only tensors are unpickled."""
    import torch
    from safetensors import safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                return {name: file.get_tensor(name) for name in list(file.keys()) if name.startswith(_AUDIO_PARTS)}
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor for name, tensor in state.items() if name.startswith(_AUDIO_PARTS)}
    except Exception as error:  # unpickling can raise any error
        raise InvalidDataError(
            f"{path} is damaged, or contains more than weights, which can run code: save the model as safetensors"
        ) from error
