"""Options from environment variables."""

import logging

import click
import pytest
from click.testing import CliRunner, Result

from tracktokens.pipelines.cli import main
from tracktokens.pipelines.cli.options.environment import read_environment, warn_of_unknown_variables


@click.group()
def group() -> None:
    """A group."""


@group.command()
@click.option("--store", default="none")
@click.option("--delete", is_flag=True)
@click.option("--release")
@click.option("--kind", multiple=True)
def inner(store: str, delete: bool, release: str | None, kind: tuple[str, ...]) -> None:
    click.echo(f"{store} {delete} {release} {kind}")


@group.command()
@click.option("--store", type=click.IntRange(1), default=1)
@click.option("--size", type=int, default=1)
def count(store: int, size: int) -> None:
    click.echo(f"{store} {size}")


read_environment(group)


def call(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(group, ["inner", *arguments], env=variables)


def test_a_variable_is_the_option_of_its_name() -> None:
    assert call(TRACKTOKENS_STORE="here", TRACKTOKENS_KIND="a b").stdout == "here False None ('a', 'b')\n"


def test_a_number_with_the_name_of_a_path_has_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"TRACKTOKENS_STORE": "here", "TRACKTOKENS_SIZE": "3"}
    assert CliRunner().invoke(group, ["count"], env=variables).stdout == "1 3\n"
    monkeypatch.setenv("TRACKTOKENS_TRACKS", "tracks.parquet")
    assert main.commands["demo"].make_context("demo", ["folder"]).params["tracks"] == 200


def test_the_command_line_wins() -> None:
    assert call("--store", "there", TRACKTOKENS_STORE="here").stdout.startswith("there ")


def test_flags_and_the_release_have_no_variables() -> None:
    assert call(TRACKTOKENS_DELETE="1", TRACKTOKENS_RELEASE="/data/store").stdout == "none False None ()\n"


def test_a_variable_of_no_option_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("TRACKTOKENS_STROE", "TRACKTOKENS_STORE", "TRACKTOKENS_CACHE", "TRACKTOKENS_DELETE"):
        monkeypatch.setenv(name, "x")
    with caplog.at_level(logging.WARNING):
        warn_of_unknown_variables(group)
    assert [record.args for record in caplog.records] == [("TRACKTOKENS_DELETE",), ("TRACKTOKENS_STROE",)]


def test_the_store_of_every_command_may_be_a_variable() -> None:
    result = CliRunner().invoke(main, ["releases", "list"], env={"TRACKTOKENS_STORE": "/no/such/store"})
    assert result.exit_code == 2
    assert "/no/such/store is not a store" in result.stderr
