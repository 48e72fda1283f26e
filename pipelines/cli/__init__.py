"""The command line."""

from tracktokens.pipelines.cli.main import main

__all__ = ["main"]
