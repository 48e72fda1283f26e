"""The option ``--catalog``: the tables, the audio and the embeddings of an import, instead of an option for each."""

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource

from tracktokens.pipelines.cli.options.common import NonEmptyStr
from tracktokens.pipelines.terminal import echo
from tracktokens.schemas.modalities import AUDIO, PLAYLIST

IMPORTED = "tracktokens.imported"
"""Key of the options of an imported catalog in the context of a command: parameter to value."""

IMPORTED_EMBEDDINGS = "tracktokens.imported_embeddings"
"""Key of its embeddings: modality to option and value."""

PLAYLISTS = "playlists"


def use_catalog(context: click.Context, parameter: click.Parameter, folder: str | None) -> None:
    """Make the inputs of an imported catalog the defaults of the command's options.

    Raises:
        UsageError, InvalidDataError: see :func:`.read_import`.
    """
    if folder is None:
        return
    from tracktokens.pipelines.catalog_import.read_import import read_import

    catalog = read_import(folder)
    known = {option.name for option in context.command.params}
    given = {name.replace("-", "_"): value for name, value in catalog.options.items()}
    context.meta[IMPORTED] = {name: value for name, value in given.items() if name in known}
    context.meta[IMPORTED_EMBEDDINGS] = catalog.embeddings
    context.default_map = {**(context.default_map or {}), **context.meta[IMPORTED]}


def add_embeddings(
    context: click.Context,
    values: dict[str, Any],
    given: Mapping[str, Any],
    released: Mapping[str, Any],
) -> None:
    """Add the embeddings of an imported catalog to the values of a source's options.

    A modality has one source. One that an option names wins, and a modality that the release encodes is encoded again;
    the embeddings that are not used for that are counted. Embeddings of the modality playlist replace the catalog's own
    playlists.

    Args:
        context: context of the command.
        values: long names of options and their values.
        given: options as the command line and the config file have them: long name to value, or to modality and value.
        released: options of the release that is refreshed: long name to value; empty without one.
    """
    imported: Mapping[str, Mapping[str, str]] = context.meta.get(IMPORTED_EMBEDDINGS, {})
    chosen = _chosen(context, values, given)
    if released:
        chosen |= imported.keys() - released.get("embeddings", {}).keys()
    if unused := [modality for modality in imported if modality in chosen]:
        share = f"{len(unused)} of {len(imported)} embeddings of the catalog are not used ({', '.join(unused)})"
        echo(f"{share}: an option or the release names their source", err=True)
    if used := {modality: table for modality, table in imported.items() if modality not in chosen}:
        for modality, table in used.items():
            for name, value in table.items():
                values[name] = {**values.get(name, {}), modality: given.get(name, {}).get(modality, value)}
        echo(f"embeddings from the catalog: {', '.join(used)}", err=True)
    playlists = context.meta.get(IMPORTED, {}).get(PLAYLISTS)
    if playlists is not None and values[PLAYLISTS] == playlists and PLAYLIST in values.get("embeddings", {}):
        del values[PLAYLISTS]
        echo(f"{playlists} is not used, since embeddings of the modality {PLAYLIST} replace it", err=True)


def _chosen(context: click.Context, values: Mapping[str, Any], given: Mapping[str, Any]) -> set[str]:
    """Return the modalities whose source the command line or the config file names."""
    chosen = {*given.get("embeddings", {}), *given.get("encoder", {})}
    if context.get_parameter_source("audio_encoder") is not ParameterSource.DEFAULT:
        chosen.add(AUDIO)
    if values.get(PLAYLISTS) not in (None, context.meta.get(IMPORTED, {}).get(PLAYLISTS)):
        chosen.add(PLAYLIST)
    return chosen


catalog_option = click.option(
    "--catalog",
    type=NonEmptyStr(),
    metavar="DIR",
    is_eager=True,
    expose_value=False,
    callback=use_catalog,
    help="Folder of `tracktokens import`: tracks, playlists, audio and embeddings that no other option names.",
)
