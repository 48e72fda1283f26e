"""The order of the packages, checked from the imports, and the layout of the tests."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FOLDERS = ("schemas", "codebooks", "serving", "transforms", "pipelines")

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
    "serving",
    "serving.generation",
    "transforms",
    "transforms.store",
    "transforms.runtime",
    "transforms.values",
    "transforms.listing",
    "transforms.readers",
    "transforms.audio",
    "transforms.encoders",
    "transforms.encoders.text",
    "transforms.encoders.audio",
    "transforms.embedding",
    "transforms.precomputed",
    "transforms.catalog",
    "transforms.playlists",
    "transforms.gates",
    "transforms.quantization",
    "transforms.release",
    "transforms.maintenance",
    "pipelines",
    "pipelines.maintenance",
    "pipelines.analysis",
    "pipelines.analysis.atlas",
    "pipelines.jobs",
    "pipelines.conversations",
    "pipelines.conversations.importers",
    "pipelines.training_data",
    "pipelines.llm",
    "pipelines.finetuning",
    "pipelines.analysis.conversations",
    "pipelines.catalog_import",
    "pipelines.catalog_import.music_folder",
    "pipelines.catalog_import.datasets",
    "pipelines.catalog_import.libraries",
    "pipelines.demo",
    "pipelines.doctor",
    "pipelines.cli.options",
    "pipelines.cli.language_models",
    "pipelines.cli",
)
"""Every package, in order: each may import from itself and from packages above it. See ``docs/architecture.md``."""

TESTS = ROOT / "tests"

TESTS_WITHOUT_PACKAGE = (
    "benchmarks",
    "cases",
    "docs",
    "engines",
    "examples",
    "fuzz",
    "object_stores",
    "pipelines/disturbed",
    "support",
)
"""Folders of tests that do not mirror a package: bad input, pages, runners, scripts, disturbed jobs, shared code."""

Imports = dict[str, set[str]]
"""Module to the tracktokens modules that it imports, anywhere in the file."""


def modules() -> dict[str, Path]:
    """Map names below ``tracktokens`` to files; a package's ``__init__`` has the name of the package."""
    names = {}
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def package_of(module: str, names: dict[str, Path]) -> str:
    return module if names[module].name == "__init__.py" else module.rpartition(".")[0]


def imported(path: Path, names: dict[str, Path]) -> Iterator[str]:
    """List tracktokens modules that a file imports; ``from package import module`` counts as the module."""
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
    # A package's __init__ re-exports names of its own modules: it is not part of the order.
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
    violations = [
        f"{module} imports {target}"
        for module, targets in imports.items()
        for target in targets
        if rank[package_of(target, names)] > rank[package_of(module, names)]
    ]
    assert violations == []


def test_modules_import_each_other_without_a_circle(imports: Imports) -> None:
    graph = {module: targets & imports.keys() for module, targets in imports.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_the_check_finds_an_import_against_the_order(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def late():\n    from tracktokens.pipelines import runner\n", encoding="utf-8")
    assert list(imported(wrong, modules())) == ["pipelines.runner"]


def prints(path: Path) -> set[str]:
    """List the functions that a file calls to print text, or to open a console."""
    calls = {
        ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
    }
    return calls & {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write", "Console"}


PRINTING = {
    "pipelines.terminal": {"click.echo"},
    "pipelines.remote_job": {"print"},  # of the log of a service
}
"""Modules that print text themselves, or open a console."""


def test_texts_are_printed_by_the_terminal_module_only() -> None:
    found = {name: calls for name, path in modules().items() if (calls := prints(path))}
    assert found == PRINTING


def imports_of_tests(path: Path) -> set[str]:
    """List modules below ``tests``, or beside the file, that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    absolute = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    relative = {f".{node.module}" for node in nodes if isinstance(node, ast.ImportFrom) and node.level}
    absolute |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    neighbours = {other.stem for other in path.parent.glob("*.py")}
    return relative | {name for name in absolute if name.split(".")[0] in {"tests", "conftest", *neighbours}}


def test_tests_share_code_through_tests_support_only() -> None:
    shared = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in TESTS.rglob("*.py")
        for name in imports_of_tests(path)
        if not name.startswith("tests.support.")
    ]
    assert shared == []


def test_the_check_finds_a_test_module_that_imports_another(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("", encoding="utf-8")
    path = tmp_path / "test_two.py"
    path.write_text("import test_one\nfrom .test_one import a\nfrom tests.conftest import b\n", encoding="utf-8")
    assert imports_of_tests(path) == {"test_one", ".test_one", "tests.conftest"}


def test_folders_of_tests_mirror_the_packages() -> None:
    folders = {path.parent.relative_to(TESTS).as_posix() for path in TESTS.rglob("*.py")} - {
        ".",
        *TESTS_WITHOUT_PACKAGE,
    }
    assert {folder.replace("/", ".") for folder in folders} <= set(PACKAGES)
    assert all((TESTS / folder).is_dir() for folder in TESTS_WITHOUT_PACKAGE)


def test_modules_below_tests_are_tests_or_fixtures() -> None:
    names = {path.name for path in TESTS.rglob("*.py") if (TESTS / "support") not in path.parents}
    assert {name for name in names if not name.startswith("test_")} <= {"conftest.py", "__init__.py"}
