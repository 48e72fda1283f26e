"""The command that takes tracks down: ``forget``."""

from pathlib import Path

import click

from tracktokens.pipelines.cli.options.common import NonEmptyStr, runner_with_progress, store_option
from tracktokens.pipelines.terminal import echo
from tracktokens.schemas.display import printable
from tracktokens.schemas.errors import UsageError


@click.command(name="forget")
@click.argument("track_ids", metavar="[ID]...", nargs=-1, type=NonEmptyStr())
@store_option
@click.option(
    "--ids",
    "ids_file",
    type=click.Path(dir_okay=False, exists=True),
    metavar="FILE",
    help="Text file with further ids, one per line.",
)
@click.option("--receipt", type=NonEmptyStr(), metavar="FILE", help="JSON file that proves the takedown. Required.")
@click.option("--missing-ok", is_flag=True, help="Accept ids that the store does not have, and keep them out.")
@click.option("--allow-again", is_flag=True, help="Let jobs accept the tracks again; removes nothing.")
@click.option("--workers", default=1, type=click.IntRange(1), help="Worker processes.")
@click.pass_context
def forget_command(
    context: click.Context,
    track_ids: tuple[str, ...],
    store: str,
    ids_file: str | None,
    receipt: str | None,
    missing_ok: bool,
    allow_again: bool,
    workers: int,
) -> None:
    """Take tracks down: remove them from the store and all releases, search every file, and write a receipt.

    Exits with code 3 if the search finds a trace, which the receipt names.
    """
    ids = [*track_ids, *_read_ids(ids_file)]
    if not ids:
        raise UsageError("no id is given: name tracks, or a file with --ids")
    if allow_again:
        if receipt is not None or missing_ok:
            raise UsageError("--allow-again removes nothing: omit --receipt and --missing-ok")
        from tracktokens.pipelines.maintenance.forget import allow_again as allow

        echo(f"{len(allow(store, ids))} of {len(set(ids))} tracks are accepted again")
        return
    if receipt is None:
        raise UsageError("--receipt is missing: give a file outside of the store")
    from tracktokens.pipelines.maintenance.forget import ForgetJob
    from tracktokens.transforms.store.user_files import check_output

    check_output(receipt, [] if ids_file is None else [ids_file], store)
    with runner_with_progress(workers, ()) as (runner, _):
        done = ForgetJob(store, ids, receipt, missing_ok).run(runner)
    for path, problem in done.found.items():
        echo(f"{printable(path)}: {printable(problem)}")
    search = done.receipt["search"]
    echo(f"searched {search['files']} files: {'nothing found' if not done.found else 'NOT complete'}")
    echo(f"receipt: {printable(receipt)}")
    if done.found:
        context.exit(3)


def _read_ids(path: str | None) -> list[str]:
    """Read one id per line; blank lines are skipped."""
    if path is None:
        return []
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 ({error}): give a text file with one id per line") from error
    return [line for line in text.split("\n") if line.strip()]
