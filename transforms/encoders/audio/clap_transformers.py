"""The learned audio encoder from a folder that transformers saved: the audio half of a ``ClapModel``. No laion-clap.

A window has the vector that ``ClapModel.get_audio_features`` gives it, after the folder's own feature extractor. A
fused model is told that no window is part of something longer, since we choose the windows. (The extractor would call
one of several longer, at random: its training needed that.)
"""

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.audio import DECODING_VERSION, Signal, Windows
from tracktokens.transforms.audio.errors import one_line
from tracktokens.transforms.encoders.audio.clap_base import BATCH_SIZE, ClapNetwork, LoadedClapEncoder
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoders.devices import exact_device
from tracktokens.transforms.encoders.weights import (
    SharedModels,
    check_fit,
    check_hash,
    feed_file,
    shapes,
)

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"
EXTRACTORS = ("processor_config.json", "preprocessor_config.json")
"""Where the feature extractor is described: transformers reads the first that tells of it."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""The weights, or the list of files that they are split into; the first that is there is read."""

AVERAGING = 1
"""Version of the way in which windows become one vector."""

_AUDIO_PARTS = ("audio_model.", "audio_projection.")
_COMPUTED = ("relative_position_index", "num_batches_tracked")
"""Ends of names that some folders have and others lack: they are computed, or not used."""


@dataclass(frozen=True)
class ClapFolderEncoder(Encoder):
    """The audio half of a ``ClapModel``; make one with :func:`clap_folder_encoder`.

    Attributes:
        root: folder that the audio paths start from, local or ``scheme://...``; not in the identity.
        folder: path of the model's folder, the same on every worker.
        weights: hash of its weights and configurations, by :func:`folder_hash`.
        windows: which parts of a file are heard; the model's feature extractor says how long they are.
        batch_size: windows in one forward pass. Changes vectors by rounding only.
        device: torch device, such as ``cpu`` or ``cuda:1``; None for a GPU where there is one, else the CPU. Changes
            vectors by rounding only.
    """

    root: str
    folder: str
    weights: str
    windows: Windows
    batch_size: int = BATCH_SIZE
    device: str | None = None

    def identity(self) -> Mapping[str, object]:
        """Return the hash of the model, the windows, and the versions of what makes its inputs."""
        return {
            "name": "transformers-clap",
            "weights": self.weights,
            "windows": asdict(self.windows),
            "decoding": DECODING_VERSION,
            "averaging": AVERAGING,
        }

    def load(self, threads: int) -> LoadedClapEncoder:
        """Load the weights, or share those that this process has loaded already.

        Raises:
            UsageError: the folder or the device is not on this machine.
            InvalidDataError: the folder is another than the job was started with, or its weights do not fit.
        """
        import torch

        torch.set_num_threads(threads)
        network = _networks.get((self.weights, self.device), lambda: _load_network(self))
        return LoadedClapEncoder(network, self.root, self.batch_size, threads)


def clap_folder_encoder(root: str, folder: Path, device: str | None = None) -> ClapFolderEncoder:
    """Describe the encoder of a folder on this machine, its files hashed.

    Raises:
        UsageError: the folder lacks a file.
        InvalidDataError: it holds another kind of model, or its configurations make no sense.
    """
    weights = folder_hash(folder)
    _read_config(folder)
    return ClapFolderEncoder(root, str(folder), weights, _windows(_read_extractor(folder)), device=device)


