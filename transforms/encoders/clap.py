"""The learned audio encoder: the audio half of a LAION-CLAP model, from a checkpoint on this machine.

Source: Wu, Chen, Zhang, Hui, Berg-Kirkpatrick, Dubnov, "Large-scale contrastive language-audio pretraining with feature
fusion and keyword-to-caption augmentation", ICASSP 2023, arXiv 2211.06687; fusion is not used.

Of laion-clap only ``clap_module`` is imported, its networks. Importing ``laion_clap`` loads three tokenizers from the
Hugging Face hub, and making its ``CLAP_Module`` the weights of a text model too; no audio vector needs them. What
``CLAP_Module`` does to samples before they reach the network is :func:`clap_input`; a test compares both on the real
library. Sound of more than ten seconds, of which it would draw a random part, never gets there: we choose the windows.
"""

import hashlib
import importlib.util
import json
import pickle
import re
import sys
import threading
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tracktokens.schemas.errors import DataRefusedError, UsageError
from tracktokens.schemas.rejects import NOT_FINITE
from tracktokens.transforms.audio_windows import DECODING_VERSION, Signal, WindowReader, Windows
from tracktokens.transforms.encoders.base import Encoded, Encoder, Failure, LoadedEncoder, encoded
from tracktokens.transforms.encoders.weights import SharedModels, feed_file

if TYPE_CHECKING:
    import torch

DIM = 512
"""Values of a vector: the space that CLAP's audio and text share."""

WINDOWS = Windows(count=3, seconds=10.0, sample_rate=48_000)
"""What CLAP was trained on: ten seconds at 48 kHz."""

SAMPLES = 480_000
"""Samples of one window."""

PREPROCESSING = 1
"""Version of :func:`clap_input` and of the way in which windows become one vector."""

BATCH_SIZE = 8
"""Windows in one forward pass."""

DEFAULT_MODEL = "HTSAT-base"

_AUDIO_PARTS = ("audio_branch.", "audio_projection.")
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 1, "heads": 1, "layers": 1, "model_type": "transformer"}
"""The smallest text half that can be built: it is never used."""


@dataclass(frozen=True)
class ClapEncoder(Encoder):
    """The audio half of a CLAP checkpoint; make one with :func:`clap_encoder`.

    Attributes:
        root: folder that the audio paths start from, local or ``scheme://...``; not in the identity.
        checkpoint: path of the checkpoint, the same on every worker.
        weights: hash of that file.
        model: laion-clap's name of the architecture.
        trusted: whether the checkpoint may be unpickled, which runs any code that it holds.
        batch_size: windows in one forward pass. Changes vectors by rounding only.
        device: torch device; None for a GPU where there is one, else the CPU.
    """

    root: str
    checkpoint: str
    weights: str
    model: str = DEFAULT_MODEL
    trusted: bool = False
    batch_size: int = BATCH_SIZE
    device: str | None = None

    def identity(self) -> Mapping[str, object]:
        """Return the model, the hash of its checkpoint, the windows, and the versions that make its inputs."""
        return {
            "name": "laion-clap",
            "model": self.model,
            "weights": self.weights,
            "windows": asdict(WINDOWS),
            "decoding": DECODING_VERSION,
            "preprocessing": PREPROCESSING,
            "laion-clap": version("laion-clap"),
        }

    def load(self, threads: int) -> "LoadedClapEncoder":
        """Load the weights, or share those that this process has loaded already.

        Raises:
            UsageError: the checkpoint is not on this machine, or laion-clap cannot be imported.
            DataRefusedError: the checkpoint is another than the job was started with, or does not fit the model.
        """
        import torch

        torch.set_num_threads(threads)
        model = _models.get((self.weights, self.model, self.device), lambda: _load_model(self))
        return LoadedClapEncoder(model, self.root, self.batch_size, threads)


def clap_encoder(root: str, checkpoint: str, model: str = DEFAULT_MODEL, trusted: bool = False) -> ClapEncoder:
    """Describe the encoder of a checkpoint on this machine, its file hashed and its size compared with the model's.

    Raises:
        UsageError: there is no such file or model.
        DataRefusedError: the checkpoint is unsafe to read and not trusted, damaged, or of another model.
    """
    path = Path(checkpoint).resolve()
    embed_dim = _model_config(model)["embed_dim"]
    weights = checkpoint_hash(path)
    found = shapes(read_audio_weights(path, trusted))
    head = {"audio_projection.0.weight": (DIM, embed_dim)}  # tells the sizes apart, and no network need be built
    telling = {name: shape for name, shape in found.items() if name in head or "fusion" in name}
    check_fit(telling, head, f"{path} does not fit {model}")
    return ClapEncoder(root, str(path), weights, model, trusted)


