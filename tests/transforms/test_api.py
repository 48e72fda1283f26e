"""The public API of ``tracktokens.transforms``."""

import subprocess
import sys

import pytest

from tracktokens import transforms

PUBLIC = (
    "Encoded",
    "Encoder",
    "EncoderRequest",
    "Failure",
    "LoadedEncoder",
    "ReleaseIndex",
    "Store",
    "encoded",
    "latest_release",
    "published_release",
)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_public_name_is_the_object_of_its_module(name: str) -> None:
    public = getattr(transforms, name)
    assert public.__name__ == name
    assert getattr(sys.modules[public.__module__], name) is public


def test_the_package_lists_its_public_names() -> None:
    assert sorted(transforms.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(transforms))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = transforms.no_such_name


def modules_after(statement: str) -> set[str]:
    """Modules that a fresh interpreter has loaded after one statement."""
    script = f"{statement}; import sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(result.stdout.split())


def test_the_package_itself_imports_none_of_its_modules() -> None:
    ours = {name for name in modules_after("import tracktokens.transforms") if name.startswith("tracktokens.")}
    assert ours == {"tracktokens.transforms"}


@pytest.mark.parametrize("name", ["Encoder", "LoadedEncoder", "Encoded", "Failure", "EncoderRequest", "encoded"])
def test_names_for_plugins_load_neither_torch_nor_beam(name: str) -> None:
    loaded = modules_after(f"from tracktokens.transforms import {name}")
    assert "tracktokens.transforms.encoders.base" in loaded
    assert not {"torch", "apache_beam"} & loaded
