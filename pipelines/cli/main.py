"""The command line, ``tracktokens``. It parses options and calls jobs, which Python code can call in the same way."""

import errno
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import click

from tracktokens.pipelines.cli.analysis_commands import atlas_command, diff_command, inspect_command, show_command
from tracktokens.pipelines.cli.catalog_commands import embed_command, playlists_command, run_command
from tracktokens.pipelines.cli.codebook_commands import (
    publish_command,
    retrain_command,
    tokenize_command,
    train_command,
)
from tracktokens.pipelines.cli.demo_command import demo_command
from tracktokens.pipelines.cli.doctor_command import doctor_command
from tracktokens.pipelines.cli.evaluate_command import evaluate_command
from tracktokens.pipelines.cli.examples import add_examples
from tracktokens.pipelines.cli.forget_command import forget_command
from tracktokens.pipelines.cli.import_commands import import_group
from tracktokens.pipelines.cli.language_models.chat_command import chat_command
from tracktokens.pipelines.cli.language_models.converse_command import converse_command
from tracktokens.pipelines.cli.language_models.finetune_command import finetune_command
from tracktokens.pipelines.cli.language_models.model_commands import model_group
from tracktokens.pipelines.cli.language_models.recommend_command import recommend_command
from tracktokens.pipelines.cli.language_models.render_commands import render_group
from tracktokens.pipelines.cli.language_models.vocabulary_commands import vocabulary_group
from tracktokens.pipelines.cli.match_command import match_command
from tracktokens.pipelines.cli.options.common import current_name
from tracktokens.pipelines.cli.options.environment import read_environment, warn_of_unknown_variables
from tracktokens.pipelines.cli.refresh_commands import plan_command, refresh_command, rejects_group
from tracktokens.pipelines.cli.store_commands import (
    compact_command,
    gc_command,
    migrate_command,
    rebucket_command,
    releases_group,
    verify_command,
)
from tracktokens.pipelines.log_format import JSON, LOG_FORMATS, TEXT, write_json_lines
from tracktokens.pipelines.stop_signals import StopSignals
from tracktokens.pipelines.terminal import OneLineFormatter, allow_any_text, discard_output, echo
from tracktokens.schemas.display import printable, printable_lines
from tracktokens.schemas.errors import TracktokensError, UsageError
from tracktokens.schemas.filesystem_errors import filesystem_error

EXIT_CODES = """\b
Exit codes:
  0  success
  1  a bug, or a failure of the machine or the runner
  2  wrong usage, or a missing input
  3  the data cannot be used, and nothing was published; or verify found a problem
  4  the catalog has drifted past a limit, and nothing was published
  5  another job writes the store, or published meanwhile
  130, 143  stopped by Ctrl-C, or by SIGTERM; 141: the reader of the output has ended
"""

CLOSED_OUTPUT = 128 + signal.SIGPIPE
"""Exit code where the reader of an output has ended, as shells give it."""

LONGEST = 200
"""Longest description of a command in the list of commands, in characters."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk."""

INSTALL_PIPELINE = "install tracktokens[pipeline], which this command needs"

SECTIONS: Mapping[str, Sequence[click.Command]] = {
    "Make tokens": (demo_command, import_group, run_command, refresh_command, plan_command, rejects_group),
    "Look at them": (
        show_command,
        atlas_command,
        inspect_command,
        match_command,
        diff_command,
        evaluate_command,
    ),
    "Train a language model, and talk with it": (
        converse_command,
        render_group,
        model_group,
        vocabulary_group,
        finetune_command,
        recommend_command,
        chat_command,
    ),
    "Look after a store": (
        releases_group,
        verify_command,
        gc_command,
        migrate_command,
        compact_command,
        rebucket_command,
        forget_command,
        doctor_command,
    ),
    "Steps of a run, one by one": (
        embed_command,
        playlists_command,
        train_command,
        retrain_command,
        tokenize_command,
        publish_command,
    ),
}
"""Heading to the commands below it, as the help lists them."""


class Cli(click.Group):
    """A group whose commands end with one line and the error's exit code instead of a traceback."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands below their headings, each with its first sentence."""
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(command.name or "", command.get_short_help_str(LONGEST)) for command in commands])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        signals = StopSignals()
        signals.start()
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                echo(err=True)  # below the ^C of the terminal
            signals.report(partial(echo, err=True))
            signals.leave()
            ctx.exit(signals.exit_code)
        except BrokenPipeError:  # the reader of an output has ended, such as `head`
            discard_output()
            ctx.exit(CLOSED_OUTPUT)
        except TracktokensError as error:
            _echo_error(str(error))
            ctx.exit(error.exit_code)
        except click.exceptions.Exit:
            raise
        except click.ClickException as error:
            error.message = printable_lines(error.message)  # type: ignore[misc]  # final for its classes only
            raise
        except ModuleNotFoundError as error:
            if find_spec("apache_beam") is not None:  # the pipeline is installed: this is a bug
                raise
            _echo_error(f"{error.name} is not installed: {INSTALL_PIPELINE}")
            ctx.exit(UsageError.exit_code)
        except Exception as error:
            known = filesystem_error(error)
            if known is None and not isinstance(error, OSError):
                raise
            _echo_error(f"{known or error}{'' if known else _remedy(error)}")
            ctx.exit(known.exit_code if known else 1)
        finally:
            signals.end()


def _echo_error(message: str) -> None:
    echo(f"error: {printable(message)}", err=True)


def _remedy(error: Exception) -> str:
    """The remedy for an error, where it is known. Arrow and Beam put the system's words into their own messages."""
    if getattr(error, "errno", None) in DISK_FULL or any(os.strerror(number) in str(error) for number in DISK_FULL):
        return ": free space and run the same command again, it resumes; `tracktokens gc` lists what can be deleted"
    return ""


@click.group(
    cls=Cli,
    epilog=EXIT_CODES,
    context_settings={
        "token_normalize_func": current_name,
        "help_option_names": ["-h", "--help"],
        "show_default": True,
    },
)
@click.version_option(package_name="tracktokens")
@click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    default=TEXT,
    help="Lines of standard error: text, or JSON objects with time, level and message.",
)
def main(log_format: str) -> None:
    """Turn a music catalog into tokens that a language model can read and write."""
    allow_any_text()
    handler = write_json_lines() if log_format == JSON else _text_handler()
    logging.basicConfig(level=logging.ERROR, handlers=[handler])  # libraries: errors only
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # it logs a traceback of the error that it then raises
    logging.getLogger("tracktokens").setLevel(logging.WARNING)
    warn_of_unknown_variables(main)


def _text_handler() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter("%(levelname)s: %(message)s"))
    return handler


for commands in SECTIONS.values():
    for command in commands:
        main.add_command(command)
add_examples(main)
read_environment(main)

if __name__ == "__main__":
    sys.exit(main())
