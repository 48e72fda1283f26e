"""The commands ``import ...``: catalogs from what people have."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import click

from tracktokens.pipelines.cli.language_models.import_conversations_command import import_conversations_command
from tracktokens.pipelines.cli.options.common import NonEmptyStr, json_option, options
from tracktokens.pipelines.terminal import echo, format_json, make_console
from tracktokens.schemas.display import printable

if TYPE_CHECKING:
    from tracktokens.pipelines.catalog_import.import_catalog import Importer, ImportResult

MATCH = "tracktokens.match"
"""Keys of the options of matching in the context of a command begin with it."""


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep an option that every importer has."""
    context.meta[f"{MATCH}.{parameter.name}"] = value


import_options = options(
    click.argument("source", metavar="SOURCE", type=NonEmptyStr()),
    click.option("--out", required=True, type=NonEmptyStr(), metavar="DIR", help="Folder to write the tables to."),
    click.option(
        "--match-to",
        type=NonEmptyStr(),
        metavar="PATH",
        expose_value=False,
        callback=_keep,
        help="Catalog that exists: a Parquet table of tracks, or the folder of an import. Playlists get its track ids.",
    ),
    click.option(
        "--match-threshold",
        type=click.FloatRange(50, 100),
        default=90,
        metavar="PERCENT",
        expose_value=False,
        callback=_keep,
        help="Lowest similarity of titles or artists with --match-to.",
    ),
    json_option,
)


@click.group(name="import")
def import_group() -> None:
    """Make a catalog from a music folder, a dataset or a library; import conversations about one."""


import_group.add_command(import_conversations_command)


@import_group.command(name="folder")
@import_options
@click.option(
    "--id",
    "id_rule",
    type=click.Choice(["auto", "musicbrainz", "isrc", "path"]),
    default="auto",
    help="Source of the track ids: MusicBrainz recording, ISRC, path below SOURCE, or the first that is known.",
)
@click.option(
    "--playlists",
    multiple=True,
    type=NonEmptyStr(),
    metavar="PATH",
    help="Playlist file outside of SOURCE, or a folder with some (M3U, PLS, XSPF). Repeatable.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes that read tags; by default one per core.")
def folder_command(
    source: str, out: str, as_json: bool, id_rule: str, playlists: tuple[str, ...], workers: int | None
) -> None:
    """Import a folder of music files: their tags, lyrics beside them, and M3U, PLS and XSPF playlists."""
    from tracktokens.pipelines.catalog_import.music_folder.import_folder import import_folder
    from tracktokens.transforms.runtime.threads import thread_share

    workers = workers or thread_share(1)
    importer = partial(import_folder, source, rule=id_rule, workers=workers, playlists=playlists)
    given = {"id": id_rule, "playlists": list(playlists)} if playlists else {"id": id_rule}
    _run("folder", source, out, importer, as_json, options=given, audio_root=source)


@import_group.command(name="mpd")
@import_options
@click.option(
    "--tags-from-names",
    type=click.IntRange(1),
    metavar="N",
    help="Make the name of a playlist a tag of the tracks that N playlists of that name hold.",
)
def mpd_command(source: str, out: str, as_json: bool, tags_from_names: int | None) -> None:
    """Import the Million Playlist Dataset: the folder of its slices, one slice, or the challenge set."""
    from tracktokens.pipelines.catalog_import.datasets.million_playlists import import_million_playlists

    importer = partial(import_million_playlists, source, tags_from_names=tags_from_names)
    _run("mpd", source, out, importer, as_json, options={"tags-from-names": tags_from_names})


@import_group.command(name="exportify")
@import_options
def exportify_command(source: str, out: str, as_json: bool) -> None:
    """Import playlists of Spotify: a CSV file of Exportify, or a folder of them."""
    from tracktokens.pipelines.catalog_import.datasets.exportify import import_exportify

    _run("exportify", source, out, partial(import_exportify, source), as_json)


