"""What a release came to, as tables for people: in the terminal, and as ``report.html``."""

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from tracktokens.schemas.modalities import MODALITIES


def report(metrics: Mapping[str, Any]) -> Group:
    """Rows, rejects by reason, and each modality's coverage and use of codes, out of a release's metrics."""
    return Group(_rows(metrics), _modalities(metrics))


def report_html(metrics: Mapping[str, Any], title: str) -> bytes:
    """Render a report as a page of its own."""
    console = Console(record=True, file=io.StringIO(), width=110)
    console.print(title, report(metrics))
    return console.export_html().encode()


def seconds_table(seconds: Mapping[str, float]) -> Table:
    """Wall time of each stage."""
    table = Table("stage", "seconds")
    for stage, spent in seconds.items():
        table.add_row(stage, f"{spent:.1f}")
    table.add_row("all", f"{sum(seconds.values()):.1f}")
    return table


def _rows(metrics: Mapping[str, Any]) -> Table:
    table = Table("rows", "count")
    table.add_row("tracks read", str(metrics["rows"]["read"]))
    table.add_row("tracks in the token table", str(metrics["rows"]["published"]))
    table.add_row("tracks rejected", str(metrics["rows"]["rejected"]))
    if metrics["playlists"]:
        table.add_row("playlists read", str(metrics["playlists"]["playlists_read"]))
        table.add_row("playlists used", str(metrics["playlists"]["playlists_used"]))
    for modality, counts in metrics["vectors"].items():
        for fate in ("read", "used", "unknown"):
            table.add_row(f"{modality} vectors {fate}", str(counts[fate]))
    for kind, reasons in metrics["rejects"].items():
        for reason, count in reasons.items():
            table.add_row(f"rejects of {kind}: {reason}", str(count))
    return table


def _modalities(metrics: Mapping[str, Any]) -> Table:
    table = Table("modality", "tracks", "coverage", "codes used", "reserved", "perplexity", "encoded")
    for modality in MODALITIES:
        use = metrics["modalities"][modality]
        table.add_row(
            modality,
            str(use["tracks"]),
            f"{use['coverage']:.1%}",
            f"{use['codes_used']} of {use['centroids']}",
            str(use["reserved"]),
            f"{use['perplexity']:.1f}",
            str(metrics["inputs"]["encoded"].get(modality, "-")),
        )
    return table
