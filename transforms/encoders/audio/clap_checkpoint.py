"""The learned audio encoder: the audio half of a CLAP, from a checkpoint that laion-clap saved.

``clap_transformers`` reads a folder that transformers saved, without laion-clap. ``clap_base`` holds the common part.

Source: Wu, Chen, Zhang, Hui, Berg-Kirkpatrick, Dubnov, "Large-scale contrastive language-audio pretraining with feature
fusion and keyword-to-caption augmentation", ICASSP 2023, arXiv 2211.06687; fusion is not used.

Of laion-clap only ``clap_module``, its networks, is imported. Importing ``laion_clap`` loads three tokenizers from the
Hugging Face hub, and creating its ``CLAP_Module`` loads the weights of a text model too; audio vectors need neither.
:func:`clap_input` replaces the preprocessing of samples in ``CLAP_Module``; a test compares both on the real library.
``CLAP_Module`` embeds a random part of sound longer than ten seconds. Our windows are never longer.
"""

import hashlib
import importlib.util
import json
import pickle
import re
import sys
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tracktokens.schemas.errors import InvalidDataError, UsageError
from tracktokens.transforms.audio import DECODING_VERSION, Signal, Windows
from tracktokens.transforms.encoders.audio.clap_backends import check_clap_backend, find_clap_device, run_in_backend
from tracktokens.transforms.encoders.audio.clap_base import (
    BATCH_SIZE,
    ClapNetwork,
    LoadedClapEncoder,
    Trunk,
)
from tracktokens.transforms.encoders.audio.clap_transformers import transformers_clap_encoder
from tracktokens.transforms.encoders.base import Encoder
from tracktokens.transforms.encoders.onnx_graphs import AUTO
from tracktokens.transforms.encoders.weights import SharedModels, check_hash, check_shapes, hash_file, shapes

if TYPE_CHECKING:
    import torch

DIM = 512
"""Values per vector, in the space that CLAP's audio and text share."""

WINDOWS = Windows(count=3, seconds=10.0, sample_rate=48_000)
"""Ten seconds at 48 kHz, as in CLAP's training."""

SAMPLES = 480_000
"""Samples of one window."""

PREPROCESSING = 1
"""Version of :func:`clap_input` and of the averaging of windows. Raise it when vectors change."""

DEFAULT_MODEL = "HTSAT-base"

_AUDIO_PARTS = ("audio_branch.", "audio_projection.")
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1, "model_type": "transformer"}
"""The smallest text half that can be built; it is not used."""


@dataclass(frozen=True, kw_only=True)
class LaionClapEncoder(Encoder):
    """The audio half of a CLAP checkpoint; create it with :func:`clap_encoder`.

    Attributes:
        root: folder that audio paths are relative to, local or ``scheme://...``; not in the identity.
        checkpoint: path of the checkpoint, the same on every worker.
        weights: hash of that file.
        model: laion-clap's name of the architecture.
        trusted: True if the checkpoint may be unpickled, which can run code that it contains.
        batch_size: windows per forward pass. Changes vectors by rounding only.
        device: torch device, such as ``cpu`` or ``cuda:1``; None for a GPU if there is one, else the CPU. Changes
            vectors by rounding only.
        backend: library that runs the network on a CPU: ``torch``, ``onnx``, ``openvino``, or ``auto`` for the fastest
            with torch's vectors. Changes vectors by rounding only.
    """

    root: str
    checkpoint: str
    weights: str
    model: str = DEFAULT_MODEL
    trusted: bool = False
    batch_size: int = BATCH_SIZE
    device: str | None = None
    backend: str = AUTO

    def identity(self) -> Mapping[str, object]:
        """Return the model, the hash of its checkpoint, the windows, and the versions of decoding and preprocessing."""
        return {
            "name": "laion-clap",
            "model": self.model,
            "weights": self.weights,
            "windows": asdict(WINDOWS),
            "decoding": DECODING_VERSION,
            "preprocessing": PREPROCESSING,
            "laion-clap": version("laion-clap"),
        }

    def load(self, threads: int) -> LoadedClapEncoder:
        """Load the weights, or share the copy that this process has loaded already.

        Raises:
            UsageError: the checkpoint or the device is not on this machine, laion-clap cannot be imported, or the
                backend cannot run the network.
            InvalidDataError: the checkpoint is not the one that the job was started with, or does not fit the model.
        """
        key = (self.weights, self.model, self.device, self.backend)
        network = _networks.get(key, lambda: _load_network(self, threads))
        return LoadedClapEncoder(network, self.root, self.batch_size, threads)