audio_root_option = click.option(
    "--audio-root",
    type=NonEmptyStr(),
    metavar="DIR",
    help="Folder with the audio files, also if the library names an older place; without it, tracks get no audio.",
)


@import_group.command(name="itunes")
@import_options
@audio_root_option
def itunes_command(source: str, out: str, as_json: bool, audio_root: str | None) -> None:
    """Import the XML file of a library of iTunes or Apple Music."""
    from tracktokens.pipelines.catalog_import.libraries.itunes import import_itunes

    _import_library("itunes", import_itunes, source, out, as_json, audio_root)


@import_group.command(name="rekordbox")
@import_options
@audio_root_option
def rekordbox_command(source: str, out: str, as_json: bool, audio_root: str | None) -> None:
    """Import the XML file of a collection of rekordbox."""
    from tracktokens.pipelines.catalog_import.libraries.rekordbox import import_rekordbox

    _import_library("rekordbox", import_rekordbox, source, out, as_json, audio_root)


@import_group.command(name="traktor")
@import_options
@audio_root_option
def traktor_command(source: str, out: str, as_json: bool, audio_root: str | None) -> None:
    """Import the NML file of a collection of Traktor."""
    from tracktokens.pipelines.catalog_import.libraries.traktor import import_traktor

    _import_library("traktor", import_traktor, source, out, as_json, audio_root)


@import_group.command(name="beets")
@import_options
@audio_root_option
@click.option("--playlists", type=NonEmptyStr(), metavar="DIR", help="Folder with playlist files (M3U, PLS, XSPF).")
def beets_command(source: str, out: str, as_json: bool, audio_root: str | None, playlists: str | None) -> None:
    """Import the database of beets."""
    from tracktokens.pipelines.catalog_import.libraries.beets import import_beets

    _import_library("beets", import_beets, source, out, as_json, audio_root, playlists=playlists)


@import_group.command(name="navidrome")
@import_options
@audio_root_option
def navidrome_command(source: str, out: str, as_json: bool, audio_root: str | None) -> None:
    """Import the database of Navidrome."""
    from tracktokens.pipelines.catalog_import.libraries.navidrome import import_navidrome

    _import_library("navidrome", import_navidrome, source, out, as_json, audio_root)


def _import_library(
    kind: str,
    importer: Callable[..., None],
    source: str,
    out: str,
    as_json: bool,
    audio_root: str | None,
    **chosen: str | None,
) -> None:
    _run(kind, source, out, partial(importer, source, audio_root=audio_root, **chosen), as_json, chosen, audio_root)


@import_group.command(name="fma")
@import_options
@click.option(
    "--subset",
    type=click.Choice(["small", "medium", "large", "full"]),
    default="full",
    help="Tracks to import; each subset has those of the one before it.",
)
@click.option(
    "--audio-root",
    type=NonEmptyStr(),
    metavar="DIR",
    help="Folder of the audio files; by default fma_full, fma_large, ... in SOURCE or beside it.",
)
def fma_command(source: str, out: str, as_json: bool, subset: str, audio_root: str | None) -> None:
    """Import FMA, the dataset of the Free Music Archive: the folder fma_metadata."""
    from tracktokens.pipelines.catalog_import.datasets import free_music_archive

    audio = audio_root or free_music_archive.find_audio(source)
    importer = partial(free_music_archive.import_free_music_archive, source, subset=subset, audio_root=audio)
    _run("fma", source, out, importer, as_json, options={"subset": subset}, audio_root=audio)


@import_group.command(name="jamendo")
@import_options
@click.option("--audio-root", type=NonEmptyStr(), metavar="DIR", help="Folder of the audio files, such as 14/214.mp3.")
def jamendo_command(source: str, out: str, as_json: bool, audio_root: str | None) -> None:
    """Import MTG-Jamendo: a TSV file such as autotagging.tsv, or its folder."""
    from tracktokens.pipelines.catalog_import.datasets.mtg_jamendo import import_mtg_jamendo

    importer = partial(import_mtg_jamendo, source, audio_root=audio_root)
    _run("jamendo", source, out, importer, as_json, audio_root=audio_root)


