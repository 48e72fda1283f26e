"""The commands that maintain a store: ``releases``, ``compact``, ``rebucket``, ``gc`` and ``verify``."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    json_option,
    runner_options,
    runner_with_progress,
    store_option,
)
from tracktokens.pipelines.terminal import echo, format_json, make_console
from tracktokens.schemas.display import printable
from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from tracktokens.pipelines.maintenance.garbage_collection import Garbage, StoreItem

SHOWN_NAMES = 10


@click.group(name="releases")
def releases_group() -> None:
    """List the releases of a store, show one, roll back to one, or add its serving table."""


@releases_group.command(name="list")
@store_option
@json_option
def list_command(store: str, as_json: bool) -> None:
    """List the complete releases, newest first."""
    from tracktokens.pipelines.maintenance.rollback import list_releases
    from tracktokens.transforms.store.layout import Store

    releases = list(list_releases(Store.open(store)))
    if as_json:
        echo(format_json([release.to_json() for release in releases]))
        return
    for release in releases:
        state = "  LATEST" if release.latest else "  withdrawn" if release.withdrawn else ""
        tracks = f"{release.tracks:>11} tracks"
        echo(f"{release.release_id}  {release.time}  bundle {release.bundle_id}  {tracks}{state}")


@releases_group.command(name="show")
@click.argument("release", metavar="RELEASE", type=NonEmptyStr())
@store_option
@json_option
def show_command(release: str, store: str, as_json: bool) -> None:
    """Show the parts of RELEASE and its report. A bundle's id means its newest release."""
    from tracktokens.pipelines.maintenance.rollback import summarize_release
    from tracktokens.transforms.release.report import release_report
    from tracktokens.transforms.store import files
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.releases import find_release, latest_id

    opened = Store.open(store)
    manifest = find_release(opened, release)
    summary = summarize_release(opened, manifest, latest_id(opened.root)).to_json()
    summary |= {"encoders": dict(manifest.encoders), "codebook_size": manifest.codebook_size}
    summary |= {"options": dict(manifest.options)} if manifest.options else {}
    summary |= {"files": len(manifest.files), "bytes": sum(file["bytes"] for file in manifest.files.values())}
    metrics = files.read_json(opened.release(manifest.release_id).metrics)
    if as_json:
        echo(format_json({**summary, "metrics": metrics}))
        return
    for name, value in summary.items():
        echo(f"{name}: {printable(_format(value))}")
    make_console().print(release_report(metrics))


@releases_group.command(name="rollback")
@click.argument("release", metavar="RELEASE", type=NonEmptyStr())
@store_option
@click.option(
    "--expected-latest",
    type=NonEmptyStr(),
    metavar="ID",
    help="Release that LATEST must name now; otherwise nothing is changed, and the exit code is 5.",
)
@json_option
def rollback_command(release: str, store: str, expected_latest: str | None, as_json: bool) -> None:
    """Check the files of RELEASE, and point LATEST to it. The next run continues from it."""
    from tracktokens.pipelines.maintenance.rollback import RollbackJob

    done = RollbackJob(store, release, expected_latest).run()
    if as_json:
        echo(format_json(asdict(done)))
        return
    echo(f"LATEST was {done.previous or 'not there'}")
    echo(f"LATEST is {done.current}")
    for withdrawn in done.withdrawn:
        echo(f"withdrawn: {withdrawn}")


@releases_group.command(name="serving")
@click.argument("release", metavar="RELEASE", type=NonEmptyStr())
@store_option
def serving_command(release: str, store: str) -> None:
    """Write the serving table of RELEASE, which a release of an older version lacks."""
    from tracktokens.transforms.release.write_serving import add_serving
    from tracktokens.transforms.store.layout import Store
    from tracktokens.transforms.store.releases import find_release

    opened = Store.open(store)
    completed = add_serving(opened, find_release(opened, release))
    echo(opened.release(completed.release_id).serving)


@click.command(name="compact")
@store_option
@json_option
@runner_options
def compact_command(store: str, as_json: bool, workers: int, beam_options: tuple[str, ...]) -> None:
    """Merge the small files of vectors, failures and codes that runs write. Prints the number of merged files."""
    from tracktokens.pipelines.maintenance.compaction import compact_store
    from tracktokens.transforms.store.layout import Store

    with runner_with_progress(workers, beam_options) as (runner, _):
        done = compact_store(Store.open(store), runner)
    if as_json:
        echo(format_json(asdict(done)))
        return
    echo(
        f"{done.buckets} buckets merged: {done.files_before} files ({_size(done.bytes_before)}) are now "
        f"{done.files_after} ({_size(done.bytes_after)})"
    )


