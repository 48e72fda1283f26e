"""The options ``--levels``, ``--number`` and ``--same-song``."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tracktokens.pipelines.cli.codebook_commands import further_token_options
from tracktokens.pipelines.cli.main import main
from tracktokens.pipelines.cli.options.config_file import config_option
from tracktokens.schemas.token_format import FurtherTokens


def parsed(*arguments: str) -> FurtherTokens:
    """Parse the options of a command that has these alone, and a config file."""
    received: list[FurtherTokens] = []

    @click.command()
    @config_option
    @further_token_options
    @click.argument("rest", nargs=-1)
    def command(tokens: FurtherTokens, rest: tuple[str, ...]) -> None:
        received.append(tokens)

    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return received[0]


def test_without_options_the_format_is_that_of_the_bundle_in_use() -> None:
    assert parsed() == FurtherTokens()


def test_levels_have_as_many_codes_as_the_codebook_unless_they_are_given() -> None:
    tokens = parsed("--levels", "metadata=2:32", "--levels", "tags=3")
    assert [(column.name, column.size) for column in tokens.format(1024).columns[5:]] == [
        ("tags2", 1024),
        ("metadata2", 32),
        ("tags3", 1024),
    ]


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [(["--number"], 256), (["--number", "16"], 16), (["--number", "0"], 0), (["--number", "--", "--flag"], 256)],
)
def test_a_number_is_one_of_256_unless_another_count_is_given(arguments: list[str], numbers: int) -> None:
    assert parsed(*arguments).numbers == numbers


def test_a_config_file_gives_them_too(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('number = 16\nsame-song = "numbered"\n[levels]\nmetadata = "2:32"\n')
    assert parsed("--config", str(path)) == FurtherTokens({"metadata": (2, 32)}, 16, "numbered")


@pytest.mark.parametrize("text", ["metadata", "mood=2", "metadata=0", "metadata=two", "metadata=2:", "audio=2:40000"])
def test_other_levels_are_usage_errors(text: str) -> None:
    result = CliRunner().invoke(main, ["train", "--store", "store", "--levels", text])
    assert result.exit_code == 2
    assert "MODALITY=" in result.stderr


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (["metadata=2", "metadata=3"], "each modality once"),
        (["metadata=5", "tags=5"], "a track has 13 tokens: use at most 12; give fewer --levels"),
    ],
)
def test_levels_that_do_not_go_together_are_usage_errors(levels: list[str], message: str) -> None:
    arguments = [part for text in levels for part in ("--levels", text)]
    result = CliRunner().invoke(main, ["train", "--store", "store", *arguments])
    assert message in str(result.exception) + result.output
