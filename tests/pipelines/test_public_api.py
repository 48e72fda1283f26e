"""The public API of ``tracktokens.pipelines``: every name imports, and nothing heavy is loaded before it is used."""

import subprocess
import sys

import pytest

import tracktokens.pipelines

HEAVY = ("torch", "apache_beam", "pyarrow", "numpy")


def loaded_by(code: str) -> list[str]:
    """Heavy modules that a fresh process has loaded after ``code``."""
    check = f"; import sys; print([name for name in {HEAVY} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code + check], capture_output=True, text=True, check=True)
    return list(eval(shown.stdout.splitlines()[-1]))  # noqa: S307 - the list that the line above printed


@pytest.mark.parametrize("name", tracktokens.pipelines.__all__)
def test_every_public_name_imports(name: str) -> None:
    assert getattr(tracktokens.pipelines, name).__name__ == name


def test_the_jobs_and_their_options_are_public() -> None:
    jobs = {"RunJob", "RefreshJob", "EmbedJob", "PlaylistsJob", "TrainJob", "RetrainJob", "TokenizeJob", "PublishJob"}
    options = {"CatalogSource", "TextEncoderConfig", "AudioEncoderConfig", "PluginConfig", "PrecomputedConfig"}
    others = {"PipelineRunner", "plan_refresh", "released_source"}
    assert jobs | options | others <= set(tracktokens.pipelines.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = tracktokens.pipelines.NoJob


@pytest.mark.parametrize(
    "code",
    [
        "import tracktokens.pipelines",
        "from tracktokens.pipelines import CatalogSource, TextEncoderConfig; CatalogSource(tracks='t').to_options",
        "from click.testing import CliRunner; from tracktokens.pipelines.cli import main; "
        "CliRunner().invoke(main, ['--help'])",
        "from click.testing import CliRunner; from tracktokens.pipelines.cli import main; "
        "CliRunner().invoke(main, ['run', '--help'])",
    ],
)
def test_nothing_heavy_is_loaded_before_a_job_is_used(code: str) -> None:
    assert loaded_by(code) == []


def test_help_loads_nothing_heavy_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "tracktokens.pipelines.cli.main", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    modules = {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines() if "|" in line}
    assert "tracktokens.pipelines.cli.options.common" in modules
    assert modules.isdisjoint(HEAVY)
