"""The commands that keep a store in order: ``releases``, ``compact``, ``gc`` and ``verify``."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.options import NonEmptyStr, json_option, launch_options, progress_runner, store_option

if TYPE_CHECKING:
    from tracktokens.pipelines.maintenance.garbage_collection import Garbage, StoreItem

SHOWN_NAMES = 10


@click.group(name="releases")
def releases_group() -> None:
    """List the releases of a store, show one, or go back to one."""


@releases_group.command(name="list")
@store_option
@json_option
def list_command(store: str, as_json: bool) -> None:
    """List the complete releases, the newest first."""
    from tracktokens.pipelines.maintenance.rollback import list_releases
    from tracktokens.transforms.store.layout import Store

    found = list(list_releases(Store.open(store)))
    if as_json:
        click.echo(json.dumps([release.to_json() for release in found], indent=2))
        return
    for release in found:
        state = "  LATEST" if release.latest else "  withdrawn" if release.withdrawn else ""
        tracks = f"{release.tracks:>11} tracks"
        click.echo(f"{release.release_id}  {release.time}  bundle {release.bundle_id}  {tracks}{state}")


@releases_group.command(name="show")
@click.argument("release", metavar="RELEASE", type=NonEmptyStr())
@store_option
@json_option
def show_command(release: str, store: str, as_json: bool) -> None:
    """Show what RELEASE was made of, and its report. RELEASE may be the bundle whose newest release is meant."""
    from rich.console import Console

    from tracktokens.pipelines.maintenance.rollback import summarize_release
    from tracktokens.transforms.release.report import release_report
    from tracktokens.transforms.store import files
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.releases import find_release, latest_id

    opened = Store.open(store)
    manifest = find_release(opened, release)
    summary = summarize_release(opened, manifest, latest_id(opened.root)).to_json()
    summary |= {"encoders": dict(manifest.encoders), "codebook_size": manifest.codebook_size}
    summary |= {"files": len(manifest.files), "bytes": sum(file["bytes"] for file in manifest.files.values())}
    metrics = files.read_json(opened.release(manifest.release_id).metrics)
    if as_json:
        click.echo(json.dumps({**summary, "metrics": metrics}, ensure_ascii=False, indent=2))
        return
    for name, value in summary.items():
        click.echo(f"{name}: {_told(value)}")
    Console().print(release_report(metrics))


@releases_group.command(name="rollback")
@click.argument("release", metavar="RELEASE", type=NonEmptyStr())
@store_option
def rollback_command(release: str, store: str) -> None:
    """Make LATEST name RELEASE, after a check of its files. The next run goes on from it."""
    from tracktokens.pipelines.maintenance.rollback import RollbackJob

    done = RollbackJob(store, release).run()
    click.echo(f"LATEST was {done.previous or 'not there'}")
    click.echo(f"LATEST is {done.current}")
    for withdrawn in done.withdrawn:
        click.echo(f"withdrawn: {withdrawn}")


@click.command()
@store_option
@launch_options
def compact(store: str, workers: int, beam_options: tuple[str, ...]) -> None:
    """Merge the small files of vectors, failures and codes that runs leave. Prints what was merged."""
    from tracktokens.pipelines.maintenance.compaction import compact_store
    from tracktokens.transforms.store.layout import Store

    with progress_runner(workers, beam_options) as (runner, _):
        done = compact_store(Store.open(store), runner)
    click.echo(
        f"{done.buckets} buckets merged: {done.files_before} files ({_size(done.bytes_before)}) became "
        f"{done.files_after} ({_size(done.bytes_after)})"
    )


@click.command()
@store_option
@click.option(
    "--keep", required=True, type=click.IntRange(1), help="So many of the newest releases stay; the latest always does."
)
@click.option(
    "--keep-release",
    "keep_releases",
    type=NonEmptyStr(),
    multiple=True,
    metavar="ID",
    help="Another that stays. Repeatable.",
)
@click.option("--delete", is_flag=True, help="Delete it; without this it is only counted.")
@launch_options
def gc(
    store: str,
    keep: int,
    keep_releases: tuple[str, ...],
    delete: bool,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Remove old releases, and the catalogs, bundles, vectors and codes that no kept release needs."""
    from tracktokens.pipelines.maintenance.garbage_collection import GcJob

    with progress_runner(workers, beam_options) as (runner, _):
        garbage = GcJob(store, keep, keep_releases, delete).run(runner)
    _print_garbage(garbage)


@click.command()
@click.argument("store", metavar="STORE", type=NonEmptyStr())
@json_option
@launch_options
@click.pass_context
def verify(context: click.Context, store: str, as_json: bool, workers: int, beam_options: tuple[str, ...]) -> None:
    """Look through all of STORE for what is damaged or missing. Ends with exit code 3 when something is."""
    from tracktokens.pipelines.maintenance.verify import verify_store

    with progress_runner(workers, beam_options) as (runner, _):
        findings = verify_store(store, runner)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            click.echo(f"{finding.path}: {finding.problem}\n  {finding.remedy}")
        click.echo(f"{len(findings)} findings" if findings else "nothing found")
    if findings:
        context.exit(3)


def add_store_commands(main: click.Group) -> None:
    """Put the commands under the main one."""
    for command in (releases_group, compact, gc, verify):
        main.add_command(command)


def _print_garbage(garbage: "Garbage") -> None:
    """Tell what goes, by kind, and what stays."""
    click.echo("removed:" if garbage.deleted else "would be removed (nothing was; --delete does it):")
    found = [(kind, items) for kind, items in garbage.items.items() if items]
    for kind, items in found:
        files, size = _total(items)
        click.echo(f"  {kind}: {len(items)}, {files} files, {_size(size)}: {_few([thing.name for thing in items])}")
    for name, rows in garbage.rows.items():
        click.echo(f"  facts of {name} that no kept catalog holds: {rows}, about {_size(garbage.row_bytes[name])}")
    if not found and not garbage.rows:
        click.echo("  nothing")
    click.echo("kept:")
    for kind in ("releases", "catalogs", "bundles"):
        click.echo(f"  {kind}: {_told(sorted(getattr(garbage.kept, kind)))}")
    click.echo(f"  encoders: {_told(sorted('/'.join(encoder) for encoder in garbage.kept.encoders))}")


def _total(items: "Iterable[StoreItem]") -> tuple[int, int]:
    sizes = [size for thing in items for size in thing.sizes.values()]
    return len(sizes), sum(sizes)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _size(size: int) -> str:
    from rich.filesize import decimal

    return decimal(size)