def folder_hash(folder: Path) -> str:
    """Hash the files that are read of a folder, weights and configurations (32 hex digits of BLAKE2b).

    Raises:
        UsageError: one of them is missing.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in [folder / CONFIG, *_present(folder, EXTRACTORS), *_weight_files(folder)]:
        if not path.is_file():
            raise UsageError(f"CLAP model {folder}: {path.name} is missing")
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        feed_file(digest, path)
    return digest.hexdigest()


def _present(folder: Path, names: Sequence[str]) -> list[Path]:
    """Name the files of those that are there, at least one."""
    paths = [folder / name for name in names if (folder / name).is_file()]
    if not paths:
        raise UsageError(f"CLAP model {folder}: none of {', '.join(names)} is there")
    return paths


def _weight_files(folder: Path) -> list[Path]:
    first = _present(folder, WEIGHTS)[0]
    if first.suffix != ".json":
        return [first]
    return [folder / Path(name).name for name in sorted(set(_read_json(first).get("weight_map", {}).values()))]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidDataError(f"{path} is no JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def _read_config(folder: Path) -> Any:
    """Read the configuration of the audio half, a ``ClapAudioConfig``."""
    kind = _read_json(folder / CONFIG).get("model_type")
    if kind != "clap":
        raise InvalidDataError(f"{folder} is a model of type {kind}, not clap")
    from transformers import ClapConfig

    try:
        return ClapConfig.from_pretrained(folder, local_files_only=True).audio_config
    except Exception as error:  # what transformers raises differs from version to version
        raise InvalidDataError(f"{folder / CONFIG} cannot be used: {one_line(str(error))}") from error


def _read_extractor(folder: Path) -> Any:
    """Read the feature extractor, a ``ClapFeatureExtractor``."""
    from transformers import ClapFeatureExtractor

    try:
        extractor = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        _windows(extractor)
    except Exception as error:  # the same
        raise InvalidDataError(f"the feature extractor of {folder} cannot be used: {one_line(str(error))}") from error
    return extractor


def _windows(extractor: Any) -> Windows:
    return Windows(seconds=float(extractor.max_length_s), sample_rate=int(extractor.sampling_rate))


class _FolderNetwork(ClapNetwork):
    """A network that transformers built, and its feature extractor."""

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__(_windows(extractor), int(model.config.projection_dim))
        self._model = model
        self._extractor = extractor
        self._lock = threading.Lock()

    def embed(self, windows: Sequence[Signal]) -> npt.NDArray[np.float32]:
        import torch

        heard = [window[: self._extractor.nb_max_samples] for window in windows]  # resampling may give one too many
        rate = self._extractor.sampling_rate
        features = self._extractor(heard, sampling_rate=rate, return_tensors="pt")["input_features"]
        longer = torch.zeros((len(windows), 1), dtype=torch.bool)
        with self._lock, torch.inference_mode():
            given = self._model(input_features=features.to(self._model.device), is_longer=longer).audio_embeds
            vectors: npt.NDArray[np.float32] = torch.nn.functional.normalize(given, dim=-1).cpu().numpy()
        return vectors


_networks: SharedModels[_FolderNetwork] = SharedModels()


def _load_network(encoder: ClapFolderEncoder) -> _FolderNetwork:
    device = exact_device(encoder.device)
    folder = Path(encoder.folder)
    check_hash(folder_hash(folder), encoder.weights, f"CLAP model {folder}")
    from transformers import ClapAudioModelWithProjection

    model: Any = ClapAudioModelWithProjection(_read_config(folder))
    _fill(model, folder)
    extractor = _read_extractor(folder)
    if model.config.enable_fusion != (extractor.truncation == "fusion"):
        raise InvalidDataError(f"{folder}: its model and its feature extractor do not agree on enable_fusion")
    return _FolderNetwork(model.to(device).eval(), extractor)


def _fill(model: "torch.nn.Module", folder: Path) -> None:
    """Give a model the folder's weights; none may be left as it was drawn."""
    weights = {name: tensor for path in _weight_files(folder) for name, tensor in _read_weights(path).items()}
    found, own = (
        {name: shape for name, shape in shapes(state).items() if not name.endswith(_COMPUTED)}
        for state in (weights, model.state_dict())
    )
    check_fit(found, own, f"the weights of {folder} do not fit its {CONFIG}", "save the model anew")
    model.load_state_dict(weights, strict=False)


def _read_weights(path: Path) -> dict[str, "torch.Tensor"]:
    """Read the audio half alone; nothing is unpickled but tensors."""
    import torch
    from safetensors import safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                return {name: file.get_tensor(name) for name in list(file.keys()) if name.startswith(_AUDIO_PARTS)}
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor for name, tensor in state.items() if name.startswith(_AUDIO_PARTS)}
    except Exception as error:  # unpickling raises whatever the file makes it raise
        raise InvalidDataError(
            f"{path} is damaged, or holds more than weights, which may run any code: save the model as safetensors"
        ) from error
