"""The command ``doctor``: whether this machine and a store are ready for a job."""

import click

from tracktokens.pipelines.cli.options.common import NonEmptyStr, json_option
from tracktokens.pipelines.terminal import echo, format_json


@click.command(name="doctor")
@click.option("--store", type=NonEmptyStr(), metavar="DIR", help="Store to check, also one that does not exist yet.")
@click.option(
    "--tracks", type=NonEmptyStr(), metavar="PATH", help="Tracks of a new store, to estimate the room that it needs."
)
@click.option("--text-model", type=NonEmptyStr(), metavar="MODEL", help="Text model to look for.")
@json_option
@click.pass_context
def doctor_command(
    context: click.Context, store: str | None, tracks: str | None, text_model: str | None, as_json: bool
) -> None:
    """Check packages, device, decoders, models, and a store with its lock and its disk. Nothing is changed.

    The exit code is 1 if a job would fail.
    """
    from tracktokens.pipelines.doctor.check import ERROR
    from tracktokens.pipelines.doctor.examine import examine_all

    checks = []
    for check in examine_all(store, tracks, text_model):
        checks.append(check)
        if not as_json:
            echo(f"{check.state:<8} {check.name}: {check.remark}")
    if as_json:
        echo(format_json([check.to_json() for check in checks]))
    if any(check.state == ERROR for check in checks):
        context.exit(1)
