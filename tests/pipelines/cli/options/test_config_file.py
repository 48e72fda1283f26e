"""``--config FILE.toml``: precedence, unknown keys, wrong types."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli.codebook_commands import codebook_size_option, seed_option
from tracktokens.pipelines.cli.main import Cli, main
from tracktokens.pipelines.cli.options.common import runner_options, store_option
from tracktokens.pipelines.cli.options.config_file import config_option
from tracktokens.pipelines.cli.options.encoder_options import source_options
from tracktokens.pipelines.cli.refresh_commands import fail_on_drift_option

pytestmark = pytest.mark.usefixtures("unchecked_tables")

PARSED = Cli("parsed")
"""Commands that print what they parse, and do nothing."""


@PARSED.command(name="run")
@config_option
@store_option
@source_options()
@codebook_size_option
@seed_option
@runner_options
def run(source: CatalogSource, **others: Any) -> None:
    click.echo(json.dumps({**source.to_options(), **others}))


@PARSED.command(name="refresh")
@config_option
@store_option
@source_options()
@fail_on_drift_option
def refresh(source: CatalogSource, **others: Any) -> None:
    click.echo(json.dumps({**source.to_options(), **others}))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "options.toml"


def parse(config: Path, text: str, *arguments: str, command: str = "run") -> dict[str, Any]:
    config.write_text(text)
    result = CliRunner().invoke(PARSED, [command, "--config", str(config), *arguments])
    assert result.exit_code == 0, result.output
    return {**json.loads(result.stdout), "stderr": result.stderr}


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    for word in words:
        assert word in line


FULL = """
store = "s"
tracks = "/c/tracks.parquet"
audio_root = "/c/audio"
text-backend = "onnx"
max-reject-rate = 0
codebook-size = 64
workers = 3
trust-checkpoint = false

[embeddings]
audio = "/c/audio.parquet"
lyrics = "/c/lyrics.parquet"

[embeddings-version]
lyrics = "v1"

[encoder]
tags = "letters"

[encoder-option.tags]
order = "2"
case = "a=b"
"""


def test_a_file_sets_the_options_of_all_kinds(config: Path) -> None:
    parsed = parse(config, FULL)
    assert parsed.pop("stderr") == ""
    assert parsed == {
        "store": "s",
        "tracks": "/c/tracks.parquet",
        "audio-root": "/c/audio",
        "text-backend": "onnx",
        "audio-encoder": "descriptors",
        "trust-checkpoint": False,
        "max-reject-rate": 0,
        "max-lost": 0.5,
        "max-removed": 0.2,
        "embeddings": {"audio": "/c/audio.parquet", "lyrics": "/c/lyrics.parquet"},
        "embeddings-version": {"lyrics": "v1"},
        "encoder": {"tags": "letters"},
        "encoder-option": {"tags": {"order": "2", "case": "a=b"}},
        "codebook_size": 64,
        "seed": 0,
        "workers": 3,
        "beam_options": [],
    }


def test_the_command_line_wins_over_the_file_and_the_file_over_defaults(config: Path) -> None:
    flags = ["--store", "other", "--text-backend", "torch", "--codebook-size", "1024", "--max-reject-rate", "0.5"]
    parsed = parse(config, FULL, *flags)
    assert (parsed["store"], parsed["text-backend"], parsed["max-reject-rate"]) == ("other", "torch", 0.5)
    assert (parsed["codebook_size"], parsed["workers"], parsed["seed"]) == (1024, 3, 0)


def test_the_command_line_wins_modality_by_modality_and_key_by_key(config: Path) -> None:
    flags = ["--embeddings", "audio=/new", "--embeddings-version", "audio=v9", "--encoder-option", "tags=order=7"]
    parsed = parse(config, FULL, *flags)
    assert parsed["embeddings"] == {"audio": "/new", "lyrics": "/c/lyrics.parquet"}
    assert parsed["embeddings-version"] == {"audio": "v9", "lyrics": "v1"}
    assert parsed["encoder-option"] == {"tags": {"order": "7", "case": "a=b"}}


def test_a_key_of_another_command_is_a_warning_that_names_it(config: Path) -> None:
    parsed = parse(config, 'store = "s"\ntracks = "/t"\nfail-on-drift = true\n')
    [line] = parsed["stderr"].splitlines()
    assert line == f"warning: {config}: not used, since `run` has no such option: fail-on-drift"
    parsed = parse(config, 'store = "s"\ntracks = "/t"\nseed = 1\ncodebook_size = 3', command="refresh")
    assert "`refresh` has no such option: seed, codebook-size" in parsed["stderr"]


@pytest.mark.parametrize("command", ["run", "refresh", "embed", "plan", "rejects retry"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('trakcs = "x"', ["unknown key trakcs", "the nearest key is tracks"]),
        ('text_modle = "x"', ["unknown key text_modle", "the nearest key is text-model"]),
        ('config = "x"', ["unknown key config"]),
        ("[embeddings]\nlyrcs = 'x'", ["unknown key embeddings.lyrcs", "the nearest key is embeddings.lyrics"]),
        ("[vectors]\nlyrcs = 'x'", ["unknown key embeddings.lyrcs"]),
        ('"text-model" = "a"\ntext_model = "b"', ["text-model is there twice"]),
        ("tracks = 3", ["tracks = 3 is not a text in quotes"]),
        ('tracks = " "', ["tracks = ' ': is empty"]),
        ('workers = "3"', ["workers = '3' is not a whole number"]),
        ("workers = true", ["workers = True is not a whole number"]),
        ("workers = 0", ["workers = 0: 0 is not in the range"]),
        ('max-reject-rate = "0.1"', ["max-reject-rate = '0.1' is not a number"]),
        ("max-reject-rate = nan", ["max-reject-rate = nan: is not a number"]),
        ("trust-checkpoint = 1", ["trust-checkpoint = 1 is not true or false"]),
        ('text-backend = "tf"', ["text-backend = 'tf': 'tf' is not one of"]),
        ('embeddings = "audio=x"', ["embeddings = 'audio=x' is not a table [embeddings] of modality = value"]),
        ("[embeddings]\naudio = 3", ["embeddings.audio = 3 is not a text in quotes"]),
        ("[encoder-option]\ntags = 'a=b'", ["encoder-option.tags = 'a=b' is not a table [encoder-option.tags]"]),
        ("[encoder-option.tags]\na = 1", ["encoder-option.tags.a = 1 is not a text in quotes"]),
        ("tracks = x", ["is not TOML", "line 1"]),
    ],
)
def test_a_wrong_file_is_an_error_that_names_file_and_key(
    config: Path, command: str, text: str, words: list[str]
) -> None:
    config.write_text(text)
    refused(CliRunner().invoke(main, [*command.split(), "--config", str(config)]), str(config), *words)


def test_a_key_per_command_is_known_to_all_of_them(config: Path, tmp_path: Path) -> None:
    keys = "codebook-size = 8\nfail-on-drift = true\njson = true\nmax-churn = 0.1\n"
    config.write_text(f'{keys}store = "{tmp_path / "none"}"\ntracks = "{tmp_path / "none.csv"}"\n')
    for command in ("run", "refresh", "embed", "plan", "rejects retry"):
        result = CliRunner().invoke(main, [*command.split(), "--config", str(config)])
        refused(result, "none")
        assert f"warning: {config}: not used, since `{command}` has no such option" in result.stderr


def test_a_missing_file_is_wrong_usage(config: Path) -> None:
    refused(CliRunner().invoke(main, ["run", "--config", str(config)]), str(config), "cannot be read")
