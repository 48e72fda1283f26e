"""Examples in docstrings run, and print what is written below them."""

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDERS = ("schemas", "codebooks", "serving", "transforms", "pipelines")

FEWEST_EXAMPLES = 20
"""Docstrings with an example that there are at least."""


def modules_with_examples() -> Iterator[str]:
    """Name every module whose source has a prompt; a module without is not imported."""
    for folder in FOLDERS:
        package = importlib.import_module(f"tracktokens.{folder}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            spec = module.module_finder.find_spec(module.name, None)
            assert spec is not None
            assert spec.origin is not None
            if ">>> " in Path(spec.origin).read_text(encoding="utf-8"):
                yield module.name


MODULES = tuple(modules_with_examples())


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_enough_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    tests = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(tests) >= FEWEST_EXAMPLES
