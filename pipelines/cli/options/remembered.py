"""The line that names the options which a command takes from the latest release of its store."""

from collections.abc import Sequence

import click
from click.core import ParameterSource

from tracktokens.pipelines.terminal import echo


def echo_remembered(context: click.Context, store: str, source_options: Sequence[str] = ()) -> None:
    """Print the remembered options on standard error, in one line; nothing without any.

    Args:
        context: context of the command. Of the options of the vocabulary, those that it has and that are not given are
            remembered.
        store: root of the store.
        source_options: names of the remembered options of the catalog source.
    """
    from tracktokens.pipelines.jobs.vocabulary import ReleasedVocabulary

    released = ReleasedVocabulary.of(store)
    if released is None:
        return
    vocabulary = released.options(context.params.get("codebook_size"))
    tokens = [f"{name} {value}" for name, value in vocabulary.items() if _is_default(context, name)]
    if used := [*source_options, *tokens]:
        echo(f"options from release {released.release.release_id}: {', '.join(used)}", err=True)


def _is_default(context: click.Context, name: str) -> bool:
    """Return whether a command has an option, and it is not given."""
    parameter = name.replace("-", "_")
    known = any(option.name == parameter for option in context.command.params)
    return known and context.get_parameter_source(parameter) is ParameterSource.DEFAULT
