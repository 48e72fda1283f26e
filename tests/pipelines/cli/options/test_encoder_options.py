"""Options of a catalog source that a command takes from the latest release, and their way back."""

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tracktokens.pipelines.catalog_source import CatalogSource
from tracktokens.pipelines.cli.options.config_file import config_option
from tracktokens.pipelines.cli.options.encoder_options import source_options
from tracktokens.pipelines.released_options import ReleasedOptions

pytestmark = pytest.mark.usefixtures("unchecked_tables")

RELEASED = {
    "text-model": "model",
    "text-prompt": "song: ",
    "audio-encoder": "clap",
    "clap-checkpoint": "/clap",
    "encoder": {"lyrics": "mine"},
    "encoder-option": {"lyrics": {"k": "v"}},
    "embeddings": {"tags": "/tags", "playlist": "/p"},
    "embeddings-version": {"tags": "v1"},
}
REST = {"tracks": "/t", "text-backend": "auto", "trust-checkpoint": False}
"""The other options of every source here, apart from limits."""


@click.command()
@config_option
@click.option("--store", default="none")
@source_options(remembered=lambda store: ReleasedOptions(release_id="r", options=RELEASED))
def show(source: CatalogSource, store: str) -> None:
    options = source.to_options()
    click.echo(json.dumps({name: value for name, value in options.items() if not name.startswith("max-")}))


def options_of(*arguments: str) -> Any:
    result = CliRunner().invoke(show, ["--tracks", "/t", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_is_not_given_is_that_of_the_release() -> None:
    assert options_of() == REST | RELEASED


@pytest.mark.parametrize("in_file", [False, True])
def test_the_built_in_encoders_replace_those_of_the_release(tmp_path: Any, in_file: bool) -> None:
    config = tmp_path / "options.toml"
    tables = "".join(f'{modality} = "built-in"\n' for modality in ("tags", "lyrics", "playlist"))
    config.write_text(f'text-model = "built-in"\naudio-encoder = "descriptors"\n[encoder]\n{tables}')
    encoders = [word for m in ("tags", "lyrics", "playlist") for word in ("--encoder", f"{m}=built-in")]
    given = ["--text-model", "built-in", "--audio-encoder", "descriptors", *encoders]
    arguments = ["--config", str(config)] if in_file else given
    assert options_of(*arguments) == {**REST, "audio-encoder": "descriptors"}


def test_a_source_that_is_given_replaces_another_one_of_the_release() -> None:
    found = options_of("--embeddings", "audio=/a", "--embeddings", "lyrics=/l", "--playlists", "/lists")
    embeddings = {"tags": "/tags", "audio": "/a", "lyrics": "/l"}
    kept = {name: RELEASED[name] for name in ("text-model", "text-prompt", "embeddings-version")}
    expected = {**kept, "audio-encoder": "descriptors", "playlists": "/lists", "embeddings": embeddings}
    assert found == REST | expected


def test_new_files_of_the_same_kind_keep_the_version_of_the_release() -> None:
    found = options_of("--embeddings", "tags=/new")
    assert found == REST | {**RELEASED, "embeddings": {"tags": "/new", "playlist": "/p"}}
