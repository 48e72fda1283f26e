"""``from tracktokens.codebooks import ...`` offers the public names, and imports nothing that they do not need."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tracktokens import codebooks

STUB = Path(codebooks.__file__).with_suffix(".pyi")

IMPORTS = """
import sys
import tracktokens.codebooks as codebooks

assert not {"numpy", "pyarrow", "faiss", "scipy"} & set(sys.modules), "names are imported before they are used"
for name in codebooks.__all__:
    getattr(codebooks, name)
    heavy = {"apache_beam", "torch", "transformers"} & set(sys.modules)
    assert not heavy, f"{name} imports {heavy}"
"""


def test_the_public_names_need_neither_beam_nor_torch() -> None:
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)


@pytest.mark.parametrize(
    "name", ["TokenIndex", "Matching", "CatalogConstraint", "TupleTrie", "parse_tokens", "Codebook"]
)
def test_what_the_readme_imports_is_public(name: str) -> None:
    assert name in codebooks.__all__
    assert name in dir(codebooks)


def test_every_public_name_is_the_one_of_its_module() -> None:
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(f"tracktokens.codebooks.{node.module}")
            for alias in node.names:
                assert getattr(codebooks, alias.name) is getattr(module, alias.name)


def test_the_stub_exports_what_it_imports() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    imported = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == sorted(codebooks.__all__)
    [exported] = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign)]
    assert sorted(exported) == sorted(imported)


def test_no_public_name_hides_a_module() -> None:
    modules = {path.stem for path in STUB.parent.iterdir()}
    assert not modules & set(codebooks.__all__)
    assert importlib.import_module("tracktokens.codebooks.assign").assign.__name__ == "assign"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        codebooks.nothing_of_the_kind  # noqa: B018
