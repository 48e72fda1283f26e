"""The type of ``--out FILE``."""

import click
from click.testing import CliRunner

from tracktokens.pipelines.cli.options.common import OutputFile


@click.command()
@click.option("--out", type=OutputFile())
def show(out: str) -> None:
    click.echo(out)


def test_a_dash_is_standard_output() -> None:
    assert CliRunner().invoke(show, ["--out", "-"]).output == "/dev/stdout\n"
    assert CliRunner().invoke(show, ["--out", "./-"]).output == "./-\n"


def test_an_empty_name_is_refused() -> None:
    ended = CliRunner().invoke(show, ["--out", ""])
    assert ended.exit_code == 2
    assert "is empty" in ended.output
