"""Tables that only the terminal shows: times of a run, and codes kept by a retraining."""

from collections.abc import Mapping

from rich.table import Table

from tracktokens.transforms.release.report import format_number


def seconds_table(seconds: Mapping[str, float]) -> Table:
    """Build a table of the wall time of each stage."""
    table = Table("stage", "seconds")
    for stage, spent in seconds.items():
        table.add_row(stage, f"{spent:.1f}")
    table.add_row("all", f"{sum(seconds.values()):.1f}")
    return table


def kept_table(kept: Mapping[str, float | None], without: Mapping[str, float | None]) -> Table:
    """Build a table of the share of tracks that keep their code, with and without renumbering."""
    table = Table("modality", "tracks that keep their code", "without renumbering")
    for modality, share in kept.items():
        table.add_row(modality, format_number(share, ".2%"), format_number(without[modality], ".2%"))
    return table
