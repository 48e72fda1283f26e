"""Beam's inference is imported without torch, and torch can be imported after it."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
{first}
from tracktokens.transforms.embedding.inference import RunInference
print("torch" in sys.modules)
import torch
print(torch.zeros(2).sum().item())
"""


@pytest.mark.parametrize(("first", "loaded"), [("", "False"), ("import torch", "True")])
def test_torch_is_not_imported_and_can_be(first: str, loaded: str) -> None:
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(first=first)], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == [loaded, "0.0"]
