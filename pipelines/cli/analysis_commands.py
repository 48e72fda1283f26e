"""The commands that look into a store: ``show``, ``atlas``, ``inspect`` and ``diff``."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from tracktokens.pipelines.cli.options.catalog_option import catalog_option
from tracktokens.pipelines.cli.options.common import (
    NonEmptyStr,
    OutputFile,
    json_option,
    release_option,
    store_option,
)
from tracktokens.pipelines.terminal import echo, format_json, make_console
from tracktokens.schemas.display import printable
from tracktokens.schemas.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command(name="show")
@store_option
@json_option
def show_command(store: str, as_json: bool) -> None:
    """Show tracks of the latest release with their tokens, and tracks that share only their audio token."""
    from tracktokens.pipelines.analysis.examples import examples
    from tracktokens.transforms.store.layout import Store

    found = examples(Store.open(store))
    if as_json:
        echo(format_json(asdict(found)))
        return
    for heading, rows in (("tracks and their tokens", found.complete), ("only the sound in common", found.sound_alike)):
        echo(f"\n{heading}:" if rows else f"\n{heading}: no such tracks here")
        for row in rows:
            name = f"{row['title'] or row['track_id']} - {row['artist'] or 'unknown artist'}"
            echo(f"  {printable(name)}\n    {row['tokens']}")


@click.command(name="atlas")
@store_option
@release_option
@click.option(
    "--out", required=True, type=OutputFile(), metavar="FILE", help="HTML file to write; - is standard output."
)
@click.option(
    "--audio-snippets", is_flag=True, help="Write clips of three tracks per audio code to a folder beside the page."
)
@catalog_option
@click.option(
    "--tracks",
    type=NonEmptyStr(),
    metavar="PATH",
    help="Tracks with the audio paths of --audio-snippets; those of the release by default.",
)
@click.option(
    "--audio-root",
    type=NonEmptyStr(),
    metavar="DIR",
    help="Folder that audio paths are relative to; that of the release by default.",
)
def atlas_command(
    store: str, release: str | None, out: str, audio_snippets: bool, tracks: str | None, audio_root: str | None
) -> None:
    """Write one page that shows what the tokens of a release mean; it opens in a browser without a network."""
    from tracktokens.pipelines.analysis.atlas.write import write_atlas, write_atlas_with_clips
    from tracktokens.transforms.store.layout import Store

    opened = Store.open(store)
    if audio_snippets:
        written = write_atlas_with_clips(opened, release, out, tracks, audio_root)
    else:
        _refuse_unused("--audio-snippets", "catalog", "tracks", "audio_root")
        written = write_atlas(opened, release, out)
    echo(
        f"{printable(out)}: release {written.release_id}, {written.codes:,} codes, {written.size / 1e6:.1f} MB",
        err=True,
    )
    if (clips := written.clips) is not None:
        share = f"{len(clips.clips):,} of {len(clips.clips) + sum(clips.failures.values()):,} clips"
        echo(f"{printable(str(written.folder))}: {share}, {clips.size / 1e6:.1f} MB", err=True)


def _refuse_unused(main: str, *names: str) -> None:
    """Refuse options of the command line that mean nothing without another one."""
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UsageError(f"--{name.replace('_', '-')} is of use with {main} only: give both, or neither")


@click.command(name="inspect")
@click.argument("bundle", metavar="BUNDLE")
@click.argument("modality", required=False)
@click.argument("code", required=False, type=int)
@store_option
@json_option
def inspect_command(bundle: str, modality: str | None, code: int | None, store: str, as_json: bool) -> None:
    """Show the contents of a BUNDLE, the codes of a MODALITY, or the meaning of one CODE.

    The bundle may be given as a release of it, or as `latest`.
    """
    from tracktokens.pipelines.analysis.inspect import (
        Inspector,
        bundle_report,
        checked_manifest,
        code_report,
        codes_report,
    )
    from tracktokens.transforms.store.bundles import find_bundle_id
    from tracktokens.transforms.store.layout import Store

    opened = Store.open(store)
    bundle_id = find_bundle_id(opened, bundle)
    if modality is None:
        manifest = checked_manifest(opened, bundle_id)
        _print(bundle_report(manifest), asdict(manifest), as_json)
        return
    inspector = Inspector(opened, bundle_id, modality)
    if code is None:
        codes = inspector.codes()
        _print(codes_report(codes), [asdict(summary) for summary in codes], as_json)
    else:
        view = inspector.code(code)
        _print(code_report(modality, view), asdict(view), as_json)


def _print(report: "RenderableType", record: object, as_json: bool) -> None:
    """Print a report, or its record as JSON."""
    if as_json:
        echo(format_json(record))
    else:
        make_console().print(report)


@click.command(name="diff")
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@store_option
@json_option
def diff_command(old: str, new: str, store: str, as_json: bool) -> None:
    """Show the changes from release A to release B. A bundle's id means its newest release."""
    from tracktokens.pipelines.analysis.diff import diff_releases, diff_report

    found = diff_releases(store, old, new)
    if as_json:
        echo(format_json(found.to_json()))
    else:
        make_console().print(diff_report(found))
