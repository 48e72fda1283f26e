"""The help of each command ends with two examples or more, which its own parser accepts."""

import shlex
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from tracktokens.pipelines.cli import main
from tracktokens.pipelines.cli.examples import EXAMPLES
from tracktokens.pipelines.cli.main import SECTIONS


def commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands that do something, by name."""
    inner = command.commands.items() if isinstance(command, click.Group) else ()
    for inner_name, found in inner:
        yield from commands(found, f"{name} {inner_name}".strip())
    if not inner or (isinstance(command, click.Group) and command.invoke_without_command):
        yield name, command


ALL = dict(commands(main))


def test_each_command_has_two_examples_and_no_other_has() -> None:
    assert {name for name, examples in EXAMPLES.items() if len(examples) >= 2} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_examples_have_options_that_exist_and_those_that_are_required(name: str) -> None:
    command = ALL[name]
    context = click.Context(command, **main.context_settings)
    for example in EXAMPLES[name]:
        given, rest, _ = command.make_parser(context).parse_args(shlex.split(example))
        required = {part.name for part in command.params if part.required}
        if "catalog" in given:  # the folder of an import has the tables
            required -= {"tracks"}
        assert required <= set(given), example
        assert not rest, example


def test_examples_and_a_short_option_are_in_the_help() -> None:
    shown = CliRunner().invoke(main, ["gc", "-h"]).stdout
    assert "tracktokens gc --store tokens --keep 7 --keep-release 20261101 --delete" in shown
    assert "[default: 1; x>=1]" in shown


def test_the_help_lists_each_command_once_below_its_heading() -> None:
    shown = CliRunner().invoke(main, ["-h"]).stdout
    for heading in SECTIONS:
        assert f"\n{heading}:\n" in shown
    for name in main.commands:
        assert shown.count(f"\n  {name} ") == 1
    assert "..." not in shown.partition("\n")[2]