def clap_encoder(
    root: str,
    *,
    checkpoint: str,
    model: str | None = None,
    trusted: bool = False,
    device: str | None = None,
    backend: str = AUTO,
) -> Encoder:
    """Describe the encoder of a checkpoint on this machine: its files are hashed, and its size is checked.

    Args:
        root: folder that audio paths are relative to, local or ``scheme://...``.
        checkpoint: a file that laion-clap saved, or a folder that transformers saved.
        model: laion-clap's name of a file's architecture; None for ``DEFAULT_MODEL``. A folder names its own.
        trusted: True if a file may be unpickled, which can run code that it contains. A folder is never unpickled.
        device: torch device; None for a GPU if there is one, else the CPU.
        backend: library that runs the network: ``torch``, ``onnx``, ``openvino``, or ``auto``.

    Raises:
        UsageError: the checkpoint or the model does not exist, or a package of the backend is missing.
        InvalidDataError: the checkpoint is unsafe to read and not trusted, damaged, or of a different model.
    """
    check_clap_backend(backend, device)
    path = Path(checkpoint).resolve()
    if path.is_dir():
        if model is not None or trusted:
            raise UsageError(f"--clap-model and --trust-checkpoint require a checkpoint file; {path} is a folder")
        return transformers_clap_encoder(root, folder=path, device=device, backend=backend)
    model = model or DEFAULT_MODEL
    weights = _check_checkpoint(path, model, trusted)
    return LaionClapEncoder(
        root=root,
        checkpoint=str(path),
        weights=weights,
        model=model,
        trusted=trusted,
        device=device,
        backend=backend,
    )


def _check_checkpoint(path: Path, model: str, trusted: bool) -> str:
    """Check that a file is a checkpoint of a model, without building the network; return the file's hash."""
    embed_dim = _model_config(model)["embed_dim"]
    weights = checkpoint_hash(path)
    actual = shapes(read_audio_weights(path, trusted))
    head = {"audio_projection.0.weight": (DIM, embed_dim)}  # distinguishes the sizes of the model
    distinctive = {name: shape for name, shape in actual.items() if name in head or "fusion" in name}
    check_shapes(distinctive, head, problem=f"{path} does not fit {model}", remedy=_model_advice())
    return weights


def checkpoint_hash(path: Path) -> str:
    """Hash a checkpoint's contents (32 hex digits of BLAKE2b).

    Raises:
        UsageError: the file does not exist.
    """
    if not path.is_file():
        raise UsageError(f"CLAP checkpoint {path}: no such file on this machine")
    digest = hashlib.blake2b(digest_size=16)
    hash_file(digest, path)
    return digest.hexdigest()


def model_names() -> list[str]:
    """Return the names of the models that the installed laion-clap can build for windows of ten seconds.

    Raises:
        UsageError: laion-clap is not installed.
    """
    return sorted(path.stem for path in (_library() / "model_configs").glob("HTSAT-*.json"))


def read_audio_weights(checkpoint: Path, trusted: bool) -> dict[str, "torch.Tensor"]:
    """Read the audio half of a checkpoint: as laion-clap trains and saves it, or a bare state dict.

    The text half is skipped, and with it ``text_branch.embeddings.position_ids``, which some checkpoints have.

    Args:
        checkpoint: a file that ``torch.save`` wrote.
        trusted: True if it may be unpickled, which can run code that it contains.

    Raises:
        InvalidDataError: it contains more than weights and is not trusted, or cannot be read.
    """
    import torch

    content = _read_checkpoint(checkpoint, trusted)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    named = {str(name).removeprefix("module."): value for name, value in state.items()}
    return {
        name: value
        for name, value in named.items()
        if name.startswith(_AUDIO_PARTS) and isinstance(value, torch.Tensor)
    }


def _read_checkpoint(checkpoint: Path, trusted: bool) -> object:
    import torch

    try:
        with torch.serialization.safe_globals(_numpy_scalars()):
            return torch.load(
                checkpoint, map_location="cpu", weights_only=not trusted, mmap=zipfile.is_zipfile(checkpoint)
            )
    except Exception as error:  # unpickling can raise any error
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and unsafe and not trusted:
            raise InvalidDataError(
                f"{checkpoint} contains more than weights ({unsafe[1]}), and reading it can run code:"
                " give --trust-checkpoint if you trust its source"
            ) from error
        raise InvalidDataError(f"{checkpoint} is not a PyTorch checkpoint, or is damaged: download it again") from error


def _numpy_scalars() -> list[Any]:
    """Return the types that NumPy numbers need: the published checkpoints contain training metrics, which are safe."""
    from numpy.core.multiarray import scalar  # type: ignore[attr-defined]

    return [scalar, np.dtype, *(type(np.dtype(code)) for code in "?ilqfd")]