@click.command(name="rebucket")
@store_option
@click.option(
    "--buckets",
    type=click.IntRange(1),
    help="Number of buckets, a power of two; by default one per 50,000 tracks of the newest catalog.",
)
@json_option
@runner_options
def rebucket_command(
    store: str, buckets: int | None, as_json: bool, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Divide a store that has grown into more buckets, or into fewer. Tokens do not change."""
    from tracktokens.pipelines.maintenance.rebucket import RebucketJob

    with runner_with_progress(workers, beam_options) as (runner, _):
        done = RebucketJob(store, buckets).run(runner)
    if as_json:
        echo(format_json(asdict(done)))
    elif done.before == done.after:
        echo(f"{done.after} buckets: nothing to do")
    else:
        echo(f"{done.before} buckets are now {done.after}, {done.rows} rows; `tracktokens gc` removes the old files")


@click.command(name="migrate")
@store_option
@json_option
def migrate_command(store: str, as_json: bool) -> None:
    """Bring a store that an older version wrote up to date. Tokens, codebooks and vectors stay."""
    from tracktokens.pipelines.maintenance.migrate import MigrateJob

    done = MigrateJob(store).run()
    if as_json:
        echo(format_json(asdict(done)))
        return
    if not done.catalogs:
        echo("nothing to migrate: this version reads all of the store")
        return
    echo(f"removed {len(done.catalogs)} catalog snapshots of an older format: {printable(', '.join(done.catalogs))}")
    echo(f"their releases keep their tokens, but not the titles: {printable(', '.join(done.releases) or 'none')}")
    echo("now refresh, with the tables if the release does not remember them; nothing is encoded again:")
    echo(f"  tracktokens refresh --store {printable(shlex.quote(store))}")


@click.command(name="gc")
@store_option
@click.option(
    "--keep",
    required=True,
    type=click.IntRange(1),
    help="Number of the newest releases to keep; the latest is always kept.",
)
@click.option(
    "--keep-release",
    "keep_releases",
    type=NonEmptyStr(),
    multiple=True,
    metavar="ID",
    help="Another release to keep. Repeatable.",
)
@click.option("--delete", is_flag=True, help="Delete; without this gc only counts.")
@json_option
@runner_options
def gc_command(
    store: str,
    keep: int,
    keep_releases: tuple[str, ...],
    delete: bool,
    as_json: bool,
    workers: int,
    beam_options: tuple[str, ...],
) -> None:
    """Remove old releases, and the snapshots, bundles, vectors and codes that no kept release needs."""
    from tracktokens.pipelines.maintenance.garbage_collection import GcJob

    with runner_with_progress(workers, beam_options) as (runner, _):
        garbage = GcJob(store, keep, keep_releases, delete).run(runner)
    if as_json:
        echo(format_json(garbage.to_json()))
    else:
        _print_garbage(garbage)


@click.command(name="verify")
@click.option("--store", type=NonEmptyStr(), metavar="DIR", help="Store to check.  [required]")
@json_option
@runner_options
@click.pass_context
def verify_command(
    context: click.Context, store: str | None, as_json: bool, workers: int, beam_options: tuple[str, ...]
) -> None:
    """Check all of a store for damaged or missing files. Exits with code 3 when it finds any."""
    from tracktokens.pipelines.maintenance.verify import verify_store

    if store is None and beam_options and not beam_options[0].startswith("-"):
        store, *rest = beam_options  # `verify STORE`, as it was
        beam_options = tuple(rest)
    if not store:
        raise UsageError("--store is missing: name the store to check")
    with runner_with_progress(workers, beam_options) as (runner, _):
        findings = verify_store(store, runner)
    if as_json:
        echo(format_json([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            echo(f"{printable(finding.path)}: {printable(finding.problem)}\n  {printable(finding.remedy)}")
        echo(f"{len(findings)} findings" if findings else "nothing found")
    if findings:
        context.exit(3)


def _print_garbage(garbage: "Garbage") -> None:
    """List what is removed, by kind, and what is kept."""
    echo("removed:" if garbage.deleted else "would be removed (nothing was removed; give --delete):")
    removed = [(kind, items) for kind, items in garbage.items.items() if items]
    for kind, items in removed:
        files, size = _total(items)
        echo(f"  {kind}: {len(items)}, {files} files, {_size(size)}: {_first_names([item.name for item in items])}")
    for name, rows in garbage.rows.items():
        echo(f"  {name} records that no kept snapshot needs: {rows}, about {_size(garbage.row_bytes[name])}")
    if not removed and not garbage.rows:
        echo("  nothing")
    echo("kept:")
    for kind in ("releases", "catalogs", "bundles"):
        echo(f"  {kind}: {_format(sorted(getattr(garbage.kept, kind)))}")
    echo(f"  encoders: {_format(sorted('/'.join(encoder) for encoder in garbage.kept.encoders))}")


def _total(items: "Iterable[StoreItem]") -> tuple[int, int]:
    sizes = [size for item in items for size in item.sizes.values()]
    return len(sizes), sum(sizes)


def _first_names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return printable(", ".join(names[:SHOWN_NAMES])) + more


def _format(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _size(size: int) -> str:
    from rich.filesize import decimal

    return decimal(size)