def checkpoint_hash(path: Path) -> str:
    """Hash a checkpoint's contents (32 hex digits of BLAKE2b).

    Raises:
        UsageError: there is no such file.
    """
    if not path.is_file():
        raise UsageError(f"CLAP checkpoint {path}: no such file on this machine")
    digest = hashlib.blake2b(digest_size=16)
    feed_file(digest, path)
    return digest.hexdigest()


def model_names() -> list[str]:
    """Names of the models that the installed laion-clap can build and whose windows are ours.

    Raises:
        UsageError: laion-clap is not installed.
    """
    return sorted(path.stem for path in (_library() / "model_configs").glob("HTSAT-*.json"))


def read_audio_weights(checkpoint: Path, trusted: bool) -> dict[str, "torch.Tensor"]:
    """Read the audio half of a checkpoint: as laion-clap trains and saves it, or a bare state dict.

    The text half is left out, and with it ``text_branch.embeddings.position_ids``, which some checkpoints have.

    Args:
        checkpoint: a file that ``torch.save`` wrote.
        trusted: whether it may be unpickled, which runs any code that it holds.

    Raises:
        DataRefusedError: it holds more than weights and is not trusted, or cannot be read.
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
    except Exception as error:  # unpickling raises whatever the file makes it raise
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        if isinstance(error, pickle.UnpicklingError) and unsafe and not trusted:
            raise DataRefusedError(
                f"{checkpoint} holds more than weights ({unsafe[1]}), and reading that may run any code:"
                " give --trust-checkpoint if you trust where it comes from"
            ) from error
        raise DataRefusedError(f"{checkpoint} is no PyTorch checkpoint, or is damaged: get it again") from error


def _numpy_scalars() -> list[Any]:
    """What rebuilds a NumPy number, which does no harm: the published checkpoints hold metrics of their training."""
    from numpy.core.multiarray import scalar  # type: ignore[attr-defined]

    return [scalar, np.dtype, *(type(np.dtype(code)) for code in "?ilqfd")]


def shapes(weights: Mapping[str, "torch.Tensor"]) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}


def check_fit(found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], problem: str) -> None:
    """Raise :class:`DataRefusedError` that begins with ``problem`` unless shapes are the wanted ones, name by name."""
    faults = [
        f"{name} is {found.get(name, 'missing')}, not {wanted.get(name, 'a part of it')}"
        for name in [*wanted, *(name for name in found if name not in wanted)]
        if found.get(name) != wanted.get(name)
    ]
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise DataRefusedError(
            f"{problem}: {faults[0]}{more}; give --clap-model the model that it is of, one of"
            f" {', '.join(model_names())} (without fusion)"
        )


def _library() -> Path:
    """Find the folder of laion-clap's networks without importing laion-clap."""
    spec = importlib.util.find_spec("laion_clap")
    if spec is None or spec.origin is None:
        raise UsageError("laion-clap is not installed: pip install laion-clap")
    return Path(spec.origin).parent / "clap_module"


def _model_config(model: str) -> dict[str, Any]:
    if model not in model_names():
        raise UsageError(f"--clap-model {model}: there are {', '.join(model_names())}")
    config: dict[str, Any] = json.loads((_library() / "model_configs" / f"{model}.json").read_text(encoding="utf-8"))
    return config


def _clap_module() -> ModuleType:
    """Import laion-clap's networks, under the name by which laion-clap itself imports them."""
    name = "clap_module"
    if name in sys.modules:
        return sys.modules[name]
    folder = _library()
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise UsageError(f"laion-clap cannot be imported from {folder}: install it anew")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        del sys.modules[name]
        raise UsageError(f"laion-clap cannot be imported ({error}): it needs torchvision and numpy before 2") from error
    return module


