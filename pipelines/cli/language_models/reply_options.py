"""Options of the commands with which a model recommends tracks."""

import click

from tracktokens.pipelines.cli.options.common import NonEmptyStr, options, release_option, store_option
from tracktokens.serving.generation.precision import AUTO, PRECISIONS

precision_option = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=AUTO,
    help="Precision of products; auto is bfloat16 where the device has it.",
)

reply_options = options(
    click.option(
        "--model",
        required=True,
        type=NonEmptyStr(),
        metavar="DIR",
        help="Language model with the tokens of the release, and its tokenizer.",
    ),
    store_option,
    release_option,
    click.option(
        "--beams",
        type=click.IntRange(1),
        help="Beams of the search for tracks; 10, or --top if that is more, by default.",
    ),
    click.option(
        "--max-new-tokens",
        type=click.IntRange(0),
        default=64,
        help="Most tokens of a reply's text, apart from its tracks; 0 for tracks only.",
    ),
    click.option(
        "--min-tracks",
        type=click.IntRange(0, 1),
        default=1,
        help="0 lets the model decide whether it recommends tracks.",
    ),
    precision_option,
)
