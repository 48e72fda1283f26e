"""The order of the packages, checked from the imports: each may import from itself and from packages above it."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FOLDERS = ("schemas", "codebooks", "transforms", "pipelines")

PACKAGES = (
    "schemas",
    "schemas.tables",
    "schemas.manifests",
    "codebooks.numerics",
    "codebooks",
    "codebooks.training",
    "codebooks.tokens",
    "codebooks.continuity",
    "codebooks.matching",
    "codebooks.decoding",
    "codebooks.metrics",
    "transforms",
    "transforms.store",
    "transforms.runtime",
    "transforms.readers",
    "transforms.audio",
    "transforms.encoders",
    "transforms.encoders.text",
    "transforms.encoders.audio",
    "transforms.embedding",
    "transforms.precomputed",
    "transforms.catalog",
    "transforms.playlists",
    "transforms.quantization",
    "transforms.release",
    "transforms.maintenance",
    "pipelines",
    "pipelines.maintenance",
    "pipelines.analysis",
    "pipelines.jobs",
    "pipelines.llm",
    "pipelines.demo",
    "pipelines.cli",
)
"""Every package, in order. ``docs/architecture.md`` says what lives where."""

Imports = dict[str, set[str]]
"""Module to the modules of ours that it imports, wherever in the file."""


def modules() -> dict[str, Path]:
    """Name below ``tracktokens`` to file; a package's ``__init__`` goes by the name of the package."""
    found = {}
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def package_of(module: str, names: dict[str, Path]) -> str:
    return module if names[module].name == "__init__.py" else module.rpartition(".")[0]


def imported(path: Path, names: dict[str, Path]) -> Iterator[str]:
    """Modules of ours that a file imports; ``from package import module`` counts as the module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tracktokens."):
            base = node.module.removeprefix("tracktokens.")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in names else base
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("tracktokens.") for a in node.names if a.name.startswith("tracktokens."))


@pytest.fixture(scope="module")
def imports() -> Imports:
    names = modules()
    # A package's __init__ re-exports: what it names belongs to its modules, and it is left out of the order.
    return {
        name: {target for target in imported(path, names) if target != name}
        for name, path in names.items()
        if path.name != "__init__.py"
    }


def test_every_package_has_a_place_in_the_order() -> None:
    names = modules()
    assert {name for name, path in names.items() if path.name == "__init__.py"} == set(PACKAGES)


def test_packages_import_only_from_packages_above_them(imports: Imports) -> None:
    names = modules()
    rank = {package: number for number, package in enumerate(PACKAGES)}
    against = [
        f"{module} imports {target}"
        for module, targets in imports.items()
        for target in targets
        if rank[package_of(target, names)] > rank[package_of(module, names)]
    ]
    assert against == []


def test_no_two_modules_import_each_other_in_a_circle(imports: Imports) -> None:
    graph = {module: targets & imports.keys() for module, targets in imports.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_the_check_finds_an_import_against_the_order(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def late():\n    from tracktokens.pipelines import runner\n", encoding="utf-8")
    assert list(imported(wrong, modules())) == ["pipelines.runner"]
