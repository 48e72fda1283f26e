"""The option ``--catalog``: the tables and the audio of an import, instead of an option for each."""

import click

from tracktokens.pipelines.cli.options.common import NonEmptyStr

IMPORTED = "tracktokens.imported"
"""Key of the options of an imported catalog in the context of a command: parameter to value."""


def use_catalog(context: click.Context, parameter: click.Parameter, folder: str | None) -> None:
    """Make the inputs of an imported catalog the defaults of the command's options.

    Raises:
        UsageError, InvalidDataError: see :func:`.catalog_options`.
    """
    if folder is None:
        return
    from tracktokens.pipelines.catalog_import.read_import import catalog_options

    known = {option.name for option in context.command.params}
    given = {name.replace("-", "_"): value for name, value in catalog_options(folder).items()}
    context.meta[IMPORTED] = {name: value for name, value in given.items() if name in known}
    context.default_map = {**(context.default_map or {}), **context.meta[IMPORTED]}


catalog_option = click.option(
    "--catalog",
    type=NonEmptyStr(),
    metavar="DIR",
    is_eager=True,
    expose_value=False,
    callback=use_catalog,
    help="Folder of `tracktokens import`: its tracks, playlists and audio, as far as no other option names them.",
)
