"""The options of the commands are the fields of the jobs that they run."""

import dataclasses
from typing import Any

import click
import pytest

from tracktokens.pipelines.catalog_source import SOURCE_OPTIONS
from tracktokens.pipelines.cli.catalog_commands import embed_command, run_command
from tracktokens.pipelines.cli.refresh_commands import plan_command, refresh_command, retry_command
from tracktokens.pipelines.jobs.embed import EmbedJob
from tracktokens.pipelines.jobs.refresh import RefreshJob
from tracktokens.pipelines.jobs.run import RunJob

SHARED = {"source", "store"}


def parameters(command: click.Command) -> dict[str, click.Parameter]:
    return {str(parameter.name): parameter for parameter in command.params}


def defaults(command: click.Command) -> dict[str, Any]:
    """Values of a command's options when only the required ones are given."""
    return command.make_context("command", ["--store", "s", "--tracks", "t"]).params


@pytest.mark.parametrize(
    ("command", "job", "set_by_the_command"),
    [
        (run_command, RunJob, {"tokens"}),
        (refresh_command, RefreshJob, {"retry_rejects", "limits"}),
        (retry_command, RefreshJob, {"retry_rejects", "limits"}),
        (embed_command, EmbedJob, {"retry_rejects", "needs_inputs"}),
    ],
)
def test_every_field_of_a_job_is_an_option_with_the_same_default(
    command: click.Command, job: Any, set_by_the_command: set[str]
) -> None:
    values = defaults(command)
    for field in dataclasses.fields(job):
        if field.name not in SHARED | set_by_the_command:
            assert values[field.name] == field.default


@pytest.mark.parametrize("command", [run_command, refresh_command, plan_command, retry_command])
def test_every_option_of_the_source_has_the_help_and_the_default_of_its_field(command: click.Command) -> None:
    options, values = parameters(command), defaults(command)
    for part in SOURCE_OPTIONS:
        option = options[part.option.name.replace("-", "_")]
        assert isinstance(option, click.Option)
        assert option.opts == [f"--{part.option.name}"]
        assert option.help == part.option.help
        if not part.per_modality and part.default is not dataclasses.MISSING:
            assert values[str(option.name)] == part.default


def test_embed_has_every_option_of_the_source_except_playlists() -> None:
    missing = {part.option.name for part in SOURCE_OPTIONS} - {
        option.removeprefix("--") for parameter in embed_command.params for option in parameter.opts
    }
    assert missing == {"playlists"}