_gap_option = click.option(
    "--gap",
    "gap_minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    metavar="MINUTES",
    help="Pause between two listens of a listener that ends a session.",
)


@import_group.command(name="music4all")
@import_options
@_gap_option
def music4all_command(source: str, out: str, as_json: bool, gap_minutes: float) -> None:
    """Import Music4All: the folder of its tables, lyrics and clips; the listening history as sessions."""
    from tracktokens.pipelines.catalog_import.datasets import music4all

    audio = source if music4all.has_audio(source) else None
    importer = partial(music4all.import_music4all, source, gap_minutes=gap_minutes)
    _run("music4all", source, out, importer, as_json, options={"gap": gap_minutes}, audio_root=audio)


@import_group.command(name="listenbrainz")
@import_options
@_gap_option
def listenbrainz_command(source: str, out: str, as_json: bool, gap_minutes: float) -> None:
    """Import ListenBrainz: a dump, the export of an account, or JSON Lines; listens as sessions, and playlists."""
    from tracktokens.pipelines.catalog_import.datasets.listenbrainz import import_listenbrainz

    importer = partial(import_listenbrainz, source, gap_minutes=gap_minutes)
    _run("listenbrainz", source, out, importer, as_json, options={"gap": gap_minutes})


@import_group.command(name="spotify")
@import_options
@_gap_option
def spotify_command(source: str, out: str, as_json: bool, gap_minutes: float) -> None:
    """Import the export of a Spotify account, a zip file or a folder: playlists, and plays as sessions."""
    from tracktokens.pipelines.catalog_import.datasets.spotify import import_spotify

    importer = partial(import_spotify, source, gap_minutes=gap_minutes)
    _run("spotify", source, out, importer, as_json, options={"gap": gap_minutes})


@import_group.command(name="talkplaydata")
@import_options
def talkplaydata_command(source: str, out: str, as_json: bool) -> None:
    """Import TalkPlayData-2 or the Music-CRS challenge: metadata of tracks, and sessions as playlists."""
    from tracktokens.pipelines.catalog_import.datasets.talkplay_data import import_talkplay_data

    importer = partial(import_talkplay_data, source)
    _run("talkplaydata", source, out, importer, as_json)


def _run(
    kind: str,
    source: str,
    out: str,
    importer: "Importer",
    as_json: bool,
    options: Mapping[str, object] | None = None,
    audio_root: str | None = None,
) -> None:
    """Run an importer with a line of progress, and print the result."""
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from tracktokens.pipelines.catalog_import.import_catalog import ImportSource, import_catalog
    from tracktokens.pipelines.catalog_import.match_import import MatchTarget

    chosen = ImportSource(kind=kind, path=source, options=options or {}, audio_root=audio_root)
    meta = click.get_current_context().meta
    catalog, threshold = meta[f"{MATCH}.match_to"], meta[f"{MATCH}.match_threshold"]
    match = None if catalog is None else MatchTarget(catalog, threshold)
    columns = (TextColumn("{task.description}", markup=False), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=make_console(stderr=True), transient=True) as progress:
        tasks = {}

        def report(kind: str, number: int) -> None:
            if kind not in tasks:
                tasks[kind] = progress.add_task(kind, total=None)
            progress.advance(tasks[kind], number)

        result = import_catalog(chosen, out, importer, report, match)
    _print_result(result, as_json)


def _print_result(result: "ImportResult", as_json: bool) -> None:
    if as_json:
        echo(format_json({"counts": result.counts.to_json(), "run": result.run_command}))
        return
    counts = result.counts
    written = ", ".join(f"{number:,} {table}" for table, number in sorted(counts.written.items(), reverse=True))
    echo(f"{written}, {counts.entries:,} entries, {counts.rejected.total():,} rejects")
    echo(f"next: {printable(result.run_command)}")
