"""The examples in docstrings are run."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FOLDERS = ("schemas", "codebooks", "transforms", "pipelines")

MODULES = [
    ".".join(("tracktokens", *path.relative_to(ROOT).with_suffix("").parts))
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_give_the_printed_results(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_there_are_examples() -> None:
    assert len(MODULES) >= 20
