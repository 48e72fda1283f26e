"""The environment that a process computes in: sources, versions and BLAS kernel, compared between driver and workers.

Ids of encoders are computed by the driver, and vectors by the workers. With other sources or another librosa, a worker
would write other vectors under the driver's id. The driver's environment therefore travels with each ``DoFn``, and a
worker compares it with its own when it unpickles the first one.
"""

import hashlib
import logging
import platform
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import apache_beam as beam
import numpy  # noqa: F401 - loads its BLAS
from apache_beam.pipeline import AppliedPTransform, PipelineVisitor
from threadpoolctl import threadpool_info

from tracktokens import schemas
from tracktokens.schemas.errors import UsageError

_logger = logging.getLogger(__name__)

FOLDERS = ("schemas", "codebooks", "serving", "transforms", "pipelines")
"""Folders of the package's sources."""

PACKAGES = (
    "apache-beam",
    "av",
    "faiss-cpu",
    "gensim",
    "implicit",
    "laion-clap",
    "librosa",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "pyarrow",
    "scipy",
    "sentence-transformers",
    "soundfile",
    "soxr",
    "tokenizers",
    "torch",
    "transformers",
)
"""Packages whose version may change a vector or a code."""


@dataclass(frozen=True)
class Environment:
    """Everything that the results of a process depend on, beside its input.

    Attributes:
        tracktokens: version of this package.
        sources: hash of its sources, 12 hex digits, so that an edited file of the same version differs.
        python: version of Python, without the patch level. Its Unicode tables normalize texts.
        packages: package to version, for those of ``PACKAGES`` that are installed.
        kernel: kernel that OpenBLAS uses on this CPU, such as ``Haswell``; empty if NumPy has another BLAS.
    """

    tracktokens: str
    sources: str
    python: str
    packages: Mapping[str, str]
    kernel: str

    def differences(self, other: "Environment") -> list[str]:
        """Describe what differs in another environment, without the kernel: ``NAME here, there OTHER``."""
        own, others = self._versions(), other._versions()
        names = [name for name in {**own, **others} if own.get(name) != others.get(name)]
        return [f"{name} {own.get(name, 'missing')}, not {others.get(name, 'missing')}" for name in names]

    def _versions(self) -> dict[str, str]:
        named = {"tracktokens": self.tracktokens, "sources of tracktokens": self.sources, "python": self.python}
        return {**named, **self.packages}


@lru_cache(maxsize=1)
def own_environment() -> Environment:
    """Take the environment of this process, once."""
    python = ".".join(platform.python_version_tuple()[:2])
    return Environment(version("tracktokens"), hash_sources(), python, dict(_installed()), blas_kernel())


def hash_sources(root: Path | None = None) -> str:
    """Hash the package's sources, in a clone or where they are installed, to 12 hex digits."""
    base = Path(next(iter(schemas.__path__))).parent if root is None else root
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(path for folder in FOLDERS for path in (base / folder).rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(base).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _installed() -> Iterator[tuple[str, str]]:
    """List the packages; the build of a version (``+cpu``) is left out, as GPU workers may have another."""
    for package in PACKAGES:
        try:
            yield package, version(package).partition("+")[0]
        except PackageNotFoundError:
            continue


def blas_kernel() -> str:
    """Return the kernel of NumPy's OpenBLAS. SciPy's, which gensim calls, follows from the same CPU or variable.

    It follows from the CPU, unless ``OPENBLAS_CORETYPE`` names one. Kernels round differently.
    """
    libraries = [info for info in threadpool_info() if info["internal_api"] == "openblas"]
    libraries.sort(key=lambda info: "numpy" not in info["filepath"])  # the names of the others may differ slightly
    return next((info.get("architecture") or "" for info in libraries), "")


@dataclass(frozen=True)
class DriverEnvironment:
    """The driver's environment as an attribute of a ``DoFn``: a process that unpickles it compares its own.

    Attributes:
        environment: the environment of the driver.
    """

    environment: Environment

    def __reduce__(self) -> tuple[object, ...]:
        return _received, (asdict(self.environment),)


@lru_cache(maxsize=1)
def _warn_of_kernel(driver: str, own: str) -> None:
    _logger.warning(
        "worker %s computes with OpenBLAS kernel %s, the driver with %s: what is trained on it may round differently; "
        "set OPENBLAS_CORETYPE alike on all machines",
        socket.gethostname(),
        own or "none",
        driver or "none",
    )


def _received(fields: dict[str, object]) -> DriverEnvironment:
    driver = Environment(**fields)  # type: ignore[arg-type]
    require_same(driver, own_environment())
    return DriverEnvironment(driver)


def require_same(driver: Environment, own: Environment) -> None:
    """Compare a worker's environment with the driver's. A different kernel is a warning: results differ by rounding.

    Raises:
        UsageError: sources or versions differ.
    """
    if differences := own.differences(driver):
        raise UsageError(
            f"worker {socket.gethostname()} differs from the driver: it has {'; '.join(differences)}. Its vectors "
            "would not be those of the encoder id: install the same packages on both, for example from one image"
        )
    if own.kernel != driver.kernel:
        _warn_of_kernel(driver.kernel, own.kernel)


class _Attach(PipelineVisitor):
    """Gives each ``DoFn`` of a pipeline the driver's environment."""

    def __init__(self) -> None:
        self._driver = DriverEnvironment(own_environment())

    def visit_transform(self, transform_node: AppliedPTransform) -> None:
        if isinstance(transform_node.transform, beam.ParDo):
            transform_node.transform.fn.driver_environment = self._driver


def send_environment(pipeline: beam.Pipeline) -> None:
    """Send the driver's environment with a pipeline that is complete, for its workers to compare with their own."""
    pipeline.visit(_Attach())