def _model_advice() -> str:
    return f"give --clap-model the model of the checkpoint, one of {', '.join(model_names())} (without fusion)"


def _library() -> Path:
    """Find the folder of laion-clap's networks without importing laion-clap."""
    spec = importlib.util.find_spec("laion_clap")
    if spec is None or spec.origin is None:
        raise UsageError("laion-clap is not installed: pip install laion-clap torchvision 'numpy<2'")
    return Path(spec.origin).parent / "clap_module"


def _model_config(model: str) -> dict[str, Any]:
    if model not in model_names():
        raise UsageError(f"--clap-model {model}: use one of {', '.join(model_names())}")
    config: dict[str, Any] = json.loads((_library() / "model_configs" / f"{model}.json").read_text(encoding="utf-8"))
    return config


def _clap_module() -> ModuleType:
    """Import laion-clap's networks under the module name that laion-clap itself uses."""
    name = "clap_module"
    if name in sys.modules:
        return sys.modules[name]
    folder = _library()
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise UsageError(f"laion-clap cannot be imported from {folder}: reinstall it")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        del sys.modules[name]
        raise UsageError(f"laion-clap cannot be imported ({error}): install torchvision and 'numpy<2'") from error
    return module


def build_network(model: str) -> "torch.nn.Module":
    """Build a CLAP network with random weights and a minimal text half."""
    config = _model_config(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # addressed to laion-clap's authors
        network: torch.nn.Module = _clap_module().CLAP(config["embed_dim"], config["audio_cfg"], dict(_NO_TEXT))
    return network


class _LaionNetwork(ClapNetwork):
    """A network that laion-clap built."""

    def __init__(self, module: Any) -> None:
        super().__init__(WINDOWS, DIM, next(module.parameters()).device, _laion_trunk(module.audio_branch))
        self._module = module  # a CLAP, which has no type annotations

    def use_trunk(self, trunk: Trunk | None) -> None:
        branch = self._module.audio_branch
        if trunk is None:
            vars(branch).pop("forward_features", None)  # the method of the class again
        else:
            branch.forward_features = lambda images: {"embedding": trunk(images)}

    def embed(self, windows: Sequence[Signal]) -> npt.NDArray[np.float32]:
        import torch

        short = torch.tensor([False])
        data = [{"waveform": torch.from_numpy(clap_input(window)), "longer": short} for window in windows]
        with torch.inference_mode():
            vectors: npt.NDArray[np.float32] = self._module.get_audio_embedding(data).cpu().numpy()
        return vectors


_networks: SharedModels[_LaionNetwork] = SharedModels()


def _laion_trunk(branch: Any) -> "torch.nn.Module":
    """Return the network of laion-clap from spectrograms, as images, to embeddings before their projection."""
    import torch

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch = branch

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            embeddings: torch.Tensor = type(branch).forward_features(branch, images)["embedding"]
            return embeddings

    return Features()


def _load_network(encoder: LaionClapEncoder, threads: int) -> _LaionNetwork:
    device = find_clap_device(encoder.device, encoder.backend)
    path = Path(encoder.checkpoint)
    check_hash(checkpoint_hash(path), encoder.weights, f"CLAP checkpoint {path}")
    weights = read_audio_weights(path, encoder.trusted)
    network = build_network(encoder.model)
    expected = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(_AUDIO_PARTS)}
    check_shapes(
        shapes(weights), shapes(expected), problem=f"{path} does not fit {encoder.model}", remedy=_model_advice()
    )
    network.load_state_dict(weights, strict=False)  # the text half keeps its random weights
    loaded = _LaionNetwork(network.to(device).eval())
    run_in_backend(loaded, encoder.backend, weights=encoder.weights, device=device, threads=threads)
    return loaded


def clap_input(window: Signal) -> Signal:
    """Convert a window to the input of CLAP's network, as laion-clap does: float32 of ``SAMPLES`` samples.

    Samples are rounded to 16 bits. A short window is repeated as often as it fits completely, and padded with silence.
    An extra sample, which resampling may produce, is dropped.

    Args:
        window: mono sound at 48 kHz, at least one sample; full scale is 1, and louder samples are clipped.
    """
    quantized = (np.clip(window[:SAMPLES], -1.0, 1.0) * 32767.0).astype(np.int16)
    rounded = (quantized / 32767.0).astype(np.float32)
    repeated = np.tile(rounded, SAMPLES // len(rounded))
    return np.pad(repeated, (0, SAMPLES - len(repeated)))