def build_network(model: str) -> "torch.nn.Module":
    """Build a CLAP network of random weights, with next to no text half."""
    config = _model_config(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # meant for laion-clap's authors
        network: torch.nn.Module = _clap_module().CLAP(config["embed_dim"], config["audio_cfg"], dict(_NO_TEXT))
    return network


class _SharedModel:
    """One network in memory, for every encoder of this process that names it; one forward pass at a time."""

    def __init__(self, network: Any) -> None:
        self.network = network  # a CLAP, which comes without types
        self.lock = threading.Lock()


_models: SharedModels[_SharedModel] = SharedModels()


def _load_model(encoder: ClapEncoder) -> _SharedModel:
    import torch

    path = Path(encoder.checkpoint)
    if (found := checkpoint_hash(path)) != encoder.weights:
        raise DataRefusedError(
            f"CLAP checkpoint {path} hashes to {found}, and the job was started with {encoder.weights}."
            " Give every worker the same file, and do not change it while a job runs"
        )
    weights = read_audio_weights(path, encoder.trusted)
    network = build_network(encoder.model)
    own = {name: tensor for name, tensor in network.state_dict().items() if name.startswith(_AUDIO_PARTS)}
    check_fit(shapes(weights), shapes(own), f"{path} does not fit {encoder.model}")
    network.load_state_dict(weights, strict=False)  # the text half stays as it is
    device = encoder.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return _SharedModel(network.to(device).eval())


def clap_input(window: Signal) -> Signal:
    """Bring a window to what CLAP's network takes, as laion-clap does: float32 of ``SAMPLES`` samples.

    Samples are rounded as 16-bit files would be. A window that is too short is repeated as often as it fits whole, and
    filled up with silence; the sample that resampling may give too many is dropped.

    Args:
        window: mono sound at 48 kHz, at least one sample; full scale is 1, and what is louder is clipped.
    """
    quantized = (np.clip(window[:SAMPLES], -1.0, 1.0) * 32767.0).astype(np.int16)
    rounded = (quantized / 32767.0).astype(np.float32)
    repeated = np.tile(rounded, SAMPLES // len(rounded))
    return np.pad(repeated, (0, SAMPLES - len(repeated)))


class LoadedClapEncoder(LoadedEncoder):
    """A network in memory, and the windows around it. Decoder processes read ahead while the network works."""

    def __init__(self, model: _SharedModel, root: str, batch_size: int, threads: int) -> None:
        self._model = model
        self._root = root
        self._batch_size = batch_size
        self._reader = WindowReader(WINDOWS, threads)

    @property
    def network(self) -> "torch.nn.Module":
        """The network itself, shared by the encoders of this process that name it."""
        network: torch.nn.Module = self._model.network
        return network

    def encode(self, inputs: pa.StringArray) -> Encoded:
        """Encode audio files, given by their paths below the root: unit vectors, float32 of shape (files, ``DIM``).

        A file's vector is the mean of its windows' unit vectors, brought back to unit length. In another batch it may
        differ by rounding (about 1e-7).
        """
        sums = np.zeros((len(inputs), DIM), np.float32)
        failures: dict[int, Failure] = {}
        windows = self._windows(inputs.to_pylist(), failures)
        while batch := list(islice(windows, self._batch_size)):
            np.add.at(sums, [row for row, _ in batch], self.embed([window for _, window in batch]))
        return encoded([failures[row] if row in failures else _unit(total) for row, total in enumerate(sums)], DIM)

    def embed(self, windows: Iterable[Signal]) -> npt.NDArray[np.float32]:
        """Run the network on windows that :func:`clap_input` made: unit vectors, float32 (windows, ``DIM``)."""
        import torch

        short = torch.tensor([False])
        data = [{"waveform": torch.from_numpy(window), "longer": short} for window in windows]
        with self._model.lock, torch.inference_mode():
            vectors: npt.NDArray[np.float32] = self._model.network.get_audio_embedding(data).cpu().numpy()
        return vectors

    def _windows(self, paths: list[str], failures: dict[int, Failure]) -> Iterator[tuple[int, Signal]]:
        """Yield each window with its file's row; a file that has none goes into ``failures``."""
        below = (f"{self._root.rstrip('/')}/{path}" for path in paths)
        for row, found in enumerate(self._reader.read_all(below)):
            if isinstance(found, Failure):
                failures[row] = found
            else:
                yield from ((row, clap_input(window)) for window in found)


def _unit(total: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | Failure:
    length = np.linalg.norm(total)
    if not 0 < length < np.inf:  # false of NaN
        return Failure(NOT_FINITE, "the model gave values that are not finite, or only zeros")
    return np.asarray(total / length, np.float32)
